"""Models that count sites in made-up windows, and probes with them."""

import numpy as np
import pandas as pd

from cisnake.data.genome.bases import encode, reverse_complement
from cisnake.data.motif_database import Motif
from cisnake.interpret.contrasts import Contrast
from cisnake.interpret.probe import effects as motif_effects
from cisnake.interpret.probe.window_scorer import Scorer

LENGTH = 120
N = 30
CONSENSUS = "TGACGTAC"
TASKS = ["liver", "brain", "skin"]


def motif(name, consensus):
    return Motif(name, name.lower(), np.eye(4)[encode(consensus)] * 0.97 + 0.01)


def matches(codes, consensus):
    """Count a word in each sequence, on the strand of the gene."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, len(consensus), axis=1)
    return (windows == encode(consensus)).all(axis=2).sum(axis=1)


def probe(scorer, motifs, hits, sites, draws, backgrounds, seed, occupied=None, odds=4.0):
    """Effects of motifs and of sites, with controls outside all hits."""
    genes = {gene: row for row, gene in enumerate(scorer.windows["gene_id"])}
    taken = hits.rename(columns={"window_start": "start_", "window_end": "end_"})[["gene_id", "start_", "end_"]]
    taken = pd.DataFrame(
        {"row": taken["gene_id"].map(genes).fillna(-1), "start": taken["start_"], "end": taken["end_"]}, dtype=int
    )
    enrichment = pd.DataFrame({"motif_id": [motif.id for motif in motifs], "odds_ratio": odds, "q_value": 0.5})
    return motif_effects.probe_motifs(
        scorer,
        motifs,
        hits,
        taken if occupied is None else occupied,
        enrichment,
        motif_effects.ProbeSettings(sites, draws, backgrounds, seed),
    )


def probe_motifs(*arguments):
    return probe(*arguments)[0]


def scorer_of(codes, windows, predict, weights=None):
    weights = Contrast("c", ("liver",), ("brain", "skin"), "specificity").side_weights(TASKS) if weights is None else weights
    predictors = {fold: [predict, predict] for fold in range(3)}
    return Scorer(windows, LENGTH, lambda rows: codes[rows].copy(), predictors, weights)


def counting(consensus, *factors):
    """A model that predicts, for each task, a factor times the number of sites in one orientation."""
    return lambda codes, mask_start, mask_end, rows: np.outer(matches(codes, consensus), factors).astype(np.float32)


def either(consensus, *factors):
    reverse = "".join("ACGT"[c] for c in reverse_complement(encode(consensus)))
    one, two = counting(consensus, *factors), counting(reverse, *factors)
    return lambda *window: one(*window) + two(*window)


def sum_of_weights(weights):
    return lambda codes, s, e, rows: np.outer(weights[np.arange(LENGTH), codes].sum(axis=1), [1.0, 0.0, 0.0])
