"""The same windows in the formats of Cisnake and Decima."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TASKS = 1000
# By window length: number of windows, and batch size.
WINDOWS = {10_000: (1600, 32), 200_000: (160, 4), 524_288: (64, 4)}


def our_file(folder: Path, length: int) -> Path:
    """Return the path of the file that Cisnake reads."""
    return folder / f"cisnake_{length}.h5"


def their_file(folder: Path, length: int) -> Path:
    """Return the path of the file that Decima reads."""
    return folder / f"decima_{length}.h5"


def shift_of(length: int) -> int:
    """Return the maximum shift of windows in bases, which is also the number of bases stored beyond each end."""
    return length // 100


def make_files(folder: Path, length: int) -> None:
    """Write both files with the same bases, gene bodies and labels, each in the layout of its program.

    Bases are uniformly random; gzip compresses them about as well as a genome.
    """
    import h5py
    import numpy as np
    import pandas as pd

    from cisnake.data.dataset import Labels, Layout, write_dataset
    from cisnake.data.genome import Genome, decode

    rng, pad, n = np.random.default_rng(length), shift_of(length), WINDOWS[length][0]
    size = n * length // 2 + 4 * length
    fasta = folder / f"genome_{length}.fa"
    fasta.write_text(f">chr1\n{decode(rng.integers(0, 4, size).astype(np.int8))}\n")
    start = rng.integers(2 * pad, size - length - 2 * pad, n)
    windows = pd.DataFrame(
        {
            "gene_id": [f"gene{i}" for i in range(n)],
            "split": "train",
            "chrom": "chr1",
            "strand": rng.choice(["+", "-"], n),
            "window_start": start,
            "window_end": start + length,
            "mask_start": length // 3,
            "mask_end": length // 3 + rng.integers(length // 100, length, n),
            "fold": 0,
        }
    )
    labels = rng.normal(size=(n, TASKS)).astype(np.float32)
    measured = Labels(labels, [f"task{i}" for i in range(TASKS)])
    write_dataset(our_file(folder, length), windows, measured, Genome(fasta), Layout(pad), {})
    with h5py.File(our_file(folder, length)) as ours, h5py.File(their_file(folder, length), "w") as theirs:
        for name in ("pad", "seq_len", "padded_seq_len", "tasks", "genes", "labels", "sequences"):
            theirs.create_dataset(name, data=ours[name][()])
        theirs.create_dataset("masks", data=ours["masks"][:].astype(np.float32))


def drop_from_memory(path: Path) -> None:
    """Drop a file from the page cache, so that it is read from disk again."""
    import os

    with open(path, "rb") as handle:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def digest(inputs: Any, labels: Any) -> list[float]:
    """Return position-weighted sums over windows (n, length, 5), and sums over labels (n, tasks), for comparison."""
    import numpy as np

    place = np.arange(1, inputs.shape[1] + 1) / inputs.shape[1]
    sums = np.einsum("nlc,l->nc", np.asarray(inputs, np.float64), place).reshape(-1)
    return [*sums.tolist(), *np.asarray(labels, np.float64).reshape(len(inputs), -1).sum(axis=1).tolist()]
