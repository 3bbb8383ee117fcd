"""Check that the commands in the documentation exist: make targets, and the files of the repository that they name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Folders whose files are named in commands; what a run makes (results/) is not among them.
FOLDERS = ("config", "docs", "envs", "profiles", "requirements", "scripts", "tests", "tools", "workflow", "benchmarks")
# A user's own files, which examples have to call something.
EXAMPLES = {"config/mine.yaml"}


def targets(makefile: str) -> set[str]:
    """Return the public targets of a Makefile: those with a `## ...` description, which `make help` lists."""
    return set(re.findall(r"^([a-z]+):.* ## ", makefile, flags=re.MULTILINE))


def code(markdown: str) -> list[str]:
    """Return the code of a Markdown text: lines of fenced blocks without their comments, and spans in backticks."""
    fence = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", flags=re.MULTILINE | re.DOTALL)
    lines = [line.split(" #")[0] for block in fence.findall(markdown) for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", fence.sub("", markdown))


def problems(documents: dict[str, str], makefile: str, root: Path = ROOT) -> list[str]:
    """Return what is wrong, one sentence each.

    Parameters
    ----------
    documents: dict of str to str
        Markdown texts by file name. README.md and CONTRIBUTING.md together must name every public target.
    makefile: str
        Content of the Makefile.
    root: Path
        The repository, for the files that commands name.

    Returns
    -------
    list of str
        Empty when documents, Makefile and files agree.
    """
    known = targets(makefile)
    found, introduced = [], set()
    for document, text in documents.items():
        for command in code(text):
            named = set(re.findall(r"(?:^|[\s;&])make ([a-z]+)\b(?!\.)", command))
            found += [f"{document}: `make {name}` is no target of the Makefile" for name in sorted(named - known)]
            if document in ("README.md", "CONTRIBUTING.md"):
                introduced |= named
            found += [
                f"{document}: {path} does not exist"
                for path in re.findall(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./+-]*\w", command)
                if path not in EXAMPLES and not (root / path).exists()
            ]
    missing = sorted(known - introduced - {"help"})
    return found + [f"README.md, CONTRIBUTING.md: neither says what `make {name}` is for" for name in missing]


def read_documents(paths: Iterable[str]) -> dict[str, str]:
    """Return the texts of those of `paths`, relative to the repository, that exist."""
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in paths if (ROOT / path).exists()}


def main() -> None:
    docs = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("**/*.md"))
    documents = read_documents(["README.md", "CONTRIBUTING.md", "config/README.md", *docs])
    found = problems(documents, (ROOT / "Makefile").read_text(encoding="utf-8"))
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
