"""Write an IGV session and a UCSC track hub for the results folder of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome
from cisnake.errors import InputError
from cisnake.files import read_chunks, read_table
from cisnake.interpret.motifs import bed_table
from cisnake.program import log
from cisnake.report.browser.big_bed import bed_type, write_bigbed
from cisnake.report.browser.hub import write_hub
from cisnake.report.browser.session import write_session
from cisnake.report.browser.tracks import NEGATIVE, POSITIVE, Track
from cisnake.report.peak_labels import PeakLabel, best_cluster_hits, label_peaks

# Half the number of bases shown when a browser opens; letters are then wide enough to read.
_HALF = 55
_HIT_COLUMNS = {
    **dict.fromkeys(("motif_id", "motif_name", "peak_id", "orientation", "chrom", "strand"), str),
    **dict.fromkeys(("start", "end"), np.int64),
    "p_value": float,
}
_UNLABELLED = PeakLabel("no motif", False, "")


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
        motifs/<contrast>/hits.tsv and enrichment.tsv (motifs were scanned for), and variants/effects.vcf.gz (variants were
        scored).
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


def _read_hits(path: Path) -> pd.DataFrame:
    """Read the best hit of each cluster in each peak from hits.tsv, and the clusters from enrichment.tsv beside it."""
    numbers = dict.fromkeys(("rank", "q_value", "odds_ratio"), "float")
    enrichment = read_table(_required(path.with_name("enrichment.tsv"), "cluster_motifs"), **numbers)
    return best_cluster_hits(read_chunks(path, _HIT_COLUMNS), enrichment)


def _contrast_tracks(contrast: str, peaks: pd.DataFrame, genome: Genome, results: Path, output: Path) -> list[Track]:
    """Write the bigBed files of a contrast, and return its tracks: attribution, peaks, hits."""
    bigwig = _required(results / f"attributions/{contrast}.bw", "collect_attributions")
    description = f"{contrast}: contribution of each base to the predicted contrast"
    tracks = [Track("attribution", "attribution", description, bigwig, "bigWig", contrast)]
    path, hits, labels = results / f"motifs/{contrast}/hits.tsv", None, None
    if path.is_file():
        hits = _read_hits(path)
        labels = label_peaks(hits)
    description = f"{contrast}: peaks"
    tracks += _bigbed(_peak_bed(peaks, labels), genome, "peak", description, output / f"{contrast}.peaks.bb", contrast)
    if hits is not None:
        description = f"{contrast}: clusters of motifs with a hit in peaks"
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


def _peak_bed(peaks: pd.DataFrame, labels: Mapping[str, PeakLabel] | None) -> pd.DataFrame:
    """Return peaks as BED9, coloured by sign; scores are ranks of |attribution|, scaled so that the largest is 1000.

    Peaks are named by their labels or, if motifs were not scanned for, by their attribution.
    """
    size = peaks["attribution"].abs()
    values = [f"{value:+.3g}" for value in peaks["attribution"]]
    found = None if labels is None else [labels.get(peak, _UNLABELLED) for peak in peaks["peak_id"]]
    return peaks[["chrom", "start", "end"]].assign(
        name=values if found is None else [label.text for label in found],
        score=(1000 * size.rank(pct=True)).round().astype(int),
        strand=peaks["strand"],
        thick_start=peaks["start"],
        thick_end=peaks["end"],
        rgb=np.where(peaks["attribution"] > 0, POSITIVE, NEGATIVE),
        gene=peaks["gene_id"],
        peak=peaks["peak_id"],
        attribution=values,
        **({} if found is None else {"best_hit": [label.best_hit for label in found]}),
        **{column: peaks[column] for column in ("p_value", "q_value") if column in peaks},
    )


def _hit_bed(hits: pd.DataFrame) -> pd.DataFrame:
    """Return hits as BED6, named after the clusters of their motifs; a site in the windows of several genes is listed once."""
    bed = bed_table(hits.assign(motif_name=hits["cluster_name"])).rename(columns={"motif_name": "name"})
    enriched = np.where(hits["enriched"], "yes", "no")
    return bed.assign(best_hit=hits["motif_name"] + ", " + hits["motif_id"], enriched=enriched).drop_duplicates()


def _gene_bed(genes: pd.DataFrame) -> pd.DataFrame:
    names = genes["gene_name"].where(genes["gene_name"] != "", genes["gene_id"])
    return genes[["chrom", "start", "end"]].assign(
        name=names, score=0, strand=genes["strand"], gene=genes["gene_id"], split=genes["split"]
    )
