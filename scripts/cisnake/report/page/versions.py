"""Versions of the software that wrote the page."""

from __future__ import annotations

import platform
from importlib import metadata

import cisnake

PACKAGES = ("tensorflow-cpu", "tensorflow", "keras", "numpy", "pandas", "h5py", "lightmotif", "matplotlib", "snakemake")


def list_versions() -> list[tuple[str, str]]:
    """Return names and versions of Cisnake, Python and the installed packages among `PACKAGES`."""
    versions = [("cisnake", cisnake.__version__), ("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            versions.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return versions
