"""Run programs one after another in this process, and write their exit codes: `python runner.py <jobs.json> <results.json>`.

A job is a script, its arguments, and a file for standard error, including the output of C libraries.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path


def run_one(script: str, arguments: list[str], printed: Path) -> int:
    """Run the main function of a script as from the command line, and return the exit code."""
    from cisnake import program

    module = importlib.import_module(script)
    stderr = os.dup(2)
    with open(printed, "w") as file:
        os.dup2(file.fileno(), 2)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    parser = module.parser()
    parser.prog = f"{script}.py"
    try:
        program.run(module.main, parser, arguments)
        return 0
    except SystemExit as error:
        return int(error.code or 0)
    finally:
        sys.stderr.close()
        sys.stderr = sys.__stderr__
        os.dup2(stderr, 2)
        os.close(stderr)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
    jobs = json.loads(Path(sys.argv[1]).read_text())
    codes = [run_one(job["script"], job["arguments"], Path(job["printed"])) for job in jobs]
    Path(sys.argv[2]).write_text(json.dumps(codes))
