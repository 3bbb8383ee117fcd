"""De-novo patterns: what recurs among the bases that drive a score, found without a database by TF-MoDISco."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.data.genome import N, to_genome
from cisnake.errors import InputError
from cisnake.interpret.attribution import AttributionFile
from cisnake.program import log

SEQLET_COLUMNS = (
    "pattern", "gene_id", "chrom", "start", "end", "strand", "window_start", "window_end", "orientation", "contribution",
)  # fmt: skip

# Those of TF-MoDISco's own program, which differ from the defaults of its function.
OPTIONS = {
    "sliding_window_size": 20, "flank_size": 5, "trim_to_window_size": 30, "initial_flank_to_add": 10,
    "target_seqlet_fdr": 0.05, "n_leiden_runs": 2,
}  # fmt: skip
# TF-MoDISco takes the highest and lowest 3 % of its windows where its own error rate would leave fewer, as it does where sites
# are dense: in the simulated genome these are the sites of two factors out of seven, and 10 % those of all. As many as can be
# clustered are taken, a seqlet being some 13 windows that follow each other.
LEAST_SHARE, GREATEST_SHARE, WINDOWS_PER_SEQLET = 0.03, 0.1, 13
# Below this a window has no place for a seqlet with its flanks.
MIN_WIDTH = 50
# TF-MoDISco holds three arrays of four float32 a base: with this many bases they take 2 GB.
MAX_BASES = 40_000_000
# The core of a pattern begins and ends where a position has this share of the greatest contribution.
CORE_SHARE = 0.3
# A shorter core is widened to both sides: a word of three bases resembles everything.
MIN_CORE = 6


@dataclass(frozen=True, eq=False)
class Pattern:
    """What recurs at many places of the windows, cut to the positions that contribute.

    Attributes
    ----------
    id: str
        "positive_1", "negative_1", ...: of the patterns of one sign, that with the most seqlets first.
    probabilities: numpy.ndarray, shape=(width, 4), dtype=float64
        Shares of the bases, in the order A C G T, among the seqlets.
    contributions: numpy.ndarray, shape=(width, 4), dtype=float64
        Mean contribution of a base where it stands: of seqlets that have another base there, 0.
    seqlets: pandas.DataFrame
        The columns of `SEQLET_COLUMNS`: the places of the pattern, by gene and position. start and end are of the genome,
        window_start and window_end of the gene-oriented window; strand is the genome's strand along which the pattern reads,
        orientation the same relative to the gene; contribution is the sum over the seqlet.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.interpret.patterns import Pattern
    >>> shares = np.array([[0, 0, 0, 1], [0.6, 0.2, 0.1, 0.1], [0.3, 0.3, 0.2, 0.2]])
    >>> pattern = Pattern("negative_1", shares, -shares, pd.DataFrame())
    >>> pattern.consensus, pattern.sign, len(pattern)
    ('Tan', '-', 3)
    """

    id: str
    probabilities: np.ndarray
    contributions: np.ndarray
    seqlets: pd.DataFrame

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def sign(self) -> str:
        """Return "+" of a pattern that raises the score, "-" of one that lowers it."""
        return "+" if self.contributions.sum() > 0 else "-"

    @property
    def consensus(self) -> str:
        """The commonest base of each position: a capital from a share of 0.7, n below 0.4."""
        best, share = self.probabilities.argmax(axis=1), self.probabilities.max(axis=1)
        letters = np.where(share >= 0.7, np.array(list("ACGT"))[best], np.array(list("acgt"))[best])
        return "".join(np.where(share < 0.4, "n", letters))

    @property
    def motif(self) -> Motif:
        """The pattern as a motif of its seqlets, named by its consensus."""
        return Motif(self.id, self.consensus, self.probabilities, len(self.seqlets))


def discover_patterns(
    file: AttributionFile, width: int = 2000, max_seqlets: int = 20_000, seed: int = 0, threads: int = 1
) -> list[Pattern]:
    """Return the patterns that TF-MoDISco finds in the contributions of all genes of a file.

    Parameters
    ----------
    file: AttributionFile
        With hypothetical contributions.
    width: int
        Bases around the TSS of each gene that are looked at, moved into the window where they reach beyond it; all of it where
        it is not longer. Default 2000.
    max_seqlets: int
        Of each sign, at most. Default 20,000.
    seed: int
        Of the order of the genes, which decides what is left out where there is too much. Default 0.
    threads: int
        Default 1.

    Returns
    -------
    list of Pattern
        Those that raise the score first, then those that lower it, of either sign that with the most seqlets first. None where
        too little stands out.

    Raises
    ------
    InputError
        TF-MoDISco is not installed, the file has no hypothetical contributions, or the windows are too short.
    """
    tfmodisco = _load_modisco(threads)
    windows = _draw_windows(file, width, seed)
    if not windows.both_signs():
        log.warning("no patterns: contributions are not of both signs, so that nothing can be told from noise.")
        return []
    n, length = windows.one_hot.shape[:2]
    log.info("looking for patterns in %d windows of %d bases", n, length)
    positive, negative = tfmodisco.TFMoDISco(
        windows.one_hot,
        windows.hypothetical,
        max_seqlets_per_metacluster=max_seqlets,
        min_passing_windows_frac=np.clip(WINDOWS_PER_SEQLET * max_seqlets / (n * length), LEAST_SHARE, GREATEST_SHARE),
        **OPTIONS,
    )
    return [*_patterns(windows, positive or [], "positive", 1), *_patterns(windows, negative or [], "negative", -1)]


def _draw_windows(file: AttributionFile, width: int, seed: int) -> _Windows:
    """Return parts of the windows of all genes, or of as many as there is room for, in random order."""
    if not file.has_hypothetical:
        raise InputError(
            f"{file.path} has no hypothetical contributions, which patterns are made of: set attribution.hypothetical: true in "
            "the configuration."
        )
    width = min(width, file.length)
    if width < MIN_WIDTH:
        raise InputError(f"{file.path}: {width} bases of a window are too few to look for patterns; {MIN_WIDTH} are needed.")
    rows = np.random.default_rng(seed).permutation(len(file))
    if len(rows) * width > MAX_BASES:
        rows = rows[: MAX_BASES // width]
        log.info("patterns are looked for in %d of %d genes, drawn at random", len(rows), len(file))
    return _read_windows(file, rows, width)


def _patterns(windows: _Windows, candidates: Sequence[Any], name: str, sign: int) -> list[Pattern]:
    """Return the patterns of one sign, cut to their cores, those with the most seqlets first."""
    cores = [windows.core(candidate.seqlets) for candidate in candidates]
    # What stood out as a whole, and not in the positions that its seqlets have in common, is no pattern.
    cores = [places for places in cores if sign * windows.mean(places)[1].sum() > 0]
    if not cores:
        log.info("no %s patterns: too few places stand out", name)
    ordered = sorted(cores, key=len, reverse=True)
    return [windows.pattern(f"{name}_{number}", places) for number, places in enumerate(ordered, start=1)]


def _load_modisco(threads: int) -> Any:
    try:
        import numba
        from modiscolite import tfmodisco
    except ImportError as error:
        raise InputError("looking for patterns needs TF-MoDISco, which is not installed: run `make patterns`.") from error
    config: Any = numba.config
    # TF-MoDISco forks to compile, and keeps what it compiled for the next run, with threads that survive a fork only.
    config.THREADING_LAYER = "forksafe"
    numba.set_num_threads(max(1, min(threads, config.NUMBA_NUM_THREADS)))
    return tfmodisco


@dataclass(frozen=True, eq=False)
class _Windows:
    """What TF-MoDISco is given: parts of windows, (n, width, 4) float32, and where they are from.

    Places of a pattern are rows of (example, start, end, turned) in these parts.
    """

    one_hot: np.ndarray
    hypothetical: np.ndarray
    first: np.ndarray
    table: pd.DataFrame

    def both_signs(self) -> bool:
        """Return whether there are window sums above and below zero: TF-MoDISco fits a distribution to either."""
        size = OPTIONS["sliding_window_size"]
        sums = np.cumsum(np.einsum("nlb,nlb->nl", self.one_hot, self.hypothetical), axis=1)
        sums = sums[:, size:] - sums[:, :-size]
        return bool((sums > 0).any() and (sums < 0).any())

    def core(self, seqlets: Sequence[Any]) -> np.ndarray:
        """Return the places of a pattern's seqlets, cut to the positions that contribute, in the order of the file."""
        places = np.array([(s.example_idx, s.start, s.end, s.is_revcomp) for s in seqlets], dtype=int)
        size = np.abs(self.mean(places)[1]).sum(axis=1)
        inside = np.flatnonzero(size >= CORE_SHARE * size.max())
        low, high = inside[0], inside[-1] + 1
        missing = max(0, MIN_CORE - (high - low))
        low = max(0, low - missing // 2)
        high = min(len(size), max(high, low + MIN_CORE))
        turned = places[:, 3] == 1
        start = np.where(turned, places[:, 2] - high, places[:, 1] + low)
        places = np.column_stack([places[:, 0], start, start + high - low, turned])
        return places[np.lexsort((start, self.table.index.to_numpy()[places[:, 0]]))]

    def mean(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return shares of the bases and mean contributions of places of one length, shape=(length, 4), dtype=float64."""
        bases, contributions = self._at(places)
        counts = bases.sum(axis=0, dtype=np.float64)
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, totals, out=np.full_like(counts, 0.25), where=totals > 0)
        return shares, contributions.mean(axis=0, dtype=np.float64)

    def _at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return bases and contributions of places as the pattern reads, shape=(places, length, 4)."""
        at = places[:, 1:2] + np.arange(places[0, 2] - places[0, 1])
        bases = self.one_hot[places[:, :1], at]
        contributions = bases * self.hypothetical[places[:, :1], at]
        turned = (places[:, 3] == 1)[:, None, None]
        return tuple(np.where(turned, x[:, ::-1, ::-1], x) for x in (bases, contributions))

    def pattern(self, name: str, places: np.ndarray) -> Pattern:
        """Return the pattern of some places."""
        example, first, last, turned = places.T
        gene = {column: self.table[column].to_numpy()[example] for column in ("gene_id", "chrom", "start", "end", "strand")}
        first, last = first + self.first[example], last + self.first[example]
        start, end = to_genome(gene["start"], gene["end"], gene["strand"], first, last)
        along = turned == 0
        columns = [
            np.full(len(places), name, object), gene["gene_id"], gene["chrom"], start, end,
            np.where((gene["strand"] == "+") == along, "+", "-"), first, last, np.where(along, "+", "-"),
            self._at(places)[1].sum(axis=(1, 2), dtype=np.float64),
        ]  # fmt: skip
        return Pattern(name, *self.mean(places), pd.DataFrame(dict(zip(SEQLET_COLUMNS, columns, strict=True))))


def _read_windows(file: AttributionFile, rows: np.ndarray, width: int) -> _Windows:
    """Return the parts of windows around the TSS, those of `rows` in that order."""
    table = file.windows.iloc[rows]
    first = np.clip(table["mask_start"].to_numpy(int) - width // 2, 0, file.length - width)
    one_hot, hypothetical = np.zeros((2, len(rows), width, 4), np.float32)
    letters = np.eye(N + 1, 4, dtype=np.float32)
    place = np.full(len(file), -1)
    place[rows] = np.arange(len(rows))
    for block, _, codes in file.blocks():
        values = file.read_hypothetical(block.start, block.stop)
        assert values is not None
        chosen = np.flatnonzero(place[block] >= 0)
        to = place[block][chosen]
        at = first[to][:, None] + np.arange(width)
        one_hot[to] = letters[codes[chosen[:, None], at]]
        hypothetical[to] = values[chosen[:, None], :, at]
    return _Windows(one_hot, hypothetical, first, table)
