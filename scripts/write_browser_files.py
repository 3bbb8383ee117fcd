"""Write files for genome browsers: an IGV session and a UCSC track hub.

Both show attributions (bases scaled by their values), peaks and motif hits of every contrast, with genes, variants and the
coverage used for training. Paths are relative to the results folder, so the whole folder can be moved, copied, or put on a web
server; the address of the hub is then that of browser/hub.txt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.coverage import as_bigwigs, read_tracks
from cisnake.report.browser import write_browser_files


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "write_browser_files")
    p.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="results folder of the run")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument(
        "--annotation", type=Path, metavar="GTF", help="annotation for IGV (default: the genes of the run, without exons)"
    )
    p.add_argument("--tracks", type=Path, metavar="TSV", help="table of tracks of a coverage run")
    p.add_argument("--converted", type=Path, metavar="DIR", help="folder of BigWigs converted from other formats")
    p.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="output folder inside the results folder, such as results/<run>/browser",
    )
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "write_browser_files")
    run, contrasts, assembly = configured.run, list(configured.attribution.contrasts or ()), configured.genome.assembly
    coverage = None
    if args.tracks:
        coverage = as_bigwigs(read_tracks(args.tracks, run.data_dir or "."), args.converted)
    title = run.name or args.results.name
    write_browser_files(args.results, args.genome, args.annotation, title, contrasts, args.output, assembly, coverage)
    program.log.info("wrote %s and igv_session.xml beside it", args.output / "hub.txt")


if __name__ == "__main__":
    program.run(main, parser())
