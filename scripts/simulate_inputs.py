"""Make a genome, the expression of its genes and variants, all from a seed, with the truth of what drives them.

Writes genome.fa, genes.gtf, expression.tsv, tasks.tsv and variants.vcf, which look like anyone's data; and truth.tsv
(every instance of a motif, with its effect), expression_noiseless.tsv and simulation.json, by which measure_recovery.py
says how much of it was found. The same settings and seed give the same files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cisnake import program
from cisnake.data.simulation import read_settings, write_inputs
from cisnake.data.simulation import simulate as genome_simulate
from cisnake.errors import InputError


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = program.argument_parser(__doc__)
    p.add_argument(
        "--settings",
        default="{}",
        metavar="JSON",
        help="the section genome.simulate of a configuration; what it lacks is default",
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="not negative (default: 0)")
    p.add_argument("--outdir", type=Path, required=True, metavar="DIR", help="where the files go")
    return p


def main(args: argparse.Namespace) -> None:
    """Simulate and write."""
    if args.seed < 0:
        raise InputError(f"--seed is {args.seed}, but must not be negative.")
    try:
        given = json.loads(args.settings)
    except json.JSONDecodeError as error:
        raise InputError(f"--settings is not JSON ({error}).") from error
    made = genome_simulate(read_settings(given), args.seed)
    counts = write_inputs(made, args.outdir)
    program.log.info("%s: %s", args.outdir, ", ".join(f"{n} {what}" for what, n in counts.items()))


if __name__ == "__main__":
    program.run(main, parser())
