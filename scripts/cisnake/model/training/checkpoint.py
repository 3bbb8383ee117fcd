"""Checkpoints: the complete state of training in one file, replaced atomically after each epoch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cisnake.files import write_whole
from cisnake.program import log


class Checkpoint:
    """State of training: completed epochs, best weights per head, and the values of all variables.

    Attributes
    ----------
    history: list of dict
        One row per epoch and head, with at least `epoch`, `stage`, `head`, `val_score` and `best`.
    best_weights: dict of str to list of numpy.ndarray
        Weights of the best epoch, by head.
    """

    def __init__(self, folder: str | Path) -> None:
        self.file = Path(folder) / "state.npz"
        self.history: list[dict[str, Any]] = []
        self.best_weights: dict[str, list[np.ndarray]] = {}
        self._values: list[np.ndarray] = []

    def save(self, variables: Sequence[keras.Variable]) -> None:
        """Write the state, with the current values of the variables: weights, optimizer state, dropout seeds."""
        arrays = {f"variable_{i}": np.asarray(variable) for i, variable in enumerate(variables)}
        for head, weights in self.best_weights.items():
            arrays |= {f"best_{i}_{head}": weight for i, weight in enumerate(weights)}
        with write_whole(self.file) as part:
            np.savez(part, allow_pickle=False, history=np.array(json.dumps(self.history)), **arrays)

    def load(self) -> bool:
        """Read the file if it exists, and return whether it did."""
        if not self.file.exists():
            return False
        with np.load(self.file) as saved:
            self.history = json.loads(str(saved["history"]))
            self._values = _numbered(saved, "variable_{}")
            heads = {name.split("_", 2)[2] for name in saved.files if name.startswith("best_")}
            self.best_weights = {head: _numbered(saved, f"best_{{}}_{head}") for head in heads}
        log.info("resuming after epoch %d", self.history[-1]["epoch"])
        return True

    def restore(self, variables: Sequence[keras.Variable]) -> None:
        """Restore the values that the variables had when the file was written."""
        for variable, value in zip(variables, self._values, strict=True):
            variable.assign(value)

    def rows(self, head: str, stage: int | None = None) -> list[dict[str, Any]]:
        """Return the history of one head, for all stages or one."""
        return [row for row in self.history if row["head"] == head and stage in (None, row["stage"])]

    def best_score(self, head: str) -> float:
        """Return the score of the best epoch so far, or minus infinity if there is none."""
        return max((row["val_score"] for row in self.rows(head) if row["best"]), default=-np.inf)

    def remove(self) -> None:
        """Remove the folder, once the model has been written."""
        shutil.rmtree(self.file.parent, ignore_errors=True)


def _numbered(saved: Any, name: str) -> list[np.ndarray]:
    values: list[np.ndarray] = []
    while name.format(len(values)) in saved:
        values.append(saved[name.format(len(values))])
    return values
