"""Write docs/broken_inputs.md: what the programs say to each broken input of tests/broken_inputs, which this runs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

INTRODUCTION = """# Broken inputs

What the programs say to inputs that are broken in the ways that inputs are broken. Each ends with exit code 1 and one
message, which names the file and, where there is one, the line; it prints no traceback and writes nothing. "works" means that
the program takes the input as it is. Folders are left out of the names here, and `…` stands for what a library words in its
own way.

Written by `python tools/write_broken_inputs.py`, which runs the programs on the corpus of `tests/broken_inputs`; a test does
the same and compares.

| input | what is wrong | program | what it says |
|---|---|---|---|
"""


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from broken_inputs.outcomes import PAGE, rows, run_cases

    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(INTRODUCTION + "\n".join(rows(run_cases(Path(folder)))) + "\n", encoding="utf-8")
    print(f"{PAGE} written")


if __name__ == "__main__":
    main()
