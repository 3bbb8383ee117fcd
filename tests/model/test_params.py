import json

import pytest

from cisnake.errors import InputError
from cisnake.model.params import TRAIN_DEFAULTS, TRANSFER_DEFAULTS, read_params

YAML = """
model:
  trunk:
    - {name: conv_motif, filters: 8}
    - {name: flatten}
  head:
    - {name: final}
train:
  learning_rate: 1e-3
  batch_size: 16
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "model.yaml").write_text(YAML)
    return tmp_path / "model.yaml"


def test_defaults_fill_what_is_left_out(path):
    params = read_params(path)
    assert params["train"] == TRAIN_DEFAULTS | {"learning_rate": 0.001, "batch_size": 16}
    assert params["model"]["trunk"][0] == {"name": "conv_motif", "filters": 8}


@pytest.mark.parametrize("rest", ["", "train:\n", "train: {}\n"])
def test_train_section_may_be_empty(path, rest):
    path.write_text(YAML.split("train:")[0] + rest)
    assert read_params(path)["train"] == TRAIN_DEFAULTS


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", ".1e-2", "+1e-3"])
def test_numbers_are_parsed_as_numbers(path, text):
    path.write_text(YAML.replace("1e-3", text))
    assert read_params(path)["train"]["learning_rate"] == 0.001


def test_json_of_basenji(tmp_path):
    file = tmp_path / "params.json"
    file.write_text(
        '{"train": {"learning_rate": 1e-3, "momentum": 0.98}, "model": {"trunk": [], "head": [], "l2_scale": 2e-05}}'
    )
    params = read_params(file)
    assert (params["train"]["learning_rate"], params["train"]["momentum"]) == (0.001, 0.98)
    assert params["model"]["l2_scale"] == 2e-05
    file.write_text(json.dumps(params, indent=4))
    assert read_params(file) == params


JSON = {
    "train": {"batch_size": 4, "learning_rate": 0.002, "loss": "mse", "stages": None},
    "model": {"trunk": [{"name": "conv_dna", "filters": 8}], "head": {"name": "final"}, "augment_rc": True, "l2_scale": 2e-05},
}


@pytest.mark.parametrize("name", ["params.json", "params.yaml", "params"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n\t"])
@pytest.mark.parametrize("indent", ["\t", "    ", None])
def test_json_is_json_whatever_its_indentation_and_its_name(tmp_path, name, before, indent):
    (tmp_path / name).write_text(before + json.dumps(JSON, indent=indent), encoding="utf-8")
    params = read_params(tmp_path / name)
    assert params == {"train": TRAIN_DEFAULTS | JSON["train"], "model": JSON["model"]}


@pytest.mark.parametrize(
    "text",
    [
        "{model: {trunk: [], l2_scale: 1e-3}}",
        "{\n  # in braces\n  model: {trunk: [], l2_scale: 1e-3},\n}",
        # A trailing comma is invalid JSON, but valid YAML.
        '{"model": {"trunk": [], "l2_scale": 1e-3,},}',
    ],
)
def test_yaml_may_begin_like_json(path, text):
    path.write_text(text)
    assert read_params(path)["model"] == {"trunk": [], "l2_scale": 0.001}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{\n\t"model": {},\n\t"train": {"loss": "mse" "batch_size": 4}\n}', "Expecting ',' delimiter: line 3 column 26"),
        ('{\n\t"model": {},\n\t"train": {\n\t\t"loss": "mse",\n\t}\n}', "line [45] column"),
        ('{"model": {},\n"train": {\n', "line 3 column 1"),
        ('{"model": {}}\n{"train": {}}', "Extra data: line 2 column 1"),
        ("{model: {},\n train: {loss: [mse}\n}", "line 2, column"),
        ("model: {}\ntrain:\n\tloss: mse\n", "line 3, column 1"),
    ],
)
def test_syntax_errors_name_the_line(path, text, line):
    path.write_text(text)
    with pytest.raises(InputError, match=rf"parameter file .* cannot be read: .*{line}"):
        read_params(path)


def test_overrides_reach_into_lists(path):
    params = read_params(
        path, {"model.trunk.0.filters": 64, "model.seq_depth": 5, "train.patience": 3, "model.trunk.1": {"name": "global_pool"}}
    )
    assert params["model"]["trunk"] == [{"name": "conv_motif", "filters": 64}, {"name": "global_pool"}]
    assert (params["model"]["seq_depth"], params["train"]["patience"]) == (5, 3)
    assert read_params(path)["model"]["trunk"][0]["filters"] == 8


@pytest.mark.parametrize(
    "name", ["model.trunk.7.filters", "model.trunk.first.filters", "modle.trunk", "train.batch_size.x", "model.trunk.0.name.x"]
)
def test_overrides_of_unknown_keys_are_rejected(path, name):
    with pytest.raises(InputError, match=f"override {name} matches no key"):
        read_params(path, {name: 1})


def test_unknown_train_key_names_the_nearest(path):
    with pytest.raises(InputError, match=r"'patiense'.*did you mean patience"):
        read_params(path, {"train.patiense": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch_size", "many"), ("batch_size", 1.5), ("patience", True), ("learning_rate", "high"), ("learning_rate", None)],
)
def test_invalid_numbers_are_rejected(path, key, value):
    with pytest.raises(InputError, match=f"train.{key} is"):
        read_params(path, {f"train.{key}": value})


def test_clipping_may_be_off_or_on(path):
    assert read_params(path)["train"]["clip_norm"] is None
    assert read_params(path, {"train.clip_norm": 1})["train"]["clip_norm"] == 1


@pytest.mark.parametrize("text", ["train: {}", "- 1", "", "model: {}\nextra: {}", "model: []", "model: {}\ntrain: [1]"])
def test_other_sections_are_refused(path, text):
    path.write_text(text)
    with pytest.raises(InputError, match="must have the sections model and train"):
        read_params(path)


def test_overrides_add_no_section(path):
    with pytest.raises(InputError, match="must have the sections model and train"):
        read_params(path, {"learning_rate": 1})


def test_unreadable_files(tmp_path, path):
    with pytest.raises(InputError, match="cannot be read"):
        read_params(tmp_path / "none.yaml")
    path.write_text("model: {a: [}")
    with pytest.raises(InputError, match="cannot be read"):
        read_params(path)


def test_overrides_given_as_text_are_read_as_yaml(path):
    params = read_params(path, {"train.learning_rate": "2e-4", "train.patience": "7", "train.optimizer": "sgd"})["train"]
    assert (params["learning_rate"], params["patience"], params["optimizer"]) == (0.0002, 7, "sgd")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("modes", "full", "did you mean mode"),
        ("adapter_latent", 2.5, "transfer.adapter_latent is 2.5: it must be a non-negative whole number"),
        ("lora_alpha", "high", "transfer.lora_alpha is 'high': it must be a non-negative number"),
        ("conv_select", True, "transfer.conv_select is True"),
        ("weights", 3, "transfer.weights is 3: it must be text"),
    ],
)
def test_the_transfer_section_is_checked_likewise(path, key, value, message):
    path.write_text(f"{YAML}transfer:\n  mode: linear\n")
    assert read_params(path)["transfer"] == TRANSFER_DEFAULTS | {"mode": "linear"}
    with pytest.raises(InputError, match=message):
        read_params(path, {f"transfer.{key}": value})


def test_other_names_and_keys_without_effect(path, caplog):
    caplog.set_level("INFO", logger="cisnake")
    params = read_params(path, {"train.clipnorm": 2.0, "train.shuffle_buffer": 128, "train.num_gpu": 2})["train"]
    assert params["clip_norm"] == 2.0 and not {"clipnorm", "shuffle_buffer", "num_gpu"} & set(params)
    with pytest.raises(InputError, match="set twice"):
        read_params(path, {"train.clipnorm": 2.0, "train.clip_norm": 1.0})


def test_there_is_no_transfer_section_by_default(path):
    assert "transfer" not in read_params(path)
    # An override may create the section.
    assert read_params(path, {"transfer.weights": "old.keras"})["transfer"] == TRANSFER_DEFAULTS | {"weights": "old.keras"}
