"""Errors that a user can fix."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from cisnake.joins import alike


class InputError(Exception):
    """Raise for invalid user input. The message states what is wrong, where, and what to do.

    Programs print the message alone, without a traceback, and exit with status 1.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with the most similar known names as suggestions.

    Parameters
    ----------
    kind: str
        Kind of name, as it appears in the message: "task", "loss", "gene".
    name: str
        The unknown name.
    known: iterable of str
        The valid names.

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
        hint = f"known names: {', '.join(map(str, known)) or 'none'}."
    else:
        hint = f"there are {len(known)} known names, for example {', '.join(map(str, known[:3]))}."
    return InputError(f"unknown {kind} '{name}': {hint}")


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Return up to three known names that are similar to `name`, most similar first.

    If names differ from it only in spelling, such as in case or in a prefix, only these are returned.
    """
    return alike(name, known)[:3] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
