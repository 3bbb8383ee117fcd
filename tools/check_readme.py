"""Check that the make targets and repository files in the commands of the documentation exist."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Folders of files that commands may refer to; not the outputs of runs (results/).
FOLDERS = ("config", "docs", "envs", "profiles", "requirements", "scripts", "tests", "tools", "workflow", "benchmarks")
# Files of users that occur in examples.
EXAMPLES = {"config/mine.yaml"}


def targets(makefile: str) -> set[str]:
    """Return the public targets of a Makefile, which have a `## ...` description for `make help`."""
    return set(re.findall(r"^([a-z]+):.* ## ", makefile, flags=re.MULTILINE))


def code(markdown: str) -> list[str]:
    """Return the code in a Markdown text: lines of fenced blocks without comments, and spans in backticks."""
    fence = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", flags=re.MULTILINE | re.DOTALL)
    lines = [line.split(" #")[0] for block in fence.findall(markdown) for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", fence.sub("", markdown))


def problems(documents: dict[str, str], makefile: str, root: Path = ROOT) -> list[str]:
    """Return the problems, one message each.

    Parameters
    ----------
    documents: dict of str to str
        Markdown texts by file name. README.md and CONTRIBUTING.md together must name every public target.
    makefile: str
        Content of the Makefile.
    root: Path
        The repository, in which files are searched for.

    Returns
    -------
    list of str
        Empty if documents, Makefile and files agree.
    """
    known = targets(makefile)
    messages, introduced = [], set()
    for document, text in documents.items():
        for command in code(text):
            named = set(re.findall(r"(?:^|[\s;&])make ([a-z]+)\b(?!\.)", command))
            messages += [f"{document}: `make {name}` is not a target of the Makefile" for name in sorted(named - known)]
            if document in ("README.md", "CONTRIBUTING.md"):
                introduced |= named
            messages += [
                f"{document}: {path} does not exist"
                for path in re.findall(rf"(?<![\w/.-])(?:{'|'.join(FOLDERS)})/[\w./+-]*\w", command)
                if path not in EXAMPLES and not (root / path).exists()
            ]
    missing = sorted(known - introduced - {"help"})
    return messages + [f"README.md, CONTRIBUTING.md: neither documents `make {name}`" for name in missing]


def read_documents(paths: Iterable[str]) -> dict[str, str]:
    """Return the texts of the existing files among `paths`, which are relative to the repository."""
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in paths if (ROOT / path).exists()}


def main() -> None:
    docs = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("**/*.md"))
    documents = read_documents(["README.md", "CONTRIBUTING.md", "config/README.md", *docs])
    messages = problems(documents, (ROOT / "Makefile").read_text(encoding="utf-8"))
    print("\n".join(messages), file=sys.stderr, end="\n" if messages else "")
    sys.exit(bool(messages))


if __name__ == "__main__":
    main()
