"""Write the report of a run.

Reads what the other steps left in the results folder (genes, training histories, held-out scores, attributions, peaks, motifs
and variants; on a simulated genome also how much of the truth was found) and writes one HTML file with every figure inside,
that can be opened, mailed and printed without anything beside it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cisnake import program
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.report.page import write_report


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="results folder of the run")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="the motifs that were scanned for")
    p.add_argument("--title", required=True, metavar="NAME", help="name of the run")
    p.add_argument("--config", metavar="JSON", help="the run's configuration, as JSON or as a file of JSON")
    p.add_argument("--top-genes", type=int, default=10, metavar="N", help="genes shown for each contrast (default: 10)")
    p.add_argument(
        "--top-motifs", type=int, default=10, metavar="N", help="motif clusters shown for each contrast (default: 10)"
    )
    p.add_argument("--output", type=Path, required=True, metavar="HTML", help="the report")
    return p


def read_config(text: str | None) -> dict | None:
    """Return the configuration given as JSON or as the path of a file of JSON."""
    if text is None:
        return None
    try:
        return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"--config is neither JSON nor a file of JSON: {error}.") from error


def main(args: argparse.Namespace) -> None:
    config = read_config(args.config)
    html = write_report(args.results, args.motifs, args.title, config, args.top_genes, args.top_motifs)
    with write_whole(args.output) as part:
        part.write_text(html, encoding="utf-8")
    program.log.info("wrote %s, %.1f MB", args.output, len(html.encode()) / 1e6)


if __name__ == "__main__":
    program.run(main, parser())
