import functools
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

import attribute_genes
from cisnake import configuration
from cisnake.data.coverage.transform import TargetTransform
from cisnake.data.dataset import layout, writer
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.files import file_sha256
from cisnake.interpret.attribution import job as attribution_job
from cisnake.interpret.attribution import shards as attribution_shards
from cisnake.interpret.attribution.collect import collect_shards
from cisnake.interpret.attribution.file import AttributionFile
from cisnake.interpret.attribution.job import AttributionSettings, Extras, shuffled_windows
from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, attribute, method_options, project
from cisnake.interpret.attribution.quality import random_network
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.shards import GeneShard, attribute_shard
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model import devices, ensemble
from cisnake.model.prediction import WindowViews
from cisnake.sections import ContrastSection, as_section

from ...configured import configured

LENGTH, PAD, N, FOLDS, TASKS = 24, 2, 11, 2, ["t0", "t1", "t2"]
CONTRASTS = {"first": {"on_tasks": ["t0"]}, "pair": {"on_tasks": ["duo"], "score": "aggregate"}}
WEIGHTS = np.array([[1, -0.5, -0.5], [0, 0.5, 0.5]], np.float32)

# In so small a run, most of the time is spent compiling the networks, which are the same in all runs.
load_model, compiled = functools.cache(ensemble.load_model), functools.cache(ScoredModel)
randomised = {}


def draw_network(model, seed, windows):
    key = model, seed, windows.tobytes()
    if key not in randomised:
        randomised[key] = random_network(*key[:2], windows)
    return randomised[key]


@pytest.fixture(scope="module", autouse=True)
def _networks_are_compiled_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribution_shards, "load_model", load_model)
        patch.setattr(attribution_shards, "ScoredModel", compiled)
        patch.setattr(attribution_shards, "random_network", draw_network)
        yield
    load_model.cache_clear()
    compiled.cache_clear()
    randomised.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set with two folds, two models per fold, and a task table."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    (folder / "genome.fa").write_text(f">chr1\n{decode(rng.integers(0, 4, 600).astype(np.int8))}\n")
    start, strand = 10 + 40 * np.arange(N), np.where(np.arange(N) % 3, "+", "-")
    tss = np.where(strand == "+", start + 16, start + LENGTH - 17)
    genes = pd.DataFrame(
        {
            "gene_id": [f"gene{i}" for i in range(N)], "chrom": "chr1", "strand": strand, "tss": tss,
            "start": np.where(strand == "+", tss, tss - 3), "end": np.where(strand == "+", tss + 4, tss + 1),
            "window_start": start, "window_end": start + LENGTH, "mask_start": 16, "mask_end": 20, "split": "test",
            "fold": (np.arange(N) // 2) % FOLDS,
        }
    )  # fmt: skip
    labels = rng.normal(size=(N, 3)).astype(np.float32)
    labels[4] = np.nan
    genome = Genome(folder / "genome.fa")
    writer.write_dataset(
        folder / "dataset.h5", genes, writer.Labels(labels, TASKS), genome, writer.Layout(PAD), {"n_folds": FOLDS}
    )
    (folder / "tasks.tsv").write_text("task\tgroup\nt0\tsolo\nt1\tduo\nt2\tduo\n")
    for fold in range(FOLDS):
        for replicate in range(2):
            keras.utils.set_random_seed(10 * fold + replicate)
            layers = [keras.layers.Conv1D(3, 5, activation="tanh"), keras.layers.Flatten(), keras.layers.Dense(3)]
            path = folder / f"fold_{fold}" / f"replicate_{replicate}" / "model.keras"
            path.parent.mkdir(parents=True)
            keras.Sequential([keras.Input((LENGTH, 5)), *layers]).save(path)
    return folder


def models(folder):
    return sorted(folder.glob("fold_*/replicate_*/model.keras"))


def run(folder, out, which="all", shard=(0, 1), paths=None, batch_size=4, contrasts=CONTRASTS, **asked):
    table = folder / "tasks.tsv"
    contrasts = {name: as_section(ContrastSection, {"score": "specificity"} | asked_of) for name, asked_of in contrasts.items()}
    paths = paths or models(folder)
    settings = AttributionSettings(**{"method": "input_x_gradient"} | asked)
    attribute_shard(folder / "dataset.h5", paths, table, contrasts, GeneShard(which, *shard), settings, batch_size, out)
    return [out / name / f"{shard[0]:04d}.h5" for name in contrasts]


def test_each_gene_is_attributed_by_the_models_of_its_fold(folder, tmp_path):
    files = [AttributionFile(path) for path in run(folder, tmp_path)]
    with layout.open_dataset(folder / "dataset.h5") as file:
        windows, labels = layout.read_windows(file), layout.read_labels(file)
        codes = layout.read_codes(file, np.arange(N), PAD, PAD + LENGTH)
    body = np.zeros((N, LENGTH, 1), np.float32)
    body[:, 16:20] = 1
    x = np.concatenate([np.eye(5, 4, dtype=np.float32)[codes], body], axis=-1)
    row_of = {gene: row for row, gene in enumerate(windows["gene_id"])}
    assert sorted(files[0].genes) == sorted(row_of)
    networks_of = {
        fold: [compiled(load_model(path), 4) for path in models(folder) if f"fold_{fold}" in str(path)] for fold in range(FOLDS)
    }
    for i, file in enumerate(files):
        attributions, sequences = file.read_block(0, N)
        for at, (_, window) in enumerate(file.windows.iterrows()):
            row = row_of[window["gene_id"]]
            expected, scores = attribute(networks_of[window["fold"]], x[[row]], [Score(weights) for weights in WEIGHTS])
            np.testing.assert_allclose(attributions[at], project(x[[row]], expected)[i, 0], atol=1e-6)
            np.testing.assert_array_equal(sequences[at], codes[row])
            np.testing.assert_allclose(window["predicted"], scores[:, i, 0].mean(), atol=1e-6)
            np.testing.assert_allclose(window["predicted_sd"], scores[:, i, 0].std(ddof=1), atol=1e-6)
            np.testing.assert_allclose(window["measured"], labels[row] @ WEIGHTS[i], rtol=1e-5)
            for column in ("chrom", "start", "end", "strand", "mask_start", "mask_end", "fold", "split"):
                assert window[column] == windows[column][row]


def test_attributes_record_the_settings(folder, tmp_path):
    first, pair = (AttributionFile(path) for path in run(folder, tmp_path))
    expected = {
        "contrast": "first", "score": "specificity", "on_tasks": ["t0"], "off_tasks": ["t1", "t2"], "replicates": 2,
        "method": "input_x_gradient", "method_options": {"correct_mean": True}, "reverse_complement": False, "shifts": [0],
        "models": [file_sha256(path) for path in models(folder)], "null_windows": 0, "quality_genes": 0, "seed": 0,
    }  # fmt: skip
    assert first.attrs == expected
    assert pair.attrs == expected | {"contrast": "pair", "score": "aggregate", "on_tasks": ["t1", "t2"], "off_tasks": []}


@pytest.mark.parametrize("method", [name for name in ATTRIBUTION_METHODS if name not in ("gradient", "input_x_gradient")])
def test_every_method_writes_what_each_base_adds(folder, tmp_path, method):
    options = {"n_steps": 3, "n_shuffles": 2, "n_samples": 2, "seed": 5}
    only = {"first": CONTRASTS["first"]}
    asked = {"contrasts": only, "method": method, "options": options, "views": WindowViews([0, 2], True)}
    file = AttributionFile(run(folder, tmp_path, **asked)[0])
    # Each gene is attributed by the models of its fold only, shards do not matter, and scores are those of the contrast.
    part = AttributionFile(run(folder, tmp_path, shard=(1, 3), batch_size=3, **asked)[0])
    rows = [file.genes.index(gene) for gene in part.genes]
    np.testing.assert_allclose(part.read_block(0, N)[0], file.read_block(0, N)[0][rows], atol=1e-6)
    attributions, codes = file.read_block(0, N)
    absent = ~np.eye(5, 4, dtype=bool)[codes].swapaxes(1, 2)
    assert (attributions[absent] == 0).all()
    assert (attributions[~absent] != 0).mean() > 0.5
    recorded = file.attrs
    assert (recorded["method"], recorded["reverse_complement"], recorded["shifts"]) == (method, True, [0, 2])
    assert recorded["method_options"] == method_options(method, options)
    assert file.windows["predicted_sd"].notna().all()


def test_other_views_give_other_attributions_and_scores(folder, tmp_path):
    only = {"first": CONTRASTS["first"]}
    views = [WindowViews(), WindowViews(reverse_complement=True), WindowViews([0, 3])]
    files = [AttributionFile(run(folder, tmp_path / str(i), contrasts=only, views=each)[0]) for i, each in enumerate(views)]
    blocks = [file.read_block(0, N)[0] for file in files]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(blocks[i] - blocks[j]).max() > 1e-2
        assert (files[i].windows["predicted"] - files[j].windows["predicted"]).abs().max() > 1e-2


@pytest.mark.parametrize("n_shards", [3, 14])
def test_shards_joined_are_one_shard(folder, tmp_path, n_shards):
    paths, only = models(folder), {"first": CONTRASTS["first"]}
    whole = AttributionFile(run(folder, tmp_path / "whole", paths=paths, contrasts=only)[0])
    shards = [run(folder, tmp_path, shard=(i, n_shards), paths=paths, contrasts=only)[0] for i in range(n_shards)]
    assert (min(len(AttributionFile(path)) for path in shards) == 0) == (n_shards > N)
    collect_shards(shards, tmp_path / "joined.h5")
    joined = AttributionFile(tmp_path / "joined.h5")
    assert joined.attrs == whole.attrs
    order = [joined.genes.index(gene) for gene in whole.genes]
    assert sorted(order) == list(range(N))
    pd.testing.assert_frame_equal(joined.windows.iloc[order].reset_index(drop=True), whole.windows, rtol=1e-4, atol=1e-6)
    for found, expected in zip(joined.read_block(0, N), whole.read_block(0, N), strict=True):
        np.testing.assert_allclose(found[order], expected, atol=1e-6)


def test_shards_of_other_models_are_not_joined(folder, tmp_path):
    paths, only = models(folder), {"first": CONTRASTS["first"]}
    one = run(folder, tmp_path, shard=(0, 2), contrasts=only)
    other = run(folder, tmp_path, shard=(1, 2), paths=paths[0:1] + paths[2:3], contrasts=only)
    with pytest.raises(InputError, match="different contrasts, models or settings"):
        collect_shards(one + other, tmp_path / "joined.h5")


def test_one_replicate_has_no_spread(folder, tmp_path):
    file = AttributionFile(run(folder, tmp_path, paths=models(folder)[::2])[0])
    assert file.windows["predicted_sd"].isna().all()
    assert file.windows["predicted"].notna().all()


def test_genes_of_a_fold_without_models_leave_no_file(folder, tmp_path):
    with pytest.raises(InputError, match=r"cannot attribute the genes of fold 1: no model is in a folder fold_1"):
        run(folder, tmp_path, paths=models(folder)[:2])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


FIRST = {"first": CONTRASTS["first"]}


def nulls(paths):
    """Return gene, shuffle index and attribution of every shuffled window, sorted."""
    files = [AttributionFile(path) for path in paths]
    genes = pd.Series([gene for file in files for gene in file.null_genes], dtype=str)
    blocks = [np.zeros((0, LENGTH), np.float32), *(block for file in files for block in file.null_blocks())]
    order = np.lexsort([genes.groupby(genes).cumcount(), genes])
    return genes.to_numpy()[order], np.concatenate(blocks)[order]


@pytest.mark.parametrize(("count", "n_shards"), [(4, 14), (25, 2)])
def test_shuffled_windows_are_the_same_whatever_the_shards(folder, tmp_path, count, n_shards):
    asked = {"contrasts": FIRST, "extras": Extras(null_windows=count, seed=3)}
    whole = run(folder, tmp_path / "whole", **asked)
    genes, attributions = nulls(whole)
    # 14 shards of 11 genes: some are empty.
    shards = [run(folder, tmp_path, shard=(i, n_shards), **asked)[0] for i in range(n_shards)]
    found = nulls(shards)
    np.testing.assert_array_equal(found[0], genes)
    np.testing.assert_allclose(found[1], attributions, atol=1e-6)
    collect_shards(shards, tmp_path / "joined.h5")
    np.testing.assert_allclose(nulls([tmp_path / "joined.h5"])[1], attributions, atol=1e-6)
    assert len(genes) == count
    assert len(set(genes)) == min(count, N)
    assert pd.Series(genes).value_counts().max() == -(-count // N)


def test_a_shuffled_window_is_scored_like_its_gene(folder, tmp_path):
    """Shuffles use the models of the gene's fold, its gene body, and the same method and views."""
    asked = {"views": WindowViews([0, 2], True), "method": "integrated_gradients", "options": {"n_steps": 3}}
    files = [AttributionFile(path) for path in run(folder, tmp_path, extras=Extras(null_windows=N, seed=3), **asked)]
    with layout.open_dataset(folder / "dataset.h5") as data:
        codes = layout.read_codes(data, np.arange(N), PAD, PAD + LENGTH)
    for at in (0, N - 1):
        gene = files[0].null_genes[at]
        window = files[0].windows.set_index("gene_id").loc[gene]
        shuffled = shuffled_windows(codes[[int(gene[4:])]], [gene], [0], 3)
        x = np.concatenate([np.eye(5, 4, dtype=np.float32)[shuffled], np.zeros((1, LENGTH, 1), np.float32)], axis=-1)
        x[:, 16:20, 4] = 1
        paths = folder.glob(f"fold_{window['fold']}/*/model.keras")
        networks = [compiled(load_model(path), 4) for path in paths]
        method = functools.partial(ATTRIBUTION_METHODS["integrated_gradients"], n_steps=3)
        expected = project(x, attribute(networks, x, [Score(w) for w in WEIGHTS], method, asked["views"])[0]).sum(axis=-2)[:, 0]
        for file, values in zip(files, expected, strict=True):
            np.testing.assert_allclose(next(file.null_blocks())[at], values, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_spread_is_that_of_runs_of_single_replicates(folder, tmp_path, dtype):
    extras = Extras(dtype, hypothetical=True)
    file = AttributionFile(run(folder, tmp_path, contrasts=FIRST, extras=extras)[0])
    alone = [AttributionFile(run(folder, tmp_path / str(i), paths=models(folder)[i::2], contrasts=FIRST)[0]) for i in range(2)]
    assert alone[0].read_spread(0, N) is None
    blocks = np.stack([each.read_block(0, N)[0].sum(axis=1) for each in alone])
    rough = 2e-3 if dtype == "float16" else 1e-6
    np.testing.assert_allclose(file.read_spread(0, N), blocks.std(axis=0, ddof=1), atol=rough)
    expected = [np.corrcoef(one, other)[0, 1] for one, other in zip(*blocks)]
    np.testing.assert_allclose(file.quality["replicates"], expected, atol=1e-4)
    assert alone[0].quality["replicates"].isna().all()
    attributions, codes = file.read_block(0, N)
    hypothetical = file.read_hypothetical(0, N)
    stands = np.eye(5, 4)[codes].swapaxes(1, 2)
    np.testing.assert_allclose(hypothetical * stands, attributions, atol=3 * rough)
    assert (np.abs(hypothetical[stands == 0]) > 1e-3).mean() > 0.5


def test_checks_do_not_depend_on_shards(folder, tmp_path):
    extras = Extras(quality_genes=4, seed=1)
    asked = {"contrasts": FIRST, "method": "integrated_gradients", "options": {"n_steps": 2}, "extras": extras}
    whole = AttributionFile(run(folder, tmp_path / "whole", **asked)[0])
    shards = [run(folder, tmp_path, shard=(i, 2), **asked)[0] for i in range(2)]
    collect_shards(shards, tmp_path / "joined.h5")
    joined = AttributionFile(tmp_path / "joined.h5").quality.set_index("gene_id").loc[whole.genes]
    # Four of eleven genes, spread evenly.
    assert sorted(whole.quality["gene_id"][whole.quality["ism"].notna()]) == ["gene1", "gene4", "gene6", "gene9"]
    for column in ("completeness", "replicates", "ism", "strands", "random_weights"):
        np.testing.assert_allclose(joined[column], whole.quality[column], atol=1e-3)
        assert (
            whole.quality[column].notna() == whole.quality["ism"].notna() | (column in ("completeness", "replicates"))
        ).all()
    assert (whole.quality["prediction"] == "not_measured").all()
    assert set(joined["prediction"]) <= {"correct", "poor", "not_measured"}
    assert (joined["prediction"] == "not_measured").sum() == 1


def test_only_methods_with_a_baseline_have_completeness(folder, tmp_path):
    assert AttributionFile(run(folder, tmp_path, contrasts=FIRST)[0]).quality["completeness"].isna().all()


def test_batches_are_cut_where_contributions_would_fill_memory(folder, tmp_path, monkeypatch):
    whole = AttributionFile(run(folder, tmp_path / "whole", batch_size=64)[1])
    monkeypatch.setattr(attribution_job, "_BATCH_BYTES", 3 * 2 * 16 * LENGTH)
    asked, ask = [], attribution_shards.attribute_ensemble

    def count(networks, inputs, *rest):
        asked.append(len(inputs))
        return ask(networks, inputs, *rest)

    monkeypatch.setattr(attribution_shards, "attribute_ensemble", count)
    cut = AttributionFile(run(folder, tmp_path, batch_size=64)[1])
    assert max(asked) == 3
    np.testing.assert_allclose(cut.read_block(0, N)[0], whole.read_block(0, N)[0], atol=1e-6)


def test_models_are_read_for_their_checksum_once_whatever_the_number_of_contrasts(folder, tmp_path, monkeypatch):
    read, checksum = [], attribution_shards.file_sha256

    def count(path):
        read.append(path)
        return checksum(path)

    monkeypatch.setattr(attribution_shards, "file_sha256", count)
    contrasts = {f"c{i}": {"on_tasks": ["t0"]} for i in range(7)}
    run(folder, tmp_path, shard=(0, 4), contrasts=contrasts)
    assert sorted(read) == models(folder)


def test_program(folder, tmp_path, monkeypatch):
    """The command line gives the same result as the function."""
    # The number of threads can be set only before TensorFlow's first computation, which happened in another test.
    monkeypatch.setattr(devices, "configure_devices", lambda threads, require_gpu=False: "CPU")
    outputs = [tmp_path / name / "0001.h5" for name in CONTRASTS]
    section = {"contrasts": CONTRASTS, "n_shards": 2, "method": "integrated_gradients", "n_steps": 3, "shifts": [-1, 1]}
    section |= {"reverse_complement": True, "dtype": "float16", "hypothetical": True, "null_windows": 3, "quality_genes": 2}
    sections = {"attribution": section, "run": {"seed": 4}, "resources": {"batch_size": 4}}
    command = [*configured(tmp_path, **sections), "--dataset", folder / "dataset.h5", "--models", *models(folder)]
    command += ["--tasks", folder / "tasks.tsv", "--shard", "1", "--output", tmp_path]
    options = {"n_steps": 3, "tolerance": 0.05}
    asked = {"method": "integrated_gradients", "options": options, "views": WindowViews([-1, 1], True)}
    asked["extras"] = Extras("float16", True, 3, 2, 4)
    attribute_genes.main(attribute_genes.parser().parse_args([str(part) for part in command]))
    for found, expected in zip(outputs, run(folder, tmp_path / "function", shard=(1, 2), **asked), strict=True):
        np.testing.assert_allclose(*(AttributionFile(path).read_block(0, N)[0] for path in (found, expected)), atol=1e-6)
        assert AttributionFile(found).genes == AttributionFile(expected).genes
        assert AttributionFile(found).attrs == AttributionFile(expected).attrs
        assert (AttributionFile(found).dtype, AttributionFile(found).has_hypothetical) == ("float16", True)
        assert AttributionFile(found).null_genes == AttributionFile(expected).null_genes
        assert AttributionFile(found).quality["ism"].notna().sum() == 1


def test_the_configuration_has_the_defaults_of_the_library():
    schema = yaml.safe_load((Path(__file__).parents[3] / "workflow" / "schemas" / "config.schema.yaml").read_text())
    keys = schema["properties"]["attribution"]["properties"]
    options = {
        option: default
        for name in ATTRIBUTION_METHODS
        for option, default in method_options(name, {}).items()
        if name != "gradient"
    }
    assert set(keys["method"]["enum"]) == set(ATTRIBUTION_METHODS) - {"gradient"}
    # Runs repeat inaccurate integrations; the library does what it is told.
    assert (keys["tolerance"]["default"], options["tolerance"]) == (0.05, 0.0)
    for option in set(options) - {"sample_mask", "sample_value", "tolerance"}:
        assert keys[option]["default"] == options[option], option


@pytest.mark.parametrize("method", sorted(set(ATTRIBUTION_METHODS) - {"gradient"}))
def test_a_program_is_given_every_option_that_its_method_takes(method):
    section = vars(configuration.section("attribution", contrasts={"a": {"on_tasks": ["t0"]}}, method=method))
    given = configuration.chosen_options("attribution", section)
    assert set(given) == set(method_options(method, {})) - {"sample_mask", "sample_value"}


@pytest.fixture(scope="module")
def covered(folder, tmp_path_factory):
    """The same genes with stranded coverage in bins of 4 bases, and models of it."""
    out = tmp_path_factory.mktemp("coverage")
    rng, bins, crop = np.random.default_rng(3), 4, 4
    with layout.open_dataset(folder / "dataset.h5") as file:
        windows = layout.read_windows(file).rename(columns={"start": "window_start", "end": "window_end"})
    transform = TargetTransform(scale=(0.5, 0.5), power=0.75, clip_soft=3.0)
    labels = transform.forward(rng.gamma(1.0, 4.0, (N, bins, 2))).transpose(0, 2, 1)
    weights = np.zeros((N, bins), np.float32)
    weights[:, 1:3] = [1.0, 0.25]
    weights[2] = [0.5, 0, 0, 1]
    attributes = {"n_folds": FOLDS}
    genome = Genome(folder / "genome.fa")
    measured = writer.Labels(labels, ["t0", "t1"], transform.to_dict(), weights, strand_pair=[1, 0])
    writer.write_dataset(out / "dataset.h5", windows, measured, genome, writer.Layout(PAD, 4, crop), attributes)
    (out / "tasks.tsv").write_text("task\tgroup\nt0\tboth\nt1\tboth\n")
    for fold in range(FOLDS):
        for replicate in range(2):
            keras.utils.set_random_seed(10 * fold + replicate)
            layers = [keras.layers.Conv1D(6, 5, padding="same", activation="tanh"), keras.layers.Cropping1D(crop)]
            layers += [keras.layers.Conv1D(2, 4, strides=4, activation="softplus")]
            path = out / f"fold_{fold}" / f"replicate_{replicate}" / "model.keras"
            path.parent.mkdir(parents=True)
            keras.Sequential([keras.Input((LENGTH, 4)), *layers]).save(path)
    return out, labels, weights, transform


def test_of_coverage_the_contrast_of_gene_values_is_attributed(covered, tmp_path):
    out, labels, weights, transform = covered
    contrasts = {"strand": {"on_tasks": ["t0"]}, "sum": {"on_tasks": ["both"], "score": "aggregate"}}
    files = [AttributionFile(path) for path in run(out, tmp_path, contrasts=contrasts)]
    with layout.open_dataset(out / "dataset.h5") as file:
        windows = layout.read_windows(file)
        codes = layout.read_codes(file, np.arange(N), PAD, PAD + LENGTH)
    measured = np.log2(1 + np.einsum("nb,ntb->nt", weights, transform.inverse(labels.transpose(0, 2, 1)).transpose(0, 2, 1)))
    x = np.eye(5, 4, dtype=np.float32)[codes]
    for file, of_tasks in zip(files, np.array([[1.0, -1.0], [0.5, 0.5]])):
        attributions, _ = file.read_block(0, N)
        for at, window in file.windows.reset_index(drop=True).iterrows():
            row = int(np.flatnonzero(windows["gene_id"] == window["gene_id"])[0])
            networks = [load_model(out / f"fold_{window['fold']}/replicate_{i}/model.keras") for i in range(2)]

            def value(inputs, network, own=weights[row], asked=of_tasks):
                bins = np.asarray(network(inputs), np.float64)
                return np.log2(1 + np.einsum("b,nbt->nt", own, transform.inverse(bins))) @ asked

            predicted = [value(x[[row]], network)[0] for network in networks]
            np.testing.assert_allclose(window["predicted"], np.mean(predicted), atol=1e-5)
            np.testing.assert_allclose(window["measured"], measured[row] @ of_tasks, atol=1e-5)
            if at < 3:
                steps = x[row] + 1e-2 * np.eye(LENGTH * 4, dtype=np.float32).reshape(-1, LENGTH, 4)
                back = x[row] - 1e-2 * np.eye(LENGTH * 4, dtype=np.float32).reshape(-1, LENGTH, 4)
                slope = np.mean([(value(steps, network) - value(back, network)) / 2e-2 for network in networks], axis=0)
                slope = slope.reshape(LENGTH, 4)
                expected = ((slope - slope.mean(axis=1, keepdims=True)) * x[row]).T
                np.testing.assert_allclose(attributions[at], expected, atol=2e-3 * np.abs(expected).max() + 1e-5)
    network, nowhere = load_model(out / "fold_0/replicate_0/model.keras"), np.zeros(1)
    with layout.open_dataset(out / "dataset.h5") as file:
        found = ensemble.predict_with_model(network, codes[[2]], nowhere, nowhere, np.array([2]), ensemble.gene_readout(file))
    bins = np.asarray(network(x[[2]]), np.float64)
    np.testing.assert_allclose(found, np.log2(1 + np.einsum("b,nbt->nt", weights[2], transform.inverse(bins))), atol=1e-5)


def test_both_strands_of_stranded_coverage_are_scored_with_tasks_exchanged(covered, tmp_path):
    """On the reverse complement the two stranded tracks swap, so that the sign of their contrast flips."""
    out, _, weights, transform = covered
    contrasts = {"strand": {"on_tasks": ["t0"]}}
    file = AttributionFile(run(out, tmp_path, contrasts=contrasts, views=WindowViews([0], True))[0])
    with layout.open_dataset(out / "dataset.h5") as data:
        windows, codes = layout.read_windows(data), layout.read_codes(data, np.arange(N), PAD, PAD + LENGTH)
    row = int(np.flatnonzero(windows["gene_id"] == file.genes[0])[0])
    x = np.eye(5, 4, dtype=np.float32)[codes[[row]]]
    values = []
    for i in range(2):
        network = load_model(out / f"fold_{windows['fold'][row]}/replicate_{i}/model.keras")
        for bins in (np.asarray(network(x)), np.asarray(network(x[:, ::-1, ::-1]))[:, ::-1, ::-1]):
            values.append(np.log2(1 + weights[row] @ transform.inverse(bins[0].astype(np.float64))) @ [1.0, -1.0])
    np.testing.assert_allclose(file.windows["predicted"][0], np.mean(values), atol=1e-5)


def test_shuffles_and_checks_of_stranded_coverage(covered, tmp_path):
    """Shuffles are scored in the bins of the gene; strands agree if the model has learned that tracks swap."""
    out, _, weights, transform = covered
    asked = {"contrasts": {"strand": {"on_tasks": ["t0"]}}, "extras": Extras(null_windows=N, quality_genes=N)}
    file = AttributionFile(run(out, tmp_path, **asked)[0])
    with layout.open_dataset(out / "dataset.h5") as data:
        codes = layout.read_codes(data, np.arange(N), PAD, PAD + LENGTH)
    at, row = 5, int(file.null_genes[5][4:])
    x = np.eye(5, 4, dtype=np.float32)[shuffled_windows(codes[[row]], [file.null_genes[5]], [0], 0)]
    fold = file.windows["fold"][file.genes.index(file.null_genes[5])]
    networks = [compiled(load_model(out / f"fold_{fold}/replicate_{i}/model.keras"), 4) for i in range(2)]
    score = Score(np.array([1.0, -1.0]), weights[[row]], link="gene", transform=transform)
    expected = project(x, attribute(networks, x, [score])[0]).sum(axis=-2)[0, 0]
    np.testing.assert_allclose(next(file.null_blocks())[at], expected, atol=1e-5)
    gene = file.genes.index(file.null_genes[5])
    x = np.eye(5, 4, dtype=np.float32)[codes[[row]]]
    forward = project(x, attribute(networks, x, [score])[0]).sum(axis=-2)[0, 0]
    np.testing.assert_allclose(file.read_block(gene, gene + 1)[0][0].sum(axis=0), forward, atol=1e-5)
    # The track of the other strand, in the bins at the other end.
    turned = Score(np.array([-1.0, 1.0]), weights[[row], ::-1], link="gene", transform=transform)
    other = x[:, ::-1, ::-1].copy()
    back = project(other, attribute(networks, other, [turned])[0]).sum(axis=-2)[0, 0, ::-1]
    np.testing.assert_allclose(file.quality["strands"][gene], np.corrcoef(forward, back)[0, 1], atol=1e-4)
    assert file.quality[["ism", "strands", "random_weights", "replicates"]].notna().all(axis=None)
