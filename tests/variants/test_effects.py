import gzip
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.variants import effects, effects_table, vcf

LENGTH = 40
TASKS = ["liver", "brain", "skin"]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    rng = np.random.default_rng(0)
    path.write_text("".join(f">{c}\n{decode(rng.integers(0, 4, 300).astype(np.int8))}\n" for c in ("chr1", "chr2")))
    return Genome(path)


@pytest.fixture(scope="module")
def genes():
    return pd.DataFrame(
        {
            "gene_id": ["a", "b", "c"],
            "chrom": ["chr1", "chr1", "chr2"],
            "start": [70, 40, 120],
            "end": [85, 91, 130],
            "strand": ["+", "-", "+"],
            "window_start": [50, 60, 100],
            "window_end": [90, 100, 140],
            "mask_start": [20, 9, 20],
            "mask_end": [35, 60, 30],
            "fold": [0, 0, 1],
        }
    )


class LinearModel:
    """Weights bases by position and tasks by a factor, adds the length of the gene body, and counts windows."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(size=(LENGTH, 5))
        self.tasks = rng.normal(size=len(TASKS))
        self.seen = Counter()

    def __call__(self, codes, mask_start, mask_end, rows):
        self.seen.update(row.tobytes() for row in codes)
        score = self.weights[np.arange(LENGTH), codes].sum(axis=1) + 0.1 * (mask_end - mask_start)
        return (score[:, None] * self.tasks).astype(np.float32)


def other(base):
    return "ACGT"["ACGT".index(base) - 1]


def write_vcf(path, records):
    lines = [f"{chrom}\t{pos}\t{name}\t{ref}\t{alt}\t.\t.\t.\n" for chrom, pos, name, ref, alt in records]
    path.write_text("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(lines))
    return path


def run(path, genome, genes, models, batch_size=64):
    variants = vcf.read_variants(path, genome)
    before = variants.copy()
    pairs = effects.find_genes(variants, genes, LENGTH)
    pd.testing.assert_frame_equal(variants, before)
    blocks = effects.score_variants(pairs, genome, models, len(TASKS), batch_size)
    out = path.parent / "out"
    names = effects.replicate_names(models)
    effects_table.write_effects(blocks, pairs, TASKS, names, path, out / "effects.tsv", out / "effects.vcf.gz")
    table = read_table(out / "effects.tsv", **{f"effect_{name}": "float" for name in ["mean", "sd", *names]})
    with gzip.open(out / "effects.vcf.gz", "rt") as handle:
        info = [line.rstrip("\n").split("\t")[7] for line in handle if not line.startswith("#")]
    return table, info


def models_of(*seeds):
    return {fold: {f"replicate_{i}": LinearModel(seed + 10 * fold) for i, seed in enumerate(seeds)} for fold in (0, 1)}


def test_effects_of_single_bases_equal_the_weights(tmp_path, genome, genes):
    bases = decode(genome.codes("chr1", 0, 300))
    path = write_vcf(
        tmp_path / "a.vcf", [("chr1", 64, "rs1", bases[63], other(bases[63])), ("chr1", 56, ".", bases[55], other(bases[55]))]
    )
    models = models_of(1, 2)
    table, info = run(path, genome, genes, models)
    assert list(table["gene_id"]) == ["a"] * 3 + ["b"] * 3 + ["a"] * 3
    assert list(table["task"]) == TASKS * 3
    assert list(table["from_tss"]) == ["-7"] * 3 + ["27"] * 3 + ["-15"] * 3
    codes = {base: code for code, base in enumerate("ACGT")}
    ref, alt = codes[bases[63]], codes[other(bases[63])]
    expected = {
        "a": [(m.weights[13, alt] - m.weights[13, ref]) * m.tasks for m in models[0].values()],
        "b": [(m.weights[36, 3 - alt] - m.weights[36, 3 - ref]) * m.tasks for m in models[0].values()],
    }
    for gene, found in table[table["variant_id"] == "rs1"].groupby("gene_id"):
        np.testing.assert_allclose(found["effect_replicate_0"], expected[gene][0], atol=1e-5)
        np.testing.assert_allclose(found["effect_replicate_1"], expected[gene][1], atol=1e-5)
        np.testing.assert_allclose(found["effect_mean"], np.mean(expected[gene], axis=0), atol=1e-5)
        np.testing.assert_allclose(found["effect_sd"], np.std(expected[gene], axis=0, ddof=1), atol=1e-5)
    first = info[0].removeprefix("CISNAKE=").split(",")
    assert [entry.split("|")[1] for entry in first] == ["a", "b"]
    strongest = int(np.argmax(np.abs(np.mean(expected["a"], axis=0))))
    allele, gene, status, task, effect, *controls = first[0].split("|")
    assert controls == ["", ""]
    assert (allele, gene, status, task) == (other(bases[63]), "a", "ok", TASKS[strongest])
    assert float(effect) == pytest.approx(np.mean(expected["a"], axis=0)[strongest], abs=1e-5)


def test_swapped_alleles_keep_the_direction_of_the_file(tmp_path, genome, genes):
    bases = decode(genome.codes("chr1", 0, 300))
    here, there = bases[63], other(bases[63])
    two, changed = bases[66:68], other(bases[66]) + other(bases[67])
    path = write_vcf(
        tmp_path / "a.vcf",
        [
            ("chr1", 64, "x", here, there),
            ("chr1", 64, "y", there, here),
            ("chr1", 67, "x", two, changed),
            ("chr1", 67, "y", changed, two),
        ],
    )
    table, _ = run(path, genome, genes, models_of(1, 2))
    straight, swapped = table[table["variant_id"] == "x"], table[table["variant_id"] == "y"]
    assert set(straight["status"]) == {"ok"}
    assert set(swapped["status"]) == {"flipped"}
    assert len(straight) == len(swapped) == 12
    for column in ("effect_mean", "effect_replicate_0"):
        assert (straight[column].abs() > 1e-4).all()
        np.testing.assert_allclose(straight[column], -swapped[column].to_numpy())
    np.testing.assert_allclose(straight["effect_sd"], swapped["effect_sd"].to_numpy())


def test_every_variant_is_in_the_output_in_its_order(tmp_path, genome, genes):
    one = decode(genome.codes("chr1", 0, 300))
    two = decode(genome.codes("chr2", 0, 300))
    records = [
        ("chr2", 111, "fold1", two[110], other(two[110])),
        ("chr1", 271, "far", one[270], other(one[270])),
        ("chr1", 71, "wrong", other(one[70]), other(other(one[70]))),
        ("chr1", 71, "many", one[70], f"{other(one[70])},<DEL>,*"),
        ("chrX", 71, "x", "A", "C"),
        ("chr1", 71, "none", one[70], "."),
        ("chr1", 1000, "beyond", "A", "C"),
    ]
    table, info = run(write_vcf(tmp_path / "a.vcf", records), genome, genes, models_of(1))
    seen = table.drop_duplicates(["variant_id", "alt", "gene_id"])
    assert list(zip(seen["variant_id"], seen["status"], seen["gene_id"], strict=True)) == [
        ("fold1", "ok", "c"),
        ("far", "outside", ""),
        ("wrong", "mismatch", ""),
        ("many", "ok", "a"),
        ("many", "ok", "b"),
        ("many", "symbolic", ""),
        ("many", "symbolic", ""),
        ("x", "unknown_chromosome", ""),
        ("none", "no_alt", ""),
        ("beyond", "out_of_range", ""),
    ]
    empty = table[table["gene_id"] == ""]
    assert empty["effect_mean"].isna().all()
    assert set(empty["task"]) == set(empty["from_tss"]) == {""}
    assert not empty.duplicated(["variant_id", "alt"]).any()
    assert table.loc[table["gene_id"] != "", "effect_mean"].notna().all()
    assert table["effect_sd"].isna().all()
    assert info[1] == f"CISNAKE={other(one[270])}||outside||||"
    assert info[3].count(",") == 3


@pytest.mark.parametrize("batch_size", [1, 7])
def test_blocks_change_nothing_and_a_reference_is_predicted_once(tmp_path, genome, genes, monkeypatch, batch_size):
    bases = {chrom: decode(genome.codes(chrom, 0, 300)) for chrom in ("chr1", "chr2")}
    rng = np.random.default_rng(3)
    records = []
    for chrom in ("chr1", "chr2"):
        for start in sorted(rng.integers(45, 145, 60).tolist()):
            ref = bases[chrom][start : start + int(rng.integers(1, 5))]
            records.append((chrom, start + 1, ".", ref, other(ref[0]) + "ACGT"[: int(rng.integers(0, 4))]))
    path = write_vcf(tmp_path / "a.vcf", records)
    whole, info = run(path, genome, genes, models_of(1, 2))
    variants = vcf.read_variants(path, genome)
    models = models_of(1, 2)
    references = {
        fold: {
            genome.codes(g.chrom, g.window_start, g.window_end, g.strand).tobytes()
            for g in genes[genes["fold"] == fold].itertuples()
        }
        for fold in (0, 1)
    }
    monkeypatch.setattr(effects, "_NUMBERS", 1)
    parts, parts_info = run(path, genome, genes, models, batch_size)
    pd.testing.assert_frame_equal(whole, parts)
    assert info == parts_info
    assert len(variants) == 120
    for fold, replicates in models.items():
        for model in replicates.values():
            assert [model.seen[window] for window in references[fold]] == [1] * len(references[fold])
            assert not any(model.seen[window] for window in references[1 - fold])


def test_the_gene_body_of_the_alternative_counts(tmp_path, genome, genes):
    bases = decode(genome.codes("chr1", 0, 300))

    def body(codes, mask_start, mask_end, rows):
        return np.repeat((mask_end - mask_start)[:, None], len(TASKS), axis=1).astype(np.float32)

    path = write_vcf(
        tmp_path / "a.vcf", [("chr1", 76, "del", bases[75:79], bases[75]), ("chr1", 88, "past", bases[87:89], bases[87])]
    )
    table, _ = run(path, genome, genes.iloc[:1], {0: {"replicate_0": body}})
    assert list(table["effect_mean"]) == [-3.0] * 3 + [0.0] * 3


def test_background_regions_are_left_out(tmp_path, genome, genes):
    """A variant in two windows has an effect on the region alone; one in a background window alone is outside."""
    rows = [("chr1", 65), ("chr1", 95)]
    lines = [f"{chrom}\t{at + 1}\t.\t{(ref := decode(genome.codes(chrom, at, at + 1)))}\t{other(ref)}" for chrom, at in rows]
    (tmp_path / "a.vcf").write_text("##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\n" + "\n".join(lines) + "\n")
    variants = vcf.read_variants(tmp_path / "a.vcf", genome)
    assert effects.find_genes(variants, genes, LENGTH).gene.tolist() == [0, 1, 1]
    found = effects.find_genes(variants, genes.assign(background=[0, 1, 0]), LENGTH)
    assert (found.variant.tolist(), found.gene.tolist()) == ([0, 1], [0, -1])
    assert found.variants["status"].tolist() == ["ok", "outside"]


def test_no_variants_and_no_models(tmp_path, genome, genes):
    table, info = run(write_vcf(tmp_path / "a.vcf", []), genome, genes, models_of(1))
    assert len(table) == 0
    assert list(table)[-3:] == ["effect_mean", "effect_sd", "effect_replicate_0"]
    assert info == []
    bases = decode(genome.codes("chr2", 0, 300))
    path = write_vcf(tmp_path / "b.vcf", [("chr2", 111, ".", bases[110], other(bases[110]))])
    with pytest.raises(InputError, match="there is no model for fold 1, to which gene c belongs"):
        run(path, genome, genes, {0: {"replicate_0": LinearModel(0)}})
