"""A digest of the network and training parameters, which the workflow compares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cisnake.configuration.programs import canonical
from cisnake.model import read_params


def network_digest(config: Mapping[str, Any]) -> str:
    """Return a checksum of the network and training parameters, independent of the path of their file.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.

    Returns
    -------
    str
        SHA-256 of the parameters with their defaults and `model.overrides`. The path of pretrained weights is left out, because
        the workflow compares that file.
    """
    params = read_params(config["model"]["params"], config["model"]["overrides"])
    transfer = {key: value for key, value in params.get("transfer", {}).items() if key != "weights"}
    text = canonical(params | {"transfer": transfer})
    return hashlib.sha256(text.encode()).hexdigest()
