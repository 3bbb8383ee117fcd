"""Access to a configuration with invalid keys, so that the valid rest can still be checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


class Unsound(Exception):
    """Raised on access to a key that is invalid, missing or misspelt, which has already been reported."""


class SoundPart(dict[str, Any]):
    """A mapping that raises `Unsound` on access to one of the unreliable keys."""

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
        """Return the value of a key, or `default` if it is missing."""
        self._refuse(key)
        return super().get(key, default)

    def _refuse(self, key: object) -> None:
        if key in self._unsound:
            raise Unsound(key)


def sound_part(config: Mapping[str, Any], unsound: Collection[tuple[str, ...]]) -> SoundPart:
    """Return a configuration that raises `Unsound` on access to the given sections and keys."""
    sections = {
        name: SoundPart(section, {place[1] for place in unsound if place[0] == name and len(place) == 2})
        for name, section in config.items()
        if isinstance(section, dict)
    }
    return SoundPart(sections, {place[0] for place in unsound if len(place) == 1})
