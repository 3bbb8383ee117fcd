"""Controls of variants in centred windows: what is shuffled, and whether p- and q-values mean what they say."""

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, kstest

from cisnake.data.genome import Genome, decode, encode
from cisnake.errors import InputError
from cisnake.variants import AlleleScorer, centered_windows, draw_centered_controls, score_centered, write_centered
from cisnake.variants.controls import deal_controls

LENGTH, MOTIF = 60, "TGACTCA"
SITES = [300 + 400 * i for i in range(6)]


@pytest.fixture(scope="module")
def bases():
    """A chromosome without the motif but at six sites."""
    text = "".join(np.random.default_rng(5).choice(list("ACGT"), 3000, p=[0.3, 0.2, 0.2, 0.3])).replace(MOTIF, "A" * len(MOTIF))
    for site in SITES:
        text = text[:site] + MOTIF + text[site + len(MOTIF) :]
    return text


@pytest.fixture(scope="module")
def genome(bases, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">c\n{bases}\n")
    return Genome(path)


class CountingNetwork:
    """Three positions (the thirds of the window), two tasks: dinucleotides with weights, and occurrences of the motif.

    It keeps its inputs.
    """

    input_shape, output_shape = (None, LENGTH, 4), (None, 3, 2)

    def __init__(self):
        self.weights, self.inputs = np.random.default_rng(2).uniform(0.1, 1, (4, 4)), []
        self.motif = np.eye(4)[encode(MOTIF)]

    def predict_on_batch(self, x):
        self.inputs.append(x.copy())
        thirds = np.asarray(x, np.float64).reshape(len(x) * 3, LENGTH // 3, 4)
        words = np.einsum("npa,npb,ab->n", thirds[:, :-1], thirds[:, 1:], self.weights)
        views = np.lib.stride_tricks.sliding_window_view(thirds, len(MOTIF), axis=1)
        motifs = (np.einsum("npcw,wc->np", views, self.motif) > len(MOTIF) - 0.5).sum(axis=1)
        return np.stack([words, motifs], axis=-1).reshape(len(x), 3, 2).astype(np.float32)


def variants_at(bases, starts, n_alt=1, n_ref=1):
    rng = np.random.default_rng(1)
    rows = []
    for start in starts:
        ref = bases[start : start + n_ref]
        new = str(rng.choice([base for base in "ACGT" if base != ref[0]])) if n_alt == n_ref else ref[0] + "ACGT"[: n_alt - 1]
        rows.append((f"v{start}", "c", start, ref, new, "ok"))
    return pd.DataFrame(rows, columns=["variant_id", "chrom", "start", "ref", "alt", "status"])


def around(text, at, index):
    return ("N" * LENGTH + text + "N" * LENGTH)[at + LENGTH - index :][:LENGTH]


def dinucleotides(text):
    return Counter(a + b for a, b in itertools.pairwise(text))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("start", [1, 20, 1500, 2980, 2994])
@pytest.mark.parametrize(("n_ref", "n_alt"), [(1, 1), (1, 4), (5, 1)])
def test_a_shuffled_window_keeps_the_allele_of_the_genome_and_its_neighbours(start, n_ref, n_alt, flipped, bases, genome):
    here, new = bases[start : start + n_ref], bases[start] + "CAGT"[: n_alt - 1]
    there = new if n_ref != n_alt else {"A": "C"}.get(here, "A")
    alleles = (there, here) if flipped else (here, there)
    plain = centered_windows(genome, "c", start, *alleles, LENGTH, flipped)
    found = centered_windows(genome, "c", start, *alleles, LENGTH, flipped, np.random.default_rng(0))
    # Bases that the alleles share at their ends, and then at their starts, are not part of the change.
    tail = next(
        i for i in range(5) if here[len(here) - i - 1 :][:1] != there[len(there) - i - 1 :][:1] or i == min(n_ref, n_alt)
    )
    here, there = here[: len(here) - tail], there[: len(there) - tail]
    head = int(bool(here and there) and here[0] == there[0])
    first, here, there = start + head, here[head:], there[head:]
    pos = first - (min(len(here), len(there)) == 0)
    center = (LENGTH - 1) // 2 + first - pos
    own, before = (decode(windows[0, int(flipped)]) for windows in (found, plain))
    kept = slice(center - 1, center + len(here) + 1)
    assert own[kept] == before[kept]
    assert [i for i, base in enumerate(own) if base == "N"] == [i for i, base in enumerate(before) if base == "N"]
    # Only pairs with a base beside the kept ones may be new.
    assert sum((dinucleotides(own) - dinucleotides(before)).values()) <= 2 * (len(here) + 3)
    assert sum(a != b for a, b in zip(own, before, strict=True)) > LENGTH / 5
    # The two alleles, in a chromosome whose window was shuffled.
    padded = "N" * LENGTH + bases + "N" * LENGTH
    left = first + LENGTH - center
    shuffled = padded[:left] + own + padded[left + LENGTH :]
    at = first + LENGTH
    changed = shuffled[:at] + there + shuffled[at + len(here) :]
    ref, alt = (changed, shuffled) if flipped else (shuffled, changed)
    n_alleles = (len(there), len(here)) if flipped else (len(here), len(there))
    for allele, text in enumerate((ref, alt)):
        assert decode(found[0, allele]) == text[at - center :][:LENGTH]
        moved = at + n_alleles[allele] - min(n_alleles)
        assert decode(found[1, allele]) == text[moved - center :][:LENGTH]


def test_all_variants_have_equally_many_controls():
    dealt = Counter(deal_controls(np.array([3, 5, 8, 9]), 10, seed=1).tolist())
    assert set(dealt) == {3, 5, 8, 9} and set(dealt.values()) == {2, 3}


def test_controls_do_not_depend_on_the_batch_size_but_on_the_seed(bases, genome):
    variants = variants_at(bases, range(100, 2900, 100))
    first, again, other = (
        draw_centered_controls(variants, genome, AlleleScorer([CountingNetwork()], ["SUM"], batch_size=size), 50, seed)
        for size, seed in ((16, 0), (7, 0), (16, 1))
    )
    np.testing.assert_array_equal(first.shuffled, again.shuffled)
    assert first.shuffled.shape == (50, 2) and not np.allclose(first.shuffled, other.shuffled)


@pytest.mark.parametrize(("n_ref", "n_alt"), [(1, 1), (1, 3), (4, 1)])
def test_p_values_of_a_network_that_reads_composition_are_uniform(n_ref, n_alt, bases, genome):
    starts = np.random.default_rng(3).choice(np.arange(100, 2900), 200, replace=False)
    variants = variants_at(bases, starts, n_alt, n_ref)
    scorer = AlleleScorer([CountingNetwork()], ["D1"], batch_size=64)
    controls = draw_centered_controls(variants, genome, scorer, 2000)
    effects = np.concatenate([values for _, values in score_centered(variants, genome, scorer)])[:, 0, 0]
    p = (1 + (controls.shuffled[:, 0] >= effects[:, None]).sum(axis=1)) / 2001
    # Many effects of insertions are exactly 0: the first new base may be the old one. Their p-values are 1.
    assert kstest(p, "uniform", alternative="greater" if n_alt > 1 else "two-sided").pvalue > 0.01


def test_p_and_q_are_counts_of_controls_and_find_the_variants_of_motifs(bases, genome, tmp_path):
    """Everything again by its definition, from the windows that the network saw."""
    network = CountingNetwork()
    inside = [site + 3 for site in SITES]
    others = [start for start in range(60, 2900, 53) if all(abs(start - site) > 40 for site in inside)]
    variants = variants_at(bases, sorted(inside + others))
    scorer = AlleleScorer([network], ["REF", "SUM", "D2"], batch_size=10)
    controls = draw_centered_controls(variants, genome, scorer, 400, seed=1)
    seen = [batch for batch in network.inputs if batch.any()]
    write_centered(
        variants, score_centered(variants, genome, scorer), scorer.statistics, ["words", "motif"], tmp_path / "e.tsv", controls
    )
    table = pd.read_csv(tmp_path / "e.tsv", sep="\t")
    assert list(table.columns[7:]) == ["REF", "SUM", "D2", "SUM_p", "D2_p", "SUM_q", "D2_q"]

    # Each call has the windows of up to ten controls: those with REF, then those with ALT, ten per pass.
    windows = np.concatenate(seen)
    windows = windows[windows.any(axis=(1, 2))]
    sides = [windows[first : first + 20].reshape(2, -1, LENGTH, 4) for first in range(0, 800, 20)]
    ref, alt = (np.concatenate([pair[i] for pair in sides]) for i in (0, 1))
    assert len(windows) == 800 and (np.abs(ref - alt).sum(axis=(1, 2)) == 2).all()
    change = CountingNetwork().predict_on_batch(alt).astype(float) - CountingNetwork().predict_on_batch(ref)
    null = {"SUM": np.abs(change.sum(axis=1)), "D2": np.sqrt((change**2).sum(axis=1))}
    for i, task in enumerate(("words", "motif")):
        rows = table[table["task"] == task]
        for name, sizes in null.items():
            slack = 1e-5
            p = [(1 + sum(sizes[:, i] >= abs(effect) - slack)) / 401 for effect in rows[name]]
            low = [(1 + sum(sizes[:, i] >= abs(effect) + slack)) / 401 for effect in rows[name]]
            # Predictions are float32: equal effects may differ in the last digit.
            assert ((rows[f"{name}_p"] <= np.array(p) + 1e-6) & (rows[f"{name}_p"] >= np.array(low) - 1e-6)).all()
            np.testing.assert_allclose(rows[f"{name}_q"], false_discovery_control(rows[f"{name}_p"]), rtol=1e-5)
    motif = table[table["task"] == "motif"].set_index("variant_id")
    assert set(motif.index[motif["SUM_q"] <= 0.1]) == {f"v{start}" for start in inside}
    assert table.loc[table["task"] == "words", "SUM_q"].min() > 0.1
    assert motif["SUM_q"].min() == pytest.approx(controls.least_q(len(variants)) / len(inside), rel=1e-5)


def test_without_variants_or_if_none_are_asked_there_are_no_controls(bases, genome):
    variants, scorer = variants_at(bases, [100]), AlleleScorer([CountingNetwork()], ["SUM"])
    assert draw_centered_controls(variants, genome, scorer, 0) is None
    assert draw_centered_controls(variants.assign(status="mismatch"), genome, scorer, 5) is None


@pytest.mark.parametrize(
    ("statistics", "count", "message"),
    [(["SUM"], -1, "the number of controls is -1: it must be 0 or more"), (["REF", "ALT"], 5, "REF and ALT do not")],
)
def test_controls_that_cannot_be_drawn_are_refused(statistics, count, message, bases, genome):
    with pytest.raises(InputError, match=message):
        draw_centered_controls(variants_at(bases, [100]), genome, AlleleScorer([CountingNetwork()], statistics), count)
