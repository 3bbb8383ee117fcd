"""De novo motif discovery: recurring patterns of contributions, found by TF-MoDISco without a motif database."""

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

# Options of the TF-MoDISco command line program; they differ from the defaults of its Python function.
OPTIONS = {
    "sliding_window_size": 20, "flank_size": 5, "trim_to_window_size": 30, "initial_flank_to_add": 10,
    "target_seqlet_fdr": 0.05, "n_leiden_runs": 2,
}  # fmt: skip
# If its error rate leaves fewer windows, as it does where sites are dense, TF-MoDISco takes the highest and lowest 3 %. In the
# simulated genome, 3 % includes the sites of two factors out of seven, and 10 % those of all. We take as many windows as can be
# clustered; a seqlet corresponds to about 13 consecutive windows.
LEAST_SHARE, GREATEST_SHARE, WINDOWS_PER_SEQLET = 0.03, 0.1, 13
# A narrower window has no space for a seqlet with its flanks.
MIN_WIDTH = 50
# TF-MoDISco holds three arrays of four float32 per base; with this many bases they take 2 GB.
MAX_BASES = 40_000_000
# The core of a pattern extends over the positions with at least this share of the greatest contribution.
CORE_SHARE = 0.3
# Shorter cores are widened on both sides: a word of three bases matches almost any motif.
MIN_CORE = 6


@dataclass(frozen=True, eq=False)
class Pattern:
    """A recurring pattern, trimmed to the positions that contribute.

    Attributes
    ----------
    id: str
        "positive_1", "negative_1", ...; within each sign, the pattern with the most seqlets is first.
    probabilities: numpy.ndarray, shape=(width, 4), dtype=float64
        Base frequencies among the seqlets, in the order A C G T.
    contributions: numpy.ndarray, shape=(width, 4), dtype=float64
        Mean contribution of each base over all seqlets; a seqlet with another base at the position counts as 0.
    seqlets: pandas.DataFrame
        The columns of `SEQLET_COLUMNS`: the sites of the pattern, sorted by gene and position. start and end are on the genome,
        window_start and window_end in the gene-oriented window. strand is the genomic strand of the pattern, orientation its
        strand relative to the gene. contribution is the sum over the seqlet.

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
        """The sign of the effect: "+" if the pattern raises the score, "-" if it lowers the score."""
        return "+" if self.contributions.sum() > 0 else "-"

    @property
    def consensus(self) -> str:
        """The most frequent base at each position: upper case for shares of at least 0.7, n below 0.4."""
        best, share = self.probabilities.argmax(axis=1), self.probabilities.max(axis=1)
        letters = np.where(share >= 0.7, np.array(list("ACGT"))[best], np.array(list("acgt"))[best])
        return "".join(np.where(share < 0.4, "n", letters))

    @property
    def motif(self) -> Motif:
        """The pattern as a motif built from its seqlets, named after its consensus."""
        return Motif(self.id, self.consensus, self.probabilities, len(self.seqlets))


def discover_patterns(
    file: AttributionFile, width: int = 2000, max_seqlets: int = 20_000, seed: int = 0, threads: int = 1
) -> list[Pattern]:
    """Run TF-MoDISco on the contributions of all genes in a file, and return the patterns.

    Parameters
    ----------
    file: AttributionFile
        Must have hypothetical contributions.
    width: int
        Number of bases to use around the TSS of each gene. The region is shifted if it would extend beyond the window; shorter
        windows are used completely. Default 2000.
    max_seqlets: int
        Maximum number of seqlets per sign. Default 20,000.
    seed: int
        Random seed for the order of the genes, which determines the genes used if there are too many. Default 0.
    threads: int
        Number of threads. Default 1.

    Returns
    -------
    list of Pattern
        Patterns that raise the score, then patterns that lower it; within each sign, those with the most seqlets first. Empty
        if no positions stand out.

    Raises
    ------
    InputError
        TF-MoDISco is not installed, the file has no hypothetical contributions, or the windows are too short.
    """
    tfmodisco = _load_modisco(threads)
    windows = _draw_windows(file, width, seed)
    if not windows.both_signs():
        log.warning("no patterns: contributions have only one sign, so that no null distribution can be fitted.")
        return []
    n, length = windows.one_hot.shape[:2]
    log.info("searching for patterns in %d windows of %d bases", n, length)
    positive, negative = tfmodisco.TFMoDISco(
        windows.one_hot,
        windows.hypothetical,
        max_seqlets_per_metacluster=max_seqlets,
        min_passing_windows_frac=np.clip(WINDOWS_PER_SEQLET * max_seqlets / (n * length), LEAST_SHARE, GREATEST_SHARE),
        **OPTIONS,
    )
    return [*_patterns(windows, positive or [], "positive", 1), *_patterns(windows, negative or [], "negative", -1)]


def _draw_windows(file: AttributionFile, width: int, seed: int) -> _Windows:
    """Return the region around the TSS of all genes, or of as many as fit in memory, in random order."""
    if not file.has_hypothetical:
        raise InputError(
            f"{file.path} has no hypothetical contributions, which pattern discovery requires: set "
            "attribution.hypothetical: true in the configuration."
        )
    width = min(width, file.length)
    if width < MIN_WIDTH:
        raise InputError(f"{file.path}: {width} bases per window are too few to find patterns: use at least {MIN_WIDTH}.")
    rows = np.random.default_rng(seed).permutation(len(file))
    if len(rows) * width > MAX_BASES:
        rows = rows[: MAX_BASES // width]
        log.info("searching for patterns in %d of %d genes, drawn at random", len(rows), len(file))
    return _read_windows(file, rows, width)


def _patterns(windows: _Windows, candidates: Sequence[Any], name: str, sign: int) -> list[Pattern]:
    """Return the patterns of one sign, trimmed to their cores, those with the most seqlets first."""
    cores = [windows.core(candidate.seqlets) for candidate in candidates]
    # Drop candidates whose core, the part that the seqlets share, does not contribute with the right sign.
    cores = [places for places in cores if sign * windows.mean(places)[1].sum() > 0]
    if not cores:
        log.info("no %s patterns: too few positions stand out", name)
    ordered = sorted(cores, key=len, reverse=True)
    return [windows.pattern(f"{name}_{number}", places) for number, places in enumerate(ordered, start=1)]


def _load_modisco(threads: int) -> Any:
    try:
        import numba
        from modiscolite import tfmodisco
    except ImportError as error:
        raise InputError("pattern discovery requires TF-MoDISco, which is not installed: run `make patterns`.") from error
    config: Any = numba.config
    # TF-MoDISco forks to compile, and caches compiled code only with a fork-safe threading layer.
    config.THREADING_LAYER = "forksafe"
    numba.set_num_threads(max(1, min(threads, config.NUMBA_NUM_THREADS)))
    return tfmodisco


@dataclass(frozen=True, eq=False)
class _Windows:
    """Input of TF-MoDISco: regions of windows, (n, width, 4) float32, and their origin.

    Sites of a pattern are rows of (example, start, end, turned) in these regions.
    """

    one_hot: np.ndarray
    hypothetical: np.ndarray
    first: np.ndarray
    table: pd.DataFrame

    def both_signs(self) -> bool:
        """Return whether there are window sums above and below zero; TF-MoDISco fits a distribution to each sign."""
        size = OPTIONS["sliding_window_size"]
        sums = np.cumsum(np.einsum("nlb,nlb->nl", self.one_hot, self.hypothetical), axis=1)
        sums = sums[:, size:] - sums[:, :-size]
        return bool((sums > 0).any() and (sums < 0).any())

    def core(self, seqlets: Sequence[Any]) -> np.ndarray:
        """Return the sites of a pattern, trimmed to the positions that contribute, in file order."""
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
        """Return base frequencies and mean contributions of sites of equal length, shape=(length, 4), dtype=float64."""
        bases, contributions = self._at(places)
        counts = bases.sum(axis=0, dtype=np.float64)
        totals = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, totals, out=np.full_like(counts, 0.25), where=totals > 0)
        return shares, contributions.mean(axis=0, dtype=np.float64)

    def _at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return bases and contributions of sites in the orientation of the pattern, shape=(sites, length, 4)."""
        at = places[:, 1:2] + np.arange(places[0, 2] - places[0, 1])
        bases = self.one_hot[places[:, :1], at]
        contributions = bases * self.hypothetical[places[:, :1], at]
        turned = (places[:, 3] == 1)[:, None, None]
        return tuple(np.where(turned, x[:, ::-1, ::-1], x) for x in (bases, contributions))

    def pattern(self, name: str, places: np.ndarray) -> Pattern:
        """Build the pattern from its sites."""
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
    """Read the regions around the TSS of the genes in `rows`, in that order."""
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
