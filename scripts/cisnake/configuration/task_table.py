"""The task table, as far as it is known before any job runs."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pandas as pd

from cisnake.configuration.network import unmeasured
from cisnake.data.coverage import read_tracks
from cisnake.data.matrix import describes_tasks, read_task_names, read_tasks_table


def known_tasks(config: dict[str, Any]) -> pd.DataFrame | None:
    """Return one row per task (task, group, ...), or None if the files are missing, which is reported elsewhere."""
    targets = config["targets"]
    if "simulate" in config["genome"]:
        groups = config["genome"]["simulate"]["groups"]
        rows = [(f"{group['name']}_{i}", group["name"]) for group in groups for i in range(1, group["n_tasks"] + 1)]
        return pd.DataFrame(rows, columns=["task", "group"])
    if os.path.isfile(targets.get("tracks", "")):
        tracks = known_tracks(targets["tracks"], config["run"].get("data_dir", "."))
        return tracks.rename(columns={"identifier": "task"})[["task", "group", "description"]]
    matrix, table = targets.get("matrix"), targets.get("tasks")
    if unmeasured(config):
        is_there = isinstance(table, str) and os.path.isfile(table)
        return read_tasks_table(table, None, targets["task_columns"]) if is_there else None
    if not matrix or not all(path is None or (isinstance(path, str) and Path(path).is_file()) for path in (matrix, table)):
        return None
    described = table or (matrix if describes_tasks(matrix) else None)
    return read_tasks_table(described, read_task_names(matrix), targets["task_columns"])


def known_tracks(path: str | Path, data_dir: str | Path = ".") -> pd.DataFrame:
    """Return the cached result of `read_tracks`, which checks whether thousands of files exist.

    Call `forget_tracks` if the table or the files may have changed.
    """
    return _read_once(str(path), str(data_dir)).copy()


def forget_tracks() -> None:
    """Clear the cache of `known_tracks`, so that the table and its files are checked again."""
    _read_once.cache_clear()


@functools.lru_cache(maxsize=1)
def _read_once(path: str, data_dir: str) -> pd.DataFrame:
    return read_tracks(path, data_dir)
