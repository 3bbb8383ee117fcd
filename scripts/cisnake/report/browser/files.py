"""Files for genome browsers: a session for IGV and a track hub for UCSC, of what lies in the results folder of a run."""

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

# Half of the bases that a browser opens at: letters are then wide enough to be read.
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
    """Write igv_session.xml, hub.txt with what it names, and the bigBed files of both, for every contrast of a run.

    Parameters
    ----------
    results: Path
        `results/<run>`: attributions/<contrast>.bw, peaks/<contrast>.tsv, motifs/<contrast>/hits.bed where motifs were scanned
        for, genes.tsv, and variants/effects.vcf.gz where there are variants.
    genome: Path
        FASTA.
    annotation: Path, optional
        Genes as IGV is to show them (GTF, GFF3 or BED). Default None: the genes of the run, without exons.
    title: str
        Name of the run.
    contrasts: sequence of str
        In the order in which they are shown.
    output: Path
        Folder to write to, in `results`.
    assembly: str, optional
        UCSC's name of the genome. Default None: the hub brings the genome itself.
    coverage: pandas.DataFrame, optional
        Tracks of a coverage run: identifier, file (bigWig), description.

    Raises
    ------
    InputError
        A file is missing, or does not fit the genome.
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
    bodies = _bigbed(_gene_bed(genes), sequence, "gene", "genes of the run", output / "genes.bb")
    rest = [*_variant_tracks(results), *_coverage_tracks(coverage)]
    shown_genes = [Track("genes", "genes", "genes", annotation, "")] if annotation else bodies
    write_session([*contrast_tracks, *shown_genes, *rest], genome, locus, results, output / "igv_session.xml")
    for left_out in write_hub([*contrast_tracks, *bodies, *rest], sequence, locus, title, results, output, assembly):
        log.info("the hub leaves %s out, which lies outside %s", left_out.path, results)


def _read_peaks(results: Path, contrast: str) -> pd.DataFrame:
    path = _required(results / f"peaks/{contrast}.tsv", "call_peaks")
    return read_table(path, start="int64", end="int64", attribution="float")


def _contrast_tracks(contrast: str, peaks: pd.DataFrame, genome: Genome, results: Path, output: Path) -> list[Track]:
    """Return the tracks of a contrast, having written the bigBed files among them: attribution, peaks, hits."""
    bigwig = _required(results / f"attributions/{contrast}.bw", "collect_attributions")
    words = f"{contrast}: what each base adds to the predicted contrast"
    tracks = [Track("attribution", "attribution", words, bigwig, "bigWig", contrast)]
    tracks += _bigbed(_peak_bed(peaks), genome, "peak", f"{contrast}: peaks", output / f"{contrast}.peaks.bb", contrast)
    hits = results / f"motifs/{contrast}/hits.bed"
    if hits.is_file():
        words = f"{contrast}: motif hits in peaks"
        tracks += _bigbed(_hit_bed(hits), genome, "hit", words, output / f"{contrast}.hits.bb", contrast)
    return tracks


def _variant_tracks(results: Path) -> list[Track]:
    path = results / "variants/effects.vcf.gz"
    return [Track("variants", "variants", "variants and their effects", path, "vcfTabix")] if path.is_file() else []


def _coverage_tracks(table: pd.DataFrame | None) -> list[Track]:
    return [
        Track("coverage", track.identifier, track.description or track.identifier, Path(track.file), "bigWig")
        for track in (() if table is None else table.itertuples())
    ]


def _required(path: Path, rule: str) -> Path:
    if not path.is_file():
        raise InputError(f"files for genome browsers need {path}, which is not there: run the rule {rule} first.")
    return path


def _strongest(peaks: pd.DataFrame) -> str:
    """Return the surroundings of the peak of largest |attribution|, as `chrom:first-last`, counted from 1; "" without peaks."""
    if peaks.empty:
        return ""
    peak = peaks.loc[peaks["attribution"].abs().idxmax()]
    middle = (peak["start"] + peak["end"]) // 2
    return f"{peak['chrom']}:{max(middle - _HALF, 0) + 1}-{middle + _HALF}"


def _bigbed(bed: pd.DataFrame, genome: Genome, what: str, words: str, path: Path, contrast: str = "") -> list[Track]:
    """Write a bigBed and return its track; nothing of an empty table, which bigBed cannot hold."""
    path.unlink(missing_ok=True)
    if bed.empty:
        return []
    write_bigbed(bed, genome.sizes, what, path)
    return [Track(f"{what}s", f"{what}s", words, path, bed_type(bed), contrast)]


def _peak_bed(peaks: pd.DataFrame) -> pd.DataFrame:
    """Return peaks as BED9 coloured by sign; scores are ranks of |attribution|, 1000 for the greatest."""
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
    """Return hits as BED6; a site in the windows of several genes is there once."""
    table = pd.read_csv(
        path, sep="\t", header=None, names=list(_HIT_COLUMNS), dtype=_HIT_COLUMNS, keep_default_na=False, quoting=3
    )
    return table.drop_duplicates().assign(score=table["score"].clip(0, 1000)).astype({"chrom": str, "name": str, "strand": str})


def _gene_bed(genes: pd.DataFrame) -> pd.DataFrame:
    names = genes["gene_name"].where(genes["gene_name"] != "", genes["gene_id"])
    return genes[["chrom", "start", "end"]].assign(
        name=names, score=0, strand=genes["strand"], gene=genes["gene_id"], split=genes["split"]
    )
