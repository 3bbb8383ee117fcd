"""A configuration of which some keys are wrong: the rest of it can still be checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


class Unsound(Exception):
    """A key was asked for whose value is wrong, missing, or perhaps under another name: reported already."""


class SoundPart(dict[str, Any]):
    """A mapping that raises `Unsound` when it is asked for one of some keys, or whether it has it."""

    def __init__(self, values: Mapping[str, Any], unsound: Collection[str]) -> None:
        super().__init__(values)
        self._unsound = unsound

    def __getitem__(self, key: str) -> Any:
        self._refuse(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._refuse(key)
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or a default where there is none."""
        self._refuse(key)
        return super().get(key, default)

    def _refuse(self, key: object) -> None:
        if key in self._unsound:
            raise Unsound(key)


def sound_part(config: Mapping[str, Any], unsound: Collection[tuple[str, ...]]) -> SoundPart:
    """Return a configuration that refuses to give the sections and keys of sections that are named."""
    sections = {
        name: SoundPart(section, {place[1] for place in unsound if place[0] == name and len(place) == 2})
        for name, section in config.items()
        if isinstance(section, dict)
    }
    return SoundPart(sections, {place[0] for place in unsound if len(place) == 1})
