"""Other members of a cluster are probed where its representative does not account for its sites."""

import numpy as np
import pandas as pd
import pytest

from cisnake.data.motif_database import Motif
from cisnake.errors import InputError
from cisnake.interpret.probe.effects import EFFECT_COLUMNS, SITE_EFFECT_COLUMNS, ProbeSettings, probe_motifs
from cisnake.interpret.probe.probed_clusters import ProbedCluster, choose_clusters, probe_clusters

from .counted import CONSENSUS, LENGTH, either, motif, scorer_of, sum_of_weights

SETTINGS = ProbeSettings(50, 5, 30, 0)


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"q_value": 0.0, "odds_ratio": 9.0, **columns})


def test_runners_up_are_enriched_distinct_and_the_best_in_the_contrast():
    rng = np.random.default_rng(0)
    motifs = {name: Motif(name, name, rng.dirichlet(np.full(4, 0.2), 10)) for name in "rabcdefx"}
    # The reverse complement of a is the same motif; flat columns at its ends change little.
    turned = motifs["a"].probabilities[::-1, ::-1]
    motifs["a2"] = Motif("a2", "a2", np.vstack([turned, np.full((2, 4), 0.25)]))
    motifs["r2"] = Motif("r2", "r2", motifs["r"].probabilities)
    ids = ["r2", "a", "a2", "b", "c", "r", "d", "x", "e", "f"]
    q_value = dict.fromkeys(ids, 0.01) | {"b": 0.06, "e": 0.05}
    odds = dict.fromkeys(ids, 3.0) | {"c": 1.0}
    enrichment = table(
        motif_id=ids, rank=[str(i + 1) for i in range(len(ids))], representative=["x" if name == "x" else "r" for name in ids]
    ).assign(q_value=list(q_value.values()), odds_ratio=list(odds.values()))
    clusters = choose_clusters(enrichment, list(motifs.values()), 5)
    assert [cluster.motif_ids for cluster in clusters] == [["r", "a", "d", "e"], ["x"]]
    shuffled = choose_clusters(enrichment.sample(frac=1, random_state=1), list(motifs.values()), 1)
    assert [cluster.motif_ids for cluster in shuffled] == [["r", "a", "d", "e"]]
    with pytest.raises(InputError, match="unknown motif 'x'"):
        choose_clusters(enrichment, [motifs[name] for name in "rabcdef"], 5)


@pytest.fixture
def confused(world):
    """The model responds to the first bases of a site, which the representative barely overlaps; a member has them."""
    codes, windows, hits = world
    noise = sum_of_weights(np.random.default_rng(3).normal(0, 0.01, (LENGTH, 5)))
    counted = either(CONSENSUS[:6], 1.0, 0.0, 0.0)
    scorer = scorer_of(codes, windows, lambda *window: noise(*window) + counted(*window))
    forward = hits[hits["orientation"] == "+"]
    shifted = forward.assign(motif_id="R", window_start=forward["window_start"] + 3, window_end=forward["window_end"] + 3)
    peaks = pd.DataFrame({"row": forward.index, "start": forward["window_start"], "end": forward["window_end"]})
    motifs = [motif("R", "GTACCCCC"), motif("M1", CONSENSUS), motif("A", "ACACACAC")]
    return scorer, motifs, pd.concat([shifted, forward, shifted.assign(motif_id="A")]), peaks


def test_a_member_that_accounts_for_the_sites_is_found_and_the_representative_is_unchanged(confused):
    scorer, (representative, member, other), hits, peaks = confused
    enrichment = table(motif_id=["R", "M1", "A"])
    clusters = [ProbedCluster(representative, (member,)), ProbedCluster(other, ())]
    effects, sites = probe_clusters(scorer, clusters, hits, peaks, enrichment, SETTINGS)
    assert list(effects) == [*EFFECT_COLUMNS, "representative"] and list(sites) == list(SITE_EFFECT_COLUMNS)
    assert effects["motif_id"].tolist() == ["R", "A", "M1"] and effects["representative"].tolist() == ["R", "A", "R"]
    assert effects["verdict"].tolist()[::2] == ["sites_only", "raises"]
    alone, alone_sites = probe_motifs(scorer, [representative, other], hits, peaks, enrichment, SETTINGS)
    pd.testing.assert_frame_equal(effects.iloc[:2][list(EFFECT_COLUMNS)], alone)
    assert len(sites) == len(alone_sites) + 15 and set(sites["motif_id"]) == {"R", "A", "M1"}


@pytest.mark.parametrize(
    ("odds", "consensus", "expected"),
    [
        # A representative that acts, one that is enriched and inert, and one that is inert and not enriched here.
        (0.5, CONSENSUS, ["M1"]),
        (9.0, "CCCCCCCC", ["M1"]),
        (0.5, "CCCCCCCC", ["M1", "B"]),
    ],
)
def test_runners_up_are_probed_only_if_the_representative_does_not_stand_for_the_cluster(world, odds, consensus, expected):
    codes, windows, hits = world
    scorer = scorer_of(codes, windows, either(consensus, 1.0, 0.0, 0.0))
    enrichment = table(motif_id=["M1", "B"]).assign(odds_ratio=[odds, 9.0])
    peaks = pd.DataFrame({"row": hits.index, "start": hits["window_start"], "end": hits["window_end"]})
    clusters = [ProbedCluster(motif("M1", CONSENSUS), (motif("B", "ACACACAC"),))]
    effects, _ = probe_clusters(scorer, clusters, hits, peaks, enrichment, SETTINGS)
    assert effects["motif_id"].tolist() == expected
    assert set(effects["representative"]) == {"M1"}


def test_no_clusters(confused):
    scorer, _, hits, peaks = confused
    effects, sites = probe_clusters(scorer, [], hits, peaks, table(motif_id=["R"]), SETTINGS)
    assert effects.empty and sites.empty and "representative" in effects
    assert choose_clusters(table(motif_id=[], representative=[], rank=[]), [], 3) == []
