"""Write an IGV session and a UCSC track hub for the results folder of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.program import log
from cisnake.report.browser.big_bed import bed_type, write_bigbed
from cisnake.report.browser.hub import write_hub
from cisnake.report.browser.session import write_session
from cisnake.report.browser.tracks import NEGATIVE, POSITIVE, Track

# Half the number of bases shown when a browser opens; letters are then wide enough to read.
_HALF = 55
_HIT_COLUMNS = {
    "chrom": "category",
    "start": "int64",
    "end": "int64",
    "name": "category",
    "score": "int64",
    "strand": "category",
}


def write_browser_files(
    results: Path,
    genome: Path,
    annotation: Path | None,
    title: str,
    contrasts: Sequence[str],
    output: Path,
    assembly: str | None = None,
    coverage: pd.DataFrame | None = None,
) -> None:
    """Write igv_session.xml, a track hub (hub.txt and the files it refers to) and bigBed files for all contrasts of a run.

    Parameters
    ----------
    results: Path
        `results/<run>`, with genes.tsv, attributions/<contrast>.bw and peaks/<contrast>.tsv. Optional files are
        motifs/<contrast>/hits.bed (motifs were scanned for) and variants/effects.vcf.gz (variants were scored).
    genome: Path
        FASTA.
    annotation: Path, optional
        Genes to show in IGV (GTF, GFF3 or BED). Default None: the genes of the run, without exons.
    title: str
        Name of the run.
    contrasts: sequence of str
        In display order.
    output: Path
        Output folder, inside `results`.
    assembly: str, optional
        UCSC name of the genome, such as sacCer3. Default None: the hub includes the genome itself.
    coverage: pandas.DataFrame, optional
        Tracks of a coverage run: identifier, file (bigWig), description.

    Raises
    ------
    InputError
        A file is missing, or does not match the genome.
    """
    sequence = Genome(genome)
    genes = read_table(_required(results / "genes.tsv", "select_genes"), start="int64", end="int64")
    contrast_tracks: list[Track] = []
    locus = ""
    for contrast in contrasts:
        peaks = _read_peaks(results, contrast)
        locus = locus or _strongest(peaks)
        contrast_tracks += _contrast_tracks(contrast, peaks, sequence, results, output)
    locus = locus or f"{next(iter(sequence.sizes))}:1-{2 * _HALF}"
    gene_tracks = _bigbed(_gene_bed(genes), sequence, "gene", "genes of the run", output / "genes.bb")
    rest = [*_variant_tracks(results), *_coverage_tracks(coverage)]
    shown_genes = [Track("genes", "genes", "genes", annotation, "")] if annotation else gene_tracks
    write_session([*contrast_tracks, *shown_genes, *rest], genome, locus, results, output / "igv_session.xml")
    for track in write_hub([*contrast_tracks, *gene_tracks, *rest], sequence, locus, title, results, output, assembly):
        log.info("the hub leaves out %s: it is not in %s", track.path, results)


def _read_peaks(results: Path, contrast: str) -> pd.DataFrame:
    path = _required(results / f"peaks/{contrast}.tsv", "call_peaks")
    return read_table(path, start="int64", end="int64", attribution="float")


def _contrast_tracks(contrast: str, peaks: pd.DataFrame, genome: Genome, results: Path, output: Path) -> list[Track]:
    """Write the bigBed files of a contrast, and return its tracks: attribution, peaks, hits."""
    bigwig = _required(results / f"attributions/{contrast}.bw", "collect_attributions")
    description = f"{contrast}: contribution of each base to the predicted contrast"
    tracks = [Track("attribution", "attribution", description, bigwig, "bigWig", contrast)]
    tracks += _bigbed(_peak_bed(peaks), genome, "peak", f"{contrast}: peaks", output / f"{contrast}.peaks.bb", contrast)
    hits = results / f"motifs/{contrast}/hits.bed"
    if hits.is_file():
        description = f"{contrast}: motif hits in peaks"
        tracks += _bigbed(_hit_bed(hits), genome, "hit", description, output / f"{contrast}.hits.bb", contrast)
    return tracks


def _variant_tracks(results: Path) -> list[Track]:
    path = results / "variants/effects.vcf.gz"
    return [Track("variants", "variants", "variants and their predicted effects", path, "vcfTabix")] if path.is_file() else []


def _coverage_tracks(table: pd.DataFrame | None) -> list[Track]:
    return [
        Track("coverage", track.identifier, track.description or track.identifier, Path(track.file), "bigWig")
        for track in (() if table is None else table.itertuples())
    ]


def _required(path: Path, rule: str) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is missing; files for genome browsers require it: run the rule {rule} first.")
    return path


def _strongest(peaks: pd.DataFrame) -> str:
    """Return a region around the peak with the largest |attribution|, as 1-based `chrom:first-last`; "" without peaks."""
    if peaks.empty:
        return ""
    peak = peaks.loc[peaks["attribution"].abs().idxmax()]
    middle = (peak["start"] + peak["end"]) // 2
    return f"{peak['chrom']}:{max(middle - _HALF, 0) + 1}-{middle + _HALF}"


def _bigbed(bed: pd.DataFrame, genome: Genome, kind: str, description: str, path: Path, contrast: str = "") -> list[Track]:
    """Write a bigBed and return its track; no track for an empty table, which bigBed does not support."""
    path.unlink(missing_ok=True)
    if bed.empty:
        return []
    write_bigbed(bed, genome.sizes, kind, path)
    return [Track(f"{kind}s", f"{kind}s", description, path, bed_type(bed), contrast)]


def _peak_bed(peaks: pd.DataFrame) -> pd.DataFrame:
    """Return peaks as BED9, coloured by sign; scores are ranks of |attribution|, scaled so that the largest is 1000."""
    size = peaks["attribution"].abs()
    return peaks[["chrom", "start", "end"]].assign(
        name=[f"{value:+.3g}" for value in peaks["attribution"]],
        score=(1000 * size.rank(pct=True)).round().astype(int),
        strand=peaks["strand"],
        thick_start=peaks["start"],
        thick_end=peaks["end"],
        rgb=np.where(peaks["attribution"] > 0, POSITIVE, NEGATIVE),
        gene=peaks["gene_id"],
        peak=peaks["peak_id"],
        **{column: peaks[column] for column in ("p_value", "q_value") if column in peaks},
    )


def _hit_bed(path: Path) -> pd.DataFrame:
    """Return hits as BED6; a site in the windows of several genes is listed once."""
    table = pd.read_csv(
        path, sep="\t", header=None, names=list(_HIT_COLUMNS), dtype=_HIT_COLUMNS, keep_default_na=False, quoting=3
    )
    return table.drop_duplicates().assign(score=table["score"].clip(0, 1000)).astype({"chrom": str, "name": str, "strand": str})


def _gene_bed(genes: pd.DataFrame) -> pd.DataFrame:
    names = genes["gene_name"].where(genes["gene_name"] != "", genes["gene_id"])
    return genes[["chrom", "start", "end"]].assign(
        name=names, score=0, strand=genes["strand"], gene=genes["gene_id"], split=genes["split"]
    )
