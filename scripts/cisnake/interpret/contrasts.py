"""Contrasts: scores of a gene, defined as weighted sums over tasks."""

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
    """The tasks whose prediction is explained, alone or compared with other tasks.

    Attributes
    ----------
    name: str
        Used in file names.
    on_tasks: tuple of str
    off_tasks: tuple of str
        Empty if the score is "aggregate".
    score: str
        "specificity": mean over on_tasks minus mean over off_tasks. "aggregate": mean over on_tasks.

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
        """Return the weight of each task in the score; shape=(tasks,), dtype=float32."""
        weights = np.zeros(len(tasks), np.float32)
        for names, sign in ((self.on_tasks, 1.0), (self.off_tasks, -1.0)):
            for name in names:
                weights[tasks.index(name)] += sign / len(names)
        return weights

    def side_weights(self, tasks: list[str]) -> np.ndarray:
        """Return the weights of the score, of the mean over on_tasks and of the mean over off_tasks.

        Without off_tasks, the score is the mean over on_tasks, and is the only column.

        Returns
        -------
        numpy.ndarray, shape=(tasks, 3) or (tasks, 1), dtype=float32

        Examples
        --------
        >>> from cisnake.interpret import Contrast
        >>> contrast = Contrast("liver", ("liver",), ("brain", "skin"), "specificity")
        >>> contrast.side_weights(["brain", "liver", "skin"]).T.tolist()
        [[-0.5, 1.0, -0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]
        """
        score = self.weights(tasks)
        return np.stack([score, np.maximum(score, 0), np.maximum(-score, 0)] if self.off_tasks else [score], axis=1)

    def sides(self, tasks: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return the positions of `on_tasks` and of `off_tasks` among the tasks."""
        position = {task: i for i, task in enumerate(tasks)}
        return [position[task] for task in self.on_tasks], [position[task] for task in self.off_tasks]

    def measured(self, labels: np.ndarray, tasks: list[str]) -> np.ndarray:
        """Return the score of measured values; missing values are left out of the means.

        Parameters
        ----------
        labels: numpy.ndarray, shape=(genes, tasks)

        Returns
        -------
        numpy.ndarray, shape=(genes,), dtype=float64
            NaN where all values of either mean are missing.
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
    """Resolve the groups and queries of a contrast in the configuration to task names.

    Parameters
    ----------
    name: str
    section: ContrastSection
        `on_tasks` and, for specificity, `off_tasks`: a list of tasks and groups, or a query of the table in the syntax of
        `pandas.DataFrame.query`. If `off_tasks` is None, all other tasks are used. `score`: "specificity" or "aggregate".
    table: pandas.DataFrame
        One row per task: task, group, and any columns used in queries. Numbers may be stored as text.

    Raises
    ------
    InputError
        A name is neither a task nor a group, or could be either; a query is invalid, the score is unknown, a task is on both
        sides, or a side is empty.

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
    on, off = (_select_tasks(name, side, getattr(section, side), table) for side in ("on_tasks", "off_tasks"))
    if not on:
        raise InputError(f"contrast {name} has no on_tasks: list at least one task or group.")
    if score == "aggregate":
        if off:
            raise InputError(
                f"contrast {name} has off_tasks, but its score is aggregate: remove off_tasks or set score: specificity."
            )
        return Contrast(name, on, (), score)
    chosen = set(on)
    off = off or tuple(task for task in table["task"] if task not in chosen)
    both = [task for task in off if task in chosen]
    if both:
        raise InputError(f"contrast {name} has the task {both[0]} in both on_tasks and off_tasks: remove it from one of them.")
    if not off:
        raise InputError(f"contrast {name} has all tasks in on_tasks and none left for off_tasks: set score: aggregate.")
    return Contrast(name, on, off, score)


def resolve_contrasts(
    sections: Mapping[str, ContrastSection] | str, table: pd.DataFrame, names: Sequence[str] | None = None
) -> list[Contrast]:
    """Resolve contrasts in `attribution.contrasts` to task names.

    Parameters
    ----------
    sections: mapping of str to ContrastSection, or str
        By name. "each_group" uses the contrasts that `each_group` returns.
    table: pandas.DataFrame
        One row per task; see `resolve_contrast`.
    names: sequence of str, optional
        The contrasts to resolve. Default: all.

    Raises
    ------
    InputError
        A name is unknown; see also `resolve_contrast` and `each_group`.
    """
    if isinstance(sections, str):
        sections = {name: as_section(ContrastSection, section) for name, section in each_group(table).items()}
    for name in names or ():
        if name not in sections:
            raise unknown_name("contrast", name, sections)
    return [resolve_contrast(name, sections[name], table) for name in (sections if names is None else names)]


def each_group(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return one contrast per group of tasks against all other tasks, as configuration sections by name.

    A contrast is named after its group. Characters that are unsafe in file names are replaced by underscores.

    Parameters
    ----------
    table: pandas.DataFrame
        One row per task: task, group.

    Raises
    ------
    InputError
        There are fewer than two groups, a group yields an empty name, or two groups yield the same name.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.interpret import each_group
    >>> each_group(pd.DataFrame({"task": ["a", "b"], "group": ["leaf", "root tip"]}))["root_tip"]
    {'on_tasks': ['b'], 'score': 'specificity'}
    """
    sections: dict[str, dict[str, Any]] = {}
    group_by_name: dict[str, str] = {}
    for group, members in table.groupby("group", sort=False):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(group)).strip("_")
        if not name:
            raise InputError(
                f"contrasts: each_group: the task {members['task'].iloc[0]} is in group {group!r}, which has no usable name: "
                "name the group in the task table, or list the contrasts."
            )
        if name in sections:
            raise InputError(
                f"contrasts: each_group: the groups {group_by_name[name]} and {group} would both be named {name}: rename one, "
                "or list the contrasts."
            )
        on_tasks: list[str] | str = members["task"].tolist()
        if _clashes(on_tasks, table):
            on_tasks = _query_for("group", str(group))
        sections[name] = {"on_tasks": on_tasks, "score": "specificity"}
        group_by_name[name] = str(group)
    if len(sections) < 2:
        raise InputError(
            "contrasts: each_group requires at least two groups of tasks: list the contrasts, or add groups to the task table."
        )
    return sections


def _select_tasks(contrast: str, side: str, names: Sequence[str] | None, table: pd.DataFrame) -> tuple[str, ...]:
    if isinstance(names, str):
        return _query_tasks(contrast, side, names, table)
    tasks = table["task"].tolist()
    known = set(tasks)
    chosen: dict[str, None] = {}
    for name in names or ():
        members = [name] if name in known else table["task"][table["group"] == name].tolist()
        if not members:
            raise unknown_name(f"task or group in contrast {contrast}", name, [*tasks, *dict.fromkeys(table["group"])])
        chosen.update(dict.fromkeys(members))
    for name, others in _clashes(names or (), table).items():
        as_task, as_group = (
            " or ".join(
                _query_for(column if other == name else "task" if other in known else "group", other) for other in names or ()
            )
            for column in ("task", "group")
        )
        raise InputError(
            f"contrast {contrast}: {name!r} in {side} is a task, and also a group with other tasks ({', '.join(others[:3])}"
            f'{", ..." if len(others) > 3 else ""}). Write {side}: "{as_task}" for the task, or {side}: "{as_group}" for '
            "the group."
        )
    return tuple(chosen)


def _clashes(names: Sequence[str], table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the names of tasks that are also groups of other tasks, unless these are listed too, with the other tasks."""
    listed = set(names)
    both = listed & set(table["task"]) & set(table["group"])
    others = {name: [task for task in table["task"][table["group"] == name] if task not in listed] for name in sorted(both)}
    return {name: tasks for name, tasks in others.items() if tasks}


def _query_for(column: str, value: str) -> str:
    return f"{column} == {value!r}"


def _query_tasks(contrast: str, side: str, query: str, table: pd.DataFrame) -> tuple[str, ...]:
    typed = table.apply(_as_numbers)
    advice = f"use columns of the task table ({', '.join(table.columns)}), or a list of tasks or groups such as [{query}]"
    try:
        # By default pandas uses numexpr if it happens to be installed; the Python engine is always available.
        rows = typed.query(query, engine="python", local_dict={}, global_dict={})
    except Exception as error:  # evaluating the query can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"contrast {contrast}: the query {side}: {query!r} failed ({reason}): {advice}.") from error
    if not isinstance(rows, pd.DataFrame):
        raise InputError(f"contrast {contrast}: the query {side}: {query!r} does not select rows: {advice}.")
    if rows.empty:
        raise InputError(f"contrast {contrast}: no task matches the query {side}: {query!r}.")
    return tuple(rows["task"])


def _as_numbers(column: pd.Series) -> pd.Series:
    """Convert a column to numbers if all its non-empty values are numbers."""
    if column.name in ("task", "group"):
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    filled = column.notna() & (column.astype(str) != "")
    return numbers if numbers.notna().equals(filled) else column
