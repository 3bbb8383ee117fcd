"""Configuration files for tests that call programs directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def configured(folder: Path, **sections: Any) -> list[str]:
    """Write sections to a configuration file in a folder, and return the command-line options for it."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return ["--config", str(path)]
