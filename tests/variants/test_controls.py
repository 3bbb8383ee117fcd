"""Control changes: what stays, what moves, and p-values, q-values and percentiles against brute-force counts."""

import gzip
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from cisnake.data.genome import Genome, decode, encode, reverse_complement
from cisnake.files import read_table
from cisnake.variants import draw_controls, find_genes, read_variants, replicate_names, score_variants, write_effects
from cisnake.variants.controls import Controls, Significance
from cisnake.variants.windows import Window, trim

LENGTH, TSS, GENES = 120, 70, 40
TASKS = ["liver", "brain"]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    bases = np.random.default_rng(0).integers(0, 4, GENES * 200).astype(np.int8)
    path.write_text(f">chr1\n{decode(bases)}\n")
    return Genome(path)


@pytest.fixture(scope="module")
def genes():
    start = 20 + 200 * np.arange(GENES)
    return pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(GENES)],
            "chrom": "chr1",
            "strand": np.where(np.arange(GENES) % 2, "-", "+"),
            "window_start": start,
            "window_end": start + LENGTH,
            "mask_start": TSS,
            "mask_end": 110,
            "fold": np.arange(GENES) // 20,
        }
    )


class Recorder:
    """A linear model that keeps its inputs."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.weights, self.inputs = rng.normal(size=(LENGTH, 5, len(TASKS))), []

    def __call__(self, codes, mask_start, mask_end, rows):
        self.inputs.append((codes.copy(), mask_start, mask_end, rows))
        return self.weights[np.arange(LENGTH), codes].sum(axis=1).astype(np.float32)


@pytest.fixture
def models():
    return {fold: {f"replicate_{i}": Recorder(10 * fold + i) for i in range(2)} for fold in (0, 1)}


def write_vcf(path, genome, n=30, kinds=("snv", "deletion", "insertion"), seed=1):
    rng, lines = np.random.default_rng(seed), []
    for i in range(n):
        start = 20 + 200 * int(rng.integers(0, GENES)) + int(rng.integers(5, LENGTH - 5))
        ref = decode(genome.codes("chr1", start, start + 1))
        kind = kinds[i % len(kinds)]
        if kind == "snv":
            alt = "ACGT"["ACGT".index(ref) - 1 - i % 3]
        elif kind == "deletion":
            alt, ref = ref, decode(genome.codes("chr1", start, start + 4))
        else:
            alt = ref + "GA"
        lines.append((start, f"chr1\t{start + 1}\t.\t{ref}\t{alt}\t.\t.\t.\n"))
    text = "".join(line for _, line in sorted(dict(lines).items()))
    path.write_text("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + text)
    return path


def pairs_of(path, genome, genes):
    return find_genes(read_variants(path, genome), genes, LENGTH)


def recorded(models):
    """Yield (reference, alternative, row) of every control that was predicted, in the order of the calls, for one replicate."""
    for fold in models.values():
        for codes, _, _, rows in fold["replicate_0"].inputs:
            half = len(codes) // 2
            yield list(zip(codes[:half], codes[half:], rows[:half], strict=True))


def in_gene(window, variant):
    return window.place(trim(variant.start, variant.ref, variant.alt))


def dinucleotides(codes):
    return Counter(zip(codes[:-1].tolist(), codes[1:].tolist(), strict=True))


def test_shuffled_controls_keep_the_change_and_its_neighbours(tmp_path, genome, genes, models):
    pairs = pairs_of(write_vcf(tmp_path / "a.vcf", genome), genome, genes)
    scored = np.flatnonzero(pairs.gene >= 0)
    draw_controls(pairs, genome, models, 2, 3 * len(scored), seed=4)
    shuffles = [control for batch in list(recorded(models))[::2] for control in batch]
    assert len(shuffles) == 3 * len(scored)
    changes = {(int(pairs.gene[i]), *map(bytes, around(pairs, i, genome))) for i in scored}
    seen = Counter()
    for reference, alternative, row in shuffles:
        own = pairs.windows[row].codes(genome, 0, LENGTH)
        # Outside the kept bases, which are few, the composition stays, and the order is lost.
        assert sum((dinucleotides(own) - dinucleotides(reference)).values()) <= 16
        assert (own != reference).mean() > 0.4
        matching = [c for c in changes if c[0] == row and has(reference, alternative, pairs, c)]
        assert matching, "the change is not in its place"
        seen[matching[0]] += 1
    assert min(seen.values()) >= 3


def around(pairs, i, genome):
    window = pairs.windows[pairs.gene[i]]
    first, last, allele = window.place(pairs.changes[pairs.variant[i]])
    kept = window.codes(genome, 0, LENGTH)[first - 1 : last + 1]
    return np.array([first, last], np.int16), kept, allele


def has(reference, alternative, pairs, change):
    """Return whether a control has the bases of a change, with its neighbours, where the change is, and its new bases."""
    first, last = np.frombuffer(change[1], np.int16)
    kept, allele = (np.frombuffer(part, np.int8) for part in change[2:])
    grown = len(allele) - (last - first)
    # Upstream of the TSS, bases move towards the upstream end; at or behind it, downstream.
    begin = first - (grown if last <= TSS else 0)
    return (
        np.array_equal(reference[first - 1 : last + 1], kept)
        and np.array_equal(alternative[begin : begin + len(allele)], allele)
        and alternative[begin - 1] == kept[0]
    )


def test_matched_controls_have_the_kind_the_context_and_the_distance_of_the_variant(tmp_path, genome, genes, models):
    pairs = pairs_of(write_vcf(tmp_path / "a.vcf", genome, kinds=("snv",)), genome, genes)
    scored = np.flatnonzero(pairs.gene >= 0)
    controls = draw_controls(pairs, genome, models, 2, len(scored), seed=4)
    matched = [control for batch in list(recorded(models))[1::2] for control in batch]
    assert len(matched) == len(controls.matched) > 0.8 * len(scored)
    known = set()
    for i in scored:
        (first, _), kept, allele = around(pairs, i, genome)
        known.add((pairs.genes["fold"][pairs.gene[i]], first - TSS < 0, decode(kept), decode(allele)))
    for reference, alternative, row in matched:
        np.testing.assert_array_equal(reference, pairs.windows[row].codes(genome, 0, LENGTH))
        (place,) = np.flatnonzero(reference != alternative)
        context = decode(reference[place - 1 : place + 2])
        fold = pairs.genes["fold"][row]
        assert (fold, place < TSS, context, decode(alternative[place : place + 1])) in known
        near = [first for first, gene in placed(pairs, scored) if gene != row]
        assert min(abs(place - first) for first in near) <= 25


def placed(pairs, scored):
    for i in scored:
        yield pairs.windows[pairs.gene[i]].place(pairs.changes[pairs.variant[i]])[0], pairs.gene[i]


def test_matched_places_are_not_in_background_regions(tmp_path, genome, genes, models):
    rows = np.arange(GENES)
    genes = genes.assign(background=(rows % 3 == 0).astype(int))
    pairs = pairs_of(write_vcf(tmp_path / "a.vcf", genome), genome, genes)
    draw_controls(pairs, genome, models, len(TASKS), 60, seed=0)
    used = {int(row) for batch in recorded(models) for *_, row in batch}
    assert len(used) > 10 and not any(row % 3 == 0 for row in used)


def test_draws_depend_on_the_seed_alone(tmp_path, genome, genes, models):
    pairs = pairs_of(write_vcf(tmp_path / "a.vcf", genome), genome, genes)
    first, again, other = (
        draw_controls(pairs, genome, models, 2, 50, seed, batch) for seed, batch in ((4, 64), (4, 7), (5, 64))
    )
    np.testing.assert_allclose(first.shuffled, again.shuffled, rtol=1e-5)
    np.testing.assert_allclose(first.matched, again.matched, rtol=1e-5)
    assert not np.allclose(first.shuffled, other.shuffled)


def test_without_pairs_or_with_none_asked_there_are_no_controls(tmp_path, genome, genes, models):
    pairs = pairs_of(write_vcf(tmp_path / "a.vcf", genome), genome, genes)
    assert draw_controls(pairs, genome, models, 2, 0, seed=1) is None
    far = genes.assign(chrom="chr2")
    assert draw_controls(find_genes(pairs.variants.assign(status="ok"), far, LENGTH), genome, models, 2, 9, seed=1) is None


def test_numbers_equal_counts(tmp_path):
    rng = np.random.default_rng(0)
    shuffled, matched = (np.sort(np.abs(rng.normal(size=(n, 2)).round(1)), axis=0) for n in (99, 50))
    effects = rng.normal(size=(40, 2)).round(1)
    effects[3] = np.nan
    significance = Significance(Controls(shuffled, matched))
    significance.add(effects[:25])
    assert np.nanmax(significance.q_values(effects)) <= 1
    significance.add(effects[25:])
    p, q = significance.p_values(effects), significance.q_values(effects)
    percentiles = significance.controls.percentiles(effects)
    known = ~np.isnan(effects[:, 0])
    for task in range(2):
        size = np.abs(effects[known, task])
        expected = [(1 + sum(c >= x for c in shuffled[:, task])) / 100 for x in size]
        np.testing.assert_allclose(p[known, task], expected)
        np.testing.assert_allclose(q[known, task], false_discovery_control(expected))
        half = [100 * np.mean([(c < x) + 0.5 * (c == x) for c in matched[:, task]]) for x in size]
        np.testing.assert_allclose(percentiles[known, task], half)
    assert np.isnan(p[3]).all() and np.isnan(q[3]).all() and np.isnan(percentiles[3]).all()


def test_the_table_has_the_numbers_of_every_pair(tmp_path, genome, genes, models):
    path = write_vcf(tmp_path / "a.vcf", genome)
    pairs = pairs_of(path, genome, genes)
    controls = draw_controls(pairs, genome, models, 2, 60, seed=1)
    blocks = list(score_variants(pairs, genome, models, 2, batch_size=8))
    names = replicate_names(models)
    write_effects(iter(blocks), pairs, TASKS, names, path, tmp_path / "e.tsv", tmp_path / "e.vcf.gz", controls)
    numbers = dict.fromkeys(["effect_mean", "p_value", "q_value", "percentile"], "float")
    table = read_table(tmp_path / "e.tsv", **numbers)
    effects = np.concatenate([block.mean[block.gene >= 0] for block in blocks])
    for task, rows in table.groupby("task"):
        column = TASKS.index(task)
        p = [(1 + (controls.shuffled[:, column] >= abs(x)).sum()) / 61 for x in effects[:, column]]
        np.testing.assert_allclose(rows["p_value"], p, rtol=1e-6)
        np.testing.assert_allclose(rows["q_value"], false_discovery_control(p), rtol=1e-6)
        assert rows["percentile"].between(0, 100).all()
    with gzip.open(tmp_path / "e.vcf.gz", "rt") as lines:
        entry = next(line for line in lines if not line.startswith("#")).split("CISNAKE=")[1].split(",")[0].strip().split("|")
    (row,) = (
        table[(table["gene_id"] == entry[1]) & (table["task"] == entry[3]) & (table["alt"] == entry[0])].head(1).itertuples()
    )
    np.testing.assert_allclose([float(x) for x in entry[4:]], [row.effect_mean, row.q_value, row.percentile], rtol=1e-4)
    write_effects(iter(blocks), pairs, TASKS, names, path, tmp_path / "f.tsv", tmp_path / "f.vcf.gz")
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "f.tsv", effect_mean="float"),
        read_table(tmp_path / "e.tsv", effect_mean="float").drop(columns=["p_value", "q_value", "percentile"]),
    )


def test_p_values_of_changes_in_shuffles_are_uniform(tmp_path, genome, genes, models):
    """A linear model of single bases: nothing but the kind of the change and its place counts."""
    path = write_vcf(tmp_path / "a.vcf", genome, n=200, kinds=("snv",))
    pairs = pairs_of(path, genome, genes)
    controls = draw_controls(pairs, genome, models, 2, 2000, seed=1)
    significance = Significance(controls)
    p = np.concatenate([significance.p_values(block.mean) for block in score_variants(pairs, genome, models, 2)])
    p = p[~np.isnan(p[:, 0])]
    assert len(p) > 150
    assert np.abs(np.sort(p[:, 0]) - (np.arange(len(p)) + 0.5) / len(p)).max() < 0.1


def test_a_change_on_the_other_strand_is_turned():
    genome_window = Window("chr1", 0, 60, "+", 30, 60), Window("chr1", 100, 160, "-", 30, 60)
    codes = np.tile(encode("ACGTTGCA"), 40)[:200]

    class Fake:
        def codes(self, chrom, start, end, strand="+"):
            part = codes[start:end]
            return reverse_complement(part) if strand == "-" else part

    from cisnake.variants.controls import _moved

    first = 20
    change = trim(first, decode(codes[first : first + 1]), "ACGT"[codes[first] - 1])
    moved = _moved(genome_window[0], change, genome_window[1], Fake(), np.random.default_rng(0))
    place, _, allele = genome_window[1].place(moved)
    own = genome_window[1].codes(Fake(), 0, 60)
    np.testing.assert_array_equal(own[place - 1 : place + 2], codes[first - 1 : first + 2])
    assert decode(allele) == change.alt and place < 30
