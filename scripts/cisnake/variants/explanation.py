"""Explain variants: what the networks see with either allele, and which motifs change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.data.dataset import read_tasks
from cisnake.data.genome import Genome, N
from cisnake.files import read_table
from cisnake.interpret import Contrast
from cisnake.interpret.attribution import AttributionSettings, attribute_changed_windows
from cisnake.interpret.motifs import HitFile, base_composition
from cisnake.program import Progress
from cisnake.variants.alignment import Alignment, align_change
from cisnake.variants.effects import allele_changes, check_folds
from cisnake.variants.explanation_file import GAP, Explanations
from cisnake.variants.motif_changes import AlleleWindow, changed_motifs
from cisnake.variants.windows import Change, alternative_windows, gene_windows

# Columns on either side of the changed bases that are attributed, and those of them that are also mutated.
FLANK, MUTATED_FLANK = 50, 20

_CHANGE = [
    "motif_id", "motif_name", "change", "ref_score", "alt_score", "score_difference", "threshold", "ref_p_value",
    "alt_p_value", "allele",
]  # fmt: skip
_PLACE = ["variant_id", "chrom", "start", "end", "ref", "alt", "gene_id", "task", "effect_mean", "q_value"]


@dataclass(frozen=True, eq=False)
class _Pair:
    """The windows of a gene with both alleles of a variant, REF first, aligned; and the change of the genome between them.

    `codes` has shape (2, length), `mask_end` (2,), and `positions` (2, columns): window positions, -1 where there is no base.
    """

    change: Change
    codes: np.ndarray
    mask_start: int
    mask_end: np.ndarray
    positions: np.ndarray
    alignment: Alignment

    def allele(self, side: int) -> AlleleWindow:
        """Return one window, REF if `side` is 0, with the place of its allele."""
        first, last = self.alignment.core
        placed = self.positions[side]
        bases = placed[first:last][placed[first:last] >= 0]
        if len(bases):
            return AlleleWindow(self.codes[side], int(bases[0]), int(bases[-1]) + 1)
        # An allele without bases is a place between two bases. One of them may be outside the window.
        after = int(placed[last]) if last < len(placed) and placed[last] >= 0 else int(placed[first - 1]) + 1
        return AlleleWindow(self.codes[side], after, after)


def explain_variants(
    variants: pd.DataFrame,
    genome: Genome,
    genes: pd.DataFrame,
    file: h5py.File,
    models: Mapping[int, Sequence[Path]],
    settings: AttributionSettings,
    motifs: Sequence[Motif],
    scanned: HitFile,
    verdicts: pd.DataFrame,
    batch_size: int = 64,
) -> tuple[Explanations, pd.DataFrame]:
    """Attribute and mutate the windows of variants with both alleles, and compare matches of motifs.

    Each variant is explained for one gene and one task, by the networks of the fold of the gene. The attributions are of the
    prediction for the task, by the method of the run. Every base within `MUTATED_FLANK` of the changed bases is substituted, in
    both windows. Predictions are means over replicates. For a single base, the substitution of REF by ALT is the effect of the
    variant.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `choose_top_variants`.
    genome: Genome
    genes: pandas.DataFrame
        Columns of genes.tsv, in the order of the data set.
    file: h5py.File
        The data set, from `open_dataset`.
    models: mapping of fold to sequence of Path
        From `models_by_fold`.
    settings: AttributionSettings
    motifs: sequence of Motif
    scanned: HitFile
        The scan of the run for these motifs, which gives the background of a gene and the greatest p-value of a match. A gene
        that was not scanned has the background with the most similar GC content.
    verdicts: pandas.DataFrame
        From `read_verdicts`.
    batch_size: int
        Maximum number of windows per pass. Default 64.

    Returns
    -------
    explanations: Explanations
    changes: pandas.DataFrame
        One row per variant and motif: the columns that name the variant, those of `changed_motifs` that describe the change,
        site_start and site_end (0-based, half-open) and strand of the better site on the genome, its columns in the
        explanations (first_column, last_column, half-open), and its verdicts from the probes (`contrast: verdict`) in all
        contrasts that have the task among their on_tasks. A site of inserted bases is empty, at the place of the insertion.

    Raises
    ------
    InputError
        A gene belongs to a fold without models, or its window does not have the length of those of the data set.
    """
    variants = variants.reset_index(drop=True)
    gene = pd.Index(genes["gene_id"]).get_indexer(variants["gene_id"])
    check_folds(genes, gene, models)
    variants = variants.assign(strand=genes["strand"].to_numpy(object)[gene])
    pairs = _pairs(variants, gene, genome, genes, int(file["seq_len"][()]))
    placed, positions, core = _columns(pairs)
    codes = _shown_codes(pairs, positions)
    column = np.arange(positions.shape[2])
    near = (column >= core[:, :1] - MUTATED_FLANK) & (column < core[:, 1:] + MUTATED_FLANK)
    mutated = near[:, None] & (codes != GAP) & (codes != N)
    tasks = read_tasks(file)
    weights = np.eye(len(tasks), dtype=np.float32)[[tasks.index(task) for task in variants["task"]]]
    chosen = genes.assign(row=np.arange(len(genes))).iloc[gene]
    attributed = _attribute(pairs, chosen, weights, positions, mutated, file, models, settings, batch_size)
    explained = Explanations(variants, placed, core, codes, *attributed)
    changes = changed_motifs(
        [pair.allele(0) for pair in pairs],
        [pair.allele(1) for pair in pairs],
        motifs,
        _backgrounds(pairs, variants["gene_id"], scanned),
        float(scanned.attrs["p_threshold"]),
    )
    return explained, _placed(changes, pairs, explained, positions, verdicts)


def read_verdicts(folder: str | Path, contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """Read the verdicts of the probes of motifs; see `interpret.probe.probe_motifs`.

    Parameters
    ----------
    folder: str or Path
        With `<contrast>/effects.tsv`. A contrast without this file has no verdicts.
    contrasts: sequence of Contrast

    Returns
    -------
    pandas.DataFrame
        task, motif_id, verdict (`contrast: verdict`): a row for each on-task of the contrast and each motif with sites.
    """
    parts = [pd.DataFrame({"task": [], "motif_id": [], "verdict": []}, dtype=object)]
    for contrast in contrasts:
        path = Path(folder) / contrast.name / "effects.tsv"
        if not path.is_file():
            continue
        probed = read_table(path)[["motif_id", "verdict"]]
        probed = probed[probed["verdict"] != "no_sites"]
        probed = probed.assign(verdict=f"{contrast.name}: " + probed["verdict"])
        parts.append(probed.merge(pd.DataFrame({"task": contrast.on_tasks}), how="cross"))
    return pd.concat(parts, ignore_index=True)


def _pairs(variants: pd.DataFrame, gene: np.ndarray, genome: Genome, genes: pd.DataFrame, seq_len: int) -> list[_Pair]:
    windows = gene_windows(genes, seq_len)
    changes, signs = allele_changes(variants)
    pairs = []
    for row, change, sign in zip(gene.tolist(), changes, signs.tolist(), strict=True):
        window = windows[row]
        unchanged = window.codes(genome, 0, seq_len)
        changed, mask_end = alternative_windows(genome, window, unchanged, [change])
        aligned = align_change(window, change, FLANK)
        # If the genome has ALT, the change leads from ALT to REF.
        order = 1 if sign > 0 else -1
        pairs.append(
            _Pair(
                change,
                np.stack([unchanged, changed[0]][::order]),
                window.mask_start,
                np.array([min(window.mask_end, seq_len), mask_end[0]][::order]),
                np.stack([aligned.unchanged, aligned.changed][::order]),
                aligned,
            )
        )
    return pairs


def _columns(pairs: Sequence[_Pair]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return genome (n, columns), positions (n, 2, columns) and core (n, 2) of all pairs, padded with -1."""
    width = max((len(pair.alignment.genome) for pair in pairs), default=0)
    genome, positions = np.full((len(pairs), width), -1, np.int64), np.full((len(pairs), 2, width), -1, np.int64)
    for i, pair in enumerate(pairs):
        used = len(pair.alignment.genome)
        genome[i, :used], positions[i, :, :used] = pair.alignment.genome, pair.positions
    return genome, positions, np.array([pair.alignment.core for pair in pairs], np.int64).reshape(-1, 2)


def _shown_codes(pairs: Sequence[_Pair], positions: np.ndarray) -> np.ndarray:
    codes = np.full(positions.shape, GAP, np.int8)
    for i, pair in enumerate(pairs):
        bases = np.take_along_axis(pair.codes, np.maximum(positions[i], 0), axis=1)
        codes[i] = np.where(positions[i] >= 0, bases, GAP)
    return codes


def _attribute(
    pairs: Sequence[_Pair],
    genes: pd.DataFrame,
    weights: np.ndarray,
    positions: np.ndarray,
    mutated: np.ndarray,
    file: h5py.File,
    models: Mapping[int, Sequence[Path]],
    settings: AttributionSettings,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return attributions and mutagenesis of all pairs, fold by fold; `genes` and `weights` have one row per pair."""
    attributions, effects = np.zeros(positions.shape, np.float32), np.zeros((*positions.shape, 4), np.float32)
    folds = genes["fold"].to_numpy()
    progress = Progress("variants explained", len(pairs))
    for fold in np.unique(folds).tolist():
        at = np.flatnonzero(folds == fold)
        both = np.repeat(at, 2)
        described = pd.DataFrame(
            {
                "row": genes["row"].to_numpy()[both],
                "mask_start": [pairs[i].mask_start for i in both.tolist()],
                "mask_end": np.concatenate([pairs[i].mask_end for i in at.tolist()]),
            }
        )
        of_fold = attribute_changed_windows(
            file,
            models[fold],
            described,
            np.concatenate([pairs[i].codes for i in at.tolist()]),
            weights[both],
            positions[at].reshape(len(both), -1),
            mutated[at].reshape(len(both), -1),
            settings,
            batch_size,
        )
        attributions[at] = of_fold[0].reshape(len(at), 2, -1)
        effects[at] = of_fold[1].reshape(len(at), 2, -1, 4)
        progress.advance(len(at))
    return attributions, effects


def _backgrounds(pairs: Sequence[_Pair], gene_ids: pd.Series, scanned: HitFile) -> np.ndarray:
    """Return the background of each pair, shape=(n, 4)."""
    rows = pd.Index(scanned.windows["gene_id"]).get_indexer(gene_ids)
    classes = np.append(scanned.windows["gc_class"].to_numpy(), -1)[rows]
    gc = scanned.background[:, 1:3].sum(axis=1)
    for i in np.flatnonzero(rows < 0).tolist():
        classes[i] = np.abs(gc - base_composition([pairs[i].codes[0]])[1:3].sum()).argmin()
    return scanned.background[classes]


def _placed(
    changes: pd.DataFrame, pairs: Sequence[_Pair], explained: Explanations, positions: np.ndarray, verdicts: pd.DataFrame
) -> pd.DataFrame:
    """Return the table of changes with the variants, the places of sites and the verdicts."""
    of_variant = changes["variant"].to_numpy(np.int64)
    side = (changes["allele"] == "alt").to_numpy(np.int64)
    start, end = (changes[name].to_numpy(np.int64)[:, None] for name in ("window_start", "window_end"))
    inside = (positions[of_variant, side] >= start) & (positions[of_variant, side] < end)
    columns = np.arange(positions.shape[2])
    genome = explained.genome[of_variant]
    known = inside & (genome >= 0)
    beyond = np.iinfo(np.int64).max
    site_start = np.where(known, genome, beyond).min(axis=1, initial=beyond)
    site_end = np.where(known, genome, -1).max(axis=1, initial=-1) + 1
    none = ~known.any(axis=1)
    described = explained.variants.iloc[of_variant].reset_index(drop=True)
    inserted = np.array([pair.change.start for pair in pairs], np.int64)[of_variant]
    along = (described["strand"] == "+").to_numpy() == (changes["orientation"] == "+").to_numpy()
    table = described[_PLACE].assign(
        **{name: changes[name].to_numpy() for name in _CHANGE},
        site_start=np.where(none, inserted, site_start),
        site_end=np.where(none, inserted, site_end),
        strand=np.where(along, "+", "-"),
        matched_seq=changes["matched_seq"].to_numpy(),
        first_column=np.where(inside, columns, len(columns)).min(axis=1, initial=len(columns)),
        last_column=np.where(inside, columns + 1, 0).max(axis=1, initial=0),
    )
    together = verdicts.groupby(["task", "motif_id"], sort=False)["verdict"].agg("; ".join).rename("verdict").reset_index()
    return table.merge(together, on=["task", "motif_id"], how="left").fillna({"verdict": ""})
