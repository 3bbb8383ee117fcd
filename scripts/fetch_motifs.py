"""Collect motifs into one MEME file.

The source is a file in the format of MEME, JASPAR, TRANSFAC or HOMER, which is validated and normalised, or JASPAR by release
and taxonomic group (the latest version of every motif in the CORE collection). JASPAR works offline, because the databases are
part of pyjaspar.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data import load_motifs, write_meme


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "fetch_motifs")
    p.add_argument("--output", type=Path, required=True, metavar="MEME", help="the MEME file to write")
    return p


def main(args: argparse.Namespace) -> None:
    source = configuration.read(args, "fetch_motifs").motifs.source
    motifs = load_motifs(source)
    write_meme(motifs, args.output)
    program.log.info("%d motifs from %s", len(motifs), source)


if __name__ == "__main__":
    program.run(main, parser())
