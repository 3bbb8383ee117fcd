"""Simulate a genome, gene expression and variants from a random seed, together with the known truth.

Writes genome.fa, genes.gtf, expression.tsv, tasks.tsv and variants.vcf, in the formats of real data. Also writes the truth:
truth.tsv (every motif instance with its effect), expression_noiseless.tsv and simulation.json, from which measure_recovery.py
computes how much of the truth a run recovers. The same settings and seed give identical files.
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
    p.add_argument("--outdir", type=Path, required=True, metavar="DIR", help="output folder")
    return p


def main(args: argparse.Namespace) -> None:
    """Simulate the inputs and write them."""
    configured = configuration.read(args, "simulate_inputs")
    if configured.genome.simulate is None:
        raise InputError(f"{args.config} has no section genome.simulate: add it to simulate a genome.")
    counts = write_inputs(simulate(configured.genome.simulate, configured.run.seed), args.outdir)
    program.log.info("%s: %s", args.outdir, ", ".join(f"{n} {what}" for what, n in counts.items()))


if __name__ == "__main__":
    program.run(main, parser())
