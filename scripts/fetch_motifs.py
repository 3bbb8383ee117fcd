"""Collect motifs into one MEME file.

From a MEME file of the user's, which is checked and written in one plain form, or from JASPAR by release and taxonomic group
(the latest version of every motif of the CORE collection), which needs no connection: the databases come with pyjaspar.
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
