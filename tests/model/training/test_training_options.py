"""Options of training: heads, stages, precision, monitored scores, transfer."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model.given import read_network
from cisnake.model.network.adapters import adapter_layers
from cisnake.model.network.seqnn import build_model, join_heads
from cisnake.model.params import TRAIN_DEFAULTS
from cisnake.model.training import trainer
from cisnake.model.training.trainer import Trainer

from .array_batches import ArrayBatches

LENGTH = 24
TRUNK = [{"name": "conv_block", "filters": 6, "kernel_size": 5, "pool_size": 4}, {"name": "conv_block", "filters": 4}]
MODEL = {"seq_length": LENGTH, "norm_type": "batch", "trunk": TRUNK, "head": [{"name": "global_pool"}, {"name": "final"}]}
BINS = MODEL | {"head": {"name": "final", "activation": "softplus"}}


def params(model=MODEL, transfer=None, **train):
    defaults = {"batch_size": 16, "loss": "mse", "optimizer": "adam", "learning_rate": 0.02, "train_epochs_max": 3}
    sections = {"model": model, "train": TRAIN_DEFAULTS | defaults | train}
    return sections | ({"transfer": transfer} if transfer else {})


def examples(n=72, tasks=2, bins=None, seed=0, batch_size=16):
    """Return training and validation batches; labels depend on the positions of C and G."""
    rng = np.random.default_rng(seed)
    inputs = np.eye(4, dtype="f4")[rng.integers(0, 4, (n, LENGTH))]
    strong = inputs[..., 1] + inputs[..., 2]
    labels = strong.mean(axis=1, keepdims=True) if bins is None else strong.reshape(n, bins, -1).mean(axis=2)[..., None]
    labels = labels + rng.normal(scale=0.05, size=(*labels.shape[:-1], tasks))
    labels = np.clip(labels, 0, None).astype("f4")
    cut = n * 2 // 3
    return ArrayBatches(inputs[:cut], labels[:cut], batch_size, seed), ArrayBatches(inputs[cut:], labels[cut:], batch_size)


def fit(tmp_path, sections=None, data=None, seed=1):
    training = Trainer(sections or params(), *(data or examples()), seed, tmp_path)
    models, history = training.fit()
    return training, models["head"] if training.single else models, history


def predictions(model, batches):
    return np.concatenate([model.predict_on_batch(inputs) for inputs, _ in batches])


@pytest.mark.parametrize("loss", ["mse", "poisson", "mse_udot", "poisson_kl", "poisson_mn", "task_poisson_mn", "bce"])
def test_every_loss_trains_on_bins(tmp_path, loss):
    model = BINS | ({"head": {"name": "final", "activation": "sigmoid"}} if loss == "bce" else {})
    data = examples(bins=6)
    if loss == "bce":
        for part in data:
            part.labels[:] = part.labels > 0.5
    _, trained, history = fit(tmp_path, params(model, loss=loss, train_epochs_max=6), data)
    assert trained.output_shape == (None, 6, 2)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    if loss == "bce":
        assert {"auroc", "auprc", "val_auroc", "val_auprc"} < set(history)
        np.testing.assert_array_equal(history["val_score"], -history["val_loss"])


def test_weights_of_a_loss_reach_it(tmp_path):
    def first_loss(**weights):
        sections = params(BINS, loss="poisson_mn", train_epochs_max=1, **weights)
        return fit(tmp_path / str(weights), sections, examples(bins=6))[2]["loss"][0]

    found = [
        first_loss(**weights)
        for weights in ({}, {"total_weight": 0.1}, {"rescale": True}, {"weight_range": 4.0, "weight_exp": 2.0})
    ]
    assert len({round(value, 3) for value in found}) >= 3


@pytest.mark.parametrize("monitor", ["val_loss", "gene_pearsonr", "val_spearmanr", "r2"])
def test_any_score_may_be_monitored(tmp_path, monitor):
    _, _, history = fit(tmp_path, params(monitor=monitor), examples(tasks=3))
    name = f"val_{monitor.removeprefix('val_')}"
    np.testing.assert_array_equal(history["val_score"], -history[name] if monitor == "val_loss" else history[name])
    assert list(history["best"]) == list(history["val_score"].cummax().diff().fillna(1) > 0)


def test_an_unknown_score_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"'val_pearson'.*did you mean pearsonr"):
        fit(tmp_path, params(monitor="val_pearson"))


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains_and_gives_a_float32_model(tmp_path, precision):
    _, model, history = fit(tmp_path, params(precision=precision, train_epochs_max=4))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    full = fit(tmp_path / "full", params(train_epochs_max=4))[2]
    np.testing.assert_allclose(history["val_loss"], full["val_loss"], rtol=0.2)


def test_an_unknown_precision_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"'float16'.*did you mean"):
        fit(tmp_path, params(precision="float16"))


def test_pieces_of_a_batch_train_as_the_whole(tmp_path):
    plain = MODEL | {"norm_type": None}
    whole = fit(tmp_path / "whole", params(plain, agc_clip=0.1))[2]
    pieces = fit(tmp_path / "pieces", params(plain, agc_clip=0.1, gradient_accumulation=3))[2]
    columns = ["loss", "val_loss", "val_pearsonr"]
    np.testing.assert_allclose(pieces[columns], whole[columns], rtol=1e-4, atol=1e-5)


def test_clipping_units_changes_the_course(tmp_path):
    found = [fit(tmp_path / str(clip), params(agc_clip=clip, optimizer="sgd"))[2]["loss"].iloc[-1] for clip in (None, 0.001)]
    assert found[0] != found[1]


# Several heads.

HEADS = {key: value for key, value in MODEL.items() if key != "head"} | {
    "head_a": MODEL["head"],
    "head_b": {"name": "final"},
    "head_c": [{"name": "global_pool"}, {"name": "final"}],
}


def three_heads():
    sizes = {"head_a": examples(72, 2), "head_b": examples(36, 3, bins=6, seed=1), "head_c": examples(108, 1, seed=2)}
    return {key: data[0] for key, data in sizes.items()}, {key: data[1] for key, data in sizes.items()}


def test_heads_have_data_scores_and_best_weights_of_their_own(tmp_path, monkeypatch):
    seen = []
    original = trainer.Step.__call__

    def watched(step, shares, size):
        if step.optimizer is not None:
            seen.append((step.model.output_shape[-1], size))
        return original(step, shares, size)

    monkeypatch.setattr(trainer.Step, "__call__", watched)
    data = three_heads()
    _training, models, history = fit(tmp_path, params(HEADS, train_epochs_max=4), data)
    # 48, 24 and 72 examples in batches of 16.
    epochs = [seen[i : i + 10] for i in range(0, len(seen), 10)]
    assert len(epochs) == 4
    for epoch in epochs:
        assert sorted(epoch) == [(1, 8)] + [(1, 16)] * 4 + [(2, 16)] * 3 + [(3, 8), (3, 16)]
    assert len({tuple(epoch) for epoch in epochs}) > 1, "a new order each epoch"
    assert list(history["head"]) == ["head_a", "head_b", "head_c"] * 4
    for key, model in models.items():
        rows = history[history["head"] == key]
        best = rows.loc[rows["val_score"].idxmax()]
        assert model.output_shape[1:] == data[1][key].labels.shape[1:]
        found, labels = predictions(model, data[1][key]), data[1][key].labels
        r = [np.corrcoef(found[..., i].ravel(), labels[..., i].ravel())[0, 1] for i in range(labels.shape[-1])]
        assert np.mean(r) == pytest.approx(best["val_pearsonr"], abs=1e-5)


def test_training_continues_while_any_head_improves(tmp_path, monkeypatch):
    scores = {"head_a": [0.9, *[0.1] * 9], "head_b": [0.1, 0.2, 0.3, 0.4, *[0.1] * 6], "head_c": [0.5] * 10}
    monkeypatch.setattr(
        Trainer, "_validate", lambda self, key, stage: {"pearsonr": scores[key][self._epochs()], "r2": 0.0, "loss": 1.0}
    )
    history = fit(tmp_path, params(HEADS, train_epochs_max=10, patience=2), three_heads())[2]
    assert history["epoch"].max() == 6
    best = history[history["best"]].groupby("head")["epoch"].max()
    assert best.to_dict() == {"head_a": 1, "head_b": 4, "head_c": 1}


def test_resumed_training_of_heads_equals_uninterrupted_training(tmp_path):
    whole = fit(tmp_path / "whole", params(HEADS, train_epochs_max=3), three_heads())
    fit(tmp_path / "cut", params(HEADS, train_epochs_max=2), three_heads())
    resumed = fit(tmp_path / "cut", params(HEADS, train_epochs_max=3), three_heads())
    assert resumed[2].drop(columns="seconds").equals(whole[2].drop(columns="seconds"))
    for key, model in whole[1].items():
        for weight, expected in zip(resumed[1][key].get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


# One of several heads decides.


def fit_for(tmp_path, head, model=HEADS, data=None, seed=1, transfer=None, **settings):
    settings = {"train_epochs_max": 6} | settings
    training = Trainer(params(model, transfer, **settings), *(data or three_heads()), seed, tmp_path, main_head=head)
    return *training.fit(), training


def test_all_heads_keep_the_weights_of_the_best_epoch_of_the_main_head(tmp_path, monkeypatch):
    scores = {"head_a": [0.1, 0.9, *[0.2] * 8], "head_b": [0.1, 0.3, 0.2, 0.8, *[0.1] * 6], "head_c": [0.0] * 10}
    seen = {}

    def validate(self, key, stage):
        seen[self._epochs() + 1] = [weight.copy() for weight in self.model.get_weights()]
        return {"pearsonr": scores[key][self._epochs()], "r2": 0.0, "loss": 1.0}

    monkeypatch.setattr(Trainer, "_validate", validate)
    for head, best, last in (("head_a", 2, 4), ("head_b", 4, 6)):
        models, history, training = fit_for(tmp_path / head, head, train_epochs_max=10, patience=2)
        assert history["epoch"].max() == last, "only the main head counts"
        assert history["head"].iloc[0] == head and history[history["best"]].groupby("head")["epoch"].max().unique() == [best]
        network = join_heads(models)
        assert set(network.output) == {"head_a", "head_b", "head_c"}
        training.model.set_weights(seen[best])
        inputs = next(iter(three_heads()[1][head]))[0]
        for key, expected in training.model(inputs, training=False).items():
            np.testing.assert_allclose(network(inputs)[key], expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(models[key](inputs), network(inputs)[key])


def test_a_joined_network_can_be_saved_and_read_by_head(tmp_path):
    models, _, _ = fit_for(tmp_path, "head_b", train_epochs_max=1)
    join_heads(models).save(tmp_path / "heads.keras")
    inputs = next(iter(three_heads()[1]["head_c"]))[0]
    for key, model in models.items():
        np.testing.assert_array_equal(read_network(tmp_path / "heads.keras", head=key)(inputs), model(inputs))


def test_resumed_training_with_a_main_head_equals_uninterrupted_training(tmp_path):
    whole, expected, _ = fit_for(tmp_path / "whole", "head_b", train_epochs_max=3)
    fit_for(tmp_path / "cut", "head_b", train_epochs_max=2)
    resumed, history, _ = fit_for(tmp_path / "cut", "head_b", train_epochs_max=3)
    assert history.drop(columns="seconds").equals(expected.drop(columns="seconds"))
    for weight, other in zip(join_heads(resumed).get_weights(), join_heads(whole).get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_adapters_are_merged_in_all_heads(tmp_path):
    join_heads(fit_for(tmp_path / "first", "head_a", train_epochs_max=1)[0]).save(tmp_path / "first.keras")
    transfer = {"weights": str(tmp_path / "first.keras"), "mode": "adapter", "adapter": "locon", "conv_select": 2}
    models, _, training = fit_for(tmp_path / "second", "head_a", transfer=transfer, train_epochs_max=1)
    assert adapter_layers(training.model) and not adapter_layers(join_heads(models))
    inputs = next(iter(three_heads()[1]["head_c"]))[0]
    training.model.set_weights(training.checkpoint.best_weights["head_a"])
    for key, expected in training.model(inputs, training=False).items():
        np.testing.assert_allclose(models[key](inputs), expected, rtol=1e-4, atol=1e-5)


def test_a_head_whose_name_begins_as_another_starts_from_its_own_labels(tmp_path):
    model = {key: value for key, value in MODEL.items() if key != "head"} | {"head": MODEL["head"], "head_b": MODEL["head"]}
    low, high = examples(72, 2), examples(72, 3, seed=1)
    for part in high:
        part.labels += 100
    data = [{"head": low[i], "head_b": high[i]} for i in range(2)]
    training = Trainer(params(model), *data, 1, tmp_path, main_head="head")
    inputs = next(iter(low[1]))[0]
    for key, batches in data[0].items():
        start = np.asarray(training.model(inputs, training=False)[key])
        np.testing.assert_allclose(start, np.broadcast_to(batches.labels.mean(axis=0), start.shape), rtol=1e-4)


def strand_pairs(training):
    layers = training.model.layers
    return {layer.name.removesuffix("_switch_reverse"): layer.strand_pair for layer in layers if hasattr(layer, "strand_pair")}


def test_each_head_has_the_strand_pairs_of_its_data(tmp_path):
    data = three_heads()
    data[0]["head_a"].strand_pair, data[0]["head_b"].strand_pair = [1, 0], [2, 1, 0]
    heads = HEADS | {"augment_rc": True}
    expected = {"head_a": [1, 0], "head_b": [2, 1, 0], "head_c": None}
    training, models, _ = fit(tmp_path / "data", params(heads, train_epochs_max=1), data)
    assert strand_pairs(training) == expected
    assert models["head_b"].get_layer("head_b_switch_reverse").strand_pair == [2, 1, 0]
    own = params(heads | {"strand_pair": [None, [1, 0, 2], None]})
    assert strand_pairs(Trainer(own, *data, 1, tmp_path / "own")) == expected | {"head_a": None, "head_b": [1, 0, 2]}


def test_the_only_head_has_the_strand_pairs_of_its_data_whatever_its_name(tmp_path):
    data = examples(bins=6)
    data[0].strand_pair = [1, 0]
    model = {key: value for key, value in BINS.items() if key != "head"} | {"head_human": BINS["head"], "augment_rc": True}
    assert strand_pairs(Trainer(params(model), *data, 1, tmp_path)) == {"head_human": [1, 0]}


def test_labels_of_another_shape_than_predictions_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"have shape \(6, 2\) .* labels in the arrays have shape \(2,\)"):
        fit(tmp_path, params(BINS))


# Stages, and transfer.

STAGES = [{"epochs": 2, "train": "head"}, {"epochs": 3, "train": "all", "learning_rate": 0.001}]


def by_name(model):
    return {weight.path: weight.numpy().copy() for weight in model.weights}


def test_stages_train_only_their_parts(tmp_path, monkeypatch):
    seen = []
    original = Trainer._validate

    def validate(training, key, stage):
        seen.append((stage.number, by_name(training.model)))
        return original(training, key, stage)

    monkeypatch.setattr(Trainer, "_validate", validate)
    training = Trainer(params(stages=STAGES, patience=9), *examples(), 1, tmp_path)
    before = by_name(training.model)
    _, history = training.fit()
    assert list(history["stage"]) == [0, 0, 1, 1, 1]
    assert history["learning_rate"].tolist() == pytest.approx([0.02] * 2 + [0.001] * 3)
    after_head, after_all = seen[1][1], seen[-1][1]
    for path, weight in before.items():
        trunk, units = "trunk_" in path, "label_units" in path
        assert np.array_equal(weight, after_head[path]) == (trunk or units), path
        assert np.array_equal(after_head[path], after_all[path]) == units, path


def test_runs_killed_between_stages_resume_exactly(tmp_path, monkeypatch):
    sections = params(stages=STAGES, patience=9)
    whole = fit(tmp_path / "whole", sections)
    original = Trainer._run_stage
    for last in (0, 1):

        def dying(training, stage, resumed, last=last):
            original(training, stage, resumed)
            if stage.number == last:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "_run_stage", dying)
            with pytest.raises(KeyboardInterrupt):
                fit(tmp_path / str(last), sections)
        resumed = fit(tmp_path / str(last), sections)
        assert resumed[2].drop(columns="seconds").equals(whole[2].drop(columns="seconds"))
        for weight, expected in zip(resumed[1].get_weights(), whole[1].get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"epochs": 0}, "has epochs 0"),
        ({"train": "all"}, "has epochs None"),
        ({"epochs": 1, "epoch": 2}, "'epoch'.*did you mean epochs"),
        ({"epochs": 1, "learning_rate": "low"}, "has learning_rate 'low'"),
        ({"epochs": 1, "train": "trunc"}, "'trunc'.*did you mean trunk"),
        ("head", "it must be a mapping such as"),
    ],
)
def test_invalid_stages_are_rejected_before_training(tmp_path, stage, message):
    with pytest.raises(InputError, match=message):
        Trainer(params(stages=[{"epochs": 100}, stage]), *examples(), 1, tmp_path)


def test_heads_without_data_are_named(tmp_path):
    with pytest.raises(InputError, match="has the heads head_a, head_b, head_c, but there are data for only one"):
        fit(tmp_path, params(HEADS | {"head_b": {"name": "final", "units": 7}}))


@pytest.fixture
def pretrained(tmp_path):
    keras.utils.set_random_seed(7)
    model = build_model(MODEL, 5)
    # Moving statistics that would change if not frozen.
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    model.save(tmp_path / "old.keras")
    return tmp_path / "old.keras", by_name(model)


@pytest.mark.parametrize("mode", ["full", "linear"])
def test_transfer_starts_from_a_trained_trunk(tmp_path, pretrained, mode):
    file, old = pretrained
    _training, model, _history = fit(tmp_path, params(transfer={"weights": str(file), "mode": mode}))
    assert model.output_shape == (None, 2)
    found = by_name(model)
    trunk = [path for path in old if "trunk_" in path]
    assert len(trunk) > 4
    for path in trunk:
        assert np.array_equal(found[path], old[path]) == (mode == "linear"), path
    start = by_name(Trainer(params(transfer={"weights": str(file)}), *examples(), 1, tmp_path / "new").model)
    assert all(np.array_equal(start[path], old[path]) for path in trunk)


def test_adapters_are_trained_and_merged(tmp_path, pretrained):
    file, old = pretrained
    transfer = {"weights": str(file), "mode": "adapter", "adapter": "locon", "conv_select": 1, "conv_latent": 2}
    training, model, history = fit(tmp_path, params(transfer=transfer, train_epochs_max=4))
    plain = build_model(MODEL, 2)
    assert [weight.shape for weight in model.weights if "label_units" not in weight.path] == [w.shape for w in plain.weights]
    assert len(training.model.weights) > len(plain.weights)
    kernels = [path for path in old if "trunk_" in path and "conv" in path and path.endswith("kernel")]
    assert any(not np.array_equal(by_name(model)[path], old[path]) for path in kernels)
    found, labels = predictions(model, examples()[1]), examples()[1].labels
    best = history.loc[history["val_score"].idxmax(), "val_loss"]
    assert (((found - labels) / training.scales["head"].sd) ** 2).mean() == pytest.approx(best, rel=1e-4)


# Labels of any unit


def with_labels(change):
    """Return training and validation examples with other labels."""
    train, val = examples()
    for batches in (train, val):
        batches.labels = change(np.asarray(batches.labels, np.float64)).astype(np.float32)
    return train, val


def test_the_unit_and_offset_of_labels_do_not_matter(tmp_path):
    """Networks learn the same, and predict in the unit of the labels."""
    unit, offset = np.array([300.0, 0.02]), np.array([-1000.0, 5.0])
    results = []
    for name, change in (("plain", lambda x: x), ("other", lambda x: unit * x + offset)):
        train, val = with_labels(change)
        training = Trainer(params(train_epochs_max=3), train, val, 1, tmp_path / name)
        models, history = training.fit()
        results.append((predictions(models["head"], val), history))
    (plain, first), (other, second) = results
    np.testing.assert_allclose(first["val_loss"], second["val_loss"], rtol=1e-3)
    np.testing.assert_allclose((other - offset) / unit, plain, rtol=1e-2, atol=2e-2)


def test_an_untrained_network_predicts_the_mean_of_the_labels(tmp_path):
    train, val = with_labels(lambda x: np.abs(x) + 50)
    for loss, activation in (("mse", "linear"), ("mse", "softplus"), ("poisson", "softplus")):
        sections = params(loss=loss)
        sections["model"] = sections["model"] | {"head": [{"name": "global_pool"}, {"name": "final", "activation": activation}]}
        training = Trainer(sections, train, val, 1, tmp_path / loss / activation)
        assert ("head" in training.scales) == (activation == "linear" and loss == "mse")
        found = predictions(training.model, val)
        mean = train.labels.mean(axis=0)
        np.testing.assert_allclose(found.mean(axis=0), mean, rtol=0.1)
        if training.scales:
            np.testing.assert_allclose(found, np.broadcast_to(mean, found.shape), rtol=1e-5)
