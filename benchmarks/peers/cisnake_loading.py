"""Cisnake's batches, read directly and by Keras's `fit`: one epoch per request."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import h5py
import keras
import numpy as np
import tensorflow as tf

from cisnake.model import HDF5Dataset

from .loading_files import WINDOWS, digest, drop_from_memory, our_file, shift_of
from .worker import Line, connect, serve


class NoStep(keras.Model):
    """A model whose training step does nothing, so that `fit` measures only the cost of reading batches."""

    def train_step(self, data: object) -> dict[str, float]:
        return {"loss": 0.0}


def cisnake_loading_worker(line: Line) -> None:
    """Read epochs in random order with random shifts."""
    tf.config.threading.set_intra_op_parallelism_threads(line.settings["threads"])
    folder = Path(line.settings["files"])
    model = NoStep()
    model.compile()

    def batches(length: int, **arguments: object) -> HDF5Dataset:
        options = {"max_seq_shift": shift_of(length), "batch_size": WINDOWS[length][1], "shuffle": True, **arguments}
        return HDF5Dataset("train", our_file(folder, length), **options)  # type: ignore[arg-type]

    def read(length: int, cold: bool, epoch: Callable[[HDF5Dataset], object]) -> int:
        if cold:
            drop_from_memory(our_file(folder, length))
        data = batches(length)
        epoch(data)
        return data.n_seqs

    def alone(data: HDF5Dataset) -> None:
        for batch in range(len(data)):
            data[batch]

    def threads(data: HDF5Dataset) -> None:
        with ThreadPoolExecutor(2) as pool:
            # At most one batch per thread is pending, as in training with prefetching.
            for batch in range(0, len(data), 2):
                list(pool.map(data.__getitem__, range(batch, min(batch + 2, len(data)))))

    def fit(data: HDF5Dataset) -> None:
        model.fit(data, verbose=0, shuffle=False)

    probe = [batches(length, shuffle=False, augment_mode=None, batch_size=2)[0] for length in WINDOWS]
    line.answer(
        {
            "versions": {"keras": keras.__version__, "tensorflow": tf.__version__, "h5py": h5py.__version__},
            "probe": np.concatenate([digest(*batch) for batch in probe]).tolist(),
        }
    )
    jobs = {
        f"{length} {state} {name}": partial(read, length, state == "cold", epoch)
        for length in WINDOWS
        for state in ("cold", "warm")
        for name, epoch in (("alone", alone), ("threads", threads), ("fit", fit))
    }
    serve(line, jobs)


if __name__ == "__main__":
    cisnake_loading_worker(connect())
