"""Write the report of a run as one HTML page.

Reads the results of the other steps from the results folder (genes, training histories, held-out scores, attributions, peaks,
motifs and variants; for a simulated genome also the recovery of the truth). Writes one self-contained HTML file, with all
figures included, that works offline.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from cisnake import configuration, program
from cisnake.files import write_whole
from cisnake.report.page import write_report


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "write_report")
    p.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="results folder of the run")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="the motifs that were scanned")
    p.add_argument("--output", type=Path, required=True, metavar="HTML", help="the report")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "write_report")
    config = configuration.read_file(args.config) if args.config else None
    title, shown = configured.run.name or args.results.name, configured.report
    # https://reproducible-builds.org/specs/source-date-epoch: the date that a reproducible build sets.
    written = time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    date = time.strftime("%Y-%m-%d", written)
    html = write_report(args.results, args.motifs, title, config, shown.top_genes, shown.top_motifs, shown.all_genes, date)
    with write_whole(args.output) as part:
        part.write_text(html, encoding="utf-8")
    program.log.info("wrote %s, %.1f MB", args.output, len(html.encode()) / 1e6)


if __name__ == "__main__":
    program.run(main, parser())
