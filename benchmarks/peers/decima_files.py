"""Decima's writer, and the results of its readers. Runs in Decima's environment, started by `compatibility.py`.

python decima_files.py write GENES.tsv LABELS.npy GENOME.fa PAD OUTPUT.h5
python decima_files.py read FILE.h5 ANSWERS.npz
"""

from __future__ import annotations

import sys

import anndata
import h5py
import numpy as np
import pandas as pd
import torch
from decima.data import read_hdf5
from decima.data.dataset import HDF5Dataset
from decima.data.write_hdf5 import write_hdf5

MAX_SHIFT = 4


def write(genes: str, labels: str, genome: str, pad: str, output: str) -> None:
    """Write a file with Decima's writer, which accepts the path of a FASTA file as the name of a genome."""
    table = pd.read_csv(genes, sep="\t", index_col="gene_id", keep_default_na=False)
    names = {"window_start": "start", "window_end": "end", "mask_start": "gene_mask_start", "mask_end": "gene_mask_end"}
    columns = ["chrom", "start", "end", "strand", "gene_mask_start", "gene_mask_end", "dataset"]
    values = np.load(labels)
    data = anndata.AnnData(
        X=values.T,
        obs=pd.DataFrame(index=[f"task{i}" for i in range(values.shape[1])]),
        var=table.drop(columns=["start", "end"], errors="ignore").rename(columns={**names, "split": "dataset"})[columns],
    )
    write_hdf5(output, data, pad=int(pad), genome=genome)


def read(file: str, answers: str) -> None:
    """Call every function that Decima has for its files, and store the results."""
    results: dict[str, object] = {}
    with h5py.File(file) as handle:
        seq_len, pad = int(handle["seq_len"][()]), int(handle["pad"][()])
    for key in (None, "train", "val", "test"):
        results[f"count/{key}"] = read_hdf5.count_genes(file, key)
        results[f"index/{key}"] = read_hdf5.index_genes(file, key)
        results[f"list/{key}"] = read_hdf5.list_genes(file, key)
    for gene in read_hdf5.list_genes(file):
        results[f"idx/{gene}"] = read_hdf5.get_gene_idx(file, gene)
        for length in (1, 2, seq_len - 1, seq_len, seq_len + 3, seq_len + 2 * pad):
            results[f"extract/{gene}/{length}"] = read_hdf5.extract_gene_data(file, gene, length)
        for name, part in zip(("sequence", "mask"), read_hdf5.extract_gene_data(file, gene, seq_len, merge=False)):
            results[f"{name}/{gene}"] = part
        for allele, position in zip("ACGT", (0, 17, seq_len // 2, seq_len - 1)):
            merged = read_hdf5.extract_gene_data(file, gene, seq_len)
            results[f"mutate/{gene}/{allele}/{position}"] = read_hdf5.mutate(merged, allele, position)
    for key in ("train", "val", "test"):
        for shift in (0, MAX_SHIFT):
            items = HDF5Dataset(key, file, seq_len=seq_len, max_seq_shift=shift, augment_mode="serial")
            pairs = [items[i] for i in range(len(items))]
            results[f"items/{key}/{shift}"] = torch.stack([sequence for sequence, _ in pairs])
            results[f"labels/{key}/{shift}"] = torch.stack([label for _, label in pairs])
            results["tasks"] = items.tasks.index.to_numpy(str)
    arrays = {name: value.numpy() if isinstance(value, torch.Tensor) else np.asarray(value) for name, value in results.items()}
    np.savez_compressed(answers, allow_pickle=False, **arrays)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(*sys.argv[2:])
    else:
        read(*sys.argv[2:])
