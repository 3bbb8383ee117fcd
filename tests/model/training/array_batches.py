"""Batches of inputs that are in memory already."""

from __future__ import annotations

import numpy as np

from cisnake.model.training.batches import Batches


class ArrayBatches(Batches):
    """Batches of inputs, shape=(n, length, depth), and labels, shape=(n, tasks) or (n, length, tasks), both float32."""

    def __init__(self, inputs: np.ndarray, labels: np.ndarray, batch_size: int, seed: int | None = None) -> None:
        names, tasks = ([str(i) for i in range(n)] for n in (len(labels), labels.shape[-1]))
        super().__init__(labels, names, tasks, "the arrays", inputs.shape[1:], batch_size, seed)
        self.inputs = inputs

    def read(self, chosen: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return self.inputs[chosen]
