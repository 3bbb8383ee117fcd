"""The shared weights in a Keras 2 or 3 model."""

from __future__ import annotations

from typing import Any

import numpy as np

from .architecture import layer_weights


def set_weights(model: Any) -> None:
    """Set every layer of a Keras model to the weights that all peers share."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.get_weights()]
        if shapes:
            layer.set_weights(layer_weights(shapes, rng))


def parameter_counts(model: Any) -> dict[str, int]:
    """Return the numbers of trainable and other parameters."""
    counts = {"trainable": model.trainable_weights, "other": model.non_trainable_weights}
    return {kind: int(sum(np.prod(weight.shape) for weight in weights)) for kind, weights in counts.items()}
