"""Basenji's gradients of every task."""

from __future__ import annotations

import gc

import numpy as np
import tensorflow as tf

from .architecture import TASKS, one_hot, probe, random_data
from .basenji_network import build_network
from .keras_weights import parameter_counts
from .worker import Line, connect, serve


def basenji_attribution_worker(line: Line) -> None:
    """Run `SeqNN.gradients` (newer) task by task, and `SeqNN.gradients_orig`, which takes one sequence at a time."""
    settings = line.settings
    network = build_network(settings["basenji"])
    from basenji import seqnn

    # `gradients` calls gc.collect() in a module that does not import gc.
    seqnn.gc = gc
    x = one_hot(random_data(settings["batch_size"])[0])

    def by_task(x: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                network.gradients(
                    x,
                    target_slice=np.full((len(x), 1), task),
                    pos_slice=np.zeros((len(x), 1)),
                    batch_size=len(x),
                    no_transform=True,
                    dtype="float32",
                )
                for task in range(TASKS)
            ]
        )

    def gradients() -> int:
        by_task(x)
        return len(x)

    def gradients_orig() -> int:
        network.gradients_orig(x[0], dtype="float32") * x[0, ..., None]
        return 1

    line.answer(
        {
            "versions": {"tensorflow": tf.__version__},
            "parameters": parameter_counts(network.model),
            "predictions": network.model(one_hot(probe()), training=False).numpy().reshape(-1).tolist(),
            "attributions": by_task(one_hot(probe())).sum(-1).reshape(-1).tolist(),
        }
    )
    serve(line, {"gradients": gradients, "gradients_orig": gradients_orig})


if __name__ == "__main__":
    basenji_attribution_worker(connect())
