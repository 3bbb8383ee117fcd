import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome.bases import N, encode, reverse_complement
from cisnake.data.motif_database import Motif
from cisnake.interpret.motifs.log_odds import motif_scores
from cisnake.interpret.probe import sites
from cisnake.interpret.probe.sites import choose_sites, control_starts, peak_places, replacements

TATA = "TATAAA"


def hits(**columns):
    table = {"row": [0, 1, 2, 3], "window_start": 5, "window_end": 11, "orientation": "+", "p_value": 1e-5} | columns
    return pd.DataFrame(table)


def test_the_best_matches_are_chosen_and_ties_fall_at_random():
    chosen = choose_sites(hits(p_value=[4e-5, 1e-5, 3e-5, 2e-5]), 3, np.random.default_rng(0))
    assert chosen["row"].tolist() == [1, 3, 2]
    tied = hits(p_value=[1e-5, 1e-6, 1e-5, 1e-5])
    drawn = [choose_sites(tied, 2, np.random.default_rng(seed))["row"].tolist() for seed in range(60)]
    assert all(rows[0] == 1 for rows in drawn)
    assert {rows[1] for rows in drawn} == {0, 2, 3}
    # The order of the file does not matter.
    again = [choose_sites(tied[::-1], 2, np.random.default_rng(seed))["row"].tolist() for seed in range(60)]
    assert again == drawn


def test_a_place_that_matches_on_both_strands_is_one_site_in_the_better_orientation():
    both = hits(row=[0, 0, 1, 1], orientation=["+", "-", "-", "+"], p_value=[2e-5, 1e-5, 3e-5, 3e-5])
    chosen = choose_sites(both, 10, np.random.default_rng(0))
    assert chosen["row"].tolist() == [0, 1]
    assert chosen["orientation"].tolist() == ["-", "+"]
    assert choose_sites(both.iloc[:0], 10, np.random.default_rng(0)).empty


def test_controls_are_all_free_places_and_no_other():
    window = np.zeros(30, np.int8)
    window[12] = N
    taken = np.zeros(30, bool)
    taken[[0, 20]] = True
    free = {s for s in range(26) if not taken[s : s + 5].any() and not (window[s : s + 5] == N).any()}
    starts = control_starts(window, taken, 5, 100, np.random.default_rng(0))
    assert len(starts) == len(free)
    assert set(starts.tolist()) == free
    assert len(set(control_starts(window, taken, 5, 4, np.random.default_rng(0)).tolist())) == 4
    assert 25 in free
    for width in (30, 31):
        assert len(control_starts(window, taken, width, 3, np.random.default_rng(0))) == 0
    assert control_starts(np.zeros(5, np.int8), np.zeros(5, bool), 5, 3, np.random.default_rng(0)).tolist() == [0]


@pytest.mark.parametrize("start", [0, 40, 94])
def test_replacements_do_not_recreate_the_motif_even_across_their_edges(start, monkeypatch):
    rng = np.random.default_rng(0)
    window = rng.choice(encode("AAATTTTACG"), 100).astype(np.int8)
    window[start : start + 6] = encode(TATA)
    if start:
        # With one more base on the left, drawn bases could complete the motif.
        window[start - 5 : start] = encode("CTATA")
    scores = motif_scores(Motif("m", "m", np.eye(4)[encode(TATA)] * 0.97 + 0.01), np.full(4, 0.25))
    cut = int(scores.steps.max(axis=1).sum())

    def matches(drawn):
        found = 0
        for bases in drawn:
            written = window.copy()
            written[start : start + 6] = bases
            words = np.lib.stride_tricks.sliding_window_view(written[max(0, start - 5) : start + 11], 6)
            found += any((words == word).all(axis=1).any() for word in (encode(TATA), reverse_complement(encode(TATA))))
        return found

    drawn = replacements(window, start, 600, scores.steps, cut, rng)
    assert drawn.shape == (600, 6)
    assert matches(drawn) == 0
    assert len({row.tobytes() for row in drawn}) > 100
    monkeypatch.setattr(sites, "_REDRAWS", 0)
    assert matches(replacements(window, start, 600, scores.steps, cut, rng)) > 0


def test_an_n_beside_a_site_matches_nothing_and_what_cannot_be_avoided_stays():
    window = np.full(30, N, np.int8)
    scores = motif_scores(Motif("m", "m", np.eye(4)[encode(TATA)] * 0.97 + 0.01), np.full(4, 0.25))
    best = int(scores.steps.max(axis=1).sum())
    assert replacements(window, 10, 50, scores.steps, best, np.random.default_rng(0)).max() < 4
    # If every word reaches the threshold, redrawing stops after a fixed number of rounds.
    assert replacements(window, 10, 5, scores.steps, scores.lowest, np.random.default_rng(0)).shape == (5, 6)


def test_peaks_of_other_genes_are_left_out():
    peaks = pd.DataFrame({"gene_id": ["b", "x", "a"], "window_start": [1, 2, 3], "window_end": [4, 5, 6]})
    assert peak_places(peaks, ["a", "b"]).to_numpy().tolist() == [[1, 1, 4], [0, 3, 6]]
