import h5py
import numpy as np
import pandas as pd
import pytest

from cisnake.errors import InputError
from cisnake.interpret.attribution_file import AttributionFile, write_attributions
from cisnake.interpret.contrasts import Contrast

LENGTH = 12
ATTRS = {
    "contrast": "heat", "score": "specificity", "method": "input_x_gradient", "on_tasks": ["a", "b"], "off_tasks": [],
    "models": ["0f", "1e"], "replicates": 2,
}  # fmt: skip


def windows(n):
    number = np.arange(n)
    return pd.DataFrame(
        {
            "gene_id": [["NA", "1e5", "γ-gene"][i % 3] + str(i) for i in number], "chrom": "chr1", "start": 100 * number,
            "end": 100 * number + LENGTH, "strand": np.where(number % 2, "-", "+"), "mask_start": 3 + number,
            "mask_end": LENGTH, "fold": number % 2, "split": "test", "measured": np.where(number % 2, np.nan, 0.5),
        }
    )  # fmt: skip


def content(n):
    rng = np.random.default_rng(0)
    attributions = rng.normal(size=(n, 4, LENGTH)).astype(np.float32)
    scores = rng.normal(size=(2, n)).astype(np.float32)
    return attributions, rng.integers(0, 5, (n, LENGTH)).astype(np.int8), *scores


def write(path, n, steps=(2, 5)):
    whole = content(n)
    with write_attributions(path, windows(n), LENGTH, ATTRS) as append:
        for first, last in zip((0, *steps), (*steps, n)):
            append(*(part[first:last] for part in whole))
    return whole


def test_round_trip(tmp_path):
    attributions, sequences, predicted, spread = write(tmp_path / "heat.h5", 7)
    file = AttributionFile(tmp_path / "heat.h5")
    assert len(file) == 7
    assert file.length == LENGTH
    assert file.genes == list(windows(7)["gene_id"])
    assert file.attrs == ATTRS
    assert file.contrast == Contrast("heat", ("a", "b"), (), "specificity")
    for column in windows(7):
        assert list(file.windows[column].dropna()) == list(windows(7)[column].dropna())
    np.testing.assert_array_equal(file.windows["measured"].isna(), windows(7)["measured"].isna())
    np.testing.assert_array_equal(file.windows["predicted"], predicted)
    np.testing.assert_array_equal(file.windows["predicted_sd"], spread)
    found = file.read_block(2, 6)
    np.testing.assert_array_equal(found[0], attributions[2:6])
    np.testing.assert_array_equal(found[1], sequences[2:6])
    assert (found[0].dtype, found[1].dtype) == (np.float32, np.int8)


def test_blocks_are_the_whole_file(tmp_path, monkeypatch):
    attributions, sequences, *_ = write(tmp_path / "heat.h5", 7)
    file = AttributionFile(tmp_path / "heat.h5")
    # A length at which few genes fill a megabyte.
    file.length = 1_000_000 // 16 // 3
    blocks = list(file.blocks(megabytes=1))
    assert [(rows.start, rows.stop) for rows, _, _ in blocks] == [(0, 3), (3, 6), (6, 7)]
    np.testing.assert_array_equal(np.concatenate([block for _, block, _ in blocks]), attributions)
    np.testing.assert_array_equal(np.concatenate([block for _, _, block in blocks]), sequences)


def test_no_gene(tmp_path):
    with write_attributions(tmp_path / "heat.h5", windows(0), LENGTH, ATTRS):
        pass
    file = AttributionFile(tmp_path / "heat.h5")
    assert (len(file), file.genes, file.length, file.attrs) == (0, [], LENGTH, ATTRS)
    assert list(file.blocks()) == []
    assert file.read_block(0, 5)[0].shape == (0, 4, LENGTH)


def test_predictor_of_two_of_three_genes_leaves_no_file(tmp_path):
    whole = content(3)
    with (
        pytest.raises(ValueError, match="of 2 genes were given for 3"),
        write_attributions(tmp_path / "heat.h5", windows(3), LENGTH, ATTRS) as append,
    ):
        append(*(part[:2] for part in whole))
    assert list(tmp_path.iterdir()) == []


def test_more_genes_than_windows_leave_no_file(tmp_path):
    with pytest.raises((ValueError, TypeError)), write_attributions(tmp_path / "x.h5", windows(3), LENGTH, ATTRS) as append:
        for _ in range(2):
            append(*content(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["missing", "truncated", "another", "older"])
def test_what_is_no_whole_file_is_refused(tmp_path, damage):
    path = tmp_path / "heat.h5"
    if damage != "missing":
        write(path, 7)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif damage == "another":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    elif damage == "older":
        with h5py.File(path, "a") as file:
            del file["predicted_sd"]
    with pytest.raises(InputError, match=r"heat.h5 is not a whole file of attributions"):
        AttributionFile(path)
