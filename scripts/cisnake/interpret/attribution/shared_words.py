"""Attributions of the table of words that the networks of a fold share, computed once for all of them.

A network with words predicts a weighted sum of the network alone and of its words (`model.network.with_words`). Attributions
by every method of `LINEAR_METHODS` are linear in the model, so those of the two parts are computed apart and added up. The
replicates of a fold have the same words, with weights of their own.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model.network import DividedModel, divide_words

# The absolute value of a sum is not the sum of absolute values, so saliency is not among them.
LINEAR_METHODS = (
    "gradient",
    "input_x_gradient",
    "integrated_gradients",
    "expected_integrated_gradients",
    "smoothgrad",
    "in_silico_mutagenesis",
)

# Maps a network, inputs and scores to scores and contributions, as `methods.Method`.
Linear = Callable[..., tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class WordsOfFold:
    """A table of words, as a model of its own, that several networks share.

    Attributes
    ----------
    network: ScoredModel
        Predicts, for t tasks, t values sd · words and the mean of the words over tasks; shape (batch, t + 1).
    sd: numpy.ndarray, shape=(t,)
        Standard deviations of the labels.
    """

    network: ScoredModel
    sd: np.ndarray

    def scores(self, scores: Sequence[Score]) -> list[Score]:
        """Return the scores of the words that `combined` needs: one for each score, and the mean of the words over tasks."""
        mean = np.zeros(len(self.sd) + 1, np.float32)
        mean[-1] = 1
        return [
            *(dataclasses.replace(score, tasks=_padded(score.tasks), strand_pair=self._pair(score)) for score in scores),
            dataclasses.replace(scores[0], tasks=mean, strand_pair=self._pair(scores[0])),
        ]

    def combined(self, values: np.ndarray, scores: Sequence[Score], weights: tuple[float, float]) -> np.ndarray:
        """Return what the words add to scores of a network, or to their attributions.

        Parameters
        ----------
        values: numpy.ndarray, shape=(rows, n, ...)
            Of `scores(scores)`, or several such blocks of rows.
        scores: sequence of Score
        weights: tuple of float
            Of the mean over tasks, and of the deviations from it.

        Returns
        -------
        numpy.ndarray, shape=(rows without those of the mean, n, ...)
        """
        of_mean, of_deviations = weights
        blocks = values.reshape(-1, len(scores) + 1, *values.shape[1:])
        sums = np.stack([np.broadcast_to(self._sum(score), values.shape[1]) for score in scores])
        sums = sums.reshape(*sums.shape, *[1] * (values.ndim - 2)).astype(values.dtype)
        added = of_deviations * blocks[:, :-1] + (of_mean - of_deviations) * sums * blocks[:, -1:]
        return added.reshape(-1, *values.shape[1:])

    def equals(self, parts: DividedModel) -> bool:
        """Return whether a divided model has the same words and standard deviations."""
        pairs = zip([*self.network.model.weights, self.sd], [*parts.words.weights, parts.sd], strict=True)
        return all(np.array_equal(one, other) for one, other in pairs)

    def _sum(self, score: Score) -> np.ndarray:
        """Return the sum over tasks of weight times standard deviation: the change of a score if all words rise by 1."""
        sd = self.sd[list(score.strand_pair)] if score.reverse and score.strand_pair is not None else self.sd
        return score.tasks @ sd

    def _pair(self, score: Score) -> tuple[int, ...] | None:
        return None if score.strand_pair is None else (*score.strand_pair, len(self.sd))


def _padded(tasks: np.ndarray) -> np.ndarray:
    return np.concatenate([tasks, np.zeros_like(tasks[..., :1])], axis=-1)


class NetworkWithWords(ScoredModel):
    """A model with a table of words that it may share with other models.

    Parameters
    ----------
    model: keras.Model
        The whole.
    parts: DividedModel
        Of this model.
    words: WordsOfFold
        Equal to the words of `parts`.
    batch_size: int
        Examples per pass.
    """

    def __init__(self, model: keras.Model, parts: DividedModel, words: WordsOfFold, batch_size: int) -> None:
        super().__init__(model, batch_size)
        self.alone = ScoredModel(parts.network, batch_size)
        self.words, self.weights = words, parts.weights


def scored_models(models: Sequence[keras.Model], batch_size: int, method: str) -> list[ScoredModel]:
    """Return the models of a fold, ready to be attributed; words that they share will be attributed once.

    Parameters
    ----------
    models: sequence of keras.Model
    batch_size: int
        Examples per pass.
    method: str
        One of `ATTRIBUTION_METHODS`.
    """
    networks: list[ScoredModel] = []
    known: list[WordsOfFold] = []
    for model in models:
        parts = divide_words(model) if method in LINEAR_METHODS else None
        if parts is None:
            networks.append(ScoredModel(model, batch_size))
            continue
        shared = next((words for words in known if words.equals(parts)), None)
        if shared is None:
            shared = WordsOfFold(ScoredModel(parts.words, batch_size), parts.sd)
            known.append(shared)
        networks.append(NetworkWithWords(model, parts, shared, batch_size))
    return networks


def attribute_parts(
    method: Linear,
    network: NetworkWithWords,
    inputs: np.ndarray,
    scores: Sequence[Score],
    kept: dict[Hashable, Any],
    view: Hashable,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a method returns for a model with words, from its two parts.

    Parameters
    ----------
    method: callable
    network: NetworkWithWords
    inputs: numpy.ndarray, shape=(n, length, depth)
    scores: sequence of Score
        Linear in the predictions, see `is_linear`.
    kept: dict
        What the method returned for words so far; those of this view are added.
    view: hashable
        Name of these inputs and scores.
    """
    key = (id(network.words), view)
    if key not in kept:
        kept[key] = method(network.words.network, inputs, network.words.scores(scores))
    values, contributions = (network.words.combined(part, scores, network.weights) for part in kept[key])
    rest = {"beside": contributions} if "beside" in inspect.signature(method).parameters else {}
    alone = method(network.alone, inputs, scores, **rest)
    return alone[0] + values, alone[1] + contributions


def is_linear(score: Score) -> bool:
    """Return whether a score is a weighted sum of predictions per task."""
    return score.link == "identity" and score.transform is None and score.positions is None and not score.average
