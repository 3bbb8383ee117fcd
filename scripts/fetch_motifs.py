"""Collect motifs into one MEME file.

From a MEME file of the user's, which is checked and written in one plain form, or from JASPAR by release and taxonomic group
(the latest version of every motif of the CORE collection), which needs no connection: the databases come with pyjaspar.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.data import load_motifs, write_meme


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--source", required=True, metavar="SOURCE", help="jaspar:2026/fungi, or a MEME file, plain or gzipped")
    p.add_argument("--output", type=Path, required=True, metavar="MEME", help="the MEME file to write")
    return p


def main(args: argparse.Namespace) -> None:
    motifs = load_motifs(args.source)
    write_meme(motifs, args.output)
    program.log.info("%d motifs from %s", len(motifs), args.source)


if __name__ == "__main__":
    program.run(main, parser())
