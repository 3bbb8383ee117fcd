"""Make a genome, the expression of its genes and variants, all from a seed, with the truth of what drives them.

Writes genome.fa, genes.gtf, expression.tsv, tasks.tsv and variants.vcf, which look like anyone's data; and truth.tsv
(every instance of a motif, with its effect), expression_noiseless.tsv and simulation.json, by which measure_recovery.py
says how much of it was found. The same settings and seed give the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.simulation import simulate, write_inputs
from cisnake.errors import InputError


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "simulate_inputs")
    p.add_argument("--outdir", type=Path, required=True, metavar="DIR", help="where the files go")
    return p


def main(args: argparse.Namespace) -> None:
    """Simulate and write."""
    configured = configuration.read(args, "simulate_inputs")
    if configured.genome.simulate is None:
        raise InputError(f"{args.config} has no section genome.simulate: its genome is given, not simulated.")
    counts = write_inputs(simulate(configured.genome.simulate, configured.run.seed), args.outdir)
    program.log.info("%s: %s", args.outdir, ", ".join(f"{n} {what}" for what, n in counts.items()))


if __name__ == "__main__":
    program.run(main, parser())
