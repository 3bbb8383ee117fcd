"""Cisnake's side of the comparison with Decima: the inputs of both writers, its file, and the results of its readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.dataset import (
    Labels,
    Layout,
    count_genes,
    crop,
    extract_gene_data,
    get_gene_idx,
    index_genes,
    list_genes,
    mutate,
    open_decima,
    read_codes,
    read_label_rows,
    read_tasks,
    write_dataset,
)
from cisnake.data.genome import Genome, decode, one_hot
from cisnake.data.windows import SPLITS
from cisnake.files import read_table, write_table

SEQ_LEN, PAD, MAX_SHIFT = 201, 16, 4
ALLELES = dict(zip("ACGT", (0, 17, SEQ_LEN // 2, SEQ_LEN - 1)))
KEYS = (None, *SPLITS)


def make_inputs(folder: Path) -> None:
    """Write genome.fa, genes.tsv and labels.npy: a small data set with the cases that are hard for a writer.

    These are genes on both strands; names that look like numbers or missing values; N and lower case in the genome; gene bodies
    that begin before the window and end in the pad or beyond it; and windows beyond a chromosome's ends, which Decima cannot
    write.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (2, 900)).astype(np.int8)
    codes[0, 300:340] = 4
    letters = [decode(row) for row in codes]
    letters[1] = letters[1][:400] + letters[1][400:500].lower() + letters[1][500:]
    (folder / "genome.fa").write_text("".join(f">chr{i}\n{text}\n" for i, text in enumerate(letters, start=1)))
    columns = ["gene_id", "split", "chrom", "strand", "window_start", "mask_start", "mask_end", "fold"]
    genes = pd.DataFrame(
        [
            ("plus", "train", "chr1", "+", 250, 60, 120, 0),
            ("minus", "train", "chr1", "-", 270, 60, 120, 0),
            ("NA", "val", "chr2", "+", PAD, -8, 90, 1),
            ("1e5", "test", "chr2", "-", 380, 100, SEQ_LEN + 7, 2),
            ("nan", "train", "chr2", "-", 900 - SEQ_LEN - PAD, 40, SEQ_LEN + 500, 0),
            ("007", "val", "chr1", "+", 600, 0, SEQ_LEN, 1),
            ("start", "train", "chr1", "+", -30, 60, 70, 0),
            ("end", "test", "chr2", "-", 800, 60, 70, 2),
        ],
        columns=columns,
    )
    genes.insert(5, "window_end", genes["window_start"] + SEQ_LEN)
    write_table(genes, folder / "genes.tsv")
    labels = rng.normal(size=(len(genes), 3)).astype(np.float32)
    labels[1, 2] = np.nan
    np.save(folder / "labels.npy", labels)


def read_inputs(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the genes and their labels."""
    numbers = dict.fromkeys(("window_start", "window_end", "mask_start", "mask_end", "fold"), "int64")
    return read_table(folder / "genes.tsv", **numbers), np.load(folder / "labels.npy")


def within_chromosomes(genes: pd.DataFrame, genome: Genome) -> np.ndarray:
    """Return a mask, shape=(N,), of genes that Decima can write: the padded window lies inside the chromosome."""
    return ((genes["window_start"] >= PAD) & (genes["window_end"] + PAD <= genes["chrom"].map(genome.sizes))).to_numpy()


def write(genes: pd.DataFrame, labels: np.ndarray, genome: Genome, path: Path) -> None:
    """Write Cisnake's file."""
    measured = Labels(labels, [f"task{i}" for i in range(labels.shape[1])])
    write_dataset(path, genes, measured, genome, Layout(PAD), {"n_folds": 1})


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the results of Cisnake's functions, under the same names as `decima_files.read`."""
    results: dict[str, object] = {}
    for key in KEYS:
        results[f"count/{key}"] = count_genes(path, key)
        results[f"index/{key}"] = index_genes(path, key)
        results[f"list/{key}"] = list_genes(path, key)
    for gene in list_genes(path):
        results[f"idx/{gene}"] = get_gene_idx(path, gene)
        for length in (1, 2, SEQ_LEN - 1, SEQ_LEN, SEQ_LEN + 3, SEQ_LEN + 2 * PAD):
            results[f"extract/{gene}/{length}"] = extract_gene_data(path, gene, length)
        for name, part in zip(("sequence", "mask"), extract_gene_data(path, gene, merge=False)):
            results[f"{name}/{gene}"] = part
        for allele, position in ALLELES.items():
            merged = np.asarray(extract_gene_data(path, gene))
            results[f"mutate/{gene}/{allele}/{position}"] = mutate(merged, allele, position)
    with open_decima(path) as file:
        results["tasks"] = np.array(read_tasks(file))
        for key in SPLITS:
            for shift in (0, MAX_SHIFT):
                rows = np.repeat(index_genes(path, key), 2 * shift + 1)
                moved = np.tile(np.arange(-shift, shift + 1), len(rows) // (2 * shift + 1))
                codes, masks = (
                    crop(read_codes(file, rows, 0, SEQ_LEN + 2 * PAD, name), PAD, moved) for name in ("sequences", "masks")
                )
                bases = one_hot(codes).swapaxes(1, 2)
                results[f"items/{key}/{shift}"] = np.concatenate([bases, masks[:, None].astype(np.float32)], axis=1)
                results[f"labels/{key}/{shift}"] = read_label_rows(file, rows)
    return {name: np.asarray(value) for name, value in results.items()}


def differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> list[str]:
    """Return the names of results that are missing on one side or not identical to the last bit.

    Types must be equal too, except for the width of NumPy text types.
    """
    wrong = sorted(set(ours) ^ set(theirs))
    for name in sorted(set(ours) & set(theirs)):
        mine, other = ours[name], theirs[name]
        same = mine.shape == other.shape and (mine.dtype == other.dtype or mine.dtype.kind == other.dtype.kind == "U")
        if not same or not np.array_equal(mine, other, equal_nan=mine.dtype.kind == "f"):
            wrong.append(name)
    return wrong
