"""Number formatting for the report."""

from __future__ import annotations

import math
from typing import Any

DASH = "\N{EN DASH}"


def number(value: Any, digits: int = 3, form: str = "f") -> str:
    """Format a number with `digits` digits and a true minus sign, or return an en dash for a missing value.

    `form` is a presentation type of Python's `format`: "f" for fixed digits, "g" for significant digits (q-values, effects).

    Examples
    --------
    >>> number(0.12345), number(-12.5, 1), number(float("nan"))
    ('0.123', '−12.5', '–')
    >>> number(1.7e-8, 2, "g"), number(1137.4, 3, "g")
    ('1.7e−08', '1,137')
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return DASH
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    if form == "g" and 10**digits <= abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "\N{MINUS SIGN}")
    text = f"{value:#.{digits}{form}}".removesuffix(".")
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def count(value: Any) -> str:
    """Format a count (or the length of a list) with thousands separators, or return an en dash for a missing value.

    Examples
    --------
    >>> count(12345), count(["heat", "acid"]), count(None)
    ('12,345', '2', '–')
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return DASH
    return f"{len(value) if isinstance(value, (list, tuple, dict)) else int(value):,}"


def share(part: Any, whole: Any) -> str:
    """Format a fraction as a percentage, or return an en dash where it is undefined.

    Examples
    --------
    >>> share(1, 8), share(0, 0)
    ('12.5%', '–')
    """
    return f"{number(100 * part / whole, 1)}%" if whole and number(part) != DASH else DASH


def signed(value: int) -> str:
    """Format an integer with its sign.

    Examples
    --------
    >>> signed(50), signed(-50)
    ('+50', '−50')
    """
    return f"{value:+d}".replace("-", "\N{MINUS SIGN}")
