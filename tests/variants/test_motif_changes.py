"""Changed motifs against loops over all sites, and on sequences with known matches."""

import numpy as np
import pytest

from cisnake.data import Motif
from cisnake.data.genome import decode, encode, reverse_complement
from cisnake.interpret.motifs import STEP, motif_scores
from cisnake.interpret.motifs.log_odds import PSEUDO_SHARE
from cisnake.variants.motif_changes import AlleleWindow, changed_motifs

UNIFORM = np.full(4, 0.25)


def consensus(word, name, share=0.97):
    probabilities = np.full((len(word), 4), (1 - share) / 3)
    probabilities[np.arange(len(word)), encode(word)] = share
    return Motif(name, name.upper(), probabilities, 20)


def log_odds(motif, word, background):
    """Sum of log2(p / background) in float64, without a grid."""
    p = (1 - PSEUDO_SHARE) * motif.probabilities + PSEUDO_SHARE * background
    return sum(float(np.log2(p[i, base] / background[base])) for i, base in enumerate(word))


def sites(window, motif, background):
    """All sites that touch the allele as (log odds, start, strand)."""
    found, width = [], len(motif)
    for start in range(len(window.codes) - width + 1):
        word = window.codes[start : start + width]
        if window.first < window.last:
            touches = any(window.first <= place < window.last for place in range(start, start + width))
        else:
            touches = start < window.first < start + width
        if touches and (word < 4).all():
            found += [(log_odds(motif, word, background), start, "+")]
            found += [(log_odds(motif, reverse_complement(word), background), start, "-")]
    return found


@pytest.mark.parametrize("p_threshold", [0.06, 0.3])
def test_changes_are_those_of_a_loop_over_all_sites(p_threshold):
    rng = np.random.default_rng(2)
    motifs = [Motif(f"m{width}", f"M{width}", rng.dirichlet([0.4] * 4, width), 20) for width in (1, 4, 7, 11, 60)]
    pairs, backgrounds = [], []
    for _ in range(60):
        codes = rng.choice(5, 40, p=[0.3, 0.19, 0.19, 0.3, 0.02]).astype(np.int8)
        first = int(rng.choice([1, 2, 37, rng.integers(1, 38)]))
        old = int(min(rng.integers(0, 4), 39 - first))
        bases = rng.integers(0, 4, int(rng.integers(0 if old else 1, 4))).astype(np.int8)
        changed = np.concatenate([codes[:first], bases, codes[first + old :]])
        pairs.append((AlleleWindow(codes, first, first + old), AlleleWindow(changed, first, first + len(bases))))
        backgrounds.append([UNIFORM, np.array([0.3, 0.2, 0.2, 0.3])][int(rng.integers(2))])
    table = changed_motifs(*zip(*pairs, strict=True), motifs, np.array(backgrounds), p_threshold)
    rows = {(row.variant, row.motif_id): row for row in table.itertuples()}
    assert len(rows) == len(table)
    kinds = {"lost": 0, "gained": 0, "weakened": 0, "strengthened": 0, "no site": 0}
    for i, ((ref, alt), background) in enumerate(zip(pairs, backgrounds, strict=True)):
        for motif in motifs:
            scores = motif_scores(motif, background)
            cut, grid = scores.cut(p_threshold), len(motif) * STEP / 2 + 1e-9
            best = [max(sites(window, motif, background), default=(-np.inf,))[0] for window in (ref, alt)]
            row = rows.get((i, motif.id))
            if row is None:
                # Nothing changes: neither allele matches, or both equally.
                assert max(best) < cut * STEP + grid or abs(best[0] - best[1]) <= 2 * grid
                continue
            kinds[row.change] += 1
            assert row.threshold == pytest.approx(cut * STEP)
            found = (row.ref_score, row.ref_p_value), (row.alt_score, row.alt_p_value)
            for expected, (score, p) in zip(best, found, strict=True):
                if expected == -np.inf:
                    assert np.isnan(score) and np.isnan(p)
                    kinds["no site"] += 1
                else:
                    assert score == pytest.approx(expected, abs=grid)
                    assert p == pytest.approx(scores.tail[round(score / STEP) - scores.lowest])
            matched = [score >= row.threshold - 1e-9 for score in (row.ref_score, row.alt_score)]
            assert row.change in {
                (True, False): ["lost"], (False, True): ["gained"], (True, True): ["weakened", "strengthened"],
            }[tuple(matched)]  # fmt: skip
            assert (row.allele == "alt") == (row.change in ("gained", "strengthened"))
            window = alt if row.allele == "alt" else ref
            word = window.codes[row.window_start : row.window_end]
            oriented = word if row.orientation == "+" else reverse_complement(word)
            assert row.matched_seq == decode(oriented)
            (own,) = (s for s, *place in sites(window, motif, background) if place == [row.window_start, row.orientation])
            assert own == pytest.approx(max(best), abs=2 * grid)
    assert min(kinds.values()) > 2, kinds


def test_a_site_that_is_destroyed_created_or_shifted():
    motif = consensus("GATAAG", "gata")
    best = 6 * np.log2((0.999 * 0.97 + 0.001 * 0.25) / 0.25)

    def compare(ref, alt, first, n_ref, n_alt):
        windows = AlleleWindow(encode(ref), first, first + n_ref), AlleleWindow(encode(alt), first, first + n_alt)
        return changed_motifs([windows[0]], [windows[1]], [motif], UNIFORM[None], 1e-3)

    (lost,) = compare("CCCGATAAGCCC", "CCCGACAAGCCC", 5, 1, 1).itertuples()
    assert (lost.change, lost.allele, lost.window_start, lost.window_end, lost.orientation) == ("lost", "ref", 3, 9, "+")
    assert lost.matched_seq == "GATAAG" and lost.ref_score == pytest.approx(best, abs=6 * STEP / 2)
    assert lost.ref_p_value == pytest.approx(4.0**-6)
    assert lost.score_difference == pytest.approx(lost.alt_score - lost.ref_score) and lost.score_difference < -6
    (gained,) = compare("CCCCTTGTCCCC", "CCCCTTATCCCC", 6, 1, 1).itertuples()
    assert (gained.change, gained.allele, gained.window_start, gained.orientation) == ("gained", "alt", 3, "-")
    assert gained.matched_seq == "GATAAG"
    # A deletion in the middle of it, and an insertion that moves both halves apart, destroy it.
    assert compare("CCCGATAAGCCC", "CCCGAAGCCC", 5, 2, 0)["change"].tolist() == ["lost"]
    assert compare("CCCGATAAGCCC", "CCCGATCCAAGCCC", 6, 0, 2)["change"].tolist() == ["lost"]
    # A deletion that brings two halves together creates it across the junction.
    (joined,) = compare("CCCGATCCAAGCCC", "CCCGATAAGCCC", 6, 2, 0).itertuples()
    assert (joined.change, joined.window_start, joined.window_end) == ("gained", 3, 9)
    # A deletion of one of three equal bases leaves the site, one base further.
    assert compare("CCCGATAAGAAGCC", "CCCGATAAGCC", 9, 3, 0).empty
    # A neighbour that is not touched changes nothing.
    assert compare("CCCGATAAGCCC", "CCCGATAAGACC", 9, 1, 1).empty


def test_sites_beyond_the_window_and_with_n_do_not_match():
    motif = consensus("GATAAG", "gata")
    for ref, first in (("GATAAGCC", 7), ("NATAAGCC", 2), ("ATAAGCCC", 1)):
        codes = encode(ref)
        other = codes.copy()
        other[first] = (codes[first] + 1) % 4
        assert changed_motifs(
            [AlleleWindow(codes, first, first + 1)], [AlleleWindow(other, first, first + 1)], [motif], UNIFORM[None], 1e-3
        ).empty
    assert changed_motifs([], [], [motif], np.zeros((0, 4)), 1e-3).empty
