"""Look at the data of a run before training: windows that predict, labels, and how long training will take.

Fits simple models (ridge regressions on counts of words) to training genes and scores them on validation genes, for a grid of
windows; in coverage runs, looks at a sample of tiles. The labels of test genes are never used. Writes scout.html,
windows.tsv, and advice.yaml, which can be added to the configuration of the run.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from cisnake import configuration, program, scout
from cisnake.data.coverage import CoverageReader, CoverageSettings, as_bigwigs, read_tracks
from cisnake.data.genome import Genome
from cisnake.data.windows import read_annotation, read_genes_table
from cisnake.errors import InputError
from cisnake.model import read_params
from cisnake.sections import Sections


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "scout")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--gtf", type=Path, required=True, metavar="GTF")
    p.add_argument("--tss-bed", type=Path, metavar="BED", help="measured transcription start sites")
    p.add_argument("--matrix", type=Path, metavar="FILE", help="expression: matrix, TSV, CSV, GCT, h5ad or Matrix Market")
    p.add_argument("--tasks", type=Path, metavar="TSV", help="expression: task table (default: annotations in the matrix)")
    p.add_argument("--splits", type=Path, metavar="TSV", help="expression: table of splits per gene, if set (splits.genes)")
    p.add_argument("--regions", type=Path, metavar="TSV", help="expression: table of splits per region (splits.regions)")
    p.add_argument("--tiles", type=Path, metavar="TSV", help="coverage: tiles.tsv from make_tiles.py")
    p.add_argument("--tracks", type=Path, metavar="TSV", help="coverage: table of tracks")
    p.add_argument("--converted", type=Path, metavar="DIR", help="coverage: folder of BigWigs converted from other formats")
    p.add_argument("--blacklist", type=Path, metavar="BED", help="coverage: regions with clipped coverage")
    p.add_argument("--unmappable", type=Path, metavar="BED", help="coverage: unmappable regions")
    p.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "scout")
    needed = ("tiles", "tracks") if configured.targets.kind == "coverage" else ("matrix",)
    for name in needed:
        if getattr(args, name) is None:
            raise InputError(f"--{name} is missing: a run with targets.kind {configured.targets.kind} needs it.")
    lines, hints = (coverage if configured.targets.kind == "coverage" else expression)(args, configured)
    for hint in hints:
        program.log.warning("%s", hint)
    for line in (*lines, f"Page: {args.output / 'scout.html'}"):
        program.log.info("%s", line, extra={"terminal": True})


def expression(args: argparse.Namespace, configured: Sections) -> tuple[list[str], list[str]]:
    table, regions = (path and str(path) for path in (args.splits, args.regions))
    splits = dataclasses.replace(configured.splits, genes=table, regions=regions)
    annotated, tss = read_annotation(args, configured)
    matrix = scout.read_measurements(args.matrix, args.tasks, configured.targets)
    own = Path(configured.model.params)
    shipped = sorted((configuration.ROOT / "config" / "models").glob("*.yaml"))
    files = {own: configured.model.overrides} | {file: {} for file in shipped if file.resolve() != own.resolve()}
    found = scout.scout_expression(configured, splits, annotated, tss, Genome(args.genome), matrix, files)
    seq_length = read_params(own, configured.model.overrides)["model"].get("seq_length")
    advice = scout.write_expression_advice(found, configured.evaluate.baseline, seq_length)
    window = (configured.windows.upstream, configured.windows.downstream)
    page = scout.expression_page(configured.run.name, found, advice, window, configured.resources.threads)
    scout.write_scout(args.output, page, advice, found)
    return scout.expression_lines(found), found.labels.hints


def coverage(args: argparse.Namespace, configured: Sections) -> tuple[list[str], list[str]]:
    targets, genome = configured.targets, Genome(args.genome)
    tracks = read_tracks(args.tracks, configured.run.data_dir or ".")
    chosen = as_bigwigs(scout.choose_tracks(tracks), args.converted or ".")
    tiles = scout.choose_tiles(read_genes_table(args.tiles), configured.splits.folds or 1, len(chosen))
    settings = CoverageSettings.from_targets(targets, args.blacklist, args.unmappable)
    reader = CoverageReader(chosen, tiles, genome.sizes, targets.bin_size, targets.crop, settings)
    annotated, _ = read_annotation(args, configured)
    found = scout.scout_coverage(reader, tiles, len(tracks), genome, annotated)
    advice = scout.write_coverage_advice(found)
    scout.write_scout(args.output, scout.coverage_page(configured.run.name, found, advice), advice, found)
    return scout.coverage_lines(found), found.hints


if __name__ == "__main__":
    program.run(main, parser())
