"""Allowed imports within the library: dependencies go one way, and packages are imported only by their public names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from .import_graph import imported, module_file

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"

GROUND = ("errors", "files", "joins", "processes", "program", "sections", "terminal", "text_files")
DATA = ("data", "data.genome", "data.annotation", "data.matrix", "data.windows", "data.coverage", "data.dataset")
MODEL = ("model", "model.network", "model.training")

# The folders of the library in the order of data flow, each with the folders from which it may import besides itself and the
# ground modules. Not every folder further up in the table is allowed.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "": (),
    "data": (),
    "data.genome": (),
    "data.annotation": ("data.genome",),
    "data.matrix": (),
    "data.windows": ("data.genome", "data.annotation"),
    "data.simulation": ("data", "data.genome", "data.windows"),
    "data.coverage": ("data.genome", "data.annotation", "data.windows"),
    "data.dataset": ("data.genome", "data.matrix", "data.windows", "data.coverage"),
    "data.basenji": ("data.genome", "data.windows", "data.coverage", "data.dataset"),
    "words": DATA,
    "model.network": ("data.dataset", "words"),
    "model": (*DATA, "model.network"),
    "model.training": (*DATA, "words", "model", "model.network"),
    "evaluate": (*DATA, "words", *MODEL, "interpret"),
    "interpret": DATA,
    "interpret.attribution": (*DATA, *MODEL, "interpret"),
    "interpret.peaks": (*DATA, "interpret", "interpret.attribution"),
    "interpret.motifs": (*DATA, "interpret", "interpret.attribution"),
    "interpret.patterns": (*DATA, "interpret", "interpret.attribution"),
    "interpret.probe": (*DATA, *MODEL, "interpret", "interpret.attribution", "interpret.motifs"),
    "variants": (*DATA, *MODEL, "interpret", "interpret.attribution", "interpret.motifs"),
    "configuration": (*DATA, "data.basenji", "data.simulation", "model", "interpret"),
    "report": (*DATA, "evaluate", "interpret", "interpret.attribution", "variants"),
    "report.browser": (*DATA, "interpret", "interpret.attribution", "interpret.peaks", "interpret.motifs", "report"),
    "report.cards": (*DATA, "interpret", "report"),
    "report.page": (*DATA, "evaluate", "interpret", "interpret.patterns", "variants", "report", "report.cards"),
    "scout": (*DATA, "words", "model", "model.network", "evaluate", "interpret", "report", "report.page"),
}

# Jobs that use these run without TensorFlow and start within a second. "data" includes all its folders.
LIGHT = (
    "data",
    "configuration",
    "interpret.peaks",
    "interpret.motifs",
    "interpret.patterns",
    "report",
    "scout",
    "program",
    "variants.vcf",
)
LIGHT += ("words", "evaluate.scores", "evaluate.baselines", "evaluate.fitted_baselines")
LIGHT += ("evaluate.intervals", "evaluate.ceiling", "evaluate.verdicts")
LIGHT += ("interpret.contrasts", "interpret.q_values", "interpret.nulls", "interpret.attribution.file", "model.params")
LIGHT += ("model.network.steps",)


def dotted(path: Path, root: Path) -> str:
    """Return the module name of a file without `cisnake`; for a package, the name of its folder."""
    parts = path.relative_to(root / "cisnake").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def home(name: str, root: Path) -> tuple[str, str] | None:
    """Return folder and module of a dotted name in the library (module empty for packages); None for other names."""
    parts = name.split(".")
    if parts[0] != "cisnake":
        return None
    for end in range(len(parts), 0, -1):
        file = module_file(".".join(parts[:end]), root)
        if file is not None:
            module = dotted(file, root)
            return (module, "") if file.name == "__init__.py" else (module.rpartition(".")[0], module)
    return None


def all_imports(path: Path, root: Path) -> list[tuple[str, bool, int]]:
    """Return every dotted name that a file imports, whether a package exports it, and the line."""
    nodes = ast.walk(parsed(path, path.stat().st_mtime_ns))
    return [(*found, node.lineno) for node in nodes if isinstance(node, ast.stmt) for found in imported(node, path, root)]


def problems(root: Path) -> list[str]:
    """Return one message per import of the library or the scripts that violates a rule."""
    found = []
    for path in sorted(root.rglob("*.py")):
        in_library = path.is_relative_to(root / "cisnake")
        own = dotted(path, root) if in_library else ""
        folder = own if path.name == "__init__.py" else own.rpartition(".")[0]
        where = path.relative_to(root).as_posix()
        if in_library and folder not in MAY_IMPORT:
            found.append(f"{where}: the folder is not in the table")
            continue
        for name, by_face, line in all_imports(path, root):
            if own.startswith("data.") and name.split(".")[0] in ("tensorflow", "keras"):
                found.append(f"{where}:{line} imports {name} into data/")
            target = home(name, root)
            if target is None or not target[1]:
                continue
            other, module = target
            inside = in_library and (folder == other or folder.startswith(other + ".") or other == "")
            if in_library and other != folder and not (other == "" and module in GROUND) and other not in MAY_IMPORT[folder]:
                found.append(f"{where}:{line} imports {module}, which {folder or 'the ground'} may not")
            if other and not inside and not by_face:
                found.append(f"{where}:{line} imports {module} past the face of {other}")
            if name.rpartition(".")[2].startswith("_") and module != own and not name.endswith("__"):
                found.append(f"{where}:{line} imports {name}, which is private")
    return found


def shadowed(root: Path) -> list[str]:
    """Return exported names that are also modules of the package: the result of an import would depend on earlier imports."""
    found = []
    for stub in sorted((root / "cisnake").rglob("__init__.pyi")):
        modules = {path.stem for path in stub.parent.glob("*.py")} | {
            path.name for path in stub.parent.iterdir() if path.is_dir()
        }
        nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
        found += [f"{stub.parent.name}.{a.name}" for node in nodes for a in node.names if a.name in modules]
    return found


def reaches(path: Path, root: Path) -> set[str]:
    """Return the top-level names that importing a module imports, including through modules of the library."""
    seen, todo, tops = set(), [path], set()
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in at_import(file, root):
            target = home(name, root)
            if target is None:
                tops.add(name.partition(".")[0])
            elif target[1]:
                todo.append(module_file("cisnake." + target[1], root))
    return tops


@cache
def parsed(path: Path, changed: int) -> ast.Module:
    """Return the syntax tree of a file, cached by modification time."""
    return ast.parse(path.read_text(encoding="utf-8"))


def at_import(path: Path, root: Path) -> set[str]:
    """Return the dotted names that a module imports at import time: not inside functions or for type checkers."""
    names: set[str] = set()
    todo: list[ast.AST] = list(parsed(path, path.stat().st_mtime_ns).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            continue
        names.update(name for name, _ in imported(node, path, root))
        todo += ast.iter_child_nodes(node)
    return names


def test_imports_go_one_way_and_use_exported_names() -> None:
    assert problems(SCRIPTS) == []


def test_no_exported_name_is_also_a_module() -> None:
    assert shadowed(SCRIPTS) == []


def light_modules() -> list[Path]:
    library = SCRIPTS / "cisnake"
    paths = [path for path in sorted(library.rglob("*.py")) if path.name != "__init__.py"]
    return [p for p in paths if any(f"{dotted(p, SCRIPTS)}.".startswith(f"{name}.") for name in LIGHT)]


# Programs import TensorFlow inside `main`, so that --help and invalid options respond immediately.
@pytest.mark.parametrize(
    "path", [*sorted(SCRIPTS.glob("*.py")), *light_modules()], ids=lambda path: path.relative_to(SCRIPTS).as_posix()
)
def test_programs_and_modules_of_cpu_jobs_do_not_import_tensorflow(path: Path) -> None:
    assert not {"tensorflow", "keras"} & reaches(path, SCRIPTS)


def test_every_light_part_exists() -> None:
    modules = [dotted(path, SCRIPTS) for path in light_modules()]
    assert all(any(f"{module}.".startswith(f"{name}.") for module in modules) for name in LIGHT)
    assert len(modules) > 90


def library(root: Path, **files: str) -> Path:
    """Write a small library from keyword arguments: `a__b` is cisnake/a/b.py."""
    for name, text in {"errors": "", "data__genome__fasta": "class Genome: pass", **files}.items():
        path = root / "cisnake" / (name.replace("__", "/") + ".py") if name != "script" else root / "script.py"
        for folder in [path.parent, *path.parent.parents]:
            if folder.is_relative_to(root / "cisnake"):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "__init__.py").touch()
        path.write_text(text)
    (root / "cisnake/data/genome/__init__.pyi").write_text("from .fasta import Genome as Genome\n")
    return root


@pytest.mark.parametrize(
    ("module", "statement", "problem"),
    [
        ("data__genome__bases", "from cisnake.errors import InputError", ""),
        ("data__genome__bases", "from cisnake.data.genome.fasta import Genome", ""),
        ("data__windows__tiles", "from cisnake.data.genome import Genome", ""),
        ("script", "from cisnake.data.genome import Genome", ""),
        ("script", "def f():\n    from cisnake.data.genome.fasta import Genome", "script.py:2 imports data.genome.fasta past"),
        ("data__windows__tiles", "from cisnake.data.genome.fasta import Genome", "tiles.py:1 imports data.genome.fasta past"),
        ("data__windows__tiles", "from cisnake.data.genome import fasta", "tiles.py:1 imports data.genome.fasta past"),
        ("data__windows__tiles", "import cisnake.data.genome.fasta", "tiles.py:1 imports data.genome.fasta past"),
        ("data__genome__bases", "from cisnake.data.genome.fasta import _CODES", "_CODES, which is private"),
        ("data__matrix__text", "from cisnake.data.genome import Genome", "data.genome.fasta, which data.matrix may not"),
        ("errors", "from cisnake.data.genome import Genome", "data.genome.fasta, which the ground may not"),
        ("data__genome__bases", "def f():\n    import keras.ops", "bases.py:2 imports keras.ops into data/"),
        ("data__genome__bases", "from tensorflow import io", "imports tensorflow into data/"),
        ("attic__old", "import numpy", "the folder is not in the table"),
    ],
)
def test_each_rule_is_enforced(tmp_path: Path, module: str, statement: str, problem: str) -> None:
    found = problems(library(tmp_path, **{module: statement}))
    assert any(problem in sentence for sentence in found) if problem else found == [], found


@pytest.mark.parametrize("folder", [name for name in MAY_IMPORT if name])
def test_folders_import_only_what_is_in_their_row(tmp_path: Path, folder: str) -> None:
    modules = {name: f"{name.replace('.', '__')}__thing" for name in MAY_IMPORT if name}
    files = {modules[name]: "NAME = 1" for name in modules}
    files[folder.replace(".", "__") + "__user"] = "\n".join(f"from cisnake.{name}.thing import NAME" for name in modules)
    broken = [text for text in problems(library(tmp_path, **files)) if "may not" in text]
    refused = {text.split(" imports ")[1].split(".thing")[0] for text in broken}
    assert refused == set(modules) - set(MAY_IMPORT[folder]) - {folder}


def test_a_name_that_is_also_a_module_is_detected(tmp_path: Path) -> None:
    root = library(tmp_path)
    (root / "cisnake/data/genome/__init__.pyi").write_text("from .fasta import fasta as fasta\n")
    assert shadowed(root) == ["genome.fasta"]


def test_tensorflow_is_found_behind_exports_but_not_in_functions(tmp_path: Path) -> None:
    root = library(tmp_path, data__windows__tiles="from cisnake.data.genome import Genome", data__genome__fasta="import keras")
    assert reaches(root / "cisnake/data/windows/tiles.py", root) == {"keras"}
    (root / "cisnake/data/genome/fasta.py").write_text("def f():\n    import keras")
    assert reaches(root / "cisnake/data/windows/tiles.py", root) == set()


def test_the_table_flows_one_way() -> None:
    """Check that no folder can be reached from a folder that it may import."""

    def below(folder: str, seen: frozenset[str] = frozenset()) -> set[str]:
        return {folder}.union(*(below(other, seen | {folder}) for other in MAY_IMPORT[folder] if other not in seen))

    for folder, others in MAY_IMPORT.items():
        assert all(folder not in below(other) for other in others if other != folder), folder
    assert set(MAY_IMPORT) - {""} == {dotted(path, SCRIPTS) for path in (SCRIPTS / "cisnake").rglob("__init__.py")} - {""}


def test_every_folder_is_described() -> None:
    described = re.findall(r"^\| `cisnake\.(\S+)` \|", (ROOT / "docs" / "library.md").read_text(), flags=re.MULTILINE)
    assert sorted(described) == sorted(name for name in MAY_IMPORT if name)


def test_public_names_are_unique() -> None:
    """Check that every public function, class and constant has a unique name in the library."""
    homes: dict[str, list[str]] = {}
    for path in (SCRIPTS / "cisnake").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            names += [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            for name in names:
                if not name.startswith("_"):
                    homes.setdefault(name, []).append(dotted(path, SCRIPTS))
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_text_files_are_utf_8_in_every_locale() -> None:
    found = []
    for path in [*sorted(SCRIPTS.rglob("*.py")), *sorted((ROOT / "tools").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or any(keyword.arg in ("encoding", None) for keyword in node.keywords):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            mode = next((arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)), "r")
            opens = name == "open" and isinstance(node.func, ast.Name) and "b" not in str(mode)
            if opens or name in ("read_text", "write_text"):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []
