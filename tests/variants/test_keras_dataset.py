"""Windows with variants match those cut from the changed chromosome as text, on both strands and at all edges."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset import writer
from cisnake.data.genome.bases import decode, one_hot
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows.gene_windows import place_windows
from cisnake.errors import InputError
from cisnake.variants.keras_dataset import VariantDataset
from cisnake.variants.windows import trim

PAIR = str.maketrans("ACGTN", "TGCAN")
LENGTH, PAD = 40, 6
EDGE = 100  # of N at either end of a chromosome's text


def turned(text: str) -> str:
    return text.translate(PAIR)[::-1]


@pytest.fixture
def genome(tiny) -> Genome:
    return Genome(tiny.fasta)


@pytest.fixture
def genes() -> pd.DataFrame:
    """Genes on both strands, with windows at chromosome ends, overlapping windows, and bodies that end inside and beyond."""
    rng = np.random.default_rng(5)
    start = np.concatenate([[2, 560, 3, 555], rng.integers(40, 540, 26)])
    table = pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(30)],
            "chrom": [f"chr{i % 3 + 1}" for i in range(30)],
            "start": start,
            "end": start + rng.integers(3, 45, 30),
            "strand": rng.permutation(["+", "-"] * 15),
            "split": "train",
            "fold": 0,
        }
    )
    table["tss"] = np.where(table["strand"] == "+", table["start"], table["end"] - 1)
    return place_windows(table, "tss", 15, 25)


@pytest.fixture
def dataset(genes, genome, tmp_path: Path) -> Path:
    labels = np.zeros((len(genes), 2), np.float32)
    writer.write_dataset(
        tmp_path / "d.h5", genes, writer.Labels(labels, ["a", "b"]), genome, writer.Layout(PAD), {"n_folds": 1}
    )
    return tmp_path / "d.h5"


def random_variants(tiny, genes, n: int) -> pd.DataFrame:
    """Substitutions, insertions and deletions around the windows; one in ten is flipped, one in ten mismatches."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(n):
        gene = genes.iloc[rng.integers(len(genes))]
        text = tiny.chromosomes[gene.chrom]
        start = int(np.clip(rng.integers(gene.window_start - 5, gene.window_end + 5), 0, len(text) - 1))
        letters = "".join(rng.choice(list("ACGT"), 12))
        ref = text[start : start + (1 if rng.random() < 0.5 else int(rng.integers(1, 12)))]
        kind = rng.integers(4)
        if kind == 0:
            alt = letters[: len(ref)]
        elif kind == 1:
            ref, alt = text[start : start + int(rng.integers(2, 14))], text[start]
        elif kind == 2:
            alt = ref[0] + letters[: int(rng.integers(1, 12))]
        else:
            alt = letters[: int(rng.integers(1, 12))]
        if i % 10 == 0 and len(alt) <= len(ref):
            ref, alt = alt, ref
        elif i % 10 == 1:
            ref = ("ACGT"["ACGT".index(ref[0]) - 1]) + ref[1:]
        rows.append((gene.chrom, start + 1, ref.lower() if i % 7 == 0 else ref, alt))
    return pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt"])


def by_text(text: str, gene, start: int, ref: str, alt: str, shift: int, length: int) -> np.ndarray:
    """The window and gene body from the changed chromosome as text, (length, 5); `text` has its EDGE on both sides."""
    change = trim(start, ref, alt)
    if gene.strand == "+":
        first, last, allele = EDGE + change.start, EDGE + change.end, change.alt
        tss, end = EDGE + gene.tss, EDGE + gene.end
    else:
        text, allele = turned(text), turned(change.alt)
        first, last = len(text) - EDGE - change.end, len(text) - EDGE - change.start
        tss, end = len(text) - EDGE - 1 - gene.tss, len(text) - EDGE - gene.start
    new = text[:first] + allele.upper() + text[last:]

    def place(position: int) -> int:
        if position < first or (position == first and first < last):
            return position
        return position + len(allele) - (last - first) if position >= last else first + min(position - first, len(allele))

    # An insertion at the TSS is placed before it, one at the end of the gene after it.
    tss_then, end_then = place(tss), end if first >= end else place(end)
    begin = tss_then - 15 + (LENGTH - length) // 2 + shift
    codes = np.array(["ACGTN".index(letter) for letter in new[begin : begin + length]], dtype=np.int8)
    body = [tss_then <= place < max(end_then, tss_then) for place in range(begin, begin + length)]
    return np.concatenate([one_hot(codes), np.array(body, np.float32)[:, None]], axis=1)


def all_windows(data: VariantDataset) -> np.ndarray:
    return np.concatenate([data[i][0] for i in range(len(data))])


@pytest.mark.parametrize(("length", "max_shift"), [(LENGTH, 0), (LENGTH, 2), (30, 1), (46, 3)])
def test_windows_are_those_cut_from_the_changed_chromosome(tiny, genes, dataset, genome, length, max_shift):
    variants = random_variants(tiny, genes, 400)
    data = VariantDataset(variants, dataset, length, max_shift, genome, batch_size=7)
    table = data.variants.iloc[data.scored]
    ref, alt = data.alleles(all_windows(data))
    assert ref.shape == alt.shape == (len(table), 2 * max_shift + 1, length, 5)
    at = genes.set_index("gene_id")
    seen = {"across TSS": 0, "across edge": 0, "flipped": 0, "grown": 0, "shrunk": 0, "-": 0, "N": 0}
    for pair, row in enumerate(table.itertuples()):
        gene = at.loc[row.gene_id]
        text = "N" * EDGE + tiny.chromosomes[row.chrom] + "N" * EDGE
        there, other = (row.alt, row.ref) if row.status == "flipped" else (row.ref, row.alt)
        assert text[EDGE + row.start : EDGE + row.start + len(there)] == there.upper()
        for number, shift in enumerate(range(-max_shift, max_shift + 1)):
            changed = by_text(text, gene, row.start, there, other, shift, length)
            plain = by_text(text, gene, row.start, "", "", shift, length)
            expected = (changed, plain) if row.status == "flipped" else (plain, changed)
            np.testing.assert_array_equal(ref[pair, number], expected[0], err_msg=str((row, shift)))
            np.testing.assert_array_equal(alt[pair, number], expected[1], err_msg=str((row, shift)))
        change = trim(row.start, there, other)
        seen["across TSS"] += change.start < gene.tss < change.end - 1
        seen["across edge"] += change.start < gene.window_start < change.end or change.start < gene.window_end < change.end
        seen["flipped"] += row.status == "flipped"
        seen["grown"] += len(other) > len(there)
        seen["shrunk"] += len(other) < len(there)
        seen["-"] += gene.strand == "-"
        seen["N"] += bool((changed[:, :4].sum(axis=1) == 0).any())
    assert min(seen.values()) > 5, seen


@pytest.mark.parametrize("max_shift", [0, 3])
def test_without_a_genome_only_what_the_file_stores_is_scored(tiny, genes, dataset, genome, max_shift):
    variants = random_variants(tiny, genes, 400)
    data = VariantDataset(variants, dataset, max_seq_shift=max_shift, batch_size=7)
    whole = VariantDataset(variants, dataset, max_seq_shift=max_shift, genome=genome, batch_size=7)
    columns = ["row", "gene_id", "start", "ref", "alt"]
    pd.testing.assert_frame_equal(data.variants[columns], whole.variants[columns])
    at, needs = genes.set_index("gene_id"), data.variants["status"] == "needs_genome"
    assert needs.sum() > 10
    windows = dict(zip(whole.scored, zip(*whole.alleles(all_windows(whole)))))
    for row, ref, alt in zip(data.scored, *data.alleles(all_windows(data))):
        np.testing.assert_array_equal(ref, windows[row][0])
        np.testing.assert_array_equal(alt, windows[row][1])
    for row in data.variants.itertuples():
        if not row.gene_id or whole.variants["status"][row.Index] not in ("ok", "flipped"):
            continue
        # The same chromosome, except for bases that the file does not store; none of them may appear.
        gene = at.loc[row.gene_id]
        text = "N" * EDGE + tiny.chromosomes[row.chrom] + "N" * EDGE
        low, high = EDGE + gene.window_start - PAD, EDGE + gene.window_end + PAD
        other = text.translate(str.maketrans("ACGTN", "CGTAA"))
        other = other[:low] + text[low:high] + other[high:]
        flipped = whole.variants["status"][row.Index] == "flipped"
        change = (row.start, row.alt, row.ref) if flipped else (row.start, row.ref, row.alt)
        shifts = range(-max_shift, max_shift + 1)
        differs = any(
            (by_text(text, gene, *change, s, LENGTH) != by_text(other, gene, *change, s, LENGTH)).any() for s in shifts
        )
        assert needs[row.Index] == differs, row


def decima_form(table: pd.DataFrame, genes: pd.DataFrame, older: bool = False) -> pd.DataFrame:
    """Table in Decima's format, with its columns: `start` and `end` of the window, 1-based `pos`."""
    at = genes.set_index("gene_id").loc[table["gene_id"]]
    pos, plus = table["start"].to_numpy() + 1, (at["strand"] == "+").to_numpy()
    on_plus = pos - at["window_start"].to_numpy() - (0 if older else 1)
    rel_pos = np.where(plus, on_plus, at["window_end"].to_numpy() - pos)
    alleles = {
        f"{column}_tx": [a if forward else turned(a.upper()) for a, forward in zip(table[column], plus)]
        for column in ("ref", "alt")
    }
    return pd.DataFrame({"gene": table["gene_id"].to_numpy(), "rel_pos": rel_pos, **alleles})


@pytest.mark.parametrize("convention", ["current", "older"])
def test_rel_pos_of_decima_matches_genome_positions(tiny, genes, dataset, genome, convention):
    variants = random_variants(tiny, genes, 200).assign(ref=lambda t: t["ref"].str.upper())
    on_genome = VariantDataset(variants, dataset, genome=genome, batch_size=8)
    touched = on_genome.variants[on_genome.variants["gene_id"] != ""]
    assert set(genes.set_index("gene_id").loc[touched["gene_id"], "strand"]) == {"+", "-"}
    form = decima_form(touched, genes, convention == "older")
    data = VariantDataset(form, dataset, genome=genome, batch_size=8, convention=convention)
    columns = ["chrom", "start", "end", "ref", "alt", "gene_id", "status", "from_tss"]
    pd.testing.assert_frame_equal(data.variants[columns], touched[columns].reset_index(drop=True))
    np.testing.assert_array_equal(all_windows(data), all_windows(on_genome))
    other = VariantDataset(form, dataset, convention="older" if convention == "current" else "current")
    plus = genes.set_index("gene_id").loc[form["gene"], "strand"].to_numpy() == "+"
    moved = other.variants["start"].to_numpy() - touched["start"].to_numpy()
    assert set(moved[~plus]) == {0} and set(moved[plus]) == {1 if convention == "older" else -1}


def test_substitution_is_at_rel_pos_of_the_stored_window(genes, dataset):
    """Decima's definition for a single base: the base at rel_pos of the gene's window is replaced."""
    with h5py.File(dataset) as file:
        stored = file["sequences"][:, PAD:-PAD]
    rows = [(f"g{g}", p, decode(stored[g, [p]]), "ACGT"[(stored[g, p] + 1) % 4]) for g in range(4, 30) for p in (0, 7, 15, 39)]
    data = VariantDataset(pd.DataFrame(rows, columns=["gene", "rel_pos", "ref_tx", "alt_tx"]), dataset)
    assert (data.variants["status"] == "ok").all()
    ref, alt = (x[:, 0, :, :4].argmax(axis=-1) for x in data.alleles(all_windows(data)))
    for (gene, place, _, allele), one, other in zip(rows, ref, alt):
        expected = stored[int(gene[1:])].copy()
        np.testing.assert_array_equal(one, expected)
        expected[place] = "ACGT".index(allele)
        np.testing.assert_array_equal(other, expected)
    assert data.variants["from_tss"].tolist() == [place - 15 for _, place, _, _ in rows]


def test_unscored_variants_keep_their_position_and_have_a_reason(tiny, genes, dataset):
    gene = genes.iloc[10]
    text, chrom, inside = tiny.chromosomes[gene.chrom], gene.chrom, int(gene.window_start) + 20
    base = text[inside]
    others = [letter for letter in "ACGT" if letter != base]
    rows = [
        (chrom, inside + 1, base, others[0], gene.gene_id, "ok"),
        (chrom, inside + 1, others[0], base, gene.gene_id, "flipped"),
        (chrom, inside + 1, others[0], others[1], gene.gene_id, "mismatch"),
        (chrom, inside + 1, base, base.lower(), gene.gene_id, "no_alt"),
        (chrom, inside + 1, base, ".", gene.gene_id, "no_alt"),
        (chrom, inside + 1, base, None, gene.gene_id, "no_alt"),
        (chrom, inside + 1, base, "<DEL>", gene.gene_id, "symbolic"),
        (chrom, inside + 1, "", "A", gene.gene_id, "symbolic"),
        (chrom, inside + 1, base, others[0], "none", "unknown_gene"),
        ("chrX", inside + 1, base, others[0], gene.gene_id, "outside"),
        (chrom, inside + 2000, base, others[0], gene.gene_id, "outside"),
        (chrom, -5, base, others[0], gene.gene_id, "outside"),
    ]
    variants = pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "gene_id", "expected"])
    data = VariantDataset(variants, dataset)
    assert data.variants["status"].tolist() == variants["expected"].tolist()
    assert data.variants["row"].tolist() == list(range(len(rows))) and data.scored.tolist() == [0, 1]
    assert data.variants["from_tss"].isna().tolist() == [False] * 2 + [True] * 10
    ref, alt = data.alleles(all_windows(data))
    np.testing.assert_array_equal(ref[0], alt[1])
    np.testing.assert_array_equal(ref[1], alt[0])
    assert (ref[0] != alt[0]).sum() == 2
    nothing = VariantDataset(variants.iloc[2:], dataset)
    assert len(nothing) == 0 and len(nothing.variants) == 10
    assert len(VariantDataset(variants.iloc[:0], dataset)) == 0


def test_a_variant_comes_with_every_gene_that_it_touches(tiny, genes, dataset):
    variants = random_variants(tiny, genes, 300).drop(columns="ref")
    variants["ref"] = [tiny.chromosomes[c][p - 1] for c, p in zip(variants["chrom"], variants["pos"])]
    variants["alt"] = ["ACGT"["ACGT".index(base) - 1] for base in variants["ref"]]
    table = VariantDataset(variants.assign(variant_id=[f"v{i}" for i in range(300)]), dataset).variants
    expected = [
        (f"v{i}", gene.gene_id)
        for i, v in enumerate(variants.itertuples())
        for gene in genes.itertuples()
        if gene.chrom == v.chrom and gene.window_start < v.pos <= gene.window_end
    ]
    found = table[table["gene_id"] != ""]
    assert sorted(zip(found["variant_id"], found["gene_id"])) == sorted(expected) and len(expected) > 320
    assert set(table["row"]) == set(range(300)) and table["row"].is_monotonic_increasing
    start = variants.assign(start=variants["pos"] - 1).drop(columns="pos")
    again = VariantDataset(start, dataset).variants
    pd.testing.assert_frame_equal(again.drop(columns="variant_id"), table.drop(columns="variant_id"))
    # Names may lack `chr`; Decima's `start` is that of the window, not of the variant.
    bare = variants.assign(chrom=variants["chrom"].str.removeprefix("chr"), start=7)
    assert VariantDataset(bare, dataset).variants["gene_id"].tolist() == table["gene_id"].tolist()


def test_keras_predicts_from_any_number_of_workers(tiny, genes, dataset):
    variants = random_variants(tiny, genes, 40)
    inputs = keras.Input((LENGTH, 5))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    data = VariantDataset(variants, dataset, max_seq_shift=1, batch_size=5, workers=1)
    expected = model(all_windows(data)).numpy()
    for workers in (1, 3):
        data = VariantDataset(variants, dataset, max_seq_shift=1, batch_size=5, workers=workers)
        np.testing.assert_allclose(model.predict(data, verbose=0), expected, rtol=1e-5, atol=1e-5)
    ref, alt = data.alleles(expected)
    assert ref.shape == (len(data.scored), 3, 2)
    np.testing.assert_array_equal(np.stack([ref, alt], axis=2).reshape(-1, 2), expected)
    # Not forked: TensorFlow has threads in this process, with which a forked child can wait for ever.
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(data.__getitem__, range(len(data)))
    np.testing.assert_array_equal(np.concatenate([x for (x,) in found]), all_windows(data))


def test_bases_alone_are_four_channels(tiny, genes, dataset):
    variants = random_variants(tiny, genes, 20)
    np.testing.assert_array_equal(
        all_windows(VariantDataset(variants, dataset, depth=4)), all_windows(VariantDataset(variants, dataset))[..., :4]
    )


def test_another_genome_is_refused(tiny, genes, dataset, tmp_path: Path):
    text = tiny.chromosomes["chr1"]
    (tmp_path / "other.fa").write_text("".join(f">{name}\n{text}\n" for name in ("chr2", "chr3", "chr1")))
    variants = random_variants(tiny, genes[genes["chrom"] == "chr2"], 5)
    with pytest.raises(InputError, match=r"does not match the sequences in .*: use the genome"):
        VariantDataset(variants, dataset, genome=Genome(tmp_path / "other.fa"))


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (
            {"chrom": ["chr1"], "pos": [1]},
            {},
            "has the columns chrom, pos; it must have chrom, pos (or start), ref and alt, or gene",
        ),
        ({"rel_pos": [1], "ref_tx": ["A"], "alt_tx": ["C"]}, {}, "or gene, rel_pos, ref_tx and alt_tx"),
        ({"chrom": ["chr1"] * 2, "pos": [1, "x"], "ref": "A", "alt": "C"}, {}, "row 2 of the table of variants: pos is 'x'"),
        ({"chrom": ["chr1"] * 2, "pos": [1, 1.5], "ref": "A", "alt": "C"}, {}, "pos is '1.5', which is not an integer"),
        ({"chrom": ["chr9"], "pos": [1], "ref": "A", "alt": "C"}, {}, "no chromosome of the table of variants"),
        (
            {"gene": ["g77"], "rel_pos": [1], "ref_tx": "A", "alt_tx": "C"},
            {},
            "has no gene of the data set: the table has g77; the data set has g",
        ),
        ({"gene": ["g7"], "rel_pos": [1], "ref_tx": "A", "alt_tx": "C"}, {"convention": "new"}, "unknown convention 'new'"),
        ({"gene": ["g7"], "rel_pos": [1], "ref_tx": "A", "alt_tx": "C"}, {"batch_size": 0}, "batch_size is 0"),
        ({"gene": ["g7"], "rel_pos": [1], "ref_tx": "A", "alt_tx": "C"}, {"max_seq_shift": 7}, "too few"),
    ],
)
def test_invalid_arguments_are_refused(dataset, table, arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        VariantDataset(pd.DataFrame(table), dataset, **arguments)
