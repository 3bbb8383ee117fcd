"""The imports of the library, read from syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def face(package: Path) -> dict[str, str]:
    """Return the names that a package exports lazily, each with its module."""
    stub = package / "__init__.pyi"
    if not stub.exists():
        return {}
    nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in nodes for alias in node.names}


@cache
def imports(path: Path, root: Path) -> frozenset[str]:
    """Return the dotted names that a file imports, except those under `if TYPE_CHECKING` and `try: ... except ImportError`.

    Parameters
    ----------
    path: Path
        A Python file.
    root: Path
        The folder that imports start from.

    Returns
    -------
    frozenset of str
        `from a.b import c` gives a.b and a.b.c; the latter as a.b.d.c where a.b takes c from its module d.
    """
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Try) and any("ImportError" in ast.unparse(h.type) for h in node.handlers if h.type):
            return
        names.update(name for name, _ in imported(node, path, root))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return frozenset(names)


def imported(node: ast.AST, path: Path, root: Path) -> Iterator[tuple[str, bool]]:
    """Yield the dotted names of an import statement, and whether each is exported by a package."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, False) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = path.relative_to(root).parts[: -node.level] if node.level else ()
        base = ".".join([*package, *([node.module] if node.module else [])])
        yield base, False
        handed_on = face(root.joinpath(*base.split(".")))
        for alias in node.names:
            if alias.name in handed_on:
                yield f"{base}.{handed_on[alias.name]}.{alias.name}", True
            else:
                yield f"{base}.{alias.name}", False


def module_file(name: str, root: Path) -> Path | None:
    """Return the file of a module or package of the library; None for other modules."""
    path = root.joinpath(*name.split("."))
    candidates = [path.with_suffix(".py"), path / "__init__.py"]
    return next((candidate for candidate in candidates if candidate.exists()), None)
