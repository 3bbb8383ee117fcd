"""Cisnake's attribution methods, and the equivalent loops over tasks, with the same network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cisnake.interpret.attribution import ATTRIBUTION_METHODS, Score, ScoredModel, attribute, project

from .architecture import LENGTH, TASKS, one_hot, probe, random_data
from .cisnake_network import build_network
from .keras_weights import parameter_counts
from .worker import Line, connect, serve

# Positions, of LENGTH, on which the plain loop of mutagenesis is timed.
POSITIONS = 320


def our_methods(model: keras.Model, x: np.ndarray, passes: int) -> dict[str, Callable[[], np.ndarray]]:
    """Return one function per method that attributes all tasks of a batch (mutagenesis: of one sequence).

    Parameters
    ----------
    model: keras.Model
    x: numpy.ndarray, shape=(batch, length, 4)
    passes: int
        Number of points over which methods average gradients; even.

    Returns
    -------
    dict
        Functions that return arrays, shape=(tasks, batch, 4, length).
    """
    network = ScoredModel(model, len(x))
    scores = [Score(row) for row in np.eye(TASKS, dtype=np.float32)]
    options: dict[str, dict[str, Any]] = {
        "integrated_gradients": {"n_steps": passes, "baseline": "zeros"},
        "expected_integrated_gradients": {"n_steps": passes // 2, "n_shuffles": 2},
        "smoothgrad": {"n_samples": passes},
    }

    def run(name: str) -> np.ndarray:
        inputs = x[:1] if name == "in_silico_mutagenesis" else x
        method = functools.partial(ATTRIBUTION_METHODS[name], **options.get(name, {}))
        return project(inputs, attribute([network], inputs, scores, method)[0])

    return {name: functools.partial(run, name) for name in ATTRIBUTION_METHODS}


def loops(model: keras.Model, x: np.ndarray, passes: int) -> dict[str, Callable[[], np.ndarray]]:
    """Return one plain loop per method, over tasks and points, with a separate gradient tape for each.

    Random points are drawn beforehand, so that only gradients and their processing are timed. Mutagenesis has no gradients: its
    loop predicts mutants batch by batch, at the first `POSITIONS` positions of one sequence.

    Parameters
    ----------
    model, x, passes
        As in `our_methods`.

    Returns
    -------
    dict
        Functions that return arrays, shape=(tasks, batch, length, 4); for mutagenesis (positions, tasks).
    """
    noisy = [one_hot(codes) for codes in np.random.default_rng(3).integers(0, 4, (passes, *x.shape[:2]))]
    path = [(x * ((step + 0.5) / passes)).astype(np.float32) for step in range(passes)]

    def gradient(inputs: np.ndarray, task: int) -> np.ndarray:
        tensor = tf.constant(inputs)
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            score = model(tensor, training=False)[:, task]
        return tape.gradient(score, tensor).numpy()

    def over_tasks(points: list[np.ndarray], finish: Callable[[np.ndarray], np.ndarray]) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            means = [np.mean([gradient(point, task) for point in points], axis=0) for task in range(TASKS)]
            return np.stack([finish(mean) * x for mean in means])

        return run

    def same(slopes: np.ndarray) -> np.ndarray:
        return slopes

    def centred(slopes: np.ndarray) -> np.ndarray:
        return slopes - slopes.mean(axis=-1, keepdims=True)

    def mutagenesis() -> np.ndarray:
        positions = min(POSITIONS, x.shape[1])
        position, turn = np.divmod(np.arange(3 * positions), 3)
        predictions = []
        for first in range(0, len(position), len(x)):
            at, by = position[first : first + len(x)], turn[first : first + len(x)]
            batch = np.repeat(x[:1], len(at), axis=0)
            batch[np.arange(len(at)), at] = one_hot((x[0, at].argmax(axis=-1) + by + 1) % 4)
            predictions.append(model(tf.constant(batch), training=False).numpy())
        effects = np.concatenate(predictions) - model(x[:1], training=False).numpy()
        return -effects.reshape(positions, 3, TASKS).sum(axis=1) / 4

    return {
        "gradient": over_tasks([x], same),
        "input_x_gradient": over_tasks([x], centred),
        "saliency": over_tasks([x], lambda slopes: np.abs(centred(slopes))),
        "integrated_gradients": over_tasks(path, same),
        "expected_integrated_gradients": over_tasks(noisy, centred),
        "smoothgrad": over_tasks(noisy, centred),
        "in_silico_mutagenesis": mutagenesis,
    }


def our_attribution_worker(line: Line) -> None:
    """Run one method or loop per request."""
    settings = line.settings
    model, passes = build_network(), settings["passes"]
    x, few = one_hot(random_data(settings["batch_size"])[0]), one_hot(probe())
    line.answer(
        {
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "parameters": parameter_counts(model),
            "predictions": model(few, training=False).numpy().reshape(-1).tolist(),
            "attributions": our_methods(model, few, passes)["input_x_gradient"]().sum(axis=-2).reshape(-1).tolist(),
        }
    )
    functions = our_methods(model, x, passes) | {f"{name} loop": function for name, function in loops(model, x, passes).items()}
    counts = {"in_silico_mutagenesis": 1, "in_silico_mutagenesis loop": POSITIONS / LENGTH}

    def job(name: str) -> float:
        functions[name]()
        return counts.get(name, len(x))

    serve(line, {name: functools.partial(job, name) for name in functions})


if __name__ == "__main__":
    our_attribution_worker(connect())
