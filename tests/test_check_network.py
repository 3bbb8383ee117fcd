"""The check of the network of a coverage run against its bins, by the program."""

from __future__ import annotations

import json

import pytest
import yaml

import check_network
from cisnake.errors import InputError

from .configured import configured

TRUNK = [{"name": "conv_block", "filters": 4, "kernel_size": 3, "pool_size": 4}]
HEAD = {"name": "final", "activation": "softplus"}


def run(tmp_path, others=(), **heads):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"model": {"trunk": TRUNK, **heads}}))
    others = [{"name": name, "dataset": str(folder)} for name, folder in others]
    sections = {"windows": {"upstream": 20, "downstream": 12}, "targets": {"bin_size": 4}}
    options = configured(tmp_path, model={"params": str(tmp_path / "params.yaml")}, train={"heads": others}, **sections)
    options += ["--tasks=3"]
    check_network.main(check_network.parser().parse_args([*options, f"--output={tmp_path / 'network.json'}"]))
    return json.loads((tmp_path / "network.json").read_text())


@pytest.mark.parametrize("key", ["head", "head_human"])
def test_shapes_of_a_network_that_fits(tmp_path, key):
    found = run(tmp_path, **{key: HEAD})
    assert (found["input_shape"], found["output_shape"]) == ([32, 4], [8, 3])


def test_a_network_of_several_heads_is_refused(tmp_path):
    with pytest.raises(InputError, match="has the heads head_human, head_mouse, but the run has a data set for only one"):
        run(tmp_path, head_human=HEAD, head_mouse=HEAD | {"units": 5})


@pytest.mark.parametrize("described", [True, False])
def test_further_heads_must_fit_their_data_sets_too(tmp_path, described):
    for name, tasks, bins in (("mouse", 5, 8), ("rat", 5, 7)):
        (tmp_path / name / "tfrecords").mkdir(parents=True)
        (tmp_path / name / "sequences.bed").touch()
        sizes = {"seq_length": 32, "target_length": bins, "pool_width": 4, "num_targets": tasks}
        (tmp_path / name / "statistics.json").write_text(json.dumps(sizes))
    heads = {"head_human": HEAD} | ({"head_b": HEAD | {"units": 5}} if described else {})
    found = run(tmp_path, [("head_b", tmp_path / "mouse")], **heads)
    assert (found["input_shape"], found["output_shape"]) == ([32, 4], [8, 3])
    if described:
        # Two bases without bins are not what 28 bases in bins of 4 need.
        with pytest.raises(InputError, match=r"head_b of .* predicts shape \(8, 5\) .* in train.heads have shape \(7, 5\)"):
            run(tmp_path, [("head_b", tmp_path / "rat")], **heads)
