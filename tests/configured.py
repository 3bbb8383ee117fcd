"""Configurations for programs that tests call by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def configured(folder: Path, **sections: Any) -> list[str]:
    """Write the sections to a file in a folder, and return the options that give it to a program."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return ["--config", str(path)]
