import itertools

import numpy as np
import pytest

from cisnake.data.genome.bases import encode, reverse_complement
from cisnake.interpret.motifs.log_odds import motif_scores
from cisnake.interpret.motifs.window_sites import Windows, scan_windows

from .scanned import consensus_motif, random_motif

SKEWED = np.array([0.38, 0.12, 0.12, 0.38])


@pytest.mark.parametrize("seed", range(6))
def test_sites_are_those_of_a_brute_force_scan(seed):
    rng = np.random.default_rng(seed)
    width, length = int(rng.integers(1, 22)), int(rng.integers(15, 400))
    codes = rng.choice(5, (7, length), p=[0.36, 0.12, 0.12, 0.36, 0.04]).astype(np.int8)
    scores = motif_scores(random_motif(rng, width), SKEWED)
    expected = []
    for row, start in itertools.product(range(7), range(length - width + 1)):
        word = codes[row, start : start + width]
        if (word < 4).all():
            for orientation, oriented in ((1, word), (-1, reverse_complement(word))):
                expected.append((row, start, orientation, int(scores.steps[np.arange(width), oriented].sum())))
    for cut in (scores.lowest, *np.quantile([site[3] for site in expected] or [0], [0.5, 0.95, 1]).astype(int)):
        found = list(zip(*(part.tolist() for part in scan_windows(codes, scores.steps, int(cut))), strict=True))
        assert found == [site for site in expected if site[3] >= cut]


def test_a_site_at_either_end_is_found_and_none_across_two_windows():
    steps = motif_scores(consensus_motif("GATTACAG", "x"), SKEWED).steps
    codes = np.stack([encode("GATTACAG" + "T" * 12 + "GATTACAG"), encode("T" * 24 + "GATT"), encode("ACAG" + "T" * 24)])
    row, start, orientation, _ = scan_windows(codes, steps, 1500)
    assert list(zip(row, start, orientation, strict=True)) == [(0, 0, 1), (0, 20, 1)]
    assert [len(part) for part in scan_windows(codes[:, :5], steps, 0)] == [0, 0, 0, 0]
    assert [len(part) for part in scan_windows(codes[:0], steps, 0)] == [0, 0, 0, 0]


def test_stretches_without_n_are_the_longest_ones():
    codes = np.stack([encode("NNACGTNA"), encode("ACGTACGT"), encode("NNNNNNNN"), encode("ACGTNNNN")])
    found = list(zip(*(part.tolist() for part in Windows(codes).known()), strict=True))
    assert found == [(0, 2, 6), (0, 7, 8), (1, 0, 8), (3, 0, 4)]
