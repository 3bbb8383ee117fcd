"""A compiled training or validation step, with identical semantics on one device, several devices and several nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from cisnake.model.devices import local_shares
from cisnake.model.training.optimizers import adaptive_clip

# The loss scale doubles after this many steps without overflow, and halves at each overflow (Micikevicius et al. 2018).
_FIRST_SCALE, _GROWTH_STEPS = 2.0**15, 2000


class LossScale:
    """Adaptive loss scale that prevents float16 gradients from underflowing.

    It is halved when gradients overflow, and doubled after many steps without overflow.
    """

    def __init__(self) -> None:
        self.scale = keras.Variable(_FIRST_SCALE, dtype="float32", trainable=False, name="loss_scale")
        self.steps = keras.Variable(0, dtype="int32", trainable=False, name="loss_scale_steps")

    def update(self, finite: Any) -> None:
        """Update the scale, given whether the gradients of a step were finite."""
        grown = ops.cast(self.steps + 1 >= _GROWTH_STEPS, "float32") + 1.0
        self.scale.assign(ops.where(finite, self.scale * grown, self.scale / 2.0))
        self.steps.assign(ops.where(ops.logical_and(finite, self.steps + 1 < _GROWTH_STEPS), self.steps + 1, 0))


def sound_so_far() -> keras.Variable:
    """Return a flag for `Step` that is true until a step is not finite; create it in the scope of the strategy."""
    return keras.Variable(True, dtype="bool", trainable=False, name="sound")


class Step:
    """Training or validation step for one batch of one head.

    Each replica computes the loss of its share of the batch, divided by the size of the whole batch. The sums of losses and of
    gradients over replicas therefore equal the result of a single device. Gradients are summed before they are clipped and
    applied; Keras clips the gradients of each replica separately, which gives different results.

    Parameters
    ----------
    model: keras.Model
        From inputs to the predictions of the head.
    loss: keras.losses.Loss
        Its `call` returns one value per example.
    metrics: list of keras.metrics.Metric
        Their variables must be sums that start at zero.
    strategy: tf.distribute.Strategy
        The strategy in whose scope the model was built.
    optimizer: keras.optimizers.Optimizer, optional
        A built optimizer. None for validation.
    settings: dict, optional
        The `train` section: `agc_clip`, `gradient_accumulation`, `jit_compile`, `batch_size`.
    loss_scale: LossScale, optional
        For float16.
    sound: keras.Variable, optional
        From `sound_so_far`, shared by all steps that train the same weights: whether all steps so far were finite. Default: a
        new flag.
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
        self._on_replica = self._train_replica if optimizer else self._validate_replica
        if self.settings.get("jit_compile"):
            self._on_replica = tf.function(self._on_replica, jit_compile=True, autograph=False)
        self._compiled = tf.function(self._run, reduce_retracing=True, autograph=False)

    def __call__(self, shares: Sequence[tuple[tf.Tensor, ...]], size: int) -> tuple[Any, Any, list[list[Any]]]:
        """Run the step.

        Parameters
        ----------
        shares: sequence of pairs of tensors
            Inputs and labels for each replica of this process.
        size: int
            Number of examples in the whole batch, over all replicas.

        Returns
        -------
        loss: scalar
            Mean over the examples of the batch, plus weight penalties.
        sound: bool
            Whether loss and gradients were finite in this step and all earlier ones. From the first step that is not finite,
            no update is applied, so that the caller can still inspect the weights before that step. Overflow caused by loss
            scaling does not count; such an update is skipped. Always true in validation.
        sums: list of list
            The batch's contributions to the variables of each metric.
        """
        inputs, labels = (self._distribute([share[i] for share in shares]) for i in range(2))
        return self._compiled(inputs, labels, tf.constant(size, tf.float32))

    def _distribute(self, values: list[tf.Tensor]) -> Any:
        if self.strategy.num_replicas_in_sync == 1:
            return values[0]
        local = local_shares(self.strategy)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[local.index(context.replica_id_in_sync_group)]
        )

    def _run(self, inputs: Any, labels: Any, size: Any) -> tuple[Any, Any, list[list[Any]]]:
        def on_replica(*args: Any) -> Any:
            total = tf.distribute.get_replica_context().all_reduce
            # Packed by dtype: one exchange between replicas instead of one per weight.
            *single, double = self._on_replica(*args)
            return *total(tf.distribute.ReduceOp.SUM, single), total(tf.distribute.ReduceOp.SUM, double) if double else double

        scale = self.loss_scale.scale if self.loss_scale else tf.constant(1.0)
        results = self.strategy.run(on_replica, args=(inputs, labels, size, tf.convert_to_tensor(scale)))
        # After the exchange, all replicas hold the same values.
        loss, gradients, sums = tf.nest.map_structure(lambda x: self.strategy.experimental_local_results(x)[0], results)
        optimizer = self.optimizer
        if optimizer is None:
            return loss, tf.constant(True), sums
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in (*gradients, loss)])
        sound = tf.convert_to_tensor(self._sound)
        # Keep the weights from before the first non-finite step, so that it can be diagnosed even after later steps have run.
        tf.cond(tf.logical_and(sound, finite), lambda: self._apply(optimizer, gradients, scale), lambda: None)
        if self.loss_scale:
            self.loss_scale.update(finite)
            # float16 gradients may overflow: the update was skipped, and the loss scale has been lowered.
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

    def _train_replica(self, inputs: Any, labels: Any, size: Any, scale: Any) -> tuple[Any, list[Any], list[list[Any]]]:
        """Return loss, scaled gradients and sums of one replica's share, split into parts if gradients are accumulated."""
        parts = self.settings.get("gradient_accumulation", 1)
        if parts == 1:
            return self._train_part(inputs, labels, size, scale, tf.constant(1.0))
        rows = tf.shape(inputs)[0]
        share_size = -(-self.settings["batch_size"] // self.strategy.num_replicas_in_sync)
        length = max(-(-share_size // parts), 1)
        penalties = 1.0 / tf.cast(tf.maximum(-(-rows // length), 1), tf.float32)
        zeros = [tf.zeros_like(tf.convert_to_tensor(variable)) for variable in self._variables]
        total = (tf.constant(0.0), zeros, _zeros(self.metrics))

        def add(first: Any, total: Any) -> Any:
            part = slice(first, first + length)
            results = self._train_part(inputs[part], labels[part], size, scale, penalties)
            return first + length, tf.nest.map_structure(tf.add, total, results)

        # An empty share still runs one empty part, which contributes its penalties.
        return tf.while_loop(lambda first, _: first < tf.maximum(rows, 1), add, (tf.constant(0), total))[1]

    def _train_part(self, inputs: Any, labels: Any, size: Any, scale: Any, penalties: Any) -> tuple[Any, list[Any], Any]:
        with tf.GradientTape() as tape:
            predictions = self.model(inputs, training=True)
            loss = self._share_of_loss(labels, predictions, size, penalties)
            scaled = loss * scale
        gradients = tape.gradient(scaled, [variable.value for variable in self._variables], unconnected_gradients="zero")
        return loss, gradients, self._sums(labels, predictions)

    def _validate_replica(self, inputs: Any, labels: Any, size: Any, scale: Any) -> tuple[Any, list[Any], list[list[Any]]]:
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
    """Losses and metric sums of an epoch, accumulated in float64 on the host."""

    def __init__(self, metrics: Sequence[keras.metrics.Metric]) -> None:
        self.metrics = list(metrics)
        self._loss, self.examples = 0.0, 0
        self._sums = [[np.zeros(variable.shape) for variable in metric.variables] for metric in metrics]

    def add(self, loss: float, size: int, sums: list[list[Any]]) -> None:
        """Add the loss and sums of one batch of `size` examples."""
        self._loss += loss * size
        self.examples += size
        for totals, batch_sums in zip(self._sums, sums, strict=True):
            for total, value in zip(totals, batch_sums, strict=True):
                total += np.asarray(value)

    def mean_loss(self) -> float:
        """Return the mean loss per example."""
        return self._loss / self.examples

    def values(self) -> dict[str, float]:
        """Return the mean loss per example and all metrics, by name."""
        return {"loss": self.mean_loss()} | {
            metric.name: float(metric.stateless_result([ops.convert_to_tensor(total) for total in totals]))
            for metric, totals in zip(self.metrics, self._sums, strict=True)
        }
