"""The shared network in Cisnake."""

from __future__ import annotations

from typing import Any

import keras

from cisnake.model.network import build_model

from .architecture import model_section
from .keras_weights import set_weights

# One value per gene.
MODEL: dict[str, Any] = model_section({"name": "global_pool"})


def build_network() -> keras.Model:
    """Return the network with the weights that all peers share."""
    model = build_model(MODEL)
    set_weights(model)
    return model
