"""The pictures of the top variants: what the networks see with either allele, and a sentence on the motifs that change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cisnake.report import figures, logos
from cisnake.report.substitutions import draw_substitutions
from cisnake.report.thresholds import SURE_Q
from cisnake.report.words import number
from cisnake.variants import Explanations

# Names per picture, and rows in the table of changes below it.
_NAMES, _ROWS = 3, 12
_VERBS = {"lost": "destroys", "weakened": "weakens", "gained": "creates", "strengthened": "strengthens"}
_WORSE = ("lost", "weakened")
_ACTS = {"raises": 1, "lowers": -1}
_ALLELE_LETTERS = 20


def show_explained(explanations: Explanations, changes: pd.DataFrame, genes: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the data of each explained variant for variants.html.

    Parameters
    ----------
    explanations: Explanations
    changes: pandas.DataFrame
        motif_changes.tsv of these variants.
    genes: pandas.DataFrame
        gene_id and gene_name.
    """
    names = dict(zip(genes["gene_id"], genes["gene_name"], strict=True))
    key = ["chrom", "start", "end", "ref", "alt"]
    by_variant = dict(list(changes.groupby(key)))
    shown = []
    for i, variant in enumerate(explanations.variants.to_dict("records")):
        ranked = rank_motif_changes(by_variant.get(tuple(variant[name] for name in key), changes.iloc[:0]))
        named = choose_named(ranked)
        gene = names.get(variant["gene_id"]) or variant["gene_id"]
        shown.append(
            {
                "sentence": describe_variant(variant, gene, named),
                "unsure": bool(variant["q_value"] > SURE_Q),
                "variant_id": variant["variant_id"],
                "alleles": [_shortened(variant[side]) for side in ("ref", "alt")],
                "changes": ranked.head(_ROWS).to_dict("records"),
                "n_changes": len(ranked),
                **_draw(explanations, i, named),
            }
        )
    return shown


def rank_motif_changes(changes: pd.DataFrame) -> pd.DataFrame:
    """Sort changes of motifs, those that best explain the effect first, then by the p-value of the better match.

    First are motifs that act by themselves in the probes, in a direction that agrees with the effect; then motifs that act in
    the other direction; then all others.

    Parameters
    ----------
    changes: pandas.DataFrame
        Rows of motif_changes.tsv.
    """
    rank = [_rank(_directions(change["verdict"]), change) for change in changes.to_dict("records")]
    p_value = np.fmin(changes["ref_p_value"], changes["alt_p_value"])
    return changes.assign(rank=rank, p=p_value).sort_values(["rank", "p"], kind="stable").drop(columns="p")


def _rank(directions: dict[str, int], change: dict[str, Any]) -> int:
    sign = -1 if change["change"] in _WORSE else 1
    agrees = any(direction * sign * change["effect_mean"] > 0 for direction in directions.values())
    return 0 if agrees else 1 if directions else 2


def _directions(verdict: str) -> dict[str, int]:
    """Return 1 for each contrast that a motif raises by itself, and -1 for each that it lowers."""
    parts = [part.split(": ") for part in verdict.split("; ") if part]
    return {contrast: _ACTS[word] for contrast, word in parts if word in _ACTS}


def choose_named(ranked: pd.DataFrame) -> pd.DataFrame:
    """Choose the changes that a picture names: the best one of each group of overlapping sites, at most three.

    If motifs act in the probes, the others are not named: most matches arise and vanish by chance.
    Motifs of one family match at the same place, and one name stands for them. Sites overlap if they share at least half of the
    bases of the shorter one, in the same allele.

    Parameters
    ----------
    ranked: pandas.DataFrame
        Changes of one variant from `rank_motif_changes`.
    """
    acting = ranked[ranked["rank"] < 2]
    ranked = acting if len(acting) else ranked
    chosen: list[int] = []
    places = ranked[["first_column", "last_column"]].to_numpy(float)
    alleles = ranked["allele"].tolist()
    for row, (start, end) in enumerate(places):
        shared = [min(end, places[other, 1]) - max(start, places[other, 0]) for other in chosen]
        shorter = [min(end - start, places[other, 1] - places[other, 0]) for other in chosen]
        new = all(
            alleles[other] != alleles[row] or common < least / 2
            for other, common, least in zip(chosen, shared, shorter, strict=True)
        )
        if new and len(chosen) < _NAMES:
            chosen.append(row)
    return ranked.iloc[chosen]


def describe_variant(variant: dict[str, Any], gene: str, named: pd.DataFrame) -> str:
    """Return a sentence on the effect of a variant and the motifs that it changes.

    Parameters
    ----------
    variant: dict
        A row of `Explanations.variants`.
    gene: str
        Name of the gene.
    named: pandas.DataFrame
        From `choose_named`.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.report.page.explained_variants import describe_variant
    >>> variant = {"chrom": "chr1", "start": 1233, "ref": "A", "alt": "G", "task": "liver"}
    >>> named = {"motif_name": ["GATA1"], "change": ["lost"], "verdict": ["blood: inert; liver: raises"]}
    >>> describe_variant(variant | {"effect_mean": -0.41, "q_value": 0.01}, "HBB", pd.DataFrame(named))
    'chr1:1234 A>G lowers liver by 0.41 in HBB (q = 0.010): it destroys a site of GATA1 (probes: raises liver).'
    """
    effect, q = variant["effect_mean"], variant["q_value"]
    place = f"{variant['chrom']}:{variant['start'] + 1} {_shortened(variant['ref'])}>{_shortened(variant['alt'])}"
    verb = "raises" if effect > 0 else "lowers"
    significance = "" if np.isnan(q) else f" (q = {number(q, 2, 'g')})"
    told = f"{place} {verb} {variant['task']} by {number(abs(effect), 2, 'g')} in {gene}{significance}"
    # One motif that is lost or weakened, and one that is gained or strengthened.
    worse = named["change"].isin(_WORSE)
    parts = [_motif_words(row) for side in (named[worse], named[~worse]) for row in side.head(1).to_dict("records")]
    return f"{told}: it {' and '.join(parts)}." if parts else f"{told}. It changes no match of a known motif."


def _motif_words(change: dict[str, Any]) -> str:
    words = [f"{'raises' if sign > 0 else 'lowers'} {contrast}" for contrast, sign in _directions(change["verdict"]).items()]
    probed = f" (probes: {', '.join(words)})" if words else ""
    return f"{_VERBS[change['change']]} a site of {change['motif_name']}{probed}"


def _shortened(allele: str) -> str:
    return allele if len(allele) <= _ALLELE_LETTERS else f"{allele[: _ALLELE_LETTERS - 1]}…"


def _draw(explanations: Explanations, i: int, named: pd.DataFrame) -> dict[str, Any]:
    """Return the logos and heat maps of REF and ALT, all on the same columns, each kind on one scale."""
    variant = explanations.variants.iloc[i]
    used = np.flatnonzero((explanations.codes[i] >= 0).any(axis=0))
    columns = slice(0, int(used[-1]) + 1 if len(used) else 0)
    codes, scores = explanations.codes[i, :, columns], np.nan_to_num(explanations.attributions[i, :, columns])
    effects = explanations.mutagenesis[i, :, columns]
    first, last = explanations.core[i].tolist()
    limits = (min(float(scores.min(initial=0)), 0.0), max(float(scores.max(initial=0)), 0.0))
    largest = float(np.nanmax(np.abs(effects), initial=0))
    ticks = _ticks(explanations.genome[i, columns])
    logo, heat = [], []
    for side, name in enumerate(("ref", "alt")):
        sites = named[named["allele"] == name].to_dict("records")
        boxes = [
            logos.Box(int(site["first_column"]), int(site["last_column"]), f"{site['motif_name']} {site['change']}")
            for site in sites
        ]
        what, band = f"{name.upper()} of {variant['variant_id']}", (first, last)
        title = f"Attribution logo with {what}"
        logo.append(logos.draw_attribution(codes[side], scores[side], title, boxes, height=64, limits=limits, marked=band))
        title = f"Effects of substitutions with {what}"
        # Only the lowest picture has an axis.
        axis = (ticks, figures.axis_label(variant)) if name == "alt" else ((), "")
        heat.append(draw_substitutions(codes[side], effects[side], title, largest, axis[0], axis[1], band))
    return {"logos": logo, "heat": heat, "largest": largest}


def _ticks(genome: np.ndarray) -> list[tuple[float, str]]:
    """Return the columns of round positions of the genome, with their labels."""
    return [(float(column), f"{genome[column]:,}") for column in np.flatnonzero((genome >= 0) & (genome % 20 == 0))]
