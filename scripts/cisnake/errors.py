"""Errors that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


class InputError(Exception):
    """Something given by the user is wrong; the message says what, where and what to do.

    Programs print the message alone, without a traceback, and exit with status 1.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not one of the known ones, naming the nearest of them.

    Parameters
    ----------
    kind: str
        What the name stands for, as it should read in a sentence: "task", "loss", "gene".
    name: str
        The name given.
    known: iterable of str
        The names that would have been right.

    Returns
    -------
    InputError
        To be raised by the caller.

    Examples
    --------
    >>> from cisnake.errors import unknown_name
    >>> str(unknown_name("loss", "poison", ["poisson", "mse"]))
    "unknown loss 'poison': did you mean poisson?"
    """
    known = list(known)
    near = nearest(name, known)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif len(known) <= 12:
        hint = f"known are: {', '.join(map(str, known)) or 'none'}."
    else:
        hint = f"there are {len(known)} known ones, for example {', '.join(map(str, known[:3]))}."
    return InputError(f"unknown {kind} '{name}': {hint}")


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Return what of the known names may have been meant by another, three at most, the most similar first."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return near or [other for other in known if other.casefold() == name.casefold()][-1:]
