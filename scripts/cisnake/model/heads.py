"""Heads of a parameter file: the run's own, and those of further data sets."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from cisnake.errors import InputError

# Key of the run's own head if all heads of the file are of further data sets.
_OWN = "head"


def own_head(model: dict[str, Any], names: Collection[str]) -> str:
    """Return the key of the head that learns the data set of the run itself: the only one that is not of another data set.

    Parameters
    ----------
    model: dict
        Section `model` of a parameter file.
    names: collection of str
        Keys of the heads that learn further data sets (`train.heads`).

    Returns
    -------
    str
        "head" if the file has no other head.

    Raises
    ------
    InputError
        Several heads of the file have no data set.

    Examples
    --------
    >>> own_head({"trunk": [], "head_human": {}, "head_mouse": {}}, ["head_mouse"])
    'head_human'
    """
    own = [key for key in model if key.startswith("head") and key not in names]
    if len(own) > 1:
        raise InputError(
            f"the parameter file has the heads {', '.join(own)}, but the run has a data set for only one of them: name "
            "those of the others in train.heads, or remove these heads."
        )
    if not own and _OWN in names:
        raise InputError(f"train.heads includes {_OWN}, the head of the run itself: give it another name.")
    return own[0] if own else _OWN


def add_heads(params: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return the parameters of a network with the run's own head and one head for each further data set.

    Heads that the parameter file does not describe are copies of the run's own head or, if that is missing, of the first head,
    with as many tasks as their data set has.

    Parameters
    ----------
    params: dict
        From `read_params`; not modified.
    names: collection of str
        Keys of the heads that learn further data sets.

    Raises
    ------
    InputError
        See `own_head`.

    Examples
    --------
    >>> params = {"model": {"trunk": [], "head": {"name": "final", "units": 3}}}
    >>> add_heads(params, ["head_mouse"])["model"]["head_mouse"]
    [{'name': 'final'}]
    """
    model = params["model"]
    own = own_head(model, names)
    described = [key for key in model if key.startswith("head")]
    if not described:
        return params
    blocks = model[own if own in described else described[0]]
    blocks = copy.deepcopy(blocks if isinstance(blocks, list) else [blocks])
    if blocks and isinstance(blocks[-1], dict):
        blocks[-1].pop("units", None)
    return params | {"model": model | {key: copy.deepcopy(blocks) for key in (own, *names) if key not in described}}
