"""Write envs/*.yaml, the conda environments of the rules, from the locks, so that there is one truth of versions.

Python and pip come from conda; every other package is an exact pip pin, those that a listed package needs in turn included:
with the direct ones alone, an environment built next year would differ from the one that made the results.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.12"

# What the rules of each environment import.
_TABLES = ["h5py", "jsonschema", "lazy-loader", "numpy", "pandas", "pyyaml", "scipy"]
_GENOMICS = [*_TABLES, "pybigwig", "pysam"]
ENVS: dict[str, list[str]] = {
    "genomics": [*_GENOMICS, "anndata", "pybigtools"],
    "modisco": [*_GENOMICS, "memelite", "modisco-lite", "pyjaspar"],
    "motifs": [*_GENOMICS, "lightmotif", "pyjaspar"],
    "report": [*_GENOMICS, "anndata", "jinja2", "matplotlib", "pyjaspar"],
    "tensorflow": [*_GENOMICS, "anndata", "keras", "pyjaspar", "tensorboard", "tensorflow[and-cuda]"],
}
# The locks that they are taken from: that of GPUs has what every machine needs, but for what is asked for by itself.
LOCKS = dict.fromkeys(ENVS, "cuda.lock") | {"modisco": "patterns.lock"}


@dataclass(frozen=True)
class Pin:
    """One package of a lock file: its version, where it applies, and which packages need it."""

    name: str
    version: str
    marker: str
    needed_by: frozenset[str]


def read_lock(text: str) -> list[Pin]:
    """Return the packages of a lock file made by `uv pip compile`.

    Parameters
    ----------
    text: str
        Content of the file, with its `# via` comments.

    Returns
    -------
    list of Pin
        In the file's order; a package with one version per Python is there once for each.
    """
    pins = []
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        found = re.match(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\\n]+?))? *\\?\n", entry)
        if found is None:
            raise ValueError(f"not a pinned package: {entry.splitlines()[0]}")
        needed_by = re.findall(r"^    # +(?:via +)?([A-Za-z0-9][\w.-]*)(?: \(.*\))?$", entry, flags=re.MULTILINE)
        names = frozenset(str(canonicalize_name(name)) for name in needed_by if name != "via")
        pins.append(Pin(str(canonicalize_name(found["name"])), found["version"], found["marker"] or "", names))
    return pins


def at_python(pins: Iterable[Pin], python: str) -> dict[str, Pin]:
    """Return the pins that apply to a version of CPython on Linux x86_64, by name."""
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    return {pin.name: pin for pin in pins if not pin.marker or Marker(pin.marker).evaluate(environment)}


def closure(names: Iterable[str], pins: dict[str, Pin]) -> set[str]:
    """Return `names` and everything that they need, in turn."""
    found: set[str] = set()
    new = set(names)
    while new:
        found |= new
        new = {pin.name for pin in pins.values() if pin.needed_by & new} - found
    return found


def environment(packages: Iterable[str], pins: dict[str, Pin], lock: str) -> str:
    """Return the text of a conda environment file.

    Parameters
    ----------
    packages: iterable of str
        Packages that the rules import, extras in brackets.
    pins: dict of str to Pin
        The lock at one version of Python.
    lock: str
        Its name.

    Returns
    -------
    str
        YAML: the packages first, then, below a comment, those that they need.
    """
    direct = {package.partition("[")[0]: package for package in packages}
    indirect = closure(direct, pins) - set(direct)
    lines = [
        f"# Written by `make envs` from requirements/{lock}: change that, not this.",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python ={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f"      - {direct[name]}=={pins[name].version}" for name in sorted(direct)),
        "      # needed by those above",
        *(f"      - {name}=={pins[name].version}" for name in sorted(indirect)),
    ]
    return "\n".join(lines) + "\n"


def pins_of(lock: str) -> dict[str, Pin]:
    """Return the packages of a file of requirements/ at the Python of the environments, by name."""
    return at_python(read_lock((ROOT / "requirements" / lock).read_text(encoding="utf-8")), PYTHON)


def environments() -> dict[str, str]:
    """Return the text of every environment file, by the name of the environment."""
    pins = {lock: pins_of(lock) for lock in set(LOCKS.values())}
    return {name: environment(packages, pins[LOCKS[name]], LOCKS[name]) for name, packages in ENVS.items()}


if __name__ == "__main__":
    for name, text in environments().items():
        (ROOT / "envs" / f"{name}.yaml").write_text(text, encoding="utf-8")
