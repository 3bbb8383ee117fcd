"""The completed configuration as a file that programs read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cisnake.files import write_whole

_HEADER = "# A run's configuration with all defaults and paths, as its programs read it. Named by its content; never changed.\n"


def config_path(config: Mapping[str, Any], folder: str | Path) -> Path:
    """Return where a completed configuration is kept: `<folder>/<digest>.yaml`, the same for the same keys in any order."""
    text = json.dumps(config, sort_keys=True)
    return Path(folder) / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"


def store(config: Mapping[str, Any], folder: str | Path) -> Path:
    """Write a completed configuration to its path, unless it is there, and return the path.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    folder: str or Path
        Where configurations of the run are kept.
    """
    path = config_path(config, folder)
    if not path.exists():
        # Through JSON: what Snakemake hands over may be of other types than YAML writes.
        plain = json.loads(json.dumps(config))
        text = yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=120)
        with write_whole(path) as part:
            part.write_text(_HEADER + text, encoding="utf-8")
    return path
