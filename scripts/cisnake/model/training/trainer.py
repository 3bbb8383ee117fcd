"""Training with checkpoints, which resumes exactly after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from cisnake.data.dataset import LabelScale
from cisnake.errors import InputError, unknown_name
from cisnake.model.devices import is_chief_worker, local_shares
from cisnake.model.losses import loss_of_settings
from cisnake.model.metrics import R2, GenePearsonR, PearsonR, SeqAUC, SpearmanR
from cisnake.model.network import (
    adapter_layers,
    build_model,
    check_single_head,
    head_model,
    head_names,
    in_label_units,
    merge_adapters,
    output_layer,
    set_output_bias,
)
from cisnake.model.params import STANDARDIZED_LOSSES, count_epochs
from cisnake.model.training.batches import Batches, StoredLabels
from cisnake.model.training.checkpoint import Checkpoint
from cisnake.model.training.optimizers import build_optimizer
from cisnake.model.training.standardized_loss import StandardizedLoss
from cisnake.model.training.step import LossScale, Step, Totals, sound_so_far
from cisnake.model.training.tracking import Tracker
from cisnake.model.training.transfer import apply_transfer, freeze
from cisnake.program import duration, line_due, log

_PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
# Examples from which the mean label is computed.
_MOST_EXAMPLES = 512
_STAGE_KEYS = ("epochs", "train", "learning_rate")
_WORDS = {
    **{"loss": "loss", "val_loss": "validation loss", "val_pearsonr": "r", "val_r2": "R²"},
    **{"val_auroc": "AUROC", "val_auprc": "AUPRC"},
}


class Trainer:
    """Train a network until its validation score stops improving.

    An epoch is better than earlier ones only if its score is strictly greater. The score is mean Pearson r + mean R² / 4 over
    tasks of the validation examples, the negative loss for bce, or the metric named by `monitor`. Training stops after
    `train_epochs_max` epochs (more if these have fewer than `train_steps_min` batches), or after at least `train_epochs_min`
    epochs if none of the last `patience` was better.

    With several heads, each head has its own data. An epoch includes all their batches in random order. Each head has its own
    score, patience and best weights; training stops when no head improves any more. With `main_head`, the score of this head
    alone decides, and all heads keep the weights of its best epoch.

    With `stages`, training runs them one after another. Each stage has its own trainable weights, number of epochs, patience
    and optimizer. The best weights are those of the best epoch over all stages.

    The state of training is saved after each epoch. An interrupted run resumes from it and ends with the same weights as an
    uninterrupted one.

    Parameters
    ----------
    params: dict
        Complete sections `model` and `train`, and optionally `transfer`. If `model` has no `strand_pair`, each head gets that
        of its training data.
    train, val: Batches, or mapping of str to Batches
        `train` with a seed, `val` without; by head key (`head_human`, ...) if the network has several heads.
    seed: int
        Random seed of initial weights and dropout.
    checkpoint_dir: str or Path
        Folder of the saved state. Use it only with the same data, parameters and seed. On a cluster, it must be shared by all
        nodes.
    tracker: Tracker, optional
        Records the scores of every epoch.
    strategy: tf.distribute.Strategy, optional
        From `devices.distribution_strategy`. Default: one device.
    contrasts: sequence of pairs of sequences of int
        Contrasts between tasks of the only or the main head that the loss names, see `StandardizedLoss`.
    main_head: str, optional
        Key of the head whose score decides, if there are several. Default: every head for itself.

    Attributes
    ----------
    scales: dict of str to LabelScale
        Scale of the labels of each head that learns standardised labels: those with one label per gene and task, a loss that
        is defined for labels of any unit, and a linear end. The bias of other heads starts at the mean of the labels.

    Raises
    ------
    InputError
        A setting is unknown, windows do not match the model's input, or there are several heads but data for only one.
    """

    def __init__(
        self,
        params: dict[str, Any],
        train: Batches | Mapping[str, Batches],
        val: Batches | Mapping[str, Batches],
        seed: int,
        checkpoint_dir: str | Path,
        tracker: Tracker | None = None,
        strategy: tf.distribute.Strategy | None = None,
        contrasts: Sequence[tuple[Sequence[int], Sequence[int]]] = (),
        main_head: str | None = None,
    ) -> None:
        self.contrasts, self.main_head = contrasts, main_head
        self.settings, self.seed = params["train"], seed
        self.strategy = strategy or tf.distribute.get_strategy()
        self.tracker = tracker
        self.train = {"head": train} if isinstance(train, Batches) else dict(train)
        if main_head is not None:
            self.train = {main_head: self.train[main_head]} | self.train
        self.val = {"head": val} if isinstance(val, Batches) else dict(val)
        self.single = len(self.train) == 1
        if self.single:
            check_single_head(params["model"])
        self.params = params | {"model": _with_strand_pairs(params["model"], self.train, self.single)}
        self.scales: dict[str, LabelScale] = {}
        self.checkpoint = Checkpoint(checkpoint_dir)
        keras.utils.set_random_seed(seed)
        with self.strategy.scope(), _precision(self.settings["precision"]):
            self.model, self._trained = self._build(self.params.get("transfer", {}))
        self.heads = {key: self.model if self.single else head_model(self.model, key) for key in self.train}
        for key, batches in self.train.items():
            _check_lengths(self.heads[key], batches)
        self._check_synchronized()
        # Detect unknown names now, not hours later, when their stage begins.
        for stage in self._stages():
            freeze(self.model, stage.get("train", self._trained))
        self._last_line = time.monotonic()

    def fit(self) -> tuple[dict[str, keras.Model], pd.DataFrame]:
        """Train the network, or resume training.

        Returns
        -------
        models: dict of str to keras.Model
            Network with the best weights per head (`head`, if there is only one), in float32, not compiled.
        history: pandas.DataFrame
            One row per epoch and head: epoch, stage, head, seconds, learning_rate, training loss and metrics, validation loss
            and metrics (prefix `val_`), val_score, best.

        Raises
        ------
        InputError
            No epoch had a finite validation score, or the loss became infinite or NaN; the message lists the batch and the
            affected examples and tasks.
        """
        resumed = self.checkpoint.load()
        self._check_agreement()
        at = self.checkpoint.history[-1]["stage"] if resumed else 0
        for number, stage in enumerate(self._stages()):
            if number >= at:
                self._run_stage(self._prepare(number, stage), resumed and number == at)
        for key in self._deciding:
            if key not in self.checkpoint.best_weights:
                raise InputError(
                    "no epoch had a finite validation score: at least one task must have two different measured values among "
                    "the validation genes."
                )
        history = pd.DataFrame(self.checkpoint.history)
        if self.main_head is None:
            return {key: self._best(key) for key in self.heads}, history
        network = self._best(self.main_head)
        return {key: head_model(network, key) for key in self.heads}, history

    @property
    def _deciding(self) -> list[str]:
        """Heads whose scores decide when training stops and which weights are kept."""
        return list(self.heads) if self.main_head is None else [self.main_head]

    @property
    def _kept(self) -> dict[str, keras.Model]:
        """The part of the network whose best weights are kept, for each head that decides."""
        return self.heads if self.main_head is None else {self.main_head: self.model}

    def _build(self, transfer: dict[str, Any]) -> tuple[keras.Model, str | list[str]]:
        """Return the network, after transfer, and the names of its trainable parts."""
        targets = {key: batches.labels.shape[-1] for key, batches in self.train.items()}
        model = build_model(self.params["model"], next(iter(targets.values())) if self.single else targets)
        model, trained = apply_transfer(model, transfer)
        layers_of = dict(zip(self.train, head_names(self.params["model"]))) if self.single else {key: key for key in self.train}
        for key, batches in self.train.items():
            ending, labels = output_layer(model, layers_of[key]), batches.labels
            per_gene = isinstance(labels, np.ndarray) and labels.ndim == 2
            if per_gene and self.settings["loss"] in STANDARDIZED_LOSSES and ending and ending[1] == "linear":
                self.scales[key] = LabelScale.of(np.asarray(labels))
                # Predictions start from the mean label: differences between random predictions of tasks are far larger than
                # those between labels, and networks that first have to unlearn them end up worse.
                ending[0].kernel.assign(np.zeros(ending[0].kernel.shape, np.float32))
            else:
                set_output_bias(model, _mean_labels(labels), layers_of[key])
        return in_label_units(model, self.scales), trained

    def _best(self, key: str) -> keras.Model:
        # Rebuild the network without what only training requires: replicas, half precision and unmerged adapters.
        rebuilt = self._build(self.params.get("transfer", {}) | {"weights": None})[0]
        model = rebuilt if self.single or self.main_head is not None else head_model(rebuilt, key)
        model.set_weights(self.checkpoint.best_weights[key])
        return merge_adapters(model) if adapter_layers(model) else model

    def _stages(self) -> list[dict[str, Any]]:
        stages = self.settings["stages"] or [{"epochs": count_epochs(self.settings, self._steps_per_epoch)}]
        for stage in stages:
            if not isinstance(stage, dict):
                raise InputError(
                    f"a stage of train.stages is {stage!r}: it must be a mapping such as {{epochs: 5, train: head}}."
                )
            for key in stage:
                if key not in _STAGE_KEYS:
                    raise unknown_name("key of a stage of train.stages", key, _STAGE_KEYS)
            if not isinstance(stage.get("epochs"), int) or stage["epochs"] < 1:
                raise InputError(
                    f"a stage of train.stages has epochs {stage.get('epochs')!r}: it must be a whole number, at least 1."
                )
            if not isinstance(stage.get("learning_rate", 0.0), int | float):
                raise InputError(f"a stage of train.stages has learning_rate {stage['learning_rate']!r}: it must be a number.")
        return stages

    @property
    def _steps_per_epoch(self) -> int:
        return sum(len(batches) for batches in self.train.values())

    def _prepare(self, number: int, stage: dict[str, Any]) -> _Stage:
        """Return the new optimizer and steps of a stage: frozen weights and learning rate are part of a compiled step."""
        settings = self.settings | {"train_epochs_max": stage["epochs"]}
        settings["learning_rate"] = stage.get("learning_rate", settings["learning_rate"])
        freeze(self.model, stage.get("train", self._trained))
        with self.strategy.scope():
            scale = LossScale() if settings["precision"] == "mixed_float16" else None
            sound = sound_so_far()
            optimizer = build_optimizer(settings, self._steps_per_epoch, loss_scale=scale is not None)
            optimizer.build(self.model.trainable_variables)
        steps, checks = {}, {}
        for key, head in self.heads.items():
            loss, metrics = self._loss(key, settings), _metrics(settings, self.train[key].labels)
            steps[key] = Step(head, loss, metrics, self.strategy, optimizer, settings, scale, sound)
            checks[key] = Step(head, loss, metrics, self.strategy)
        return _Stage(number, settings, optimizer, scale, steps, checks)

    def _loss(self, key: str, settings: dict[str, Any]) -> keras.losses.Loss:
        loss = loss_of_settings(settings)
        if key not in self.scales:
            return loss
        contrasts = self.contrasts if key in self._deciding else ()
        return StandardizedLoss(loss, np.asarray(self.train[key].labels), settings["deviation_weight"], contrasts)

    def _run_stage(self, stage: _Stage, resumed: bool) -> None:
        variables = [*self.model.variables, *stage.variables]
        if resumed:
            self.checkpoint.restore(variables)
        self._stage_begin = time.monotonic(), self._epochs(stage)
        while not self._finished(stage):
            rows = self._run_epoch(stage)
            self.checkpoint.history += rows
            if is_chief_worker(self.strategy):
                self.checkpoint.save(variables)
                if self.tracker:
                    self.tracker.epoch(rows)
            done, most = self._epochs(stage), stage.settings["train_epochs_max"]
            left, due = self._time_left(done, most), self._due()
            for row in rows:
                best = max((past["epoch"] for past in self.checkpoint.rows(row["head"]) if past["best"]), default=0)
                said = ", ".join(f"{words} {row[name]:.4g}" for name, words in _WORDS.items() if name in row)
                head = "" if self.single else f" of {row['head']}"
                line = f"epoch {row['epoch']}/{row['epoch'] - done + most}{head}: {said}; best epoch {best}"
                log.info("%s; at most %s left", line, duration(left), extra={"terminal": due})

    def _run_epoch(self, stage: _Stage) -> list[dict[str, Any]]:
        started, epoch = time.monotonic(), self._epochs()
        trained = self._train_epoch(epoch, stage)
        rows: list[dict[str, Any]] = []
        for key in self.heads:
            values = trained[key] | {f"val_{name}": value for name, value in self._validate(key, stage).items()}
            score = _score(stage.settings, values)
            # The main head comes first: the others keep the weights of its best epoch.
            best = bool(score > self.checkpoint.best_score(key)) if key in self._kept else rows[0]["best"]
            if best and key in self._kept:
                self.checkpoint.best_weights[key] = self._kept[key].get_weights()
            row = {"epoch": epoch + 1, "stage": stage.number, "head": key, "seconds": round(time.monotonic() - started, 2)}
            row["learning_rate"] = float(np.asarray(stage.optimizer.learning_rate))
            rows.append(row | values | {"val_score": score, "best": best})
        return rows

    def _train_epoch(self, epoch: int, stage: _Stage) -> dict[str, dict[str, float]]:
        """Train on all batches once, mixing heads in random order, and return the loss and metrics of each head."""
        for batches in self.train.values():
            batches.epoch = epoch
        sources = {key: self._batches(batches) for key, batches in self.train.items()}
        order = np.repeat(list(sources), [len(batches) for batches in self.train.values()])
        if len(sources) > 1:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        totals = {key: Totals(step.metrics) for key, step in stage.steps.items()}
        last = None
        for number, key in enumerate(order, start=1):
            shares, size = next(sources[key])
            result = stage.steps[key](shares, size)
            # Read each result one step later, so that the device does not wait for Python; steps after a non-finite one do
            # nothing.
            if last:
                self._account(epoch, stage, totals, *last)
            last = key, number, shares, size, result
            # Only for epochs longer than the interval between lines; the line at the end of an epoch has the validation scores.
            total = totals[key]
            if total.examples and self._due(2):
                done, most = self._epochs(stage), stage.settings["train_epochs_max"]
                log.info(
                    "epoch %d/%d, batch %d/%d: loss %.4g; at most %s left",
                    epoch + 1, epoch - done + most, number, len(order), total.mean_loss(),
                    duration(self._time_left(done + number / len(order), most)), extra={"terminal": True},
                )  # fmt: skip
        if last:
            self._account(epoch, stage, totals, *last)
        return {key: total.values() for key, total in totals.items()}

    def _account(
        self, epoch: int, stage: _Stage, totals: dict[str, Totals], key: str, number: int, shares: Any, size: int, result: Any
    ) -> None:
        loss, sound, sums = result
        loss = float(loss)
        if not bool(sound):
            raise InputError(
                f"the loss ({loss}) or its gradient is not finite in batch {number} of epoch {epoch + 1}"
                f"{self._culprits(key, stage, shares)}: lower train.learning_rate or set train.clip_norm. With a Poisson loss, "
                "end the head with {name: final, activation: softplus}, so that predictions are non-negative."
            )
        totals[key].add(loss, size, sums)

    def _culprits(self, key: str, stage: _Stage, shares: Any) -> str:
        """Describe the examples and tasks of a batch that are not finite; `Step` has kept the weights from before the batch."""
        batches, genes, tasks = self.train[key], [], []
        for inputs, labels, chosen in shares:
            predictions = np.asarray(self.heads[key](inputs, training=True))
            labels = np.asarray(labels)
            broken = ~np.isfinite(predictions) | np.isinf(labels)
            per_example = np.asarray(stage.steps[key].loss.call(labels, predictions))
            broken_examples = broken.any(axis=tuple(range(1, broken.ndim))) | ~np.isfinite(per_example)
            genes += [batches.names[int(i)] for i in np.asarray(chosen)[broken_examples]]
            tasks += [batches.tasks[int(i)] for i in np.flatnonzero(broken.any(axis=tuple(range(broken.ndim - 1))))]
        parts = [f"{what} {_some(list(dict.fromkeys(names)))}" for what, names in (("for", genes), ("in task", tasks)) if names]
        return f" ({' '.join(parts)})" if parts else ""

    def _validate(self, key: str, stage: _Stage) -> dict[str, float]:
        totals = Totals(stage.checks[key].metrics)
        for shares, size in self._batches(self.val[key]):
            loss, _, sums = stage.checks[key](shares, size)
            totals.add(float(loss), size, sums)
        return totals.values()

    def _batches(self, batches: Batches) -> Iterator[tuple[list[Any], int]]:
        """Yield, for each batch, the shares of this process's replicas and the size of the whole batch."""
        local = local_shares(self.strategy)
        source = iter(batches.to_tensorflow(local, self.strategy.num_replicas_in_sync))
        for first in range(0, len(batches.labels), batches.batch_size):
            yield [next(source) for _ in local], min(batches.batch_size, len(batches.labels) - first)

    def _epochs(self, stage: _Stage | None = None) -> int:
        return len(self.checkpoint.rows(next(iter(self.heads)), stage.number if stage else None))

    def _finished(self, stage: _Stage) -> bool:
        epochs, settings = self._epochs(stage), stage.settings
        if epochs >= settings["train_epochs_max"]:
            return True
        first = self._epochs() - epochs
        improved = [row["epoch"] for key in self._deciding for row in self.checkpoint.rows(key, stage.number) if row["best"]]
        waited = epochs - (max(improved, default=first) - first)
        return epochs >= settings["train_epochs_min"] and waited >= settings["patience"]

    def _check_agreement(self) -> None:
        """Raise an error if the nodes would resume from different epochs."""
        if len(local_shares(self.strategy)) == self.strategy.num_replicas_in_sync:
            return
        rows = len(self.checkpoint.history)
        total = tf.function(lambda: self.strategy.reduce("SUM", self.strategy.run(lambda: tf.constant(rows)), axis=None))()
        if int(total) != rows * self.strategy.num_replicas_in_sync:
            raise InputError(
                f"the nodes see different states of training in {self.checkpoint.file.parent}: use a folder that is shared by "
                "all nodes."
            )

    def _check_synchronized(self) -> None:
        synchronized = any(getattr(layer, "synchronized", False) for layer in self.model.layers)
        if synchronized and self.strategy.num_replicas_in_sync > 1:
            for key, supported in (("gradient_accumulation", 1), ("jit_compile", False)):
                if self.settings[key] != supported:
                    raise InputError(
                        f"train.{key} is {self.settings[key]}, which norm_type batch-sync does not support on several devices: "
                        f"use norm_type batch, or remove train.{key}."
                    )

    def _due(self, spans: int = 1) -> bool:
        """Return whether a progress line is due, `spans` times the usual interval after the last one."""
        now = time.monotonic()
        due = line_due(self._last_line + (now - self._last_line) / spans, self._last_line, self._stage_begin[0])
        if due:
            self._last_line = now
        return due

    def _time_left(self, done: float, most: int) -> float:
        """Return the seconds that the rest of a stage takes, once `done` of at most `most` epochs are."""
        begin, before = self._stage_begin
        return (time.monotonic() - begin) / (done - before) * (most - done)


@dataclass(frozen=True)
class _Stage:
    """Optimizer and compiled steps of a stage of training."""

    number: int
    settings: dict[str, Any]
    optimizer: keras.optimizers.Optimizer
    scale: LossScale | None
    steps: dict[str, Step]
    checks: dict[str, Step]

    @property
    def variables(self) -> list[keras.Variable]:
        return [*self.optimizer.variables, *([self.scale.scale, self.scale.steps] if self.scale else [])]


def _with_strand_pairs(model: dict[str, Any], train: dict[str, Batches], single: bool) -> dict[str, Any]:
    """Return the `model` section with the strand pairs of the data, unless it has its own."""
    keys = list(train) if single else head_names(model)
    pairs = [train[key].strand_pair if key in train else None for key in keys]
    return {"strand_pair": pairs} | model if any(pairs) else model


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    if policy not in _PRECISIONS:
        raise unknown_name("train.precision", policy, _PRECISIONS)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _check_lengths(model: keras.Model, batches: Batches) -> None:
    model_shape, window_shape = model.input_shape[1:], batches.input_shape
    if model_shape != tuple(window_shape):
        raise InputError(
            f"the model has seq_length {model_shape[0]} and seq_depth {model_shape[1]}, but the windows in {batches.source} "
            f"have {window_shape[0]} bases and {window_shape[1]} channels: remove seq_length, or change the section windows."
        )
    predicted, labels = model.output_shape[1:], batches.labels.shape[1:]
    if predicted != labels:
        raise InputError(
            f"predictions of the model have shape {tuple(predicted)} per window (positions, tasks), but labels in "
            f"{batches.source} have shape {tuple(labels)}: "
            + (
                "end the trunk with flatten or global_pool to predict one value per gene."
                if len(labels) == 1
                else "change the model's pooling and cropping, or targets.bin_size and targets.crop."
            )
        )


def _mean_labels(labels: np.ndarray | StoredLabels) -> np.ndarray:
    """Return the mean label of each task over evenly spaced examples; 0 for a task without labels."""
    some = np.unique(np.linspace(0, len(labels) - 1, _MOST_EXAMPLES).round().astype(np.int64))
    total, n = np.zeros(labels.shape[-1]), np.zeros(labels.shape[-1])
    for row in some:
        values = np.asarray(labels[np.array([row])], np.float64).reshape(-1, labels.shape[-1])
        measured = np.isfinite(values)
        total += np.where(measured, values, 0.0).sum(axis=0)
        n += measured.sum(axis=0)
    return total / np.maximum(n, 1)


def _metrics(settings: dict[str, Any], labels: np.ndarray | StoredLabels) -> list[keras.metrics.Metric]:
    names = ["auroc", "auprc"] if settings["loss"] == "bce" else ["pearsonr", "r2"]
    monitored = (settings["monitor"] or "loss").removeprefix("val_")
    if monitored not in ("loss", *_METRICS):
        raise unknown_name("train.monitor", settings["monitor"], ("loss", *_METRICS))
    return [_METRICS[name](labels) for name in dict.fromkeys([*names, monitored]) if name != "loss"]


def _spread(labels: np.ndarray | StoredLabels, most: int = 4096) -> np.ndarray:
    """Return the labels of evenly spaced examples, enough to estimate quantiles."""
    return labels[np.unique(np.linspace(0, len(labels) - 1, most).round().astype(np.int64))]


_METRICS: dict[str, Callable[[np.ndarray | StoredLabels], keras.metrics.Metric]] = {
    "pearsonr": lambda labels: PearsonR(labels.shape[-1], name="pearsonr"),
    "r2": lambda labels: R2(labels.shape[-1], name="r2"),
    "spearmanr": lambda labels: SpearmanR.from_labels(_spread(labels), name="spearmanr"),
    "gene_pearsonr": lambda labels: GenePearsonR(labels.shape[-1], name="gene_pearsonr"),
    "auroc": lambda labels: SeqAUC("ROC", num_targets=labels.shape[-1], name="auroc"),
    "auprc": lambda labels: SeqAUC("PR", num_targets=labels.shape[-1], name="auprc"),
}


def _score(settings: dict[str, Any], values: dict[str, float]) -> float:
    monitored = settings["monitor"] or ("loss" if settings["loss"] == "bce" else None)
    if monitored is None:
        return values["val_pearsonr"] + values["val_r2"] / 4
    value = values[f"val_{monitored.removeprefix('val_')}"]
    return -value if monitored.endswith("loss") else value


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
