"""Print the path of a run's report and the run's main scores.

These are the lines that a run ends with. A run that finds nothing to do prints them too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.errors import InputError
from cisnake.report import score_lines


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="results folder of the run")
    p.add_argument("--split", choices=("test", "val"), default="test", help="held-out genes to show scores of (default: test)")
    return p


def main(args: argparse.Namespace) -> None:
    lines = score_lines(args.results, args.split)
    if not lines:
        raise InputError(f"{args.results} has no report.html: the run has not finished. Run the workflow again.")
    print("\n".join(lines))


if __name__ == "__main__":
    program.run(main, parser())
