"""One compiled step of training or validation: the same on one device, several devices, and several nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cisnake.model.devices import local_shares
from cisnake.model.training.optimizers import adaptive_clip

# A loss scale doubles after as many steps without overflow, and halves at each overflow (Micikevicius et al. 2018).
_FIRST_SCALE, _GROWTH_STEPS = 2.0**15, 2000


class LossScale:
    """A factor that keeps float16 gradients from vanishing: halved when they overflow, doubled when they long did not."""

    def __init__(self) -> None:
        self.scale = keras.Variable(_FIRST_SCALE, dtype="float32", trainable=False, name="loss_scale")
        self.steps = keras.Variable(0, dtype="int32", trainable=False, name="loss_scale_steps")

    def update(self, finite: Any) -> None:
        """Take note of whether the gradients of a step were finite."""
        grown = ops.cast(self.steps + 1 >= _GROWTH_STEPS, "float32") + 1.0
        self.scale.assign(ops.where(finite, self.scale * grown, self.scale / 2.0))
        self.steps.assign(ops.where(ops.logical_and(finite, self.steps + 1 < _GROWTH_STEPS), self.steps + 1, 0))


def sound_so_far() -> keras.Variable:
    """Return a flag for `Step`, to be made under its strategy: true until a step is not finite."""
    return keras.Variable(True, dtype="bool", trainable=False, name="sound")


class Step:
    """What is done with one batch for one head.

    Each replica computes the loss of its share of the batch, divided by the size of the whole batch, so that the sum over
    replicas, of values and of gradients alike, is what one device would have computed. The sum is taken before gradients are
    clipped and applied: Keras clips each replica's gradient apart, which is not the same.

    Parameters
    ----------
    model: keras.Model
        From inputs to the predictions of the head.
    loss: keras.losses.Loss
        Its `call` gives a value per example.
    metrics: list of keras.metrics.Metric
        Their variables are sums that start at zero.
    strategy: tf.distribute.Strategy
        That the model was built under.
    optimizer: keras.optimizers.Optimizer, optional
        Built. None for validation.
    settings: dict, optional
        The `train` section: `agc_clip`, `gradient_accumulation`, `jit_compile`, `batch_size`.
    loss_scale: LossScale, optional
        For float16.
    sound: keras.Variable, optional
        From `sound_so_far`, one for all steps that train the same weights: whether no step so far was broken. Default: its own.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        metrics: Sequence[keras.metrics.Metric],
        strategy: tf.distribute.Strategy,
        optimizer: keras.optimizers.Optimizer | None = None,
        settings: dict[str, Any] | None = None,
        loss_scale: LossScale | None = None,
        sound: keras.Variable | None = None,
    ) -> None:
        self.model, self.loss, self.metrics, self.strategy = model, loss, list(metrics), strategy
        self.optimizer, self.settings, self.loss_scale = optimizer, settings or {}, loss_scale
        with strategy.scope():
            self._sound = sound_so_far() if sound is None else sound
        self._variables = model.trainable_variables
        self._on_replica = self._descend if optimizer else self._look
        if self.settings.get("jit_compile"):
            self._on_replica = tf.function(self._on_replica, jit_compile=True, autograph=False)
        self._compiled = tf.function(self._run, reduce_retracing=True, autograph=False)

    def __call__(self, shares: Sequence[tuple[tf.Tensor, ...]], size: int) -> tuple[Any, Any, list[list[Any]]]:
        """Do the step.

        Parameters
        ----------
        shares: sequence of pairs of tensors
            Inputs and labels for each replica of this process.
        size: int
            Examples in the whole batch, over all replicas.

        Returns
        -------
        loss: scalar
            Mean over the examples of the batch, with the penalties of the weights.
        sound: bool
            Whether loss and gradients were finite, in this step and in all before it. Nothing is applied from the first on that
            was not, so that whoever learns of it later still has the weights before it. Gradients that a scaled loss made
            overflow are left out and no such step. Always true in validation.
        sums: list of list
            What the batch adds to the variables of each metric.
        """
        inputs, labels = (self._distribute([share[i] for share in shares]) for i in range(2))
        return self._compiled(inputs, labels, tf.constant(size, tf.float32))

    def _distribute(self, values: list[tf.Tensor]) -> Any:
        if self.strategy.num_replicas_in_sync == 1:
            return values[0]
        mine = local_shares(self.strategy)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[mine.index(context.replica_id_in_sync_group)]
        )

    def _run(self, inputs: Any, labels: Any, size: Any) -> tuple[Any, Any, list[list[Any]]]:
        def on_replica(*args: Any) -> Any:
            total = tf.distribute.get_replica_context().all_reduce
            # Packed together, by type: one exchange between replicas instead of one a weight.
            *single, double = self._on_replica(*args)
            return *total(tf.distribute.ReduceOp.SUM, single), total(tf.distribute.ReduceOp.SUM, double) if double else double

        scale = self.loss_scale.scale if self.loss_scale else tf.constant(1.0)
        results = self.strategy.run(on_replica, args=(inputs, labels, size, tf.convert_to_tensor(scale)))
        # After the exchange all replicas hold the same.
        loss, gradients, sums = tf.nest.map_structure(lambda x: self.strategy.experimental_local_results(x)[0], results)
        optimizer = self.optimizer
        if optimizer is None:
            return loss, tf.constant(True), sums
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in (*gradients, loss)])
        sound = tf.convert_to_tensor(self._sound)
        # Weights stay what they were: a batch that breaks the loss can be looked into, even when later ones are through.
        tf.cond(tf.logical_and(sound, finite), lambda: self._apply(optimizer, gradients, scale), lambda: None)
        if self.loss_scale:
            self.loss_scale.update(finite)
            # Gradients of float16 may overflow: the step was left out, and the scale of the loss has been lowered.
            overflow = tf.logical_and(tf.math.is_finite(loss), tf.convert_to_tensor(self.loss_scale.scale) >= 1.0)
            finite = tf.logical_or(finite, overflow)
        sound = tf.logical_and(sound, finite)
        self._sound.assign(sound)
        return loss, sound, sums

    def _apply(self, optimizer: keras.optimizers.Optimizer, gradients: list[Any], scale: Any) -> None:
        if self.loss_scale:
            gradients = [gradient / scale for gradient in gradients]
        if clip := self.settings.get("agc_clip"):
            gradients = adaptive_clip(gradients, self._variables, clip)
        optimizer.apply(gradients, self._variables)

    def _descend(self, inputs: Any, labels: Any, size: Any, scale: Any) -> tuple[Any, list[Any], list[list[Any]]]:
        """Return loss, scaled gradients and sums of one replica's share, cut into pieces if gradients are accumulated."""
        pieces = self.settings.get("gradient_accumulation", 1)
        if pieces == 1:
            return self._descend_piece(inputs, labels, size, scale, tf.constant(1.0))
        rows = tf.shape(inputs)[0]
        of_share = -(-self.settings["batch_size"] // self.strategy.num_replicas_in_sync)
        length = max(-(-of_share // pieces), 1)
        penalties = 1.0 / tf.cast(tf.maximum(-(-rows // length), 1), tf.float32)
        zeros = [tf.zeros_like(tf.convert_to_tensor(variable)) for variable in self._variables]
        total = (tf.constant(0.0), zeros, _zeros(self.metrics))

        def add(first: Any, total: Any) -> Any:
            part = slice(first, first + length)
            found = self._descend_piece(inputs[part], labels[part], size, scale, penalties)
            return first + length, tf.nest.map_structure(tf.add, total, found)

        # A share without an example is a piece of none: it has its part of the penalties.
        return tf.while_loop(lambda first, _: first < tf.maximum(rows, 1), add, (tf.constant(0), total))[1]

    def _descend_piece(self, inputs: Any, labels: Any, size: Any, scale: Any, penalties: Any) -> tuple[Any, list[Any], Any]:
        with tf.GradientTape() as tape:
            predictions = self.model(inputs, training=True)
            loss = self._share_of_loss(labels, predictions, size, penalties)
            scaled = loss * scale
        gradients = tape.gradient(scaled, [variable.value for variable in self._variables], unconnected_gradients="zero")
        return loss, gradients, self._sums(labels, predictions)

    def _look(self, inputs: Any, labels: Any, size: Any, scale: Any) -> tuple[Any, list[Any], list[list[Any]]]:
        predictions = self.model(inputs, training=False)
        return self._share_of_loss(labels, predictions, size, tf.constant(1.0)), [], self._sums(labels, predictions)

    def _share_of_loss(self, labels: Any, predictions: Any, size: Any, penalties: Any) -> Any:
        share = tf.reduce_sum(tf.cast(self.loss.call(labels, predictions), tf.float32)) / size
        for penalty in self.model.losses:
            share += penalty * penalties / self.strategy.num_replicas_in_sync
        return share

    def _sums(self, labels: Any, predictions: Any) -> list[list[Any]]:
        return [
            list(metric.stateless_update_state(zeros, labels, predictions))
            for metric, zeros in zip(self.metrics, _zeros(self.metrics), strict=True)
        ]


def _zeros(metrics: Sequence[keras.metrics.Metric]) -> list[list[Any]]:
    return [[ops.zeros(variable.shape, variable.dtype) for variable in metric.variables] for metric in metrics]


class Totals:
    """Losses and sums of the batches of an epoch, added up in float64 on the host."""

    def __init__(self, metrics: Sequence[keras.metrics.Metric]) -> None:
        self.metrics = list(metrics)
        self._loss, self.examples = 0.0, 0
        self._sums = [[np.zeros(variable.shape) for variable in metric.variables] for metric in metrics]

    def add(self, loss: float, size: int, sums: list[list[Any]]) -> None:
        """Add what one batch of `size` examples gave."""
        self._loss += loss * size
        self.examples += size
        for totals, found in zip(self._sums, sums, strict=True):
            for total, value in zip(totals, found, strict=True):
                total += np.asarray(value)

    def mean_loss(self) -> float:
        """Return the mean loss per example."""
        return self._loss / self.examples

    def values(self) -> dict[str, float]:
        """Return the mean loss per example, and every metric, by name."""
        return {"loss": self.mean_loss()} | {
            metric.name: float(metric.stateless_result([ops.convert_to_tensor(total) for total in totals]))
            for metric, totals in zip(self.metrics, self._sums, strict=True)
        }
