"""Tables of ratios, and the sections of docs/performance.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "performance.md"

_HEADER = """# Performance

Written by `benchmarks/training.py` and `benchmarks/attribution.py`, a section each: run them again instead of editing. A
ratio above 1 says that Cisnake is faster. Ratios are taken within a round, in which all peers are timed one after the other,
and their median and range over rounds are given: the speed of a machine changes from minute to minute, the ratio less so.
"""


def spread(values: Sequence[float] | np.ndarray) -> str:
    """Return the median and the range of values, in three significant digits.

    Examples
    --------
    >>> spread([1.1, 1.25, 1.312])
    '1.25 (1.1–1.31)'
    """
    low, middle, high = (f"{np.quantile(values, q):.3g}" for q in (0, 0.5, 1))
    return f"{middle} ({low}–{high})"


def ratio_table(speeds: dict[str, np.ndarray], ours: str, unit: str) -> str:
    """Return a Markdown table of speeds and of the ratio of ours to each, run by run.

    Parameters
    ----------
    speeds: dict
        By name, shape=(runs,), in the order of rows.
    ours: str
        The name that the others are compared with.
    unit: str
        Of the speeds.

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
    """Put a section into a file in the place of the one of that name, which stands between two comments, or at the end.

    Parameters
    ----------
    path: Path
        Made, with a heading, where it is missing.
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
