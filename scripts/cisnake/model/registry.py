"""Trained networks by name: where their files are, and what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cisnake.errors import InputError, unknown_name
from cisnake.files import file_sha256
from cisnake.text_files import parse_yaml

_FILE_KEYS = ("file", "address", "sha256")


@dataclasses.dataclass(frozen=True)
class RegisteredFile:
    """A file of a registered network.

    Parameters
    ----------
    file: str
        Path within the folder of networks.
    address: str, optional
        URL from which it can be downloaded.
    sha256: str, optional
        Its checksum, in hexadecimal digits.
    """

    file: str
    address: str | None = None
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class NetworkCard:
    """What a registry says of a network.

    Parameters
    ----------
    network: RegisteredFile
    params, targets: RegisteredFile, optional
        Parameter file, and table of tasks.
    head: str, optional
        Head to use.
    window, bin_size: int, optional
        Bases that the network reads, and bases per predicted position.
    source, licence: str, optional
    held_out: str, optional
        What the network was not trained on, in words.
    trained_on: tuple of str
        Chromosomes or regions on which it was trained, as in `model.trained_on`.
    """

    network: RegisteredFile
    params: RegisteredFile | None = None
    targets: RegisteredFile | None = None
    head: str | None = None
    window: int | None = None
    bin_size: int | None = None
    source: str | None = None
    licence: str | None = None
    held_out: str | None = None
    trained_on: tuple[str, ...] = ()

    @property
    def description(self) -> dict[str, Any]:
        """What is known of the network, without its files."""
        keys = ("source", "licence", "head", "window", "bin_size", "held_out", "trained_on")
        known = {key: getattr(self, key) for key in keys}
        known["address"] = self.network.address
        return {key: list(value) if isinstance(value, tuple) else value for key, value in known.items() if value}


def read_registry(path: str | Path) -> dict[str, NetworkCard]:
    """Read a registry of trained networks: a YAML file with a `NetworkCard` for each name.

    Parameters
    ----------
    path: str or Path

    Returns
    -------
    dict of str to NetworkCard

    Raises
    ------
    InputError
        The file cannot be read, or an entry lacks its file or has an unknown key.
    """
    try:
        entries = parse_yaml(Path(path).read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a registry of networks: {error}") from error
    if not isinstance(entries, dict):
        raise InputError(f"{path} must have an entry for each network, such as {{mine: {{network: {{file: mine.keras}}}}}}.")
    return {str(name): _card(f"{name} in {path}", entry) for name, entry in entries.items()}


def _card(place: str, entry: Any) -> NetworkCard:
    if not isinstance(entry, Mapping) or "network" not in entry:
        raise InputError(f"{place} lacks the key network, with the path of its file.")
    known = [field.name for field in dataclasses.fields(NetworkCard)]
    for key in entry:
        if key not in known:
            raise unknown_name(f"key of {place}", str(key), known)
    values = dict(entry) | {
        key: _file(f"{key} of {place}", entry[key]) for key in ("network", "params", "targets") if key in entry
    }
    return NetworkCard(**values | {"trained_on": tuple(entry.get("trained_on") or ())})


def _file(place: str, entry: Any) -> RegisteredFile:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("file"), str):
        raise InputError(f"{place} lacks the key file, a path within the folder of networks.")
    for key in entry:
        if key not in _FILE_KEYS:
            raise unknown_name(f"key of {place}", str(key), _FILE_KEYS)
    return RegisteredFile(**entry)


def check_registered(path: str | Path, registered: RegisteredFile) -> None:
    """Raise an InputError if a file has another checksum than the registry says; without one, any file is right."""
    if registered.sha256 and (actual := file_sha256(Path(path))) != registered.sha256:
        raise InputError(f"{path} has the SHA-256 {actual}, not {registered.sha256}: download it again.")


def find_address(registry: str | Path, folder: str | Path, path: str | Path) -> str | None:
    """Return the address of a file of a registered network: the network, its parameters or its table of tasks.

    Parameters
    ----------
    registry, folder
        See `find_card`.
    path: str or Path
        The file.

    Raises
    ------
    InputError
        As `read_registry`.
    """
    cards = read_registry(registry).values() if Path(registry).is_file() else []
    files = [file for card in cards for file in (card.network, card.params, card.targets) if file]
    return next((file.address for file in files if Path(folder, file.file) == Path(path)), None)


def find_card(registry: str | Path, folder: str | Path, path: str | Path) -> NetworkCard | None:
    """Return the card of a network by its file, or None.

    Parameters
    ----------
    registry: str or Path
        A registry, for `read_registry`; without such a file, no network is known.
    folder: str or Path
        The folder of networks.
    path: str or Path
        The file of a network.

    Raises
    ------
    InputError
        As `read_registry`.
    """
    if not Path(registry).is_file():
        return None
    cards = read_registry(registry).values()
    return next((card for card in cards if Path(folder, card.network.file) == Path(path)), None)
