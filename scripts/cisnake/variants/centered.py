"""Score variants in windows that are centred on them, without genes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from cisnake.data.dataset import model_input
from cisnake.data.genome import Genome, encode
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.model import ONE_VIEW, WindowViews, predict_batches
from cisnake.program import Progress
from cisnake.variants.statistics import compare_predictions
from cisnake.variants.windows import trim

# Statuses of variants whose effect can be predicted: REF is in the genome, or ALT is.
_SCORED = ("ok", "flipped")


def centered_windows(
    genome: Genome, chrom: str, start: int, ref: str, alt: str, length: int, flipped: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return windows around a variant with the reference and the alternative allele.

    The first base that differs is base (length - 1) // 2 of the window, as in Baskerville. Where alleles differ in length, all
    bases on one side of them are shifted.

    Parameters
    ----------
    genome: Genome
    chrom: str
    start: int
        Position of the first base of `ref`, 0-based.
    ref, alt: str
        The alleles; the genome has `ref`, or `alt` if `flipped`.
    length: int
        Bases in a window.
    flipped: bool
        Whether the genome has the alternative allele. Default False.

    Returns
    -------
    ref, alt, alt_from_right: numpy.ndarray, shape=(length,), dtype=int8
        The alternative allele twice: with the bases before the variant in their places, and with those behind it. The two are
        equal if the alleles are equally long. Positions beyond the chromosome are N.

    Raises
    ------
    InputError
        An allele is longer than half the window.
    """
    change = trim(start, ref, alt)
    alleles = encode(ref[change.start - start :][: change.end - change.start]), encode(change.alt)
    center = (length - 1) // 2
    longest = max(map(len, alleles))
    if longest > center:
        raise InputError(f"{chrom}:{start + 1}:{ref[:10]}:{alt[:10]}: an allele of {longest} bases exceeds the window.")
    behind = change.start + len(alleles[1] if flipped else alleles[0])
    before = genome.codes(chrom, change.start - length, change.start)
    after = genome.codes(chrom, behind, behind + length)

    def window(allele: np.ndarray, first: int) -> np.ndarray:
        """Return the window in which the allele begins at base `first`."""
        return np.concatenate([before[len(before) - first :], allele, after])[:length]

    moved = center + len(alleles[0]) - len(alleles[1])
    return window(alleles[0], center), window(alleles[1], center), window(alleles[1], moved)


def mark_too_long(variants: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return variants with the status `too_long` where an allele does not fit into half a window.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `read_variants`.
    length: int
        Bases in a window.
    """
    scored = variants["status"].isin(_SCORED)
    changes = [trim(*row) if ok else None for ok, *row in zip(scored, variants["start"], variants["ref"], variants["alt"])]
    longest = np.array([0 if change is None else max(change.end - change.start, len(change.alt)) for change in changes], int)
    return variants.assign(status=variants["status"].mask(longest > (length - 1) // 2, "too_long"))


def merge_strands(tasks: Sequence[str], strand_pair: Sequence[int]) -> tuple[list[str], list[list[int]]]:
    """Return the tasks that remain when those of the two strands are added up.

    Parameters
    ----------
    tasks: sequence of str
    strand_pair: sequence of int
        For each task, the index of the task for the other strand, or its own index.

    Returns
    -------
    names: list of str
        A pair is named by what the names of both have in common at their beginning, without a separator at its end.
    groups: list of list of int
        Tasks of each name.

    Examples
    --------
    >>> from cisnake.variants import merge_strands
    >>> merge_strands(["liver_+", "dnase", "liver_-"], [2, 1, 0])
    (['liver', 'dnase'], [[0, 2], [1]])
    """
    groups = [sorted({i, partner}) for i, partner in enumerate(strand_pair) if i <= partner]
    names = []
    for group in groups:
        whole = [tasks[i] for i in group]
        same = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*whole))
        common = "".join(letter for letter, *_ in same).rstrip("+-_. ")
        names.append(whole[0] if len(group) == 1 else common or "/".join(whole))
    return names, groups


def score_centered(
    variants: pd.DataFrame,
    genome: Genome,
    models: Sequence[keras.Model],
    statistics: Sequence[str],
    views: WindowViews = ONE_VIEW,
    batch_size: int = 16,
    merged: Sequence[Sequence[int]] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield statistics of variants in windows centred on them, batch by batch.

    Predictions are averaged over networks and views before they are compared. Predictions with positions for an allele of
    another length are put together from two windows: up to the middle, where the bases before the variant are in their places,
    and from there on, where those behind it are. Otherwise all positions behind an insertion would be compared with their
    neighbours. Other predictions are averaged over the two windows.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `read_variants` and `mark_too_long`. Only those with the status ok or flipped are scored.
    genome: Genome
    models: sequence of keras.Model
        With the same input, of depth 4, and output.
    statistics: sequence of str
        See `VARIANT_STATISTICS`.
    views: WindowViews
        Shifts and strands. Default: the window as it is.
    batch_size: int
        Windows per pass. Default 16.
    merged: sequence of sequence of int, optional
        Tasks whose predictions are added up before alleles are compared, see `merge_strands`. Default None: each by itself.

    Yields
    ------
    rows: numpy.ndarray, shape=(n,)
        Rows of `variants`.
    values: numpy.ndarray, shape=(n, statistics, tasks), dtype=float64

    Raises
    ------
    InputError
        The networks read the gene body, or a statistic is unknown.
    """
    _, length, depth = models[0].input_shape
    if depth != 4:
        raise InputError("the networks read the gene body, so that variants need genes: use score_variants.py.")
    scored = np.flatnonzero(variants["status"].isin(_SCORED))
    progress = Progress("variants scored", len(scored))
    for first in range(0, len(scored), batch_size):
        rows = scored[first : first + batch_size]
        table = variants.iloc[rows]
        columns = (table[name] for name in ("chrom", "start", "ref", "alt", "status"))
        windows = [
            centered_windows(genome, chrom, start, ref, alt, length, status == "flipped")
            for chrom, start, ref, alt, status in zip(*columns, strict=True)
        ]
        again = [i for i, (_, alt, from_right) in enumerate(windows) if (alt != from_right).any()]
        codes = [*(w[0] for w in windows), *(w[1] for w in windows), *(windows[i][2] for i in again)]
        none = np.zeros(len(codes), int)
        inputs = model_input(np.stack(codes), none, none, depth)
        predicted = np.concatenate(list(predict_batches(models, iter([inputs]), batch_size, views)))
        predicted = predicted.reshape(len(codes), -1, predicted.shape[-1])
        if merged is not None:
            predicted = np.stack([predicted[..., list(group)].sum(axis=-1) for group in merged], axis=-1)
        n, middle = len(rows), predicted.shape[1] // 2
        ref, alt = predicted[:n], predicted[n : 2 * n].copy()
        if predicted.shape[1] > 1:
            alt[again, middle:] = predicted[2 * n :, middle:]
        elif again:
            alt[again] = (alt[again] + predicted[2 * n :]) / 2
        yield rows, np.stack([compare_predictions(r, a, statistics) for r, a in zip(ref, alt, strict=True)])
        progress.advance(n)


def write_centered(
    variants: pd.DataFrame,
    scores: Iterator[tuple[np.ndarray, np.ndarray]],
    statistics: Sequence[str],
    tasks: Sequence[str],
    output: str | Path,
) -> None:
    """Write one row per variant and task, batch by batch, and then one row without scores per variant that was not scored.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `read_variants`.
    scores: iterator
        From `score_centered`.
    statistics, tasks: sequence of str
    output: str or Path
        TSV: variant_id, chrom, pos (1-based), ref, alt, status, task, and a column per statistic.
    """
    table = variants.assign(pos=variants["start"] + 1)[["variant_id", "chrom", "pos", "ref", "alt", "status"]]
    unscored = table[~variants["status"].isin(_SCORED)].assign(task="", **dict.fromkeys(statistics, np.nan))
    parts = (_rows(table.iloc[rows], values, statistics, tasks) for rows, values in scores)
    with write_whole(output) as part, open(part, "w", encoding="utf-8", newline="") as sink:
        for number, rows in enumerate(itertools.chain(parts, [unscored])):
            rows.to_csv(sink, sep="\t", index=False, header=number == 0, float_format="%.7g")


def _rows(table: pd.DataFrame, values: np.ndarray, statistics: Sequence[str], tasks: Sequence[str]) -> pd.DataFrame:
    long = table.loc[table.index.repeat(len(tasks))].assign(task=list(tasks) * len(table))
    return long.assign(**{name: values[:, i].ravel() for i, name in enumerate(statistics)})
