"""Tables of speed ratios, and writing sections of docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "performance.md"

_HEADER = """# Performance

How fast Cisnake is, and how much memory it takes, beside other software. The programs in `benchmarks/` write each section
between two comments; run them again instead of editing those sections. `benchmarks/README.md` explains how.

A ratio above 1 means that Cisnake is faster. In each round all peers (the programs compared) are timed one after the other;
ratios are computed within a round. The tables give the median and range over rounds, because the speed of a machine changes
from minute to minute and the ratio changes less.
"""


def spread(values: Sequence[float] | np.ndarray) -> str:
    """Return the median and range of values with three significant digits.

    Examples
    --------
    >>> spread([1.1, 1.25, 1.312])
    '1.25 (1.1–1.31)'
    """
    low, middle, high = (f"{np.quantile(values, q):.3g}" for q in (0, 0.5, 1))
    return f"{middle} ({low}–{high})"


def ratio_table(speeds: dict[str, np.ndarray], ours: str, unit: str) -> str:
    """Return a Markdown table of speeds, and of the ratio of ours to each within runs.

    Parameters
    ----------
    speeds: dict
        Speeds by name, shape=(runs,), in the order of the rows.
    ours: str
        Name that the others are compared with.
    unit: str
        Unit of the speeds.

    Examples
    --------
    >>> import numpy as np
    >>> print(ratio_table({"Cisnake": np.array([20.0, 22.0]), "peer": np.array([10.0, 11.0])}, "Cisnake", "windows/s"))
    | | windows/s, median (range) | Cisnake ÷ this, median (range) |
    |---|---|---|
    | Cisnake | 21 (20–22) |  |
    | peer | 10.5 (10–11) | 2 (2–2) |
    """
    rows = [f"| | {unit}, median (range) | Cisnake ÷ this, median (range) |", "|---|---|---|"]
    for name, values in speeds.items():
        rows.append(f"| {name} | {spread(values)} | {'' if name == ours else spread(speeds[ours] / values)} |")
    return "\n".join(rows)


def bullets(lines: Sequence[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def write_section(path: Path, name: str, text: str) -> None:
    """Replace the section of that name, which is enclosed by two comments, or append it to the file.

    Parameters
    ----------
    path: Path
        Created with a heading if it does not exist.
    name: str
    text: str
        Markdown.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    page = path.read_text() if path.exists() else _HEADER
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), flags=re.DOTALL)
    page = pattern.sub(lambda _: section, page) if pattern.search(page) else f"{page.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
