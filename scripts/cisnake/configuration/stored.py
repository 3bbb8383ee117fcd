"""Storage of the completed configuration in a file for the programs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cisnake.files import write_whole

_HEADER = "# Configuration of a run with all defaults and paths, as read by its programs. Named by its content: do not edit.\n"


def config_path(config: Mapping[str, Any], folder: str | Path) -> Path:
    """Return the path of a completed configuration, `<folder>/<digest>.yaml`; the order of keys does not matter."""
    text = json.dumps(config, sort_keys=True)
    return Path(folder) / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"


def store(config: Mapping[str, Any], folder: str | Path) -> Path:
    """Write a completed configuration to its path, unless the file exists, and return the path.

    Parameters
    ----------
    config: mapping
        A configuration returned by `complete`.
    folder: str or Path
        Folder for the configurations of the run.
    """
    path = config_path(config, folder)
    if not path.exists():
        # Converted through JSON, because values from Snakemake may have types that YAML cannot write.
        plain = json.loads(json.dumps(config))
        text = yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120)
        with write_whole(path) as part:
            part.write_text(_HEADER + text, encoding="utf-8")
    return path
