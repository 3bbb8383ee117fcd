"""The shared network in Basenji's code."""

from __future__ import annotations

import sys
from typing import Any

from .architecture import BINS, model_section
from .keras_weights import set_weights


def build_network(source: str) -> Any:
    """Return Basenji's SeqNN with the weights that all peers share.

    Parameters
    ----------
    source: str
        Root of Basenji's repository.
    """
    sys.path.insert(0, source)
    from basenji.seqnn import SeqNN

    network = SeqNN({**model_section({"name": "center_average", "center": BINS}), "verbose": False})
    set_weights(network.model)
    return network
