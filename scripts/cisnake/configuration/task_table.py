"""The table of tasks, as far as it is known before any job."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pandas as pd

from cisnake.data.coverage import read_tracks
from cisnake.data.matrix import describes_tasks, read_task_names, read_tasks_table


def known_tasks(config: dict[str, Any]) -> pd.DataFrame | None:
    """Return one row a task (task, group, ...), or None where its files are not here; what is missing is reported elsewhere."""
    targets = config["targets"]
    if "simulate" in config["genome"]:
        groups = config["genome"]["simulate"]["groups"]
        rows = [(f"{group['name']}_{i}", group["name"]) for group in groups for i in range(1, group["n_tasks"] + 1)]
        return pd.DataFrame(rows, columns=["task", "group"])
    if os.path.isfile(targets.get("tracks", "")):
        tracks = known_tracks(targets["tracks"], config["run"].get("data_dir", "."))
        return tracks.rename(columns={"identifier": "task"})[["task", "group", "description"]]
    found, table = targets.get("matrix"), targets.get("tasks")
    if not found or not all(path is None or (isinstance(path, str) and Path(path).is_file()) for path in (found, table)):
        return None
    described = table or (found if describes_tasks(found) else None)
    return read_tasks_table(described, read_task_names(found), targets["task_columns"])


def known_tracks(path: str | Path, data_dir: str | Path = ".") -> pd.DataFrame:
    """Return what `read_tracks` returns, read once: thousands of files are looked for, at every start of the workflow.

    `forget_tracks` is for those who begin anew.
    """
    return _read_once(str(path), str(data_dir)).copy()


def forget_tracks() -> None:
    """Let `known_tracks` read again: the table, or the files that it names, may be others by now."""
    _read_once.cache_clear()


@functools.lru_cache(maxsize=1)
def _read_once(path: str, data_dir: str) -> pd.DataFrame:
    return read_tracks(path, data_dir)
