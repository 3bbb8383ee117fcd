"""Score variants in a plain loop: one-hot sequences of both alleles are made in Python, and predicted batch by batch.

As in variant-scorer (github.com/kundajelab/variant-scorer), each variant has one window per allele, which ends where the
network's window ends, and both alleles are predicted in separate calls of `predict`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd


def main() -> None:
    """Write the sums and the L2 norms of the differences along the window, one row per variant and task."""
    folder, batch_size = Path(sys.argv[1]), int(sys.argv[2])
    from cisnake.model import configure_devices, read_network, read_params

    configure_devices(int(sys.argv[3]), 0)
    model = read_network(folder / "model.h5", read_params(folder / "params.json"))
    length = model.input_shape[1]
    genome = read_fasta(folder / "genome.fa")
    variants = pd.read_csv(folder / sys.argv[4], sep="\t", comment="#", header=None, names=["chrom", "pos", "id", "ref", "alt"])
    rows = []
    for first in range(0, len(variants), batch_size):
        batch = variants.iloc[first : first + batch_size]
        pairs = [windows(genome[v.chrom], v.pos - 1, v.ref, v.alt, length) for v in batch.itertuples()]
        ref, alt = (model.predict(one_hot(sequences), batch_size, verbose=0) for sequences in zip(*pairs, strict=True))
        change = alt.astype(float) - ref
        rows.append(np.stack([change.sum(axis=1), np.sqrt((change**2).sum(axis=1))], axis=-1))
    values = np.concatenate(rows)
    names = np.repeat(variants["id"].to_numpy(), values.shape[1])
    table = pd.DataFrame({"variant_id": names, "SUM": values[..., 0].ravel(), "D2": values[..., 1].ravel()})
    table.to_csv(folder / "loop.tsv", sep="\t", index=False)


def read_fasta(path: Path) -> dict[str, str]:
    """Return sequences by name."""
    records = (record.partition("\n") for record in path.read_text().split(">")[1:])
    return {name: sequence.replace("\n", "") for name, _, sequence in records}


def windows(chromosome: str, start: int, ref: str, alt: str, length: int) -> tuple[str, str]:
    """Return the sequences with both alleles; base (length - 1) // 2 is the first base of the alleles."""
    center = (length - 1) // 2
    padded = "N" * length + chromosome + "N" * (length + len(ref))
    before, behind = padded[start + length - center : start + length], padded[start + length + len(ref) :]
    return (before + ref + behind)[:length], (before + alt + behind)[:length]


def one_hot(sequences: tuple[str, ...]) -> np.ndarray:
    """Return sequences as an array, shape=(n, length, 4); N is all zeros."""
    letters = np.frombuffer("".join(sequences).encode(), np.uint8).reshape(len(sequences), -1)
    return (letters[..., None] == np.frombuffer(b"ACGT", np.uint8)).astype(np.float32)


if __name__ == "__main__":
    main()
