"""In silico effects of motifs: delete their sites, and insert them into shuffled windows."""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.data.genome import reverse_complement
from cisnake.interpret.motifs import base_composition, motif_scores
from cisnake.interpret.nulls import dinucleotide_shuffle
from cisnake.interpret.probe import controls
from cisnake.interpret.probe.sides import SIDE_COLUMNS, moves_of, side_effects
from cisnake.interpret.probe.sites import choose_sites, control_starts, replacements
from cisnake.interpret.probe.window_scorer import Scorer
from cisnake.interpret.q_values import bh_q_values
from cisnake.program import log

EFFECT_COLUMNS = (
    "motif_id", "motif_name", "n_sites", "deletion_mean", "deletion_low", "deletion_high", "n_controls", "control_low",
    "control_high", "share_inert", "deletion_p_value", "deletion_q_value", "n_backgrounds", "insertion_mean", "insertion_low",
    "insertion_high", "insertion_p_value", "insertion_q_value", "enrichment_odds_ratio", "enrichment_q_value", "verdict",
    *SIDE_COLUMNS, "moves",
)  # fmt: skip
SITE_EFFECT_COLUMNS = (
    "motif_id", "motif_name", "gene_id", "chrom", "start", "end", "strand", "window_start", "window_end", "orientation",
    "from_tss", "p_value", "effect", "effect_sd", "control_low", "control_high", "verdict",
)  # fmt: skip

# Minimum number of controls per motif and per site, if windows have enough space.
CONTROLS, CONTROLS_PER_SITE = 200, 4
# Verdicts of motifs that act by themselves.
_ACTING = ("raises", "lowers")
# Motifs with a greater q-value are inert.
Q_VALUE = 0.05
# Columns needed only for verdicts: mean effect of sites, or of inserted motifs, minus that of their controls.
_EXCESS = ("deletion_excess", "insertion_excess")
# Minimum ratio of the insertion effect to the deletion effect for a motif to account for the effect of its sites. On the
# simulated genome, the ratio was 0.66 to 1.65 for planted motifs, at most 0.32 for decoys, and 0.01 to 0.53 for motifs that
# only resemble planted motifs. In yeast it was 0.45 to 0.47 for known factors.
INSERTED_SHARE = 1 / 3

# Maps a window, a start position and a number of words to random words for this position that do not match the motif.
Words = Callable[[np.ndarray, int, int], np.ndarray]


@dataclass(frozen=True)
class ProbeSettings:
    """Numbers of sites, draws and backgrounds with which to test motifs.

    Attributes
    ----------
    sites: int
        Maximum number of sites to delete per motif.
    draws: int
        Number of random replacements per site.
    backgrounds: int
        Number of shuffled windows to insert into, one per gene; limited by the number of genes of the scorer.
    seed: int
        Random seed for sites, replacements, shuffles and resampling. Deletions of a motif do not depend on the other motifs.
    """

    sites: int
    draws: int
    backgrounds: int
    seed: int


@dataclass(frozen=True, eq=False)
class _Probe:
    """A motif to test: its hits in peaks, the sites to delete, and the source of replacement words."""

    motif: Motif
    hits: pd.DataFrame
    sites: pd.DataFrame
    words: Words
    rng: np.random.Generator


def probe_motifs(
    scorer: Scorer,
    motifs: Sequence[Motif],
    hits: pd.DataFrame,
    occupied: pd.DataFrame,
    enrichment: pd.DataFrame,
    settings: ProbeSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the effect on the score of deleting the sites of each motif in peaks, and of inserting the motif elsewhere.

    An effect is the score after the change minus the score before it. A motif that **raises** the score therefore has negative
    deletion effects and positive insertion effects. Verdicts give the direction of the motif itself, not of its deletion.

    Deletion: the bases of a site are replaced `draws` times by random bases that follow the dinucleotide frequencies of the
    window and do not match the motif (see `sites.replacements`). The effect of the site is the mean over draws. The `sites`
    hits with the smallest p-values are used (see `sites.choose_sites`). Controls are random positions in the same windows, of
    the same width as the site and outside occupied bases, and are deleted in the same way. A site is inert if its effect is
    within the central 95 % of all controls of its motif.

    Insertion: the consensus of the motif is inserted into dinucleotide-shuffled windows of random genes, at the median distance
    of its hits from the TSS and in the orientation of the majority of its hits. All motifs use the same shuffled windows.
    Controls are random words at the same position, drawn like the replacements.

    p-values are from a two-sided permutation test. In each window, the site (or motif) is exchanged at random with one of its
    controls or kept; the statistic is the mean over windows. A rank test over all sites and controls would mix windows whose
    scores change on different scales, and would not test the mean, which is what is reported.

    Deletion alone does not show which motif has the effect: sites are in peaks, to which the model responds, and many overlap
    the site of another factor with a similar motif. A motif therefore raises or lowers the score only if both tests agree in
    direction (q at most `Q_VALUE`, and a greater effect than the controls) and the insertion effect is at least
    `INSERTED_SHARE` of the deletion effect.

    Parameters
    ----------
    scorer: Scorer
        With the weights of `Contrast.side_weights`.
    motifs: sequence of Motif
    hits: pandas.DataFrame
        Columns of `sites.read_peak_hits`. Hits outside peaks, and in genes that the scorer lacks, are ignored.
    occupied: pandas.DataFrame
        row (a gene of the scorer), start, end in the window: peaks and hits, which controls avoid.
    enrichment: pandas.DataFrame
        motif_id, odds_ratio and q_value of enrichment.tsv, which are copied to the result.
    settings: ProbeSettings

    Returns
    -------
    effects: pandas.DataFrame
        The columns of `EFFECT_COLUMNS`, one row per motif.

        - deletion_mean, insertion_mean: with 95 % bootstrap intervals over sites and over backgrounds (NaN for fewer than two).
        - control_low, control_high: the central 95 % of the effects of deleted controls.
        - share_inert: share of sites that are inert.
        - deletion_on_mean, insertion_off_mean etc.: effects on the mean over on-tasks and on the mean over off-tasks, with
          intervals. The effect on the score is their difference. Those on off-tasks are NaN if the contrast has none.
        - moves: of motifs that raise or lower the score of a contrast with off-tasks, the sides that inserting the motif moves;
          see `sides.moved_sides`. A motif that lowers the off-tasks raises the score.
        - p-values as above; q-values by Benjamini-Hochberg over motifs; enrichment_* copied from `enrichment`.
        - verdict: "raises" or "lowers" (see above); "sites_only" if the mean deletion is outside the central 95 % of controls
          but insertion does not account for it (the sites belong to another factor, or depend on adjacent sequence); "no_sites"
          if there is no hit in a peak; "no_controls" if fewer than `controls.FEWEST_CONTROLS` controls fit; otherwise "inert".
    site_effects: pandas.DataFrame
        The columns of `SITE_EFFECT_COLUMNS`, one row per deleted site, best match first: the effect, its standard deviation
        over draws (NaN for a single draw), the central 95 % of the controls of the motif, and the verdict ("raises", "lowers",
        "inert" or "no_controls").
    """
    probes, windows = _plan(scorer, motifs, hits, settings)
    spots, drawn = _spots(windows, probes, occupied, settings.draws)
    backgrounds = min(settings.backgrounds, len(scorer.windows))
    _log_passes(scorer, probes, len(windows), len(spots), len(drawn), backgrounds)
    deleted = _delete(scorer, spots, drawn, settings.draws)
    inserted = _insert(scorer, probes, backgrounds, settings.seed)
    rows, tables = [], []
    for index, probe in enumerate(probes):
        selected = (spots["motif"] == index).to_numpy()
        rng = np.random.default_rng([settings.seed, 2, zlib.crc32(probe.motif.id.encode())])
        row, table = _summarise(probe.sites, deleted[selected], spots[selected], *inserted[index], rng)
        rows.append({"motif_id": probe.motif.id, "motif_name": probe.motif.name} | row)
        tables.append(table.assign(motif_name=probe.motif.name))
    site_effects = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SITE_EFFECT_COLUMNS))
    return _effect_table(rows, enrichment), site_effects[list(SITE_EFFECT_COLUMNS)]


def _plan(
    scorer: Scorer, motifs: Sequence[Motif], hits: pd.DataFrame, settings: ProbeSettings
) -> tuple[list[_Probe], dict[int, np.ndarray]]:
    """Choose the sites of each motif, and return the probes and the windows of the sites, by row of the scorer."""
    row_by_gene = {gene: row for row, gene in enumerate(scorer.windows["gene_id"])}
    hits = hits[(hits["region"] == "peak") & hits["gene_id"].isin(row_by_gene)]
    hits = hits.assign(row=hits["gene_id"].map(row_by_gene).astype(np.int64))
    by_motif = [hits[hits["motif_id"] == motif.id] for motif in motifs]
    rngs = [np.random.default_rng([settings.seed, 0, zlib.crc32(motif.id.encode())]) for motif in motifs]
    chosen = [choose_sites(table, settings.sites, rng) for table, rng in zip(by_motif, rngs, strict=True)]
    genes = np.unique(np.concatenate([np.empty(0, np.int64), *(table["row"].to_numpy(np.int64) for table in chosen)]))
    windows = dict(zip(genes.tolist(), scorer.read(genes), strict=True)) if len(genes) else {}
    background = base_composition(windows.values())
    words = [_words(motif, table, background, rng) for motif, table, rng in zip(motifs, by_motif, rngs, strict=True)]
    return [_Probe(*parts) for parts in zip(motifs, by_motif, chosen, words, rngs, strict=True)], windows


def _words(motif: Motif, hits: pd.DataFrame, background: np.ndarray, rng: np.random.Generator) -> Words:
    """Return a function that draws words matching the motif less well than its weakest hit."""
    scores = motif_scores(motif, background)
    # The p-value of the weakest hit approximates the threshold of the scan; hits.tsv has it with limited precision.
    cut = scores.cut(hits["p_value"].max() * (1 + 1e-6)) if len(hits) else 0
    return functools.partial(replacements, steps=scores.steps, cut=cut, rng=rng)


def _log_passes(
    scorer: Scorer, probes: Sequence[_Probe], n_windows: int, n_spots: int, n_deleted: int, backgrounds: int
) -> None:
    inserted = backgrounds * (1 + (1 + _each(backgrounds)) * sum(len(probe.sites) > 0 for probe in probes))
    log.info(
        "%d forward passes: %d replicates x (%d windows, %d with one of %d sites and controls deleted, %d to insert into)",
        scorer.replicates * (n_windows + n_deleted + inserted),
        *(scorer.replicates, n_windows, n_deleted, n_spots, inserted),
    )


def _effect_table(rows: list[dict[str, object]], enrichment: pd.DataFrame) -> pd.DataFrame:
    """Build the table of all motifs, with q-values, enrichment and verdicts."""
    effects = pd.DataFrame(rows, columns=[*EFFECT_COLUMNS, *_EXCESS])
    for name in ("deletion", "insertion"):
        effects[f"{name}_q_value"] = bh_q_values(effects[f"{name}_p_value"].to_numpy(float))
    known = enrichment.set_index("motif_id")[["odds_ratio", "q_value"]].astype(float).reindex(effects["motif_id"])
    effects["enrichment_odds_ratio"], effects["enrichment_q_value"] = known["odds_ratio"].array, known["q_value"].array
    effects["verdict"] = [_verdict(row) for row in effects.itertuples()]
    effects["moves"] = [moves_of(row) if row.verdict in _ACTING else "" for row in effects.itertuples()]
    return effects[list(EFFECT_COLUMNS)]


def _each(number: int) -> int:
    """Return the number of controls per site or background, given the number of sites or backgrounds."""
    return max(CONTROLS_PER_SITE, -(-CONTROLS // max(number, 1)))


def _spots(
    windows: Mapping[int, np.ndarray], probes: Sequence[_Probe], occupied: pd.DataFrame, draws: int
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Return the spots to delete, sites followed by controls for each motif, and `draws` replacements per spot.

    Returns
    -------
    spots: pandas.DataFrame
        motif, site (index of the site or, for a control, of its site), row, start, end (int64), control (bool).
    drawn: list of numpy.ndarray, shape=(width,), dtype=int8
        Replacements, in the order of the spots.
    """
    taken = {row: np.zeros(len(window), bool) for row, window in windows.items()}
    inside = occupied[occupied["row"].isin(list(windows))]
    for row, start, end in inside[["row", "start", "end"]].to_numpy(np.int64).tolist():
        taken[row][max(start, 0) : end] = True
    spots: list[tuple[int, int, int, int, int, bool]] = []
    drawn: list[np.ndarray] = []
    for index, probe in enumerate(probes):
        width, number = len(probe.motif), _each(len(probe.sites))
        places = list(enumerate(zip(probe.sites["row"].tolist(), probe.sites["window_start"].tolist(), strict=True)))
        motif_spots = [(index, site, row, start, start + width, False) for site, (row, start) in places]
        for site, (row, _) in places:
            starts = control_starts(windows[row], taken[row], width, number, probe.rng)
            motif_spots += [(index, site, row, start, start + width, True) for start in starts.tolist()]
        for _, _, row, start, _, _ in motif_spots:
            drawn += list(probe.words(windows[row], start, draws))
        spots += motif_spots
    return pd.DataFrame(spots, columns=["motif", "site", "row", "start", "end", "control"]), drawn


def _delete(scorer: Scorer, spots: pd.DataFrame, drawn: Sequence[np.ndarray], draws: int) -> np.ndarray:
    """Return the effect of each replacement of each spot; shape=(spots, draws, sums), dtype=float64."""
    row, start, end = (spots[name].to_numpy(np.int64) for name in ("row", "start", "end"))
    genes, gene = np.unique(row, return_inverse=True)
    intact = scorer.score(genes, lambda at: scorer.read(genes[at]), "windows with their motifs")

    def without(at: np.ndarray) -> np.ndarray:
        needed, place = np.unique(row[at // draws], return_inverse=True)
        codes = scorer.read(needed)[place]
        for window, index in zip(codes, at.tolist(), strict=True):
            window[start[index // draws] : end[index // draws]] = drawn[index]
        return codes

    deleted = scorer.score(np.repeat(row, draws), without, "windows without a motif")
    return deleted.reshape(len(row), draws, deleted.shape[1]) - intact[gene][:, None]


def _insert(scorer: Scorer, probes: Sequence[_Probe], backgrounds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the effects of inserting each motif, and random control words, into each background.

    Returns
    -------
    list of (numpy.ndarray, shape=(backgrounds, sums); numpy.ndarray, shape=(words, sums)), dtype=float64
        Effects of the motif and of control words, per motif; empty for a motif without hits.
    """
    rng = np.random.default_rng([seed, 1])
    rows = np.sort(rng.choice(len(scorer.windows), backgrounds, replace=False))
    shuffled = dinucleotide_shuffle(scorer.read(rows), rng)
    mask_start = scorer.windows["mask_start"].to_numpy(np.int64)
    inserts: list[tuple[int, int, np.ndarray]] = []
    sizes = [0]
    for probe in probes:
        if len(probe.hits):
            bases, from_tss = _usual_place(probe, mask_start)
            # The position of the TSS varies between windows; near an edge, shift the motif so that it fits completely.
            starts = np.clip(mask_start[rows] + from_tss, 0, scorer.length - len(bases)).tolist()
            inserts += [(place, start, bases) for place, start in enumerate(starts)]
            for place, start in enumerate(starts):
                inserts += [(place, start, drawn) for drawn in probe.words(shuffled[place], start, _each(backgrounds))]
        sizes.append(len(inserts))
    background = np.array([place for place, _, _ in inserts], dtype=np.int64)

    def with_word(at: np.ndarray) -> np.ndarray:
        codes = shuffled[background[at]]
        for window, index in zip(codes, at.tolist(), strict=True):
            _, start, bases = inserts[index]
            window[start : start + len(bases)] = bases
        return codes

    plain = scorer.score(rows if inserts else rows[:0], lambda at: shuffled[at], "shuffled windows")
    effects = scorer.score(rows[background], with_word, "shuffled windows with a motif")
    effects -= plain[background] if inserts else 0.0
    parts = [effects[first:last] for first, last in itertools.pairwise(sizes)]
    return [(part[:backgrounds], part[backgrounds:]) for part in parts]


def _usual_place(probe: _Probe, mask_start: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the consensus of a motif in the majority orientation of its hits, and their median distance from the TSS."""
    consensus = probe.motif.probabilities.argmax(axis=1).astype(np.int8)
    bases = reverse_complement(consensus) if (probe.hits["orientation"] == "-").mean() > 0.5 else consensus
    distances = probe.hits["window_start"].to_numpy(np.int64) - mask_start[probe.hits["row"]]
    return bases, int(np.round(np.median(distances)))


def _summarise(
    sites: pd.DataFrame,
    deleted: np.ndarray,
    spots: pd.DataFrame,
    inserted: np.ndarray,
    words: np.ndarray,
    rng: np.random.Generator,
) -> tuple[dict[str, object], pd.DataFrame]:
    """Summarise the effects of one motif, without values that depend on other motifs, and return the table of its sites.

    Parameters
    ----------
    sites: pandas.DataFrame
        Sites of the motif, in the order of the spots that are not controls.
    deleted: numpy.ndarray, shape=(spots, draws, sums), dtype=float64
    spots: pandas.DataFrame
        Spots of the motif.
    inserted, words: numpy.ndarray, shape=(n, sums), dtype=float64
        Effects of inserting the motif, and random words.
    rng: numpy.random.Generator
    """
    control = spots["control"].to_numpy(bool)
    sums = deleted.mean(axis=1)[~control], inserted
    deleted, inserted, words = deleted[..., 0], inserted[:, 0], words[:, 0]
    effects = deleted.mean(axis=1)
    spread = deleted[~control].std(axis=1, ddof=1) if deleted.shape[1] > 1 else np.nan
    low, high = controls.central(effects[control])
    direction = controls.moves(effects[~control], low, high)
    known = len(sites) > 0 and not np.isnan(low)
    row: dict[str, object] = {
        "n_sites": len(sites), "n_controls": int(control.sum()), "control_low": low, "control_high": high,
        "share_inert": float((direction == 0).mean()) if known else np.nan,
        "deletion_p_value": controls.permutation_p(effects, control, spots["site"].to_numpy(np.int64), rng),
        "n_backgrounds": len(inserted),
    }  # fmt: skip
    for name, values, nulls in (("deletion", effects[~control], effects[control]), ("insertion", inserted, words)):
        row |= zip((f"{name}_mean", f"{name}_low", f"{name}_high"), controls.interval(values, rng), strict=True)
        row[f"{name}_excess"] = values.mean() - nulls.mean() if len(values) and len(nulls) else np.nan
    background = np.concatenate([np.arange(len(inserted)), np.repeat(np.arange(len(inserted)), _each(len(inserted)))])
    is_word = np.arange(len(background)) >= len(inserted)
    row["insertion_p_value"] = controls.permutation_p(np.concatenate([inserted, words]), is_word, background, rng)
    row |= side_effects(*sums, rng)
    # The effect of a site has the opposite sign of the effect of its deletion.
    verdicts = np.array(["lowers", "inert", "raises"], object)[1 - direction] if known else "no_controls"
    return row, sites.assign(effect=effects[~control], effect_sd=spread, control_low=low, control_high=high, verdict=verdicts)


def _verdict(row: Any) -> str:
    """Return the verdict for a row of effects; see `probe_motifs`."""
    if not row.n_sites or np.isnan(row.control_low):
        return "no_controls" if row.n_sites else "no_sites"
    # The test is two-sided, so also check that sites have a greater effect than controls, not a smaller one.
    if not (row.deletion_q_value <= Q_VALUE and row.deletion_excess * row.deletion_mean > 0):
        return "inert"
    inserted_share = -row.insertion_mean / row.deletion_mean
    significant = row.insertion_q_value <= Q_VALUE and row.insertion_excess * row.insertion_mean > 0
    if significant and inserted_share >= INSERTED_SHARE:
        return "raises" if row.insertion_mean > 0 else "lowers"
    return "sites_only" if controls.moves(row.deletion_mean, row.control_low, row.control_high) else "inert"
