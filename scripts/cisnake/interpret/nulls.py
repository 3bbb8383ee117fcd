"""Null sequences with the composition of the genome."""

from __future__ import annotations

import itertools

import numpy as np

from cisnake.data.genome import N


def dinucleotide_shuffle(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle sequences, preserving dinucleotide counts.

    Every stretch without N is shuffled separately, and Ns stay in place. All pairs of adjacent letters, including those
    with N, therefore occur exactly as often as before. The first and last base of each stretch are kept. All sequences with
    these counts are equally likely (Altschul and Erickson 1985, doi:10.1093/oxfordjournals.molbev.a040370: a random
    Eulerian path through the graph of dinucleotides).

    Parameters
    ----------
    codes: numpy.ndarray, shape=(..., length), dtype=int8
        Sequences; not modified.
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
    # The walk is sequential. With plain iterators a step takes about 50 ns, which is faster than any vectorised form.
    walks = [iter(ordered.tolist()) for ordered in followers]
    path = [int(codes[0])]
    for _ in range(len(codes) - 1):
        path.append(int(next(walks[path[-1]])))
    return np.array(path, dtype=np.int8)


def _last_exits(followers: list[np.ndarray], end: int, rng: np.random.Generator) -> dict[int, int]:
    """Draw the last exit of each base, such that all exits lead to `end`.

    For four bases there are at most 27 combinations of exits. One is drawn directly, weighted by its number of paths. The
    rejection sampling of the original algorithm can take extremely long on a long stretch with a single exit.
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
    """Draw replacement bases from a Markov chain with the dinucleotide frequencies of the sequence.

    The chain starts at the base before `start`. A pseudocount of one is added to each dinucleotide count. A shuffle of the
    few bases of a site would preserve the composition of the site, and so often recreate a motif such as TATAAA; the chain
    does not.

    Parameters
    ----------
    context: numpy.ndarray, shape=(n,), dtype=int8
        The sequence.
    start: int
        Position of the first replacement base.
    length: int
        Number of bases.
    draws: int
        Number of independent draws.
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
    # After N, or at the start, bases are drawn from the overall composition of the sequence.
    chain = np.vstack([pairs, pairs.sum(axis=0)])
    thresholds = np.cumsum(chain / chain.sum(axis=1, keepdims=True), axis=1)[:, :3]
    drawn = np.empty((draws, length), dtype=np.int8)
    before = np.full(draws, context[start - 1] if start > 0 else N, dtype=np.int8)
    for column in range(length):
        before = (rng.random(draws)[:, None] >= thresholds[before]).sum(axis=1).astype(np.int8)
        drawn[:, column] = before
    return drawn
