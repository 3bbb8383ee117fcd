"""Batch normalisation with TensorFlow's fused operation."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

# The operation requires four axes.
_INSERTED_AXES = {2: (1, 2), 3: (1,)}


@keras.saving.register_keras_serializable(package="cisnake")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation over the last axis, with the same results but less memory traffic during training.

    Keras computes mean, variance and normalised values of sequences in separate passes, forwards and backwards, which take a
    third of a training step on a CPU. The fused operation, which Keras used for images, needs fewer passes. Inference,
    configuration and weights are those of Keras.

    With several devices, each normalises by its own share of a batch, and moving statistics are averaged over devices. The
    share of a device may be empty in the last batch of an epoch; its moving statistics then stay unchanged.

    Parameters
    ----------
    **kwargs
        As for `keras.layers.BatchNormalization`, except for `synchronized`, which the fused operation does not support.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        axes = _INSERTED_AXES.get(len(inputs.shape))
        if not training or not self.trainable or axes is None or self.compute_dtype == "float64":
            return super().call(inputs, training=training, mask=mask)
        # Always in float32, as in Keras, because squares overflow in half precision.
        x = ops.expand_dims(ops.cast(inputs, "float32"), axes)
        count = ops.cast(ops.size(x), "float32") / x.shape[-1]
        shared = tf.distribute.get_strategy().num_replicas_in_sync > 1
        gamma, beta = self.gamma, self.beta
        if shared:
            # The gradient of an empty share is zero, but XLA computes NaN.
            gamma, beta = (ops.where(count > 0, weight, ops.stop_gradient(weight)) for weight in (gamma, beta))
        normalized, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation returns the unbiased variance; Keras uses the biased one.
        variance = variance * (count - 1.0) / count
        if shared:
            mean = ops.where(count > 0, mean, self.moving_mean)
            variance = ops.where(count > 0, variance, self.moving_variance)
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1.0 - self.momentum))
        return ops.cast(ops.squeeze(normalized, axes), self.compute_dtype)
