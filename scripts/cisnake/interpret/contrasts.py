"""Contrasts: what is asked of a model about a gene, as a weighted sum of its tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.sections import ContrastSection, as_section

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

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret import Contrast
    >>> contrast = Contrast("liver", ("liver",), ("brain", "skin"), "specificity")
    >>> contrast.weights(["brain", "liver", "skin"]).tolist()
    [-0.5, 1.0, -0.5]
    >>> contrast.measured(np.array([[1.0, 4.0, 2.0], [1.0, 4.0, np.nan]]), ["brain", "liver", "skin"]).tolist()
    [2.5, 3.0]
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


def resolve_contrast(name: str, section: ContrastSection, table: pd.DataFrame) -> Contrast:
    """Return a contrast of the configuration with its tasks by name.

    Parameters
    ----------
    name: str
    section: ContrastSection
        `on_tasks` and, for specificity, `off_tasks`: tasks and groups, or a query of the table as of `pandas.DataFrame.query`;
        `off_tasks` None means all other tasks. `score`: "specificity" or "aggregate".
    table: pandas.DataFrame
        One row a task: task, group, and any columns that a query may name. Columns of numbers may be text.

    Raises
    ------
    InputError
        A name is neither task nor group, a query makes no sense, the score is unknown, a task stands on both sides, or a
        side is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.interpret import resolve_contrast
    >>> from cisnake.sections import ContrastSection, as_section
    >>> table = pd.DataFrame({"task": ["leaf_1", "leaf_2", "root"], "group": ["leaf", "leaf", "root"], "age": ["1", "9", "5"]})
    >>> resolve_contrast("leaf", ContrastSection(("leaf",), None, "specificity"), table).off_tasks
    ('root',)
    >>> resolve_contrast("old", ContrastSection("age >= 5", None, "aggregate"), table).on_tasks
    ('leaf_2', 'root')
    """
    score = section.score
    if score not in SCORES:
        raise unknown_name(f"score of contrast {name}", str(score), SCORES)
    on, off = (_chosen(name, side, getattr(section, side), table) for side in ("on_tasks", "off_tasks"))
    if not on:
        raise InputError(f"contrast {name} has no on_tasks: name at least one task or group.")
    if score == "aggregate":
        if off:
            raise InputError(f"contrast {name} has score aggregate, which takes no off_tasks: remove them or use specificity.")
        return Contrast(name, on, (), score)
    chosen = set(on)
    off = off or tuple(task for task in table["task"] if task not in chosen)
    both = [task for task in off if task in chosen]
    if both:
        raise InputError(f"contrast {name} has the task {both[0]} in on_tasks and in off_tasks.")
    if not off:
        raise InputError(f"contrast {name} has all tasks in on_tasks and none to compare with: use score: aggregate.")
    return Contrast(name, on, off, score)


def resolve_contrasts(sections: Mapping[str, ContrastSection] | str, table: pd.DataFrame) -> list[Contrast]:
    """Return the contrasts of `attribution.contrasts`, with their tasks by name.

    Parameters
    ----------
    sections: mapping of str to ContrastSection, or str
        By name; "each_group" stands for those of `each_group`.
    table: pandas.DataFrame
        One row a task, see `resolve_contrast`.

    Raises
    ------
    InputError
        As of `resolve_contrast` and `each_group`.
    """
    if isinstance(sections, str):
        sections = {name: as_section(ContrastSection, section) for name, section in each_group(table).items()}
    return [resolve_contrast(name, section, table) for name, section in sections.items()]


def each_group(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return a contrast for each group of tasks, against all the others, as sections of the configuration by name.

    A contrast is named after its group, with what file names should not have replaced by underscores.

    Parameters
    ----------
    table: pandas.DataFrame
        One row a task: task, group.

    Raises
    ------
    InputError
        There are fewer than two groups, a group without a name, or two whose names differ in nothing but such characters.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.interpret import each_group
    >>> each_group(pd.DataFrame({"task": ["a", "b"], "group": ["leaf", "root tip"]}))["root_tip"]
    {'on_tasks': ['b'], 'score': 'specificity'}
    """
    sections: dict[str, dict[str, Any]] = {}
    group_of: dict[str, str] = {}
    for group, members in table.groupby("group", sort=False):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(group)).strip("_")
        if not name:
            raise InputError(
                f"contrasts of each_group: the task {members['task'].iloc[0]} is of group {group!r}, which gives no name: name "
                "the group in the task table, or list the contrasts."
            )
        if name in sections:
            raise InputError(
                f"contrasts of each_group: the groups {group_of[name]} and {group} would both be {name}: rename one, or list "
                "the contrasts."
            )
        sections[name] = {"on_tasks": members["task"].tolist(), "score": "specificity"}
        group_of[name] = str(group)
    if len(sections) < 2:
        raise InputError(
            "contrasts of each_group need two groups of tasks at least: list the contrasts, or give a task table with groups."
        )
    return sections


def _chosen(contrast: str, side: str, names: Sequence[str] | None, table: pd.DataFrame) -> tuple[str, ...]:
    if isinstance(names, str):
        return _queried(contrast, side, names, table)
    tasks = table["task"].tolist()
    known = set(tasks)
    chosen: dict[str, None] = {}
    for name in names or ():
        members = [name] if name in known else table["task"][table["group"] == name].tolist()
        if not members:
            raise unknown_name(f"task or group in contrast {contrast}", name, [*tasks, *dict.fromkeys(table["group"])])
        chosen.update(dict.fromkeys(members))
    return tuple(chosen)


def _queried(contrast: str, side: str, query: str, table: pd.DataFrame) -> tuple[str, ...]:
    typed = table.apply(_numbers)
    advice = f"it is of columns of the task table ({', '.join(table.columns)}); a list, as [{query}], names tasks or groups"
    try:
        # An engine of its own, numexpr, is used where it happens to be installed: this one always is.
        rows = typed.query(query, engine="python", local_dict={}, global_dict={})
    except Exception as error:  # pandas raises whatever evaluating the text raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"contrast {contrast}: the query {side}: {query!r} cannot be answered ({reason}): {advice}."
        ) from error
    if not isinstance(rows, pd.DataFrame):
        raise InputError(f"contrast {contrast}: the query {side}: {query!r} chooses no rows: {advice}.")
    if rows.empty:
        raise InputError(f"contrast {contrast}: no task fits the query {side}: {query!r}.")
    return tuple(rows["task"])


def _numbers(column: pd.Series) -> pd.Series:
    """Return a column of numbers where all of it that is not empty can be read as such."""
    if column.name in ("task", "group"):
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    filled = column.notna() & (column.astype(str) != "")
    return numbers if numbers.notna().equals(filled) else column
