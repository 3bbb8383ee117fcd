"""Null sequences with the composition of the genome."""

from __future__ import annotations

import itertools

import numpy as np

from cisnake.data.genome import N


def dinucleotide_shuffle(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle sequences so that each keeps its dinucleotides.

    Every stretch free of N is shuffled by itself and N stay where they are, so all pairs of neighbours, those with N too,
    occur exactly as often as before; the first and last base of a stretch keep their places. All sequences with these
    counts are equally likely (Altschul and Erickson 1985, doi:10.1093/oxfordjournals.molbev.a040370: a random Euler path
    through the graph of dinucleotides).

    Parameters
    ----------
    codes: numpy.ndarray, shape=(..., length), dtype=int8
        Sequences; unchanged.
    rng: numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape=(..., length), dtype=int8

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import decode, encode
    >>> from cisnake.interpret import dinucleotide_shuffle
    >>> decode(dinucleotide_shuffle(encode("ACGTACCANNGATTACAGG"), np.random.default_rng(1)))
    'ACACCGTANNGGACATTAG'
    """
    shuffled = np.array(codes, dtype=np.int8)
    for row in shuffled.reshape(-1, shuffled.shape[-1]):
        edges = np.flatnonzero(np.diff(row == N, prepend=True, append=True))
        for first, last in edges.reshape(-1, 2):
            row[first:last] = _shuffle_stretch(row[first:last], rng)
    return shuffled


def _shuffle_stretch(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(codes) < 4:
        return codes
    followers = [codes[1:][codes[:-1] == base] for base in range(4)]
    for base, last in _last_exits(followers, int(codes[-1]), rng).items():
        kept = followers[base].tolist()
        kept.remove(last)
        followers[base] = np.append(rng.permutation(kept), last)
    base = int(codes[-1])
    followers[base] = rng.permutation(followers[base])
    # A walk takes one step after the other; on plain iterators a step costs some 50 ns, less than any vectorised form.
    walks = [iter(ordered.tolist()) for ordered in followers]
    path = [int(codes[0])]
    for _ in range(len(codes) - 1):
        path.append(int(next(walks[path[-1]])))
    return np.array(path, dtype=np.int8)


def _last_exits(followers: list[np.ndarray], end: int, rng: np.random.Generator) -> dict[int, int]:
    """Draw the base to which each base is left for the last time; all ways must lead to `end`.

    There are at most 27 choices for four bases, so they are weighed by their number of ways and drawn from directly; the
    rejection of the original never ends in reasonable time on a long stretch with a single way out.
    """
    bases = [base for base in range(4) if base != end and len(followers[base])]
    counts = {base: np.bincount(followers[base], minlength=4).tolist() for base in bases}
    choices, weights = [], []
    for targets in itertools.product(*([t for t in range(4) if t != base and counts[base][t]] for base in bases)):
        exits = dict(zip(bases, targets, strict=True))
        if all(_leads_to(end, base, exits) for base in bases):
            choices.append(exits)
            weights.append(float(np.prod([float(counts[base][target]) for base, target in exits.items()])))
    return choices[rng.choice(len(choices), p=np.array(weights) / sum(weights))]


def _leads_to(end: int, base: int, exits: dict[int, int]) -> bool:
    for _ in range(4):
        base = exits.get(base, end)
    return base == end


def markov_bases(context: np.ndarray, start: int, length: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw bases to put into a sequence, from the frequencies of its dinucleotides.

    A chain that starts at the base before `start` and follows the sequence's own dinucleotide frequencies (plus one each).
    Unlike a shuffle of the few bases of a site, it does not give back the site's own composition, which for a motif such as
    TATAAA is the motif itself.

    Parameters
    ----------
    context: numpy.ndarray, shape=(n,), dtype=int8
        The sequence.
    start: int
        Where the bases are to stand.
    length: int
        How many bases.
    draws: int
        How many independent draws.
    rng: numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape=(draws, length), dtype=int8

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import decode, encode
    >>> from cisnake.interpret import markov_bases
    >>> drawn = markov_bases(encode("ATATATATCGCG"), start=4, length=6, draws=2, rng=np.random.default_rng(0))
    >>> [decode(bases) for bases in drawn]
    ['CATCGT', 'AATCTA']
    """
    pairs = np.bincount(context[:-1].astype(np.int64) * 5 + context[1:], minlength=25).reshape(5, 5)[:4, :4] + 1.0
    # After N, or at the start, bases come as they do anywhere in the sequence.
    chain = np.vstack([pairs, pairs.sum(axis=0)])
    thresholds = np.cumsum(chain / chain.sum(axis=1, keepdims=True), axis=1)[:, :3]
    drawn = np.empty((draws, length), dtype=np.int8)
    before = np.full(draws, context[start - 1] if start > 0 else N, dtype=np.int8)
    for column in range(length):
        before = (rng.random(draws)[:, None] >= thresholds[before]).sum(axis=1).astype(np.int8)
        drawn[:, column] = before
    return drawn
