import numpy as np
import pytest

from cisnake.interpret.motifs import spacing
from cisnake.interpret.motifs.spacing import ORIENTATIONS, Sites, measure_spacing

WIDTH = 9


def sites(gene, centre, orientation, width=WIDTH):
    """Sites with centres in bases, in any order."""
    order = np.lexsort((centre, gene))
    widths = np.full(len(gene), width, np.int32)
    return Sites(gene[order], (2 * centre[order]).astype(np.int32), widths, orientation[order].astype(np.int32))


def scattered(rng, genes, rate, mean=-60, sd=40):
    """Sites with a preferred distance from the TSS, any number per gene."""
    gene = np.repeat(np.arange(genes), rng.poisson(rate, genes))
    return gene, np.rint(rng.normal(mean, sd, len(gene))), rng.choice([-1, 1], len(gene))


def nearest_pairs(first, second):
    """Distance and orientation of the nearest pair of each gene, by loops over all pairs."""
    found = {}
    for i in range(len(first)):
        for j in range(len(second)):
            apart = (int(second.centre[j]) - int(first.centre[i])) / 2
            same_site = first is second and i >= j
            if first.gene[i] != second.gene[j] or same_site or abs(apart) < (first.width[i] + second.width[j]) / 2:
                continue
            ahead = apart * first.orientation[i] > 0
            if first.orientation[i] == second.orientation[j]:
                kind = "first_second" if ahead or first is second else "second_first"
            else:
                kind = "convergent" if ahead else "divergent"
            key = (abs(apart), ORIENTATIONS.index(kind))
            found[first.gene[i]] = min(found.get(first.gene[i], key), key)
    return list(found.values())


@pytest.mark.parametrize("alone", [False, True])
def test_the_real_arrangement_is_counted_as_loops_over_pairs_count_it(alone):
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = (sites(*scattered(rng, 12, 1.5), width=width) for width in (8, 11))
        if alone:
            second = first
        real = nearest_pairs(first, second)
        result = measure_spacing(first, None if alone else second, 10, 6, 20, rng)
        if not real:
            assert result is None
            continue
        assert result.n_genes == len(real)
        assert result.median_distance == np.median([distance for distance, _ in real])
        kind = ORIENTATIONS[result.orientation]
        low, high = 10 * result.bin, 10 * result.bin + 10
        within = [o for d, o in real if low <= d < high and kind in ("any", ORIENTATIONS[o])]
        assert result.count == len(within)


@pytest.mark.parametrize("alone", [False, True])
def test_p_values_are_uniform_where_both_prefer_a_place_but_not_each_other(alone):
    p = []
    for seed in range(250):
        rng = np.random.default_rng(seed)
        first, second = sites(*scattered(rng, 40, 1.3)), sites(*scattered(rng, 40, 1.0, mean=-50, sd=30))
        result = measure_spacing(first, None if alone else second, 10, 20, 49, rng)
        p.append(1.0 if result is None else result.p_value)
    for level in (0.1, 0.3, 0.6):
        # The share is binomial; p-values have only 50 levels and may be slightly too large.
        assert level - 0.1 <= np.mean(np.array(p) <= level) <= level + 2.6 * np.sqrt(level * (1 - level) / len(p))


@pytest.mark.parametrize(
    ("strands", "sign", "kind"),
    [((1, 1), 1, 0), ((-1, -1), 1, 1), ((1, 1), -1, 1), ((1, -1), 1, 2), ((-1, 1), 1, 3), ((-1, 1), -1, 2)],
)
def test_a_planted_distance_and_orientation_are_found(strands, sign, kind):
    rng = np.random.default_rng(1)
    genes = np.arange(120)
    centre = np.rint(rng.normal(-80, 40, 120))
    planted = genes < 30
    other = np.where(planted, centre + sign * 34, np.rint(rng.normal(-80, 40, 120)))
    one, two = (np.where(planted, strand, rng.choice([-1, 1], 120)) for strand in strands)
    result = measure_spacing(sites(genes, centre, one), sites(genes, other, two), 10, 20, 199, rng)
    assert (result.bin, result.orientation) == (3, kind)
    assert result.count >= 30 > 3 * result.expected
    assert result.p_value == 1 / 200
    # The null distribution pairs sites of different genes: after permutation, no arrangement is special.
    dealt = rng.permutation(120)
    again = measure_spacing(sites(genes, centre, one), sites(genes, other[dealt], two[dealt]), 10, 20, 199, rng)
    assert again.p_value > 0.01


def test_a_distance_explained_by_distances_from_the_tss_is_not_significant():
    rng = np.random.default_rng(2)
    genes = np.arange(200)
    first = sites(genes, np.full(200, -100) + rng.integers(-2, 3, 200), np.ones(200))
    second = sites(genes, np.full(200, -65) + rng.integers(-2, 3, 200), np.ones(200))
    result = measure_spacing(first, second, 10, 20, 99, rng)
    assert result.p_value > 0.05
    assert result.count == pytest.approx(result.expected, rel=0.2)


def test_sites_of_a_gene_move_together_to_genes_with_as_many():
    gene = np.array([0, 0, 1, 2, 2, 3, 4, 4, 4])
    of = sites(gene, np.arange(9), np.ones(9))
    groups = spacing._exchangeable(of, False)
    moved = spacing._exchange(groups, 9, 300, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(moved, axis=1), np.tile(np.arange(9), (300, 1)))
    size = np.bincount(gene)
    np.testing.assert_array_equal(size[gene[moved]], np.tile(size[gene], (300, 1)))
    np.testing.assert_array_equal(moved[:, 1], moved[:, 0] + 1)
    assert set(moved[:, 2].tolist()) == {2, 5}
    assert set(moved[:, 0].tolist()) == {0, 3}
    single = spacing._exchange(spacing._exchangeable(of, True), 9, 300, np.random.default_rng(0))
    assert set(single[:, 0].tolist()) == set(range(9))


def test_genes_without_a_pair_give_nothing_and_a_seed_decides():
    rng = np.random.default_rng(3)
    here, there = sites(np.arange(3), np.zeros(3), np.ones(3)), sites(np.arange(3, 6), np.zeros(3), np.ones(3))
    assert measure_spacing(here, there, 10, 20, 9, rng) is None
    assert measure_spacing(here, None, 10, 20, 9, rng) is None
    # Overlapping sites are not a pair; adjacent sites are.
    assert measure_spacing(here, sites(np.arange(3), np.full(3, WIDTH - 1), np.ones(3)), 10, 20, 9, rng) is None
    assert measure_spacing(here, sites(np.arange(3), np.full(3, WIDTH), np.ones(3)), 10, 20, 9, rng).n_genes == 3
    first, second = sites(*scattered(rng, 30, 1.5)), sites(*scattered(rng, 30, 1.5))
    results = [measure_spacing(first, second, 10, 20, 99, np.random.default_rng(7)) for _ in range(2)]
    assert results[0] == results[1]


def test_blocks_of_permutations_all_count(monkeypatch):
    rng = np.random.default_rng(4)
    first, second = sites(*scattered(rng, 60, 1.5)), sites(*scattered(rng, 60, 1.5))
    whole = measure_spacing(first, second, 10, 20, 199, np.random.default_rng(0))
    monkeypatch.setattr(spacing, "_BLOCK", 1000)
    pieces = measure_spacing(first, second, 10, 20, 199, np.random.default_rng(0))
    assert (pieces.count, pieces.bin, pieces.median_distance) == (whole.count, whole.bin, whole.median_distance)
    assert pieces.expected == pytest.approx(whole.expected, rel=0.25)
    assert pieces.p_value == pytest.approx(whole.p_value, abs=0.15)


def test_sets_of_sites_are_exchanged_of_two_motifs_and_single_ones_of_one(monkeypatch):
    sizes, exchange = [], spacing._exchange
    monkeypatch.setattr(
        spacing, "_exchange", lambda groups, *rest: sizes.append([g.shape[1] for g in groups]) or exchange(groups, *rest)
    )
    gene = np.repeat(np.arange(6), [1, 1, 2, 2, 3, 3])
    of = sites(gene, 20 * np.arange(12), np.ones(12))
    measure_spacing(of, of, 10, 20, 9, np.random.default_rng(0))
    measure_spacing(of, None, 10, 20, 9, np.random.default_rng(0))
    assert sizes == [[1, 2, 3], [1]]
