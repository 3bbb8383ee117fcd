"""Variants in windows centred on them."""

import subprocess
import sys
from pathlib import Path

import anndata
import keras
import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset import model_input
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.model import WindowViews
from cisnake.variants import read_variants
from cisnake.variants.centered import AlleleScorer, centered_windows, mark_too_long, merge_strands, score_centered
from cisnake.variants.statistics import compare_predictions

LENGTH = 40


def network(positions=True, depth=4):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((LENGTH, depth))
    x = keras.layers.AveragePooling1D(4)(keras.layers.Conv1D(6, 7, padding="same", activation="relu")(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, "softplus")(x if positions else keras.layers.Flatten()(x)))


def around(whole, at, length, index):
    """Return the window in which base `at` has the given index, with N beyond the ends."""
    padded = "N" * length + whole + "N" * length
    return padded[at + length - index :][:length]


def common(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("length", [40, 41])
@pytest.mark.parametrize("start", [0, 3, 300, 590])
@pytest.mark.parametrize(("n_ref", "n_alt"), [(1, 1), (1, 4), (5, 1), (3, 2), (2, 2)])
def test_windows_have_the_variant_in_the_middle(start, n_ref, n_alt, length, flipped, tiny):
    whole = tiny.chromosomes["chr1"]
    here = whole[start : start + n_ref]
    # As in VCF, alleles of different lengths share their first base.
    new = "".join(np.random.default_rng(start).choice(list("ACGT"), n_alt))
    there = here[0] + new[1:] if n_ref != n_alt else ("C" if here[0] == "A" else "A") + here[1:]
    changed = whole[:start] + there + whole[start + n_ref :]
    ref, alt, of_ref, of_alt = (there, here, changed, whole) if flipped else (here, there, whole, changed)
    found = centered_windows(Genome(tiny.fasta), "chr1", start, ref, alt, length, flipped)
    # Bases that the alleles share at their ends, and then at their starts, are not part of the change.
    tail = common(ref[::-1], alt[::-1])
    ref, alt = ref[: len(ref) - tail], alt[: len(alt) - tail]
    head = common(ref, alt)
    first, sizes = start + head, (len(ref) - head, len(alt) - head)
    # The base before an insertion or deletion, otherwise the first changed base, is in the middle.
    pos = first - (min(sizes) == 0)
    for allele, whole_of in enumerate((of_ref, of_alt)):
        assert decode(found[0, allele]) == around(whole_of, pos, length, (length - 1) // 2)
        # The base behind the variant has the place that it has with the shorter allele.
        behind = (length - 1) // 2 + first - pos + min(sizes)
        assert decode(found[1, allele]) == around(whole_of, first + sizes[allele], length, behind)


def test_an_allele_that_fills_half_the_window_is_refused(tiny):
    with pytest.raises(InputError, match=r"chr1:101:.*an allele of 20 bases exceeds the window"):
        centered_windows(Genome(tiny.fasta), "chr1", 100, "A", "A" + "C" * 20, LENGTH)


@pytest.mark.parametrize("length", [40, 41])
def test_what_is_marked_as_too_long_is_what_windows_refuse(length, tiny):
    genome, whole = Genome(tiny.fasta), tiny.chromosomes["chr1"]
    alleles = [(whole[100 : 101 + n], whole[100]) for n in (18, 19, 20, 21)] + [
        (whole[100], whole[100] + "C" * n) for n in (19, 20, 21)
    ]
    variants = pd.DataFrame(
        [("chr1", 100, *pair, "ok") for pair in alleles], columns=["chrom", "start", "ref", "alt", "status"]
    )
    marked = mark_too_long(variants, length)["status"] == "too_long"
    assert 0 < marked.sum() < len(marked)
    for (ref, alt), refused in zip(alleles, marked, strict=True):
        if refused:
            with pytest.raises(InputError, match="exceeds the window"):
                centered_windows(genome, "chr1", 100, ref, alt, length)
        else:
            assert centered_windows(genome, "chr1", 100, ref, alt, length).shape == (2, 2, length)


@pytest.fixture
def vcf(tmp_path, tiny):
    whole = tiny.chromosomes["chr2"]
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    rows = [
        ("snv", 101, whole[100], other[whole[100]]),
        ("flipped", 201, other[whole[200]], whole[200]),
        ("insertion", 301, whole[300], whole[300] + "ACGTA"),
        ("deletion", 401, whole[400:405], whole[400]),
        ("wrong", 501, other[whole[500]], other[other[whole[500]]]),
        ("edge", 600, whole[599], other[whole[599]]),
        ("long", 301, whole[300:325], whole[300]),
    ]
    path = tmp_path / "a.vcf"
    path.write_text("#CHROM\tPOS\tID\tREF\tALT\n" + "".join(f"chr2\t{p}\t{i}\t{r}\t{a}\n" for i, p, r, a in rows))
    return path


@pytest.mark.parametrize("positions", [True, False])
def test_scores_compare_predictions_for_the_alleles(positions, vcf, tiny):
    genome, model, names = Genome(tiny.fasta), network(positions), ["SUM", "logD2", "REF"]
    variants = mark_too_long(read_variants(vcf, genome), LENGTH)
    views = WindowViews(reverse_complement=True)
    found = list(score_centered(variants, genome, AlleleScorer([model], names, views, batch_size=2)))
    rows = np.concatenate([rows for rows, _ in found])
    assert list(variants["variant_id"].iloc[rows]) == ["snv", "flipped", "insertion", "deletion", "edge"]

    def predicted(codes):
        x = model_input(codes[None], np.zeros(1, int), np.zeros(1, int), 4)
        turned = np.asarray(model(x[:, ::-1, ::-1]))
        both = (np.asarray(model(x)) + (turned[:, ::-1] if positions else turned)) / 2
        return both.reshape(-1, 2)

    for row, values in zip(rows, np.concatenate([values for _, values in found]), strict=True):
        variant = variants.iloc[row]
        alleles = (variant["start"], variant["ref"], variant["alt"], LENGTH, variant["status"] == "flipped")
        both = centered_windows(genome, "chr2", *alleles)
        ref, alt = (
            np.concatenate([left[:5], right[5:]]) if positions else (left + right) / 2
            for left, right in ([predicted(side[allele]) for side in both] for allele in (0, 1))
        )
        np.testing.assert_allclose(values, compare_predictions(ref, alt, names), rtol=1e-4, atol=1e-5)


def test_tasks_of_both_strands_are_added_before_alleles_are_compared(vcf, tiny):
    genome, model = Genome(tiny.fasta), network(True)
    variants = mark_too_long(read_variants(vcf, genome), LENGTH)
    inputs = model.inputs[0]
    total = keras.Model(inputs, keras.ops.sum(model.output, axis=-1, keepdims=True))
    names, groups = merge_strands(["rna+", "rna-"], [1, 0])
    assert names == ["rna"] and groups == [[0, 1]]
    merged = list(score_centered(variants, genome, AlleleScorer([model], ["logD2", "JS"], merged=groups)))
    expected = list(score_centered(variants, genome, AlleleScorer([total], ["logD2", "JS"])))
    for (_, found), (_, known) in zip(merged, expected, strict=True):
        assert found.shape[-1] == 1
        np.testing.assert_allclose(found, known, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("tasks", "pair", "names"),
    [(["a.+", "a.-"], [1, 0], ["a"]), (["plus", "minus"], [1, 0], ["plus/minus"]), (["x", "y"], [0, 1], ["x", "y"])],
)
def test_names_of_pairs(tasks, pair, names):
    assert merge_strands(tasks, pair)[0] == names


def test_out_of_reach_of_an_indel_predictions_do_not_change(tiny):
    genome, whole = Genome(tiny.fasta), tiny.chromosomes["chr2"]
    variants = pd.DataFrame({"chrom": "chr2", "start": [300], "ref": whole[300], "alt": whole[300] + "ACGTAAC", "status": "ok"})
    inputs = keras.Input((LENGTH, 4))
    # Each position is one base, and sees no other.
    identity = keras.Model(inputs, keras.layers.Identity()(inputs))
    ((_, values),) = score_centered(variants, genome, AlleleScorer([identity], ["D1"]))
    assert values.sum() == 0
    # Each position is the sum of five bases: two positions before the insertion and two behind it see new ones.
    near = keras.Model(inputs, keras.layers.DepthwiseConv1D(5, padding="same", depthwise_initializer="ones")(inputs))
    ((_, values),) = score_centered(variants, genome, AlleleScorer([near], ["D1"]))
    assert 0 < values.sum() <= 2 * 2 * (1 + 2)


def test_of_two_alleles_each_may_be_the_reference(tiny, tmp_path):
    """An insertion and the deletion of the same bases have opposite effects, and equal distances."""
    whole = tiny.chromosomes["chr2"]
    longer, shorter = (f"{whole[:300]}{allele}{whole[301:]}" for allele in ("AGGTCAT", "A"))
    values = {}
    for name, text, alleles in (("insertion", shorter, ("A", "AGGTCAT")), ("deletion", longer, ("AGGTCAT", "A"))):
        (tmp_path / f"{name}.fa").write_text(f">chr2\n{text}\n")
        row = ["chr2", 300, *alleles, "ok"]
        variants = pd.DataFrame([row], columns=["chrom", "start", "ref", "alt", "status"])
        scorer = AlleleScorer([network(True)], ["SUM", "logSUM", "SAX", "D2"])
        ((_, values[name]),) = score_centered(variants, Genome(tmp_path / f"{name}.fa"), scorer)
    np.testing.assert_allclose(values["insertion"][0, :3], -values["deletion"][0, :3], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(values["insertion"][0, 3], values["deletion"][0, 3], rtol=1e-4, atol=1e-6)
    assert (np.abs(values["insertion"]) > 1e-4).all()


def test_networks_with_a_gene_body_are_refused():
    with pytest.raises(InputError, match=r"read the gene body, so that variants need genes: use score_variants\.py"):
        AlleleScorer([network(depth=5)], ["SUM"])


def test_the_program_lists_every_variant(vcf, tmp_path, tiny):
    network().save(tmp_path / "a.keras")
    (tmp_path / "targets.txt").write_text("index\tidentifier\n0\tDNASE\n1\tCAGE\n")
    program = Path(__file__).resolve().parents[2] / "scripts" / "score_vcf.py"
    options = ["--networks", "a.keras", "--vcf", vcf, "--genome", tiny.fasta, "--tasks", "targets.txt"]
    options += ["--statistics", "SUM", "JS"]

    def run(*more):
        command = [sys.executable, program, *options, *more]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    done = run("--output", "effects.tsv")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "effects.tsv", sep="\t")
    assert list(table.columns) == ["variant_id", "chrom", "pos", "ref", "alt", "status", "task", "SUM", "JS"]
    counts = table.groupby("variant_id").size().to_dict()
    assert counts == {"snv": 2, "flipped": 2, "insertion": 2, "deletion": 2, "edge": 2, "wrong": 1, "long": 1}
    scored = table[~table["variant_id"].isin(["wrong", "long"])]
    assert scored["SUM"].abs().gt(0).all() and scored["JS"].gt(0).all()
    assert table.loc[table["variant_id"] == "long", "status"].tolist() == ["too_long"]
    wrong = table[table["variant_id"] == "wrong"].iloc[0]
    assert wrong["status"] == "mismatch" and pd.isna(wrong["SUM"]) and wrong["pos"] == 501

    done = run("--controls", "24", "--output", "effects.h5ad")
    assert done.returncode == 0, done.stderr
    assert "a single effect among 5 variants reaches q = 0.2 at best" in done.stderr
    made = anndata.read_h5ad(tmp_path / "effects.h5ad")
    assert list(made.obs_names) == ["snv", "flipped", "insertion", "deletion", "wrong", "edge", "long"]
    assert list(made.var_names) == ["DNASE", "CAGE"] and set(made.layers) == {"SUM", "JS", "SUM_p", "SUM_q", "JS_p", "JS_q"}
    rows = made.obs_names.get_indexer(scored["variant_id"])
    tasks = made.var_names.get_indexer(scored["task"])
    np.testing.assert_allclose(made.layers["SUM"][rows, tasks], scored["SUM"], rtol=1e-5)
    p, q = (made.layers[f"JS_{letter}"][rows, tasks] for letter in "pq")
    assert ((p >= 0.04 - 1e-6) & (p <= q) & (q <= 1)).all() and np.isnan(made.layers["JS_p"][4]).all()
    done = run("--output", "effects.txt")
    assert done.returncode == 1 and "error: effects.txt must end in .tsv or .h5ad." in done.stderr
