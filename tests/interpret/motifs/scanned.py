"""Small genomes with windows of genes on either strand, as data set and as attributions, and motifs to scan them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.dataset import writer
from cisnake.data.genome.bases import decode, encode, reverse_complement
from cisnake.data.genome.fasta import Genome
from cisnake.data.motif_database import Motif
from cisnake.interpret.attribution.file import AttributionFile, write_attributions

PEAK_COLUMNS = ["peak_id", "gene_id", "window_start", "window_end", "attribution"]
TSS = 50


def random_motif(rng: np.random.Generator, width: int, name: str = "m") -> Motif:
    return Motif(name, name.upper(), rng.dirichlet(np.full(4, 0.25), width), 20)


def consensus_motif(word: str, name: str) -> Motif:
    return Motif(name, name.upper(), np.where(np.eye(4)[encode(word)] > 0, 0.97, 0.01), 100)


def peak_table(rows: list[tuple] = ()) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=PEAK_COLUMNS)


def windows_of(
    genome: dict[str, np.ndarray], places: list[tuple[str, int, str]], length: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the windows of genes g0, g1, ... (chromosome, start, strand) and their codes, as the genes read."""
    table = pd.DataFrame(places, columns=["chrom", "start", "strand"])
    table = table.assign(gene_id=[f"g{i}" for i in range(len(places))], end=table["start"] + length, fold=0, split="test")
    table = table.assign(mask_start=TSS, mask_end=length, measured=0.0)
    codes = np.zeros((len(places), length), np.int8)
    for row, (chrom, start, strand) in enumerate(places):
        forward = genome[chrom][start : start + length]
        codes[row] = forward if strand == "+" else reverse_complement(forward)
    return table, codes


def write_dataset(folder: Path, genome: dict[str, np.ndarray], windows: pd.DataFrame, pad: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "genome.fa").write_text("".join(f">{name}\n{decode(codes)}\n" for name, codes in genome.items()))
    table = windows.rename(columns={"start": "window_start", "end": "window_end"})
    labels = writer.Labels(np.zeros((len(table), 1), np.float32), ["t"])
    writer.write_dataset(folder / "dataset.h5", table, labels, Genome(folder / "genome.fa"), writer.Layout(pad), {})
    return folder / "dataset.h5"


def write_contrast(
    path: Path, windows: pd.DataFrame, codes: np.ndarray, attributions: np.ndarray | None = None
) -> AttributionFile:
    length = codes.shape[1]
    if attributions is None:
        attributions = np.zeros((len(codes), 4, length), np.float32)
    attrs = {"contrast": "c", "on_tasks": ["a"], "off_tasks": [], "models": [], "replicates": 1}
    with write_attributions(path, windows, length, attrs) as append:
        append(attributions, codes, np.zeros(len(codes)), np.zeros(len(codes)))
    return AttributionFile(path)


def apart(codes: np.ndarray, strands: list[str]) -> tuple[dict[str, np.ndarray], list[tuple[str, int, str]]]:
    """Return a genome in which windows lie at 1000, 2000, ... of chr1, Ns between them."""
    length = codes.shape[1]
    genome = np.full(1000 * (len(codes) + 1) + length, 4, np.int8)
    places = []
    for row, strand in enumerate(strands):
        start = 1000 * (row + 1)
        genome[start : start + length] = codes[row] if strand == "+" else reverse_complement(codes[row])
        places.append(("chr1", start, strand))
    return {"chr1": genome}, places
