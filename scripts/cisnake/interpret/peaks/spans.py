"""Blocks of scores, and the table of spans that every peak calling method returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import pandas as pd

from cisnake.errors import InputError

Blocks = Callable[[], Iterable[np.ndarray]]
"""Returns an iterable over projected scores in blocks of consecutive genes, (genes, length); can be called repeatedly."""

Caller = Callable[[np.ndarray], pd.DataFrame]
"""Returns the spans of one block, called with previously fitted thresholds, as a table like that of `span_table`."""


class PeakMethod(Protocol):
    """Settings of a peak calling method; `fit` computes thresholds from scores, which can then be applied to any scores."""

    def fit(self, blocks: Blocks) -> Caller:
        """Return a caller with thresholds computed from these scores."""
        ...


_BATCH = 50_000


def as_blocks(scores: np.ndarray | Blocks) -> Blocks:
    """Return a source of blocks that raises an error if scores are not finite.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(genes, length), or Blocks

    Raises
    ------
    InputError
        A score is NaN or infinite; raised when the block is read.
    """

    def read() -> Iterable[np.ndarray]:
        for block in scores() if callable(scores) else (scores,):
            if not np.isfinite(block).all():
                raise InputError("attributions are not finite: the model has probably diverged. Check its training log.")
            yield block

    return read


def call_spans(caller: Caller, blocks: Iterable[np.ndarray]) -> pd.DataFrame:
    """Call the spans of all blocks; rows are numbered across blocks, and spans are sorted by row and position.

    Parameters
    ----------
    caller: Caller
    blocks: iterable of numpy.ndarray, shape=(genes, length)

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.peaks import LocalMaxima
    >>> from cisnake.interpret.peaks.spans import as_blocks, call_spans
    >>> blocks = as_blocks(np.array([[0, 0, 4, 0, 0, 0, 0], [0, 0, 0, 0, -6, 0, 0]], float))
    >>> caller = LocalMaxima(min_dist=3, height=1).fit(blocks)
    >>> call_spans(caller, blocks())[["row", "start", "end", "sign"]].to_numpy().tolist()
    [[0, 1, 4, 1], [1, 3, 6, -1]]
    """
    tables, first = [], 0
    for block in blocks:
        spans = caller(block)
        tables.append(spans.assign(row=spans["row"] + first))
        first += len(block)
    tables = [spans for spans in tables if len(spans)] or [no_spans()]
    return pd.concat(tables, ignore_index=True).sort_values(["row", "start", "end", "sign"], kind="stable", ignore_index=True)


def span_table(
    scores: np.ndarray,
    row: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    sign: np.ndarray,
    p_value: np.ndarray | None = None,
    summit: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the table of spans in a block.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(genes, length)
    row: numpy.ndarray, shape=(n,), dtype=int
        Row of the gene in the block.
    start, end: numpy.ndarray, shape=(n,), dtype=int
        Half-open, in the window, each at least one base long.
    sign: numpy.ndarray, shape=(n,), dtype=int
        1 if the span was called as raising the score, -1 as lowering it.
    p_value: numpy.ndarray, shape=(n,), optional
        Default None: NaN.
    summit: numpy.ndarray, shape=(n,), dtype=int, optional
        Position in the window. Default None: the position of the greatest |score| in the span (ties: the more upstream).

    Returns
    -------
    pandas.DataFrame
        row start end sign attribution (sum of the span) p_value summit height (score at the summit).

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.peaks.spans import span_table
    >>> one = np.array([1])
    >>> table = span_table(np.array([[0, 0, 0, 0.0], [0, 1, 3, 0]]), row=one, start=one, end=one + 2, sign=one)
    >>> table[["start", "end", "attribution", "summit", "height"]].to_numpy().tolist()
    [[1.0, 3.0, 4.0, 2.0, 3.0]]
    """
    at = start[:, None] + np.arange(int((end - start).max(initial=1)))
    inside = at < end[:, None]
    values = scores[row[:, None], np.minimum(at, scores.shape[1] - 1)]
    if summit is None:
        summit = start + np.where(inside, np.abs(values), -1).argmax(axis=1)
    return pd.DataFrame(
        {
            "row": row.astype(np.int64),
            "start": start.astype(np.int64),
            "end": end.astype(np.int64),
            "sign": sign.astype(np.int64),
            "attribution": np.where(inside, values, 0).sum(axis=1, dtype=np.float64),
            "p_value": np.full(len(row), np.nan) if p_value is None else p_value,
            "summit": summit.astype(np.int64),
            "height": scores[row, summit].astype(np.float64),
        }
    )


def no_spans() -> pd.DataFrame:
    """Return an empty table with the columns of `span_table`."""
    none = np.empty(0, np.int64)
    return span_table(np.zeros((0, 1)), none, none, none, none)


def highest_apart(row: np.ndarray, position: np.ndarray, size: np.ndarray, apart: int) -> np.ndarray:
    """Select positions greedily in descending order of size, each excluding others within a minimum distance.

    Parameters
    ----------
    row, position: numpy.ndarray, shape=(n,), dtype=int
        Positions in different rows never exclude each other.
    size: numpy.ndarray, shape=(n,)
        Ties are broken by row, then the more upstream position.
    apart: int
        Minimum distance between selected positions of a row.

    Returns
    -------
    numpy.ndarray, dtype=int64
        Indices of the selected positions, in the order of selection.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.peaks.spans import highest_apart
    >>> highest_apart(np.zeros(3, int), np.array([4, 6, 9]), np.array([2.0, 3.0, 1.0]), apart=3).tolist()
    [1, 2]
    """
    if not len(row):
        return np.empty(0, np.int64)
    order = np.lexsort((position, row, -size))
    # Concatenate rows, with a gap of sufficient width between them.
    place = apart + row.astype(np.int64) * (int(position.max()) + apart) + position
    shut = bytearray(int(place.max()) + apart)
    seen, marks = np.frombuffer(shut, np.uint8), b"\x01" * (2 * apart - 1)
    kept = []
    # Most positions are excluded by a few: filter each batch by the exclusions of earlier batches before the loop.
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        batch = batch[seen[place[batch]] == 0]
        for index, at in zip(batch.tolist(), place[batch].tolist(), strict=True):
            if not shut[at]:
                shut[at - apart + 1 : at + apart] = marks
                kept.append(index)
    return np.array(kept, np.int64)
