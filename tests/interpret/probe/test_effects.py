from collections import Counter

import numpy as np
import pandas as pd
import pytest

from cisnake import files
from cisnake.data.genome.bases import encode, reverse_complement
from cisnake.errors import InputError
from cisnake.interpret.contrasts import Contrast
from cisnake.interpret.probe import effects as motif_effects
from cisnake.interpret.probe import window_scorer
from cisnake.interpret.probe.effects import EFFECT_COLUMNS, SITE_EFFECT_COLUMNS
from cisnake.interpret.probe.sites import choose_motifs, read_peak_hits
from cisnake.interpret.probe.window_scorer import Scorer

from .counted import (
    CONSENSUS,
    LENGTH,
    TASKS,
    N,
    counting,
    either,
    matches,
    motif,
    probe,
    probe_motifs,
    scorer_of,
    sum_of_weights,
)


def test_effects_of_a_model_that_counts_sites_are_known_exactly(world):
    codes, windows, hits = world
    counted = either(CONSENSUS, 3.0, 1.0, 0.0)

    def model(*window):
        return counted(*window) + np.array([9.0, 0.0, 0.0])

    table = probe_motifs(scorer_of(codes, windows, model), [motif("M1", CONSENSUS)], hits, 50, 5, 20, 0)
    row = table.iloc[0]
    assert list(table) == list(EFFECT_COLUMNS)
    assert (row["motif_id"], row["motif_name"], row["n_sites"], row["n_backgrounds"]) == ("M1", "m1", N, 20)
    # One site is worth 3 in liver and 0.5 on average elsewhere.
    assert row["deletion_mean"] == pytest.approx(-2.5)
    assert (row["deletion_low"], row["deletion_high"]) == pytest.approx((-2.5, -2.5))
    assert (row["insertion_mean"], row["insertion_low"], row["insertion_high"]) == pytest.approx((2.5, 2.5, 2.5))
    for side, size in (("on", 3), ("off", 0.5)):
        for test, sign in (("deletion", -1), ("insertion", 1)):
            found = [row[f"{test}_{side}_{value}"] for value in ("mean", "low", "high")]
            assert found == pytest.approx([sign * size] * 3), (side, test)
    assert (row["verdict"], row["moves"]) == ("raises", "raises_on")
    doubled = Contrast("c", ("liver", "brain"), (), "aggregate").side_weights(TASKS)
    table = probe_motifs(scorer_of(codes, windows, model, doubled), [motif("M1", CONSENSUS)], hits, 50, 5, 20, 0)
    assert table.iloc[0]["deletion_mean"] == table.iloc[0]["deletion_on_mean"] == pytest.approx(-2.0)
    assert np.isnan(table.iloc[0]["deletion_off_mean"]) and table.iloc[0]["moves"] == ""


def test_a_motif_that_only_lowers_the_off_tasks_raises_the_score_and_says_so(world):
    codes, windows, hits = world
    scorer = scorer_of(codes, windows, either(CONSENSUS, 0.0, -3.0, -1.0))
    row = probe_motifs(scorer, [motif("M1", CONSENSUS)], hits, 50, 5, 20, 0).iloc[0]
    assert (row["verdict"], row["moves"]) == ("raises", "lowers_off")
    assert row["insertion_mean"] == pytest.approx(2) and row["insertion_on_mean"] == 0
    assert (row["insertion_off_mean"], row["deletion_off_mean"]) == pytest.approx((-2, 2))
    # A motif without a verdict has no sides.
    other = scorer_of(codes, windows, either("CCCCCCCC", 0.0, -3.0, -1.0))
    inert = probe_motifs(other, [motif("M1", CONSENSUS)], hits, 50, 5, 20, 0)
    assert inert.iloc[0][["verdict", "moves"]].tolist() == ["inert", ""]


def test_sites_on_the_other_strand_are_destroyed_where_they_are_and_inserted_as_they_are(world):
    codes, windows, hits = world
    reverse = "".join("ACGT"[c] for c in reverse_complement(encode(CONSENSUS)))
    scorer = scorer_of(codes, windows, counting(reverse, 1.0, 0.0, 0.0))
    backward = hits[hits["orientation"] == "-"]
    of_backward = probe_motifs(scorer, [motif("M1", CONSENSUS)], backward, 50, 5, 20, 0).iloc[0]
    assert of_backward["n_sites"] == N // 2
    assert of_backward["deletion_mean"] == pytest.approx(-1)
    assert of_backward["insertion_mean"] == pytest.approx(1)
    of_forward = probe_motifs(scorer, [motif("M1", CONSENSUS)], hits[hits["orientation"] == "+"], 50, 5, 20, 0).iloc[0]
    assert of_forward["deletion_mean"] == pytest.approx(0)
    assert of_forward["insertion_mean"] == pytest.approx(0)


def test_the_motif_is_inserted_at_its_distance_from_the_tss(world):
    codes, windows, hits = world

    def at_its_place(codes, mask_start, mask_end, rows):
        sites = np.stack([row[start - 20 : start - 12] for row, start in zip(codes, mask_start, strict=True)])
        return np.repeat((sites == encode(CONSENSUS)).all(axis=1)[:, None], 3, axis=1) * np.array([1.0, 0.0, 0.0])

    row = probe_motifs(scorer_of(codes, windows, at_its_place), [motif("M1", CONSENSUS)], hits, 50, 2, N, 0).iloc[0]
    assert row["insertion_mean"] == pytest.approx(1)


def test_an_inert_site_has_no_effect_within_its_interval(world):
    codes, windows, hits = world
    rng = np.random.default_rng(5)
    away = rng.normal(size=(LENGTH, 5))
    away[20:60] = 0

    def elsewhere(codes, mask_start, mask_end, rows):
        return np.outer(away[np.arange(LENGTH), codes].sum(axis=1), [1.0, 0.0, 0.0])

    inert = probe_motifs(scorer_of(codes, windows, elsewhere), [motif("M1", CONSENSUS)], hits, 50, 5, 5, 0).iloc[0]
    assert inert["deletion_mean"] == pytest.approx(0, abs=1e-9)

    # With random weights of both signs, replacements of a site change the score at random.
    everywhere = rng.normal(size=(LENGTH, 5))
    everywhere -= everywhere[:, encode(CONSENSUS)].mean(axis=1, keepdims=True)

    def noisy(codes, mask_start, mask_end, rows):
        return np.outer(everywhere[np.arange(LENGTH), codes].sum(axis=1), [1.0, 0.0, 0.0])

    chance = probe_motifs(scorer_of(codes, windows, noisy), [motif("M1", CONSENSUS)], hits, 50, 5, 30, 0).iloc[0]
    assert chance["deletion_low"] < 0 < chance["deletion_high"]


def test_the_interval_is_that_of_the_mean_over_sites(world):
    codes, windows, hits = world
    values = np.random.default_rng(1).normal(2, 1, N)
    by_tss = dict(zip(windows["mask_start"] * 1000 + windows.index, values, strict=True))
    numbered = windows.assign(mask_start=windows["mask_start"], mask_end=windows.index)

    def of_gene(codes, mask_start, mask_end, rows):
        found = matches(codes, CONSENSUS) + matches(codes, "".join("ACGT"[c] for c in reverse_complement(encode(CONSENSUS))))
        size = np.array([by_tss[key] for key in (mask_start * 1000 + mask_end).tolist()])
        return np.outer(found * size, [1.0, 0.0, 0.0])

    row = probe_motifs(scorer_of(codes, numbered, of_gene), [motif("M1", CONSENSUS)], hits, 50, 1, 2, 0).iloc[0]
    error = values.std() / np.sqrt(N)
    assert row["deletion_mean"] == pytest.approx(-values.mean())
    assert row["deletion_low"] == pytest.approx(-values.mean() - 1.96 * error, abs=0.25 * error)
    assert row["deletion_high"] == pytest.approx(-values.mean() + 1.96 * error, abs=0.25 * error)


def test_only_the_best_hits_in_peaks_of_known_genes_count_once(world):
    codes, windows, hits = world
    numbered = windows.assign(mask_end=windows.index)
    asked = Counter()

    def spy(codes, mask_start, mask_end, rows):
        asked.update(mask_end.tolist())
        return np.zeros((len(codes), 3))

    both_strands = pd.concat([hits, hits.assign(orientation="+", p_value=hits["p_value"] * 1.0001)])
    outside = hits.assign(region="window", p_value=0.0)
    strangers = pd.concat([both_strands, hits.assign(gene_id="stranger", p_value=0.0), outside])
    table = probe_motifs(scorer_of(codes, numbered, spy), [motif("M1", CONSENSUS)], strangers[::-1], 7, 2, 0, 0)
    assert table.iloc[0]["n_sites"] == 7
    assert table.iloc[0]["n_backgrounds"] == 0
    # Each of two replicates sees the intact window, and two draws of the site and of each of its controls.
    assert asked == {row: 2 * (1 + 2 * (1 + -(-200 // 7))) for row in range(7)}


def test_a_motif_without_hits_in_peaks_has_no_numbers(world):
    codes, windows, hits = world
    motifs = [motif("M0", "AAAA"), motif("M1", CONSENSUS)]
    scorer = scorer_of(codes, windows, either(CONSENSUS, 1.0, 0.0, 0.0))
    table = probe_motifs(scorer, motifs, hits, 5, 2, 4, 0)
    assert table["n_sites"].tolist() == [0, 5]
    assert table["n_backgrounds"].tolist() == [0, 4]
    numbers = table.drop(columns=["motif_id", "motif_name", "n_sites", "n_controls", "n_backgrounds", "verdict", "moves"])
    assert numbers.drop(columns=["enrichment_odds_ratio", "enrichment_q_value"]).iloc[0].isna().all()
    assert table["verdict"].tolist() == ["no_sites", "raises"]
    assert table.iloc[1]["deletion_mean"] == pytest.approx(-1)
    assert len(probe_motifs(scorer, [], hits, 5, 2, 4, 0)) == 0
    nothing = probe_motifs(scorer, motifs, hits.iloc[:0], 5, 2, 4, 0)
    assert nothing["n_sites"].tolist() == [0, 0]


def test_a_seed_decides_and_blocks_do_not(world, monkeypatch):
    codes, windows, hits = world
    weights = np.random.default_rng(0).normal(size=(LENGTH, 5))
    scorer = scorer_of(codes, windows, lambda c, s, e, r: np.outer(weights[np.arange(LENGTH), c].sum(axis=1), [1.0, 0.0, 0.0]))
    tables = [probe_motifs(scorer, [motif("M1", CONSENSUS)], hits, 9, 3, 8, seed) for seed in (0, 0, 1)]
    monkeypatch.setattr(window_scorer, "_BASES", 7 * LENGTH)
    tables.append(probe_motifs(scorer, [motif("M1", CONSENSUS)], hits, 9, 3, 8, 0))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[3])
    assert tables[0]["deletion_mean"][0] != tables[2]["deletion_mean"][0]


def test_genes_are_scored_by_their_own_fold(world):
    codes, windows, hits = world
    by_fold = {
        fold: [either(CONSENSUS, value, 0.0, 0.0) for value in (value, value + 2)]
        for fold, value in enumerate((1.0, 10.0, 100.0))
    }
    scorer = Scorer(windows, LENGTH, lambda rows: codes[rows].copy(), by_fold, np.array([[1.0], [0.0], [0.0]]))
    table = probe_motifs(scorer, [motif("M1", CONSENSUS)], hits, 3, 2, 4, 0)
    assert table.iloc[0]["deletion_mean"] == pytest.approx(-(2 + 11 + 101) / 3)
    missing = Scorer(windows, LENGTH, scorer.read, {0: by_fold[0]}, scorer.weights)
    with pytest.raises(InputError, match="no model for fold 1, which contains the gene g1"):
        probe_motifs(missing, [motif("M1", CONSENSUS)], hits, 3, 2, 4, 0)


def test_the_representatives_of_the_best_clusters_are_chosen_even_if_another_member_is_better_here():
    motifs = [motif(name, "ACGT") for name in ("a", "b", "c", "d", "e")]
    enrichment = pd.DataFrame({"motif_id": list("abcde"), "representative": list("aacde"), "rank": ["20", "1", "4", "3", "10"]})
    assert [m.id for m in choose_motifs(enrichment, motifs, 10)] == ["a", "d", "c", "e"]
    assert [m.id for m in choose_motifs(enrichment, motifs, 2)] == ["a", "d"]
    assert choose_motifs(enrichment.iloc[:0], motifs, 2) == []
    with pytest.raises(InputError, match="unknown motif 'a'"):
        choose_motifs(enrichment, motifs[2:], 3)


def test_hits_are_read_in_pieces_and_the_places_of_all_of_them(world, tmp_path, monkeypatch):
    _, windows, hits = world
    hits = hits.assign(score=1.0, motif_id=np.where(np.arange(N) % 3 == 0, "NA", "M1"))
    hits.loc[3, "region"] = "window"
    hits.to_csv(tmp_path / "hits.tsv", sep="\t", index=False)
    genes = windows["gene_id"].tolist()[:20]
    for rows in (2, 1000):
        monkeypatch.setattr(files, "CHUNK_ROWS", rows)
        read, places = read_peak_hits(tmp_path / "hits.tsv", ["NA"], genes)
        inside = hits[(hits["region"] == "peak") & hits["gene_id"].isin(genes)]
        expected = inside[inside["motif_id"] == "NA"].reset_index(drop=True)
        pd.testing.assert_frame_equal(read[list(expected.drop(columns="score"))], expected.drop(columns="score"))
        np.testing.assert_array_equal(places["row"], inside.index)
        np.testing.assert_array_equal(places[["start", "end"]], inside[["window_start", "window_end"]])
    read, places = read_peak_hits(tmp_path / "hits.tsv", [], genes)
    assert read.empty
    assert len(places) == len(inside)


def test_sites_are_distinguished_from_random_positions_in_their_windows(world):
    codes, windows, hits = world
    rng = np.random.default_rng(3)
    noise = sum_of_weights(rng.normal(0, 0.1, (LENGTH, 5)))
    counted = either(CONSENSUS, 1.0, 0.0, 0.0)
    for sign, verdict in ((1, "raises"), (-1, "lowers")):
        scorer = scorer_of(codes, windows, lambda *window, sign=sign: noise(*window) + sign * counted(*window))
        effects, sites = probe(scorer, [motif("M1", CONSENSUS)], hits, 20, 5, 20, 0)
        row = effects.iloc[0]
        assert row["verdict"] == verdict
        assert (row["n_controls"], row["share_inert"]) == (200, 0)
        assert row["control_low"] < 0 < row["control_high"]
        assert row["deletion_q_value"] == row["deletion_p_value"] == 1e-4
        assert (row["enrichment_odds_ratio"], row["enrichment_q_value"]) == (4, 0.5)
        assert (sites["verdict"] == verdict).all()
        assert list(sites) == list(SITE_EFFECT_COLUMNS)
        assert sites["effect"].mean() == pytest.approx(row["deletion_mean"])
        # Best matches first; site columns are those of the original hit.
        expected = hits.sort_values("p_value").head(20)
        for name in ("gene_id", "chrom", "start", "end", "strand", "window_start", "orientation", "from_tss", "p_value"):
            assert sites[name].tolist() == expected[name].tolist()
    inert = probe(scorer_of(codes, windows, noise), [motif("M1", CONSENSUS)], hits, 30, 5, 20, 0)
    row = inert[0].iloc[0]
    assert row["share_inert"] == (inert[1]["verdict"] == "inert").mean() >= 0.8


def test_a_site_that_overlaps_that_of_another_factor_gets_no_effect_verdict(world):
    """The model responds to the first bases of the site; the tested motif overlaps only three of them."""
    codes, windows, hits = world
    noise = sum_of_weights(np.random.default_rng(3).normal(0, 0.01, (LENGTH, 5)))
    counted = either(CONSENSUS[:6], 1.0, 0.0, 0.0)
    scorer = scorer_of(codes, windows, lambda *window: noise(*window) + counted(*window))
    forward = hits[hits["orientation"] == "+"]
    passenger = forward.assign(window_start=forward["window_start"] + 3, window_end=forward["window_end"] + 3)
    peaks = pd.DataFrame({"row": forward.index, "start": forward["window_start"], "end": forward["window_end"]})
    effects, sites = probe(scorer, [motif("M1", "GTACCCCC")], passenger, 50, 5, 30, 0, peaks)
    assert effects["verdict"].tolist() == ["sites_only"]
    assert effects.loc[0, "deletion_mean"] < -0.7
    assert abs(effects.loc[0, "insertion_mean"]) < 0.1
    assert (sites["verdict"] == "raises").mean() > 0.7


def test_the_verdict_follows_from_both_tests():
    def verdict(**numbers):
        row = {
            "n_sites": 9, "deletion_mean": -1.0, "control_low": -0.2, "control_high": 0.2, "deletion_q_value": 0.01,
            "insertion_mean": 0.5, "insertion_q_value": 0.01,
        } | numbers  # fmt: skip
        row = {f"{name}_excess": row[f"{name}_mean"] for name in ("deletion", "insertion")} | row
        return motif_effects._verdict(pd.Series(row))

    assert verdict() == "raises"
    assert verdict(deletion_mean=1.0, insertion_mean=-0.5) == "lowers"
    assert verdict(deletion_mean=-0.1) == "raises"
    assert verdict(insertion_mean=-0.5) == "sites_only"
    assert verdict(insertion_mean=0.3) == "sites_only"
    assert verdict(insertion_q_value=0.06) == "sites_only"
    assert verdict(insertion_q_value=np.nan, insertion_mean=np.nan) == "sites_only"
    assert verdict(insertion_mean=0.0, deletion_mean=-0.1) == "inert"
    assert verdict(deletion_q_value=0.06) == "inert"
    # An effect smaller than that of the controls is not an effect of the motif.
    controls = {"control_low": -3.0, "control_high": -0.5}
    assert verdict(deletion_mean=0.0, deletion_excess=1.5, **controls) == "inert"
    assert verdict(deletion_mean=-1e-9, deletion_excess=1.5, **controls) == "inert"
    assert verdict(insertion_excess=-0.5) == "sites_only"
    assert verdict(control_low=np.nan, control_high=np.nan, deletion_q_value=np.nan) == "no_controls"
    assert verdict(n_sites=0, control_low=np.nan) == "no_sites"


@pytest.mark.parametrize("there", [0, 1e-6])
def test_sites_that_do_less_than_any_other_place_are_inert(world, there):
    """The model responds to a change of any base of a window outside the sites."""
    codes, windows, hits = world
    counted = np.ones(LENGTH)
    counted[20:60] = there

    def model(shown, mask_start, mask_end, rows):
        return np.outer((shown == codes[rows]) @ counted, [1.0, 0.0, 0.0])

    occupied = pd.DataFrame({"row": np.arange(N), "start": 20, "end": 60})
    effects, _ = probe(scorer_of(codes, windows, model), [motif("M1", CONSENSUS)], hits, 50, 5, 20, 0, occupied)
    row = effects.iloc[0]
    assert row["control_high"] < -1 < row["deletion_mean"] <= 0
    assert row["deletion_q_value"] <= 0.05
    assert row["verdict"] == "inert"
    assert list(effects) == list(EFFECT_COLUMNS)


def test_controls_lie_away_from_what_is_occupied_and_without_room_there_are_none(world):
    codes, windows, hits = world
    weights = np.zeros((LENGTH, 5))
    weights[:90] = np.random.default_rng(0).normal(size=(90, 5))
    scorer = scorer_of(codes, windows, sum_of_weights(weights))
    but_the_end = pd.DataFrame({"row": np.arange(N), "start": 0, "end": 90})
    effects, sites = probe(scorer, [motif("M1", CONSENSUS)], hits, 50, 3, 5, 0, but_the_end)
    # All controls are where the model does not respond, and 30 bases have space for 23 of them.
    assert effects.loc[0, "n_controls"] == N * -(-200 // N)
    assert effects.loc[0, ["control_low", "control_high"]].tolist() == [0, 0]
    everything = pd.DataFrame({"row": np.arange(N), "start": 0, "end": LENGTH})
    effects, sites = probe(scorer, [motif("M1", CONSENSUS)], hits, 50, 3, 5, 0, everything)
    assert effects.loc[0, "verdict"] == "no_controls"
    assert (sites["verdict"] == "no_controls").all()
    assert effects.loc[0, ["share_inert", "deletion_p_value", "deletion_q_value"]].isna().all()
    assert np.isfinite(effects.loc[0, "deletion_mean"])


def test_the_number_of_forward_passes_is_logged_first(world, caplog):
    codes, windows, hits = world
    asked = []

    def spy(codes, mask_start, mask_end, rows):
        asked.append(len(codes))
        assert "forward passes" in caplog.text
        return np.zeros((len(codes), 3))

    with caplog.at_level("INFO", logger="cisnake"):
        probe(scorer_of(codes, windows, spy), [motif("M0", "AAAA"), motif("M1", CONSENSUS)], hits, 9, 3, 8, 0)
    assert f"{sum(asked)} forward passes: 2 replicates x (9 windows, " in caplog.text


def test_deletions_do_not_depend_on_the_other_motifs(world):
    codes, windows, hits = world
    scorer = scorer_of(codes, windows, sum_of_weights(np.random.default_rng(0).normal(size=(LENGTH, 5))))
    second = hits.assign(motif_id="M2", window_start=hits["window_start"] + 1, window_end=hits["window_end"] + 1)
    both = [motif("M2", "AACCGGTT"), motif("M1", CONSENSUS)]
    occupied = pd.DataFrame({"row": [], "start": [], "end": []}, dtype=int)
    alone = probe(scorer, both[1:], hits, 9, 3, 8, 0, occupied)[1]
    among = probe(scorer, both, pd.concat([second, hits]), 9, 3, 8, 0, occupied)[1]
    np.testing.assert_allclose(among["effect"][9:], alone["effect"])
    assert (alone["effect_sd"] > 0).all()
    assert probe(scorer, both[1:], hits, 9, 1, 8, 0, occupied)[1]["effect_sd"].isna().all()
