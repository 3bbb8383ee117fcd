import h5py
import numpy as np
import pandas as pd
import pytest

from cisnake.errors import InputError
from cisnake.interpret.attribution.file import QUALITY_NUMBERS, AttributionFile, write_attributions
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
    # Long enough for a few genes to fill a megabyte.
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
        pytest.raises(ValueError, match="of 2 genes were appended, expected 3"),
        write_attributions(tmp_path / "heat.h5", windows(3), LENGTH, ATTRS) as append,
    ):
        append(*(part[:2] for part in whole))
    assert list(tmp_path.iterdir()) == []


def test_more_genes_than_windows_leave_no_file(tmp_path):
    with pytest.raises((ValueError, TypeError)), write_attributions(tmp_path / "x.h5", windows(3), LENGTH, ATTRS) as append:
        for _ in range(2):
            append(*content(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_everything_that_a_file_can_have_is_read_back(tmp_path, dtype):
    attributions, sequences, predicted, predicted_sd = content(7)
    rng, (hypothetical, *_) = np.random.default_rng(1), content(8)
    spread, nulls = rng.gamma(1, size=(7, LENGTH)), rng.normal(size=(5, LENGTH)) * 1e-3
    measured = np.where(np.arange(7) % 3, np.nan, np.arange(7) / 7)
    asked = {"dtype": dtype, "hypothetical": True, "spread": True, "null_genes": ["x", "y", "x", "z", "NA"]}
    with write_attributions(tmp_path / "heat.h5", windows(7), LENGTH, ATTRS, **asked) as append:
        append.null(nulls[:2])
        for first, last in ((0, 3), (3, 7)):
            rows = slice(first, last)
            parts = (part[rows] for part in (attributions, sequences, predicted, predicted_sd))
            append(*parts, hypothetical=hypothetical[rows], spread=spread[rows])
        append.null(nulls[2:])
        append.quality(
            pd.DataFrame({"gene_id": windows(7)["gene_id"], "ism": measured, "prediction": ["correct", "poor"] * 3 + ["?"]})
        )
    file = AttributionFile(tmp_path / "heat.h5")
    assert (file.dtype, file.has_hypothetical, file.has_spread) == (dtype, True, True)
    assert (file.n_null, file.null_genes) == (5, ["x", "y", "x", "z", "NA"])
    assert file.attrs == ATTRS
    # Append a few genes at a time, to check that each gene has its own scale.
    found = np.concatenate([file.read_block(0, 2)[0], file.read_block(2, 7)[0]])
    for got, expected in (
        (found, attributions), (file.read_hypothetical(1, 6), hypothetical[1:6]), (file.read_spread(2, 7), spread[2:]),
        (np.concatenate(list(file.null_blocks())), nulls),
        (np.stack(list(file.projected([5, 0, 5]))), attributions[[5, 0, 5]].sum(axis=1)),
    ):  # fmt: skip
        assert got.dtype == np.float32
        greatest = np.abs(expected).max(axis=tuple(range(1, expected.ndim)), keepdims=True)
        assert (np.abs(got - expected) <= (2e-3 if dtype == "float16" else 1e-6) * greatest).all()
    assert list(file.quality["gene_id"]) == file.genes
    assert list(file.quality["prediction"]) == ["correct", "poor"] * 3 + ["?"]
    np.testing.assert_array_equal(file.quality["ism"], measured.astype(np.float32))
    assert file.quality["strands"].isna().all()


def test_null_blocks_are_bounded(tmp_path):
    nulls = np.random.default_rng(0).normal(size=(7, LENGTH)).astype(np.float32)
    with write_attributions(tmp_path / "heat.h5", windows(0), LENGTH, ATTRS, null_genes=["g"] * 7) as append:
        append.null(nulls)
    file = AttributionFile(tmp_path / "heat.h5")
    file.length = 1_000_000 // 4 // 3
    blocks = list(file.null_blocks(megabytes=1))
    assert [len(block) for block in blocks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), nulls)


@pytest.mark.parametrize("scale", [1e-36, 1e-9, 1.0, 1e30])
def test_half_precision_keeps_genes_with_small_attributions(tmp_path, scale):
    attributions, *rest = content(4)
    attributions *= np.array([1, 1e-3, 0, 1e3], np.float32)[:, None, None] * np.float32(scale)
    attributions[:, :2] = 0
    with write_attributions(tmp_path / "heat.h5", windows(4), LENGTH, ATTRS, dtype="float16") as append:
        append(attributions, *rest)
    found = AttributionFile(tmp_path / "heat.h5").read_block(0, 4)[0]
    greatest = np.abs(attributions).max(axis=(1, 2), keepdims=True)
    assert (np.abs(found - attributions) <= 1e-3 * greatest).all()
    assert ((found == 0) >= (attributions == 0)).all()
    assert (found[2] == 0).all()
    assert (found[[0, 1, 3]] != 0).mean() > 0.45


def test_outputs_that_were_not_requested_are_absent(tmp_path):
    write(tmp_path / "heat.h5", 3)
    file = AttributionFile(tmp_path / "heat.h5")
    assert (file.dtype, file.n_null, file.null_genes, list(file.null_blocks())) == ("float32", 0, [], [])
    assert (file.read_spread(0, 3), file.read_hypothetical(0, 3)) == (None, None)
    assert list(file.quality["prediction"]) == ["not_measured"] * 3
    assert file.quality[list(QUALITY_NUMBERS)].isna().all(axis=None)
    assert (file.quality.dtypes[list(QUALITY_NUMBERS)] == np.float32).all()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("a type", "unknown data type of attributions 'float61': did you mean float16"),
        ("a column", "unknown attribution quality column 'imS': did you mean"),
        ("too few nulls", "of 1 shuffled windows were appended, expected 2"),
        ("no spread", "spread is missing"),
        ("hypothetical", "hypothetical is not a data set of the file"),
        ("quality of too few", "quality table has 2 rows, expected 3"),
    ],
)
def test_mismatched_input_leaves_no_file(tmp_path, fault, says):
    whole, asked = (
        content(3),
        {"null_genes": ["a", "b"], "dtype": "float61" if fault == "a type" else "float16", "spread": True},
    )
    given = {"spread": None if fault == "no spread" else np.ones((3, LENGTH))}
    if fault == "hypothetical":
        given["hypothetical"] = whole[0]
    quality = pd.DataFrame({"imS" if fault == "a column" else "ism": np.ones(2 if fault == "quality of too few" else 3)})
    with (
        pytest.raises((InputError, ValueError), match=says),
        write_attributions(tmp_path / "heat.h5", windows(3), LENGTH, ATTRS, **asked) as append,
    ):
        append(*whole, **given)
        append.null(np.ones((1 if fault == "too few nulls" else 2, LENGTH)))
        append.quality(quality)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_files_are_copied_row_by_row(tmp_path, dtype):
    asked = {"dtype": dtype, "hypothetical": True, "spread": True}
    counts = (2, 0, 4)
    for number, n in enumerate(counts):
        genes = [f"n{i}" for i in range(n // 2)]
        with write_attributions(tmp_path / f"{number}.h5", windows(n), LENGTH, ATTRS, null_genes=genes, **asked) as append:
            attributions, *rest = content(n + 1)
            append(*(part[1:] for part in (attributions, *rest)), hypothetical=attributions[:-1], spread=attributions[1:, 0])
            append.null(attributions[: n // 2, 2])
    genes = ["n0", "n0", "n1"]
    with write_attributions(tmp_path / "all.h5", windows(6), LENGTH, ATTRS, null_genes=genes, **asked) as append:
        for number in range(3):
            append.copy(tmp_path / f"{number}.h5")
    joined, parts = AttributionFile(tmp_path / "all.h5"), [AttributionFile(tmp_path / f"{i}.h5") for i in range(3)]
    for read in (
        lambda f: f.read_block(0, 9)[0],
        lambda f: f.read_block(0, 9)[1],
        lambda f: f.read_spread(0, 9),
        lambda f: f.read_hypothetical(0, 9),
        lambda f: f.windows[["predicted", "predicted_sd"]].to_numpy(),
    ):
        np.testing.assert_array_equal(read(joined), np.concatenate([read(part) for part in parts]))
    nulls = [block for part in parts for block in part.null_blocks()]
    np.testing.assert_array_equal(next(joined.null_blocks()), np.concatenate(nulls))


@pytest.mark.parametrize("version", [None, 1, 3])
def test_files_of_other_releases_are_refused(tmp_path, version):
    write(tmp_path / "heat.h5", 2)
    with h5py.File(tmp_path / "heat.h5", "a") as file:
        if version is None:
            del file.attrs["schema_version"]
        else:
            file.attrs["schema_version"] = version
    said = "no schema version" if version is None else f"schema version {version}"
    with pytest.raises(InputError, match=rf"heat.h5 has {said}, but this release requires version 2: rerun attribute_genes"):
        AttributionFile(tmp_path / "heat.h5")


@pytest.mark.parametrize("damage", ["missing", "truncated", "another", "older"])
def test_a_truncated_file_is_refused(tmp_path, damage):
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
    with pytest.raises(InputError, match=r"heat.h5 cannot be read as attributions"):
        AttributionFile(path)
