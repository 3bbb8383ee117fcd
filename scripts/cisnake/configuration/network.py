"""What the configuration says of the network and its training, as the workflow compares it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cisnake.configuration.programs import canonical
from cisnake.model import read_params


def network_digest(config: Mapping[str, Any]) -> str:
    """Return a checksum of the parameters of network and training: of what the file says, not of where it is.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.

    Returns
    -------
    str
        SHA-256 of the parameters with their defaults and `model.overrides`. Weights that training starts from are left out: the
        workflow compares the file.
    """
    params = read_params(config["model"]["params"], config["model"]["overrides"])
    transfer = {key: value for key, value in params.get("transfer", {}).items() if key != "weights"}
    text = canonical(params | {"transfer": transfer})
    return hashlib.sha256(text.encode()).hexdigest()
