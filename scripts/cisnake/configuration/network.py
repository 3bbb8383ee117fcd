"""What follows for the workflow from the network and training parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cisnake.configuration.keys import EACH_GROUP
from cisnake.configuration.programs import canonical
from cisnake.model import STANDARDIZED_LOSSES, read_params


def given_networks(config: Mapping[str, Any]) -> list[str]:
    """Return the files of the networks that were trained elsewhere; empty if the run trains its own.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    """
    return list(config["model"]["trained"])


def unmeasured(config: Mapping[str, Any]) -> bool:
    """Return whether a run only applies trained networks, without measurements to compare predictions with.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    """
    return bool(config["splits"].get("unmeasured", False))


def pretrained_weights(config: Mapping[str, Any]) -> str | None:
    """Return the file from which the trunk is loaded before training, if there is one.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    """
    if given_networks(config):
        return None
    params = read_params(config["model"]["params"], config["model"]["overrides"])
    weights: str | None = params.get("transfer", {}).get("weights")
    return weights


def standardizes(config: Mapping[str, Any]) -> bool:
    """Return whether the networks of a run learn standardised labels.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    """
    if config["targets"]["kind"] == "coverage" or given_networks(config):
        return False
    return read_params(config["model"]["params"], config["model"]["overrides"])["train"]["loss"] in STANDARDIZED_LOSSES


def uses_words(config: Mapping[str, Any]) -> bool:
    """Return whether a table of words is fitted and added to the networks of a run.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    """
    return config["train"]["words"] and standardizes(config)


def learned_contrasts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contrasts that the loss names, with their tasks; others can change without training again.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    """
    contrasts = config["attribution"]["contrasts"]
    return {name: contrasts if contrasts == EACH_GROUP else contrasts[name] for name in config["train"]["contrasts"]}


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
        the workflow compares that file. Empty without a parameter file, which complete networks do not need.
    """
    if not config["model"]["params"]:
        return ""
    params = read_params(config["model"]["params"], config["model"]["overrides"])
    transfer = {key: value for key, value in params.get("transfer", {}).items() if key != "weights"}
    text = canonical(params | {"transfer": transfer})
    return hashlib.sha256(text.encode()).hexdigest()
