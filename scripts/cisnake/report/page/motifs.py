"""The motifs section: enriched motifs with their effects, motif pairs, and patterns found without a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cisnake.data import Motif
from cisnake.interpret.patterns import read_patterns
from cisnake.report import effect_map, logos
from cisnake.report.page.findings import enriched_motifs, found_motifs, found_pairs, found_patterns, found_probes
from cisnake.report.results import ContrastResults, Results
from cisnake.report.thresholds import ENRICHED_Q

MAX_DRIVERS, MAX_PAIRS, MAX_MEMBERS = 3, 10, 40


def show_motifs(contrast: ContrastResults, matrices: Mapping[str, Motif], n: int) -> dict[str, Any]:
    """Return the data of one contrast for motifs.html.

    Parameters
    ----------
    contrast: ContrastResults
    matrices: mapping of str to Motif
        By motif_id; for logos.
    n: int
        Maximum number of motif clusters to show.
    """
    table = contrast.enrichment
    n_enriched = 0 if table is None else int(enriched_motifs(table).sum())
    patterns = _patterns(contrast, matrices)
    return {
        "scanned": table is not None,
        "motifs": _best_motifs(contrast, matrices, n),
        "n_enriched": n_enriched,
        "probed": contrast.effects is not None and len(contrast.effects) > 0,
        "found_motifs": found_motifs(contrast),
        "found_probes": found_probes(contrast),
        "found_pairs": found_pairs(contrast),
        "found_patterns": found_patterns(None if patterns is None else len(patterns)),
        "drivers": _drivers(contrast),
        "pairs": _pairs(contrast),
        "patterns": patterns,
    }


def show_effect_map(results: Results, matrices: Mapping[str, Motif], unit: str) -> Markup:
    """Draw the effects of motifs on all contrasts; empty if none were probed or none acts."""
    tables = [c.effects.assign(contrast=c.name) for c in results.contrasts if c.effects is not None]
    return effect_map.draw_effect_map(pd.concat(tables), matrices, unit) if tables else Markup("")


def _drivers(contrast: ContrastResults) -> list[dict[str, Any]]:
    """Return the best motifs that act by themselves; `aside` says so if they act on the off-tasks only."""
    if contrast.effects is None or contrast.enrichment is None:
        return []
    ranks = contrast.enrichment.set_index("motif_id")["rank"]
    acting = contrast.effects[contrast.effects["verdict"].isin(effect_map.ACTING)]
    best = acting.assign(rank=acting["motif_id"].map(ranks)).sort_values("rank", kind="stable")
    best = best.drop_duplicates("representative")
    names = contrast.enrichment.set_index("motif_id")["cluster_name"]
    both = zip(best["motif_name"], best["motif_id"].map(names), strict=True)
    best["motif_name"] = [name_member(motif, cluster) for motif, cluster in both]
    best["aside"] = [name_sides(moves) if moves and "_on" not in moves else "" for moves in best["moves"]]
    return best.head(MAX_DRIVERS)[["motif_name", "verdict", "aside"]].to_dict("records")


def name_member(motif_name: str, cluster_name: str) -> str:
    """Return the name of a motif with that of its cluster, if they differ.

    Examples
    --------
    >>> name_member("IRF4", "STAT1::STAT2"), name_member("FOS", "FOS")
    ('IRF4 (of STAT1::STAT2)', 'FOS')
    """
    return motif_name if motif_name == cluster_name else f"{motif_name} (of {cluster_name})"


def name_sides(moves: str) -> str:
    """Return the sides of a contrast that a motif moves in words.

    Parameters
    ----------
    moves: str
        From effects.tsv; see `interpret.probe.probe_motifs`.

    Examples
    --------
    >>> name_sides("lowers_off,raises_on")
    'lowers the off-tasks, raises the on-tasks'
    """
    return ", ".join(move.replace("_", " the ") + "-tasks" for move in moves.split(",") if move)


def _best_motifs(contrast: ContrastResults, matrices: Mapping[str, Motif], n: int) -> list[dict[str, Any]]:
    """Return the representative of each of the `n` best clusters, with its logo, and with its effects if they were probed.

    Clusters are ordered by their best motif in the contrast, which has the columns best_*.
    """
    if contrast.enrichment is None:
        return []
    ordered = contrast.enrichment.sort_values(["rank", "motif_id"], na_position="last")
    best = ordered.drop_duplicates("representative").set_index("representative")
    table = ordered.set_index("motif_id").loc[best.index[:n]].rename_axis("motif_id").reset_index()
    table["n_in_cluster"] = table["motif_id"].map(ordered["representative"].value_counts())
    for column in ("motif_id", "motif_name", "q_value", "odds_ratio"):
        table[f"best_{column}"] = best[column].head(n).to_numpy()
    if contrast.effects is not None:
        table = table.merge(contrast.effects.drop(columns=["motif_name", "representative"]), on="motif_id", how="left")
        table["sides"] = table["moves"].fillna("").map(name_sides)
    rows = table.to_dict("records")
    for row in rows:
        row["members"], row["acting_members"] = _members(contrast, ordered, row["motif_id"])
        motif = matrices.get(row["motif_id"])
        row["logo"] = Markup("") if motif is None else logos.draw_matrix(motif.probabilities, f"Logo of {row['motif_name']}")
    return rows


def _members(
    contrast: ContrastResults, ordered: pd.DataFrame, representative: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return up to `MAX_MEMBERS` other motifs of a cluster by rank, with their verdicts, and those that act by themselves."""
    members = ordered[(ordered["representative"] == representative) & (ordered["motif_id"] != representative)]
    columns = ["motif_id", "verdict", "moves"]
    probed = pd.DataFrame(columns=columns) if contrast.effects is None else contrast.effects[columns]
    table = members[["motif_id", "motif_name", "rank", "odds_ratio", "q_value"]].merge(probed, on="motif_id", how="left")
    table[["verdict", "moves"]] = table[["verdict", "moves"]].fillna("")
    table["sides"] = table["moves"].map(name_sides)
    acting = table[table["verdict"].isin(effect_map.ACTING)]
    return table.head(MAX_MEMBERS).to_dict("records"), acting.to_dict("records")


def _pairs(contrast: ContrastResults) -> list[dict[str, Any]]:
    """Return motif pairs that are enriched at a distance or in the same genes, sorted by q-value."""
    if contrast.pairs is None:
        return []
    table = contrast.pairs.assign(best=contrast.pairs[["q_value", "spacing_q_value"]].min(axis=1))
    enriched = table[table["best"] <= ENRICHED_Q].sort_values(["best", "spacing_p_value", "p_value"], kind="stable")
    return enriched.head(MAX_PAIRS).to_dict("records")


def _patterns(contrast: ContrastResults, matrices: Mapping[str, Motif]) -> list[dict[str, Any]] | None:
    """Return the patterns found without a database, each aligned with its most similar motif."""
    if contrast.patterns is None:
        return None
    rows = []
    for pattern in read_patterns(contrast.patterns, list(matrices.values())):
        best = pattern.matches[0] if pattern.matches else None
        shown = [pattern.probabilities] if best is None else align(pattern.probabilities, best.matrix, best.offset)
        names = [f"Logo of pattern {pattern.id}", f"Logo of {best.motif.name} as it lies on it" if best else ""]
        pictures = [logos.draw_matrix(matrix, name) for matrix, name in zip(shown, names, strict=False)]
        rows.append({"pattern": pattern, "best": best, "logos": pictures})
    return rows


def align(first: np.ndarray, second: np.ndarray, offset: int) -> list[np.ndarray]:
    """Align two matrices: pad both to the same width with uniform rows, which have zero information content.

    Parameters
    ----------
    first, second: numpy.ndarray, shape=(width, 4)
        Base probabilities per position.
    offset: int
        Position of the start of the second matrix relative to the start of the first; can be negative.

    Returns
    -------
    list of two numpy.ndarray, shape=(common width, 4), dtype=float64

    Examples
    --------
    >>> import numpy as np
    >>> first, second = align(np.eye(4)[:2], np.eye(4), offset=-1)
    >>> first[:, 0].tolist(), second[:, 0].tolist()
    ([0.25, 1.0, 0.0, 0.25], [1.0, 0.0, 0.0, 0.0])
    """
    start, end = min(0, offset), max(len(first), offset + len(second))
    padded = []
    for matrix, at in ((first, 0), (second, offset)):
        whole = np.full((end - start, 4), 0.25)
        whole[at - start : at - start + len(matrix)] = matrix
        padded.append(whole)
    return padded
