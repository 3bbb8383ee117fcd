"""Decima's HDF5Dataset in a PyTorch DataLoader: one epoch per request."""

from __future__ import annotations

import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from decima.data.dataset import HDF5Dataset
from torch.utils.data import DataLoader

from .loading_files import WINDOWS, digest, drop_from_memory, shift_of, their_file
from .worker import Line, connect, serve


def decima_loading_worker(line: Line) -> None:
    """Read epochs in random order with random shifts."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(line.settings["threads"])
    folder = Path(line.settings["files"])

    def windows(length: int, **arguments: object) -> HDF5Dataset:
        return HDF5Dataset("train", str(their_file(folder, length)), seq_len=length, **arguments)

    def read(length: int, cold: bool, workers: int) -> int:
        if cold:
            drop_from_memory(their_file(folder, length))
        data = windows(length, max_seq_shift=shift_of(length), augment_mode="random")
        count = 0
        for _, labels in DataLoader(data, batch_size=WINDOWS[length][1], shuffle=True, num_workers=workers):
            count += len(labels)
        return count

    probe = []
    for length in WINDOWS:
        data = windows(length)
        pairs = [data[i] for i in range(2)]
        probe += digest(np.stack([x.numpy().T for x, _ in pairs]), np.stack([y.numpy() for _, y in pairs]))
    line.answer({"versions": {"decima": version("decima"), "torch": torch.__version__}, "probe": probe})
    jobs = {
        f"{length} {state} {workers}": partial(read, length, state == "cold", workers)
        for length in WINDOWS
        for state in ("cold", "warm")
        for workers in (1, 2)
    }
    serve(line, jobs)


if __name__ == "__main__":
    decima_loading_worker(connect())
