"""Explanations of variants against plain loops: predictions of every substitution, and attributions of whole windows."""

from functools import cache

import keras
import numpy as np
import pandas as pd
import pytest

from cisnake.data import Motif
from cisnake.data.coverage import TargetTransform
from cisnake.data.dataset import model_input, open_dataset, writer
from cisnake.data.genome import Genome, decode, encode, reverse_complement
from cisnake.errors import InputError
from cisnake.files import write_table
from cisnake.interpret import Contrast
from cisnake.interpret.attribution import AttributionSettings, ScoredModel, attribute
from cisnake.interpret.attribution.target_scores import Score
from cisnake.interpret.motifs import HitFile, scan_genes
from cisnake.model import WindowViews, gene_readout, load_model, models_by_fold, predictors_by_fold
from cisnake.variants import explain_variants, read_explanations, read_verdicts, write_explanations
from cisnake.variants.explanation import FLANK, MUTATED_FLANK
from cisnake.variants.windows import Window, alternative_windows, trim

LENGTH, TSS, TASKS = 96, 60, ["t0", "t1", "t2"]
SITE = "GATAAGC"
MOTIF = Motif("gata", "GATA", np.where(np.eye(4)[encode(SITE)] > 0, 0.97, 0.01), 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of four genes, on both strands and in two folds, two networks per fold, and a scan for one motif."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 4, 470).astype(np.int8)
    bases[60:67], bases[160:167] = encode(SITE), reverse_complement(encode(SITE))
    (folder / "genome.fa").write_text(f">chr1\n{decode(bases)}\n")
    start, strand = np.array([0, 100, 200, 470 - LENGTH]), np.array(["+", "-", "+", "-"])
    tss = np.where(strand == "+", start + TSS, start + LENGTH - 1 - TSS)
    genes = pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(4)], "chrom": "chr1", "strand": strand, "tss": tss,
            "start": np.where(strand == "+", tss, tss - 9), "end": np.where(strand == "+", tss + 10, tss + 1),
            "window_start": start, "window_end": start + LENGTH, "mask_start": TSS, "mask_end": TSS + 10, "split": "test",
            "fold": [0, 1, 1, 0],
        }
    )  # fmt: skip
    labels = writer.Labels(np.zeros((4, 3), np.float32), TASKS)
    writer.write_dataset(folder / "dataset.h5", genes, labels, Genome(folder / "genome.fa"), writer.Layout(2), {"n_folds": 2})
    write_table(genes, folder / "genes.tsv")
    for fold in range(2):
        for replicate in range(2):
            keras.utils.set_random_seed(10 * fold + replicate)
            layers = [
                keras.layers.Conv1D(4, 7, padding="same", activation="tanh", kernel_initializer="he_normal"),
                keras.layers.AveragePooling1D(4), keras.layers.Flatten(), keras.layers.Dense(3),
            ]  # fmt: skip
            path = folder / f"fold_{fold}" / f"replicate_{replicate}" / "model.keras"
            path.parent.mkdir(parents=True)
            keras.Sequential([keras.Input((LENGTH, 5)), *layers]).save(path)
    # The last gene is not scanned.
    (folder / "listed.txt").write_text("g0\ng1\ng2\n")
    scan_genes(folder / "dataset.h5", str(folder / "listed.txt"), [MOTIF], folder / "hits.h5", p_threshold=1e-4)
    return folder


load = cache(load_model)


def variants_of(folder):
    """Variants of all kinds, at places in the window that include its ends, with REF and ALT of the file."""
    bases = decode(Genome(folder / "genome.fa").codes("chr1", 0, 470))
    asked = [
        # gene, start, length of REF, ALT, flipped
        ("g0", 62, 1, "C", False), ("g1", 162, 1, "C", False), ("g1", 162, 1, "C", True), ("g0", 0, 1, "other", False),
        ("g3", 469, 1, "other", False), ("g2", 230, 1, "+TTGCA", False), ("g1", 150, 1, "+ACC", False),
        ("g2", 270, 4, "first", False), ("g1", 130, 5, "first", False), ("g2", 290, 12, "first", False),
        ("g3", 378, 3, "GGGGG", False), ("g0", 1, 3, "first", True), ("g2", 258, 5, "first", False),
    ]  # fmt: skip
    rows = []
    for i, (gene, start, size, alt, flipped) in enumerate(asked):
        ref = bases[start : start + size]
        alt = {"other": "ACGT"["ACGT".index(ref[0]) - 1], "first": ref[0]}.get(alt, alt.replace("+", ref))
        status = "flipped" if flipped else "ok"
        place = {"variant_id": f"v{i}", "chrom": "chr1", "start": start, "end": start + size, "gene_id": gene, "status": status}
        alleles = {"ref": alt, "alt": ref} if flipped else {"ref": ref, "alt": alt}
        told = {"from_tss": 0, "task": TASKS[i % 3], "effect_mean": 0.5, "effect_sd": 0.1, "q_value": 0.01}
        rows.append(place | alleles | told)
    return pd.DataFrame(rows)


def explain(folder, variants, settings=None, verdicts=None, genes=None, batch_size=64):
    genes = pd.read_csv(folder / "genes.tsv", sep="\t") if genes is None else genes
    models = models_by_fold(sorted(folder.glob("fold_*/replicate_*/model.keras")))
    settings = settings or AttributionSettings("input_x_gradient")
    verdicts = read_verdicts(folder, []) if verdicts is None else verdicts
    with open_dataset(folder / "dataset.h5") as file:
        genome, scanned = Genome(folder / "genome.fa"), HitFile(folder / "hits.h5")
        return explain_variants(variants, genome, genes, file, models, settings, [MOTIF], scanned, verdicts, batch_size)


def windows_with_alleles(folder, variant):
    """Return the windows with REF and with ALT, the ends of the gene body, and the fold."""
    gene = pd.read_csv(folder / "genes.tsv", sep="\t").set_index("gene_id").loc[variant.gene_id]
    window = Window("chr1", gene.window_start, gene.window_end, gene.strand, TSS, TSS + 10)
    genome = Genome(folder / "genome.fa")
    own = window.codes(genome, 0, LENGTH)
    alleles = (variant.ref, variant.alt) if variant.status == "ok" else (variant.alt, variant.ref)
    (changed,), (end,) = alternative_windows(genome, window, own, [trim(variant.start, *alleles)])
    both = [(own, TSS + 10), (changed, int(end))]
    return (both if variant.status == "ok" else both[::-1]), int(gene.fold)


def predict(folder, fold, codes, ends, task):
    inputs = model_input(np.stack(codes), np.full(len(codes), TSS), np.array(ends), 5)
    networks = [load(folder / f"fold_{fold}" / f"replicate_{i}" / "model.keras") for i in range(2)]
    return np.mean([np.asarray(network(inputs), np.float64)[:, TASKS.index(task)] for network in networks], axis=0)


@pytest.mark.parametrize("batch_size", [64, 3])
def test_mutagenesis_is_that_of_a_loop_over_substitutions(folder, batch_size):
    variants = variants_of(folder)
    explained, _ = explain(folder, variants, batch_size=batch_size)
    checked = 0
    for i, variant in enumerate(variants.itertuples()):
        windows, fold = windows_with_alleles(folder, variant)
        first, last = explained.core[i]
        for side, (codes, end) in enumerate(windows):
            shown = np.flatnonzero(explained.codes[i, side] >= 0)
            text = decode(explained.codes[i, side, shown])
            begin = decode(codes).find(text)
            assert begin >= 0 and decode(codes).count(text) == 1, "the stretch is one part of the window"
            effects = explained.mutagenesis[i, side]
            near = (np.arange(len(effects)) >= first - MUTATED_FLANK) & (np.arange(len(effects)) < last + MUTATED_FLANK)
            known = near & (explained.codes[i, side] >= 0) & (explained.codes[i, side] < 4)
            np.testing.assert_array_equal(np.isfinite(effects).all(axis=1), known)
            np.testing.assert_array_equal(np.isfinite(effects).any(axis=1), known)
            mutants = []
            for column in np.flatnonzero(known):
                for base in range(4):
                    mutant = codes.copy()
                    mutant[begin + np.searchsorted(shown, column)] = base
                    mutants.append(mutant)
            expected = predict(folder, fold, [*mutants, codes], [end] * (len(mutants) + 1), variant.task)
            np.testing.assert_allclose(effects[known].ravel(), expected[:-1] - expected[-1], atol=2e-6)
            checked += len(mutants)
    assert checked > 3000


def test_the_substitution_of_ref_by_alt_is_the_effect(folder):
    variants = variants_of(folder)
    single = variants[(variants["ref"].str.len() == 1) & (variants["alt"].str.len() == 1)].reset_index(drop=True)
    assert {"ok", "flipped"} == set(single["status"]) and set(single["gene_id"]) == {"g0", "g1", "g3"}
    explained, _ = explain(folder, single)
    for i, variant in enumerate(single.itertuples()):
        windows, fold = windows_with_alleles(folder, variant)
        ref, alt = predict(folder, fold, *zip(*windows, strict=True), variant.task)
        at = explained.core[i, 0]
        forward = {"+": str, "-": lambda base: decode(reverse_complement(encode(base)))}[explained.variants["strand"][i]]
        assert [decode(explained.codes[i, side, [at]]) for side in (0, 1)] == [forward(variant.ref), forward(variant.alt)]
        codes = explained.codes[i, :, at]
        assert explained.mutagenesis[i, 0, at, codes[1]] == pytest.approx(alt - ref, abs=2e-6)
        assert explained.mutagenesis[i, 1, at, codes[0]] == pytest.approx(ref - alt, abs=2e-6)
        assert explained.genome[i, at] == variant.start


@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients", "saliency"])
def test_attributions_are_those_of_whole_windows(folder, method):
    variants = variants_of(folder).iloc[[0, 5, 8]].reset_index(drop=True)
    settings = AttributionSettings(method, views=WindowViews((0, 1), True))
    explained, _ = explain(folder, variants, settings)
    for i, variant in enumerate(variants.itertuples()):
        windows, fold = windows_with_alleles(folder, variant)
        networks = [ScoredModel(load(folder / f"fold_{fold}" / f"replicate_{k}" / "model.keras"), 2) for k in range(2)]
        score = Score(np.eye(3, dtype=np.float32)[TASKS.index(variant.task)])
        codes, ends = zip(*windows, strict=True)
        inputs = model_input(np.stack(codes), np.full(2, TSS), np.array(ends), 5)
        contributions, _ = attribute(networks, inputs, [score], settings.function, settings.views)
        for side in (0, 1):
            whole = (contributions[0, side] * inputs[side, :, :4]).sum(axis=1)
            shown = np.flatnonzero(explained.codes[i, side] >= 0)
            begin = decode(codes[side]).find(decode(explained.codes[i, side, shown]))
            got = explained.attributions[i, side]
            np.testing.assert_allclose(got[shown], whole[begin : begin + len(shown)], atol=2e-6)
            assert np.abs(got[shown]).max() > 1e-3
            assert np.isnan(np.delete(got, shown)).all()


def test_stretches_end_with_the_window_and_gaps_have_no_base(folder):
    variants = variants_of(folder)
    explained, _ = explain(folder, variants)
    for i, variant in enumerate(variants.itertuples()):
        first, last = explained.core[i]
        bases = [explained.codes[i, side, first:last] for side in (0, 1)]
        longest = max(len(trim(0, variant.ref, variant.alt).alt), len(trim(0, variant.alt, variant.ref).alt))
        assert last - first <= longest and first <= FLANK
        strand = explained.variants["strand"][i]
        for allele, shown in zip((variant.ref, variant.alt), bases, strict=True):
            known = decode(shown[shown >= 0])
            assert known in (allele if strand == "+" else decode(reverse_complement(encode(allele))))
            assert (shown[len(known) :] == -1).all(), "gaps follow the bases"
    # The first base of a window and the last base of the chromosome, on either strand.
    assert explained.core[3].tolist() == [0, 1] and explained.core[4].tolist() == [0, 1]


def test_motifs_that_change_are_placed_on_the_genome_and_have_verdicts(folder, tmp_path):
    write_table(pd.DataFrame({"motif_id": ["gata", "x"], "verdict": ["raises", "inert"]}), tmp_path / "first/effects.tsv")
    write_table(pd.DataFrame({"motif_id": ["gata"], "verdict": ["inert"]}), tmp_path / "second/effects.tsv")
    write_table(pd.DataFrame({"motif_id": ["gata"], "verdict": ["lowers"]}), tmp_path / "third/effects.tsv")
    contrasts = [
        Contrast("first", ("t0", "t2"), ("t1",), "specificity"),
        Contrast("second", ("t0",), (), "aggregate"),
        Contrast("third", ("t1",), ("t0",), "specificity"),
        Contrast("not_probed", ("t0",), (), "aggregate"),
    ]
    verdicts = read_verdicts(tmp_path, contrasts)
    _, changes = explain(folder, variants_of(folder), verdicts=verdicts)
    rows = changes.set_index("variant_id")
    # A site on the + strand in a gene on the + strand, and one on the - strand in a gene on the - strand.
    placed = rows[["change", "site_start", "site_end", "strand", "matched_seq"]]
    assert placed.loc["v0"].tolist() == ["lost", 60, 67, "+", SITE]
    assert placed.loc["v1"].tolist() == ["lost", 160, 167, "-", SITE]
    # The genome has ALT: the variant creates the site.
    assert rows.loc["v2", ["change", "allele", "site_start"]].tolist() == ["gained", "alt", 160]
    assert rows.loc["v2", "ref_score"] == pytest.approx(rows.loc["v1", "alt_score"])
    assert rows["verdict"][["v0", "v1", "v2"]].tolist() == ["first: raises; second: inert", "third: lowers", "first: raises"]
    assert (rows["last_column"] - rows["first_column"] >= len(MOTIF)).all()


def test_a_site_that_is_inserted_lies_at_the_insertion(folder):
    variants = variants_of(folder).iloc[[5]].reset_index(drop=True)
    variants["alt"] = variants["ref"] + "CC" + SITE + "CC"
    explained, changes = explain(folder, variants)
    (row,) = changes.itertuples()
    assert (row.change, row.site_start, row.site_end) == ("gained", 231, 231)
    assert decode(explained.codes[0, 1, row.first_column : row.last_column]) == SITE
    assert (explained.codes[0, 0, row.first_column : row.last_column] == -1).all()


def test_no_variant_gives_empty_files(folder, tmp_path):
    explained, changes = explain(folder, variants_of(folder).iloc[:0])
    assert len(explained) == len(changes) == 0
    write_explanations(explained, tmp_path / "e.h5")
    assert len(read_explanations(tmp_path / "e.h5")) == 0
    assert {"motif_id", "change", "verdict", "first_column"} <= set(changes)


def test_a_gene_of_a_fold_without_models_is_refused(folder):
    genes = pd.read_csv(folder / "genes.tsv", sep="\t").assign(fold=7)
    with pytest.raises(InputError, match="there is no model for fold 7"):
        explain(folder, variants_of(folder), genes=genes)


def test_the_file_has_what_was_written(folder, tmp_path):
    explained, _ = explain(folder, variants_of(folder))
    write_explanations(explained, tmp_path / "e.h5")
    read = read_explanations(tmp_path / "e.h5")
    pd.testing.assert_frame_equal(read.variants, explained.variants, check_dtype=False)
    for name in ("genome", "core", "codes", "attributions", "mutagenesis"):
        np.testing.assert_array_equal(getattr(read, name), getattr(explained, name))
    data = (tmp_path / "e.h5").read_bytes()
    (tmp_path / "e.h5").write_bytes(data[: len(data) // 2])
    for path in (tmp_path / "e.h5", folder / "hits.h5", tmp_path / "none.h5"):
        with pytest.raises(InputError, match=r"cannot be read as explanations .*: run the rule explain_variants again"):
            read_explanations(path)


def test_coverage_networks_are_explained_by_the_value_of_the_gene(folder, tmp_path):
    genes = pd.read_csv(folder / "genes.tsv", sep="\t").iloc[:1]
    bins = np.zeros((1, 12), np.float32)
    bins[0, 5:11] = [0.5, 1, 1, 0, 1, 1]
    transform = TargetTransform(scale=(0.5, 2.0), power=0.5)
    labels = writer.Labels(np.zeros((1, 2, 12), np.float32), ["t0", "t1"], transform.to_dict(), bins)
    writer.write_dataset(
        tmp_path / "dataset.h5", genes, labels, Genome(folder / "genome.fa"), writer.Layout(2, LENGTH // 12), {"n_folds": 1}
    )
    path = tmp_path / "fold_0" / "replicate_0" / "model.keras"
    path.parent.mkdir(parents=True)
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Conv1D(4, 7, padding="same", activation="tanh", kernel_initializer="he_normal"),
        keras.layers.AveragePooling1D(LENGTH // 12),
        keras.layers.Dense(2, activation="softplus", kernel_initializer="he_normal"),
    ]  # fmt: skip
    keras.Sequential([keras.Input((LENGTH, 5)), *layers]).save(path)
    variants = variants_of(folder).iloc[[0]].assign(task="t1").reset_index(drop=True)
    with open_dataset(tmp_path / "dataset.h5") as file:
        scanned, settings = HitFile(folder / "hits.h5"), AttributionSettings("input_x_gradient")
        explained, _ = explain_variants(
            *(variants, Genome(folder / "genome.fa"), genes, file, {0: [path]}, settings, [MOTIF], scanned),
            read_verdicts(folder, []),
        )
        ((ref, alt), _) = windows_with_alleles(folder, variants.iloc[0])
        predictor = predictors_by_fold([path], gene_readout(file))[0]["replicate_0"]
        places = np.full(2, TSS), np.array([ref[1], alt[1]]), np.zeros(2, np.int64)
        values = predictor(np.stack([ref[0], alt[0]]), *places)[:, 1]
    at = explained.core[0, 0]
    assert abs(values[1] - values[0]) > 1e-3
    assert explained.mutagenesis[0, 0, at, explained.codes[0, 1, at]] == pytest.approx(values[1] - values[0], abs=2e-6)
