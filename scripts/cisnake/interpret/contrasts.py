"""Contrasts: what is asked of a model about a gene, as a weighted sum of its tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cisnake.errors import InputError, unknown_name

SCORES = ("specificity", "aggregate")


@dataclass(frozen=True)
class Contrast:
    """Tasks whose prediction is explained, against others or alone.

    Attributes
    ----------
    name: str
        As in file names.
    on_tasks: tuple of str
    off_tasks: tuple of str
        Empty for score "aggregate".
    score: str
        "specificity", mean over on_tasks less mean over off_tasks; or "aggregate", mean over on_tasks.
    """

    name: str
    on_tasks: tuple[str, ...]
    off_tasks: tuple[str, ...]
    score: str

    def weights(self, tasks: list[str]) -> np.ndarray:
        """Return each task's weight in the score; shape=(tasks,), dtype=float32."""
        weights = np.zeros(len(tasks), np.float32)
        for names, sign in ((self.on_tasks, 1.0), (self.off_tasks, -1.0)):
            for name in names:
                weights[tasks.index(name)] += sign / len(names)
        return weights

    def measured(self, labels: np.ndarray, tasks: list[str]) -> np.ndarray:
        """Return the score of measurements, means over what was measured.

        Parameters
        ----------
        labels: numpy.ndarray, shape=(genes, tasks)

        Returns
        -------
        numpy.ndarray, shape=(genes,), dtype=float64
            NaN where one of the means has nothing measured.
        """
        total = np.zeros(len(labels))
        for names, sign in ((self.on_tasks, 1.0), (self.off_tasks, -1.0)):
            if names:
                part = labels[:, [tasks.index(name) for name in names]].astype(np.float64)
                count = np.isfinite(part).sum(axis=1)
                mean = np.nansum(part, axis=1) / np.maximum(count, 1)
                total += sign * np.where(count > 0, mean, np.nan)
        return total


def resolve_contrast(name: str, section: dict[str, Any], tasks: list[str], groups: list[str]) -> Contrast:
    """Return a contrast of the configuration with its tasks by name.

    Parameters
    ----------
    name: str
    section: dict
        `on_tasks` and, for specificity, `off_tasks`: names of tasks or of groups; `off_tasks` left out means all other tasks.
        `score`: "specificity" (default) or "aggregate".
    tasks, groups: list of str
        All tasks, and the group of each.

    Raises
    ------
    InputError
        A name is neither task nor group, the score is unknown, a task stands on both sides, or a side is empty.
    """
    score = section.get("score", "specificity")
    if score not in SCORES:
        raise unknown_name(f"score of contrast {name}", str(score), SCORES)
    on = _named(name, section["on_tasks"], tasks, groups)
    if not on:
        raise InputError(f"contrast {name} has no on_tasks: name at least one task or group.")
    if score == "aggregate":
        if section.get("off_tasks"):
            raise InputError(f"contrast {name} has score aggregate, which takes no off_tasks: remove them or use specificity.")
        return Contrast(name, on, (), score)
    off = (
        _named(name, section["off_tasks"], tasks, groups)
        if section.get("off_tasks")
        else tuple(t for t in tasks if t not in on)
    )
    both = [task for task in on if task in off]
    if both:
        raise InputError(f"contrast {name} has the task {both[0]} in on_tasks and in off_tasks.")
    if not off:
        raise InputError(f"contrast {name} has all tasks in on_tasks and none to compare with: use score: aggregate.")
    return Contrast(name, on, off, score)


def _named(contrast: str, names: list[str], tasks: list[str], groups: list[str]) -> tuple[str, ...]:
    chosen: dict[str, None] = {}
    for name in names:
        members = [name] if name in tasks else [task for task, group in zip(tasks, groups, strict=True) if group == name]
        if not members:
            raise unknown_name(f"task or group in contrast {contrast}", name, [*tasks, *dict.fromkeys(groups)])
        chosen.update(dict.fromkeys(members))
    return tuple(chosen)
