"""Attribution: the contribution of each base of a window to a score.

A *score* (`target_scores.Score`) defines the number to explain, a *method* (one of `ATTRIBUTION_METHODS`) divides it among the
bases, and `attribute` averages over an ensemble: several models, and several views of each window.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from cisnake.errors import unknown_name
from cisnake.interpret.attribution.gradients import gradient, input_x_gradient, saliency, smoothgrad
from cisnake.interpret.attribution.integrated import (
    expected_integrated_gradients,
    integrated_gradients,
    mean_baseline_scores,
    shuffle_scores,
)
from cisnake.interpret.attribution.mutagenesis import in_silico_mutagenesis
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.shared_words import NetworkWithWords, attribute_parts, is_linear
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model import ONE_VIEW, WindowViews, reverse_complement_one_hot, shift_windows

# Maps a network, inputs and scores to scores (scores, n) and contributions (scores, n, length, 4).
Method = Callable[..., tuple[np.ndarray, np.ndarray]]

ATTRIBUTION_METHODS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    method.__name__: method
    for method in (
        gradient,
        input_x_gradient,
        saliency,
        integrated_gradients,
        expected_integrated_gradients,
        smoothgrad,
        in_silico_mutagenesis,
    )
}

# Functions that return the score of the baseline, shape (scores, n), with which the sum of a method's attributions is compared.
# They take the arguments of the method except n_steps and tolerance.
BASELINE_SCORES: dict[str, Callable[..., np.ndarray]] = {
    integrated_gradients.__name__: mean_baseline_scores,
    expected_integrated_gradients.__name__: shuffle_scores,
}


def method_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a method, filling in its defaults.

    Parameters
    ----------
    name: str
        One of `ATTRIBUTION_METHODS`.
    options: mapping
        Options that only other methods take are ignored.

    Raises
    ------
    InputError
        There is no such method, or no method has such an option.
    """
    if name not in ATTRIBUTION_METHODS:
        raise unknown_name("attribution method", name, ATTRIBUTION_METHODS)
    defaults = {method: _defaults(function) for method, function in ATTRIBUTION_METHODS.items()}
    known = {option for names in defaults.values() for option in names}
    for option in options:
        if option not in known:
            raise unknown_name("option of an attribution method", option, sorted(known))
    return {option: options.get(option, default) for option, default in defaults[name].items()}


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    options = {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}
    # What a part of a model is told about the rest.
    options.pop("beside", None)
    return options


def project(inputs: np.ndarray, contributions: np.ndarray) -> np.ndarray:
    """Return the contribution of the base present at each position; 0 for the other bases and at N.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(n, length, depth)
        Bases in channels 0-3.
    contributions: numpy.ndarray, shape=(..., n, length, 4)
        Contributions from any method.

    Returns
    -------
    numpy.ndarray, shape=(..., n, 4, length), dtype=float32

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import encode, one_hot
    >>> from cisnake.interpret.attribution import project
    >>> contributions = np.arange(8.0).reshape(1, 2, 4)
    >>> project(one_hot(encode("GA"))[None], contributions).tolist()
    [[[0.0, 4.0], [0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]]
    """
    return np.swapaxes(contributions * inputs[..., :4], -1, -2).astype(np.float32)


def attribute(
    networks: Sequence[ScoredModel],
    inputs: np.ndarray,
    scores: Sequence[Score],
    method: Method = input_x_gradient,
    views: WindowViews = ONE_VIEW,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ensemble-averaged contributions of bases, and the scores of windows from each model.

    Each model attributes every view of a window. Contributions are mapped back to window coordinates and averaged. A base that
    a shift moves out of the window is averaged over the views that contain it.

    Parameters
    ----------
    networks: sequence of ScoredModel
    inputs: numpy.ndarray, shape=(n, length, depth)
        Bases in channels 0-3, and the gene body in channel 4 if the model uses it.
    scores: sequence of Score
        Weights that differ between examples have n rows.
    method: callable
        One of `ATTRIBUTION_METHODS`; bind its options with `functools.partial`. Default `input_x_gradient`.
    views: WindowViews
        Shifts, and whether to include the reverse complement. Default: the unshifted forward strand.

    Returns
    -------
    contributions: numpy.ndarray, shape=(scores, n, length, 4)
        Mean over models and views; `project` selects the bases present in the sequence.
    scores: numpy.ndarray, shape=(models, scores, n)
        Mean over views.
    """
    # A running sum avoids keeping the contributions of all models in memory.
    total, values = np.zeros((), inputs.dtype), []
    for value, contributions in attribute_each(networks, inputs, scores, method, views):
        total = total + contributions
        values.append(value)
    return total / len(networks), np.stack(values)


def attribute_each(
    networks: Sequence[ScoredModel], inputs: np.ndarray, scores: Sequence[Score], method: Method, views: WindowViews
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the scores and contributions of each model of an ensemble, averaged over views.

    Parameters
    ----------
    networks, inputs, scores, method, views
        See `attribute`.

    Yields
    ------
    scores: numpy.ndarray, shape=(scores, n)
        If the method returns another number of rows, that many.
    contributions: numpy.ndarray, shape=(scores, n, length, 4)
        0 where no view contains the base.
    """
    strands = (False, True) if views.reverse_complement else (False,)
    ones = np.ones((1, inputs.shape[1], 1), inputs.dtype)
    seen = np.concatenate([_back(shift_windows(ones, by), by, False) for by in views.shifts]).sum(axis=0) * len(strands)
    of_words: dict[Hashable, Any] = {}
    divisible = all(map(is_linear, scores))
    for network in networks:
        total, values = np.zeros((), inputs.dtype), []
        for by, turned in itertools.product(views.shifts, strands):
            shown, asked = shift_windows(inputs, by), scores
            if turned:
                shown, asked = reverse_complement_one_hot(shown), [score.on_reverse(views.strand_pair) for score in scores]
            if divisible and isinstance(network, NetworkWithWords):
                value, contributions = attribute_parts(method, network, shown, asked, of_words, (by, turned))
            else:
                value, contributions = method(network, shown, asked)
            total = total + _back(contributions, by, turned)
            values.append(value)
        yield np.mean(values, axis=0), np.divide(total, seen, out=np.zeros_like(total), where=seen > 0)


def _back(contributions: np.ndarray, shift: int, turned: bool) -> np.ndarray:
    """Map the contributions of a view, shape=(..., length, 4), to window positions; 0 at positions outside the view."""
    rows = contributions.reshape(-1, *contributions.shape[-2:])
    rows = shift_windows(reverse_complement_one_hot(rows) if turned else rows, -shift)
    return rows.reshape(contributions.shape)


def jacobian(
    model: keras.Model,
    inputs: np.ndarray,
    tasks: Sequence[int] | None = None,
    positions: np.ndarray | None = None,
    correct_mean: bool = False,
    batch_size: int = 8,
    tasks_at_once: int = 16,
) -> np.ndarray:
    """Return the gradient of every task with respect to the bases.

    Parameters
    ----------
    model: keras.Model
        Maps (batch, length, depth) to (batch, tasks) or (batch, positions, tasks).
    inputs: numpy.ndarray, shape=(n, length, depth)
    tasks: sequence of int, optional
        Columns of the predictions. Default None: all.
    positions: numpy.ndarray, shape=(positions,) or (n, positions), optional
        Weights of output positions, over which predictions are summed. Default None: 1 for all positions.
    correct_mean: bool
        Subtract the mean over the four bases. Default False.
    batch_size: int
        Examples per pass. Default 8.
    tasks_at_once: int
        Tasks that share a forward pass. Default 16.

    Returns
    -------
    numpy.ndarray, shape=(tasks, n, length, 4), dtype=float32
    """
    count = model.output_shape[-1]
    columns = np.arange(count) if tasks is None else np.asarray(tasks, int)
    width = min(tasks_at_once, len(columns))
    network = ScoredModel(model, min(batch_size, max(1, len(inputs))))
    method = functools.partial(gradient, correct_mean=correct_mean)
    slopes = np.zeros((len(columns), *inputs.shape[:2], 4), np.float32)
    for first in range(0, len(columns), width or 1):
        chosen = columns[first : first + width]
        # Pad the last chunk of tasks: a different number of scores would trigger a recompilation.
        weights = np.eye(count, dtype=np.float32)[np.resize(chosen, width)]
        slopes[first : first + width] = method(network, inputs, [Score(row, positions) for row in weights])[1][: len(chosen)]
    return slopes
