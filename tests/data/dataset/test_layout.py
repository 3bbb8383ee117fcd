"""Round trips of data sets, and errors for damaged files."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset import decima, layout, writer
from cisnake.data.genome.bases import decode, encode, one_hot
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows.gene_windows import place_windows
from cisnake.errors import InputError

PAIR = str.maketrans("ACGTN", "TGCAN")
TASKS = ["heat", "NA", "größe"]


def make_genes(anchor: str = "tss", upstream: int = 20, downstream: int = 30) -> pd.DataFrame:
    """Genes on both strands, some at chromosome ends, with bodies that end inside, at, and beyond their windows."""
    rows = [
        ("a", "chr1", 20, 35, "+", 20, "train"),
        ("b", "chr1", 100, 400, "+", 90, "val"),
        ("c", "chr1", 300, 330, "+", 300, "test"),
        ("d", "chr2", 0, 30, "-", 29, "train"),
        ("e", "chr2", 200, 260, "-", 270, "train"),
        ("f", "chr2", 560, 580, "-", 579, "test"),
        ("g", "chr3", 300, 315, "-", 345, "train"),
    ]
    columns = ["gene_id", "chrom", "start", "end", "strand", "tss", "split"]
    genes = pd.DataFrame(rows, columns=columns).assign(fold=np.arange(len(rows)) % 3)
    return place_windows(genes, anchor, upstream, downstream)


def make_labels() -> np.ndarray:
    labels = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    labels[2, 1] = np.nan
    return labels


@pytest.fixture
def dataset(tiny, tmp_path: Path):
    def write(pad: int = 4, name: str = "dataset.h5", **windows) -> Path:
        path = tmp_path / name
        labels = writer.Labels(make_labels(), TASKS)
        writer.write_dataset(path, make_genes(**windows), labels, Genome(tiny.fasta), writer.Layout(pad), {"n_folds": 3})
        return path

    return write


@pytest.mark.parametrize("anchor", ["tss", "start"])
@pytest.mark.parametrize("pad", [0, 4, 25])
def test_round_trip_against_strings(dataset, tiny, pad, anchor):
    genes = make_genes(anchor)
    with layout.open_dataset(dataset(pad, anchor=anchor)) as file:
        assert file["sequences"].shape == file["masks"].shape == (7, 50 + 2 * pad)
        assert (file["pad"][()], file["seq_len"][()], file["padded_seq_len"][()]) == (pad, 50, 50 + 2 * pad)
        assert file.attrs["n_folds"] == 3
        np.testing.assert_array_equal(layout.read_labels(file), make_labels())
        assert layout.read_tasks(file) == TASKS
        windows = layout.read_windows(file)
        for row, gene in enumerate(genes.itertuples()):
            margin = "N" * 100
            text = margin + tiny.chromosomes[gene.chrom] + margin
            text = text[100 + gene.window_start - pad : 100 + gene.window_end + pad]
            bases = list(range(gene.window_start - pad, gene.window_end + pad))
            body = range(gene.tss, gene.end)
            if gene.strand == "-":
                text, bases, body = text.translate(PAIR)[::-1], bases[::-1], range(gene.start, gene.tss + 1)
            assert decode(file["sequences"][row]) == text
            # The body continues into the pad, so that the mask of a shifted window is correct.
            assert file["masks"][row].tolist() == [int(base in body) for base in bases]
    expected = genes.rename(columns={"start": "_", "end": "__"}).rename(columns={"window_start": "start", "window_end": "end"})
    columns = ["gene_id", "split", *layout.DATASET_WINDOW_COLUMNS]
    pd.testing.assert_frame_equal(windows[columns], expected[columns], check_dtype=False)


def test_dtypes(dataset):
    with h5py.File(dataset()) as file:
        types = {"sequences": np.int8, "masks": np.uint8, "labels": np.float32, "windows/start": np.int64}
        assert {name: file[name].dtype for name in types} == types
        assert file["labels"].shape == (7, 3, 1) and file["genes"].shape == (7, 2)


def test_truncated_missing_and_foreign_files_are_refused(dataset, tmp_path: Path):
    path = dataset()
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.95):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match="cannot be read as a data set"), layout.open_dataset(path):
            pass
    with pytest.raises(InputError, match="cannot be read as a data set"), layout.open_dataset(tmp_path / "none.h5"):
        pass
    with pytest.raises(InputError, match="cannot be read as a data set"):
        decima.count_genes(tmp_path / "none.h5")


@pytest.mark.parametrize(
    "name",
    [
        *("sequences", "masks", "labels", "genes", "tasks", "pad", "seq_len", "padded_seq_len", "target_transform"),
        *("windows/fold", "windows"),
    ],
)
def test_missing_data_set_is_named(dataset, name):
    path = dataset()
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(InputError, match=f"has no data set {name}"), layout.open_dataset(path):
        pass
    with h5py.File(path, "a") as file:
        file.create_group(name)
    with pytest.raises(InputError, match=f"has no data set {name}"), layout.open_dataset(path):
        pass


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sequences", np.zeros((7, 57), np.int8), "sequences has shape (7, 57); expected (7, 58)"),
        ("masks", np.zeros((6, 58), np.uint8), "masks has shape (6, 58); expected (7, 58)"),
        ("labels", np.zeros((7, 4, 1)), "labels has shape (7, 4, 1); expected (7, 3, 1)"),
        ("labels", np.zeros((7, 3)), "labels has shape (7, 3); expected (7, 3, 1)"),
        ("genes", np.zeros((7, 3), "S1"), "genes has shape (7, 3); expected (7, 2)"),
        ("gene_bins", np.zeros((7, 2), np.float32), "gene_bins has shape (7, 2); expected (7, 1)"),
        ("masks", np.zeros((7, 58), np.float32), "masks has type float32; expected uint8"),
        ("sequences", np.zeros((7, 58), np.int16), "sequences has type int16; expected int8"),
        ("labels", np.zeros((7, 3, 1)), "labels has type float64; expected float32"),
        ("windows/start", np.zeros(5, int), "windows/start has shape (5,); expected (7,)"),
        ("pad", 3, "padded_seq_len is 58; expected seq_len + 2 pad = 56"),
    ],
)
def test_misshaped_data_set_is_named(dataset, name, value, message):
    path = dataset()
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file[name] = value
    with pytest.raises(InputError, match=re.escape(message)), layout.open_dataset(path):
        pass


@pytest.mark.parametrize(
    ("bin_size", "crop", "message"),
    [
        (10, 5, "labels has shape (7, 3, 1); expected (7, 3, 4)"),
        (50, 0, None),
        (30, 10, None),
        (30, 5, "bins of 30 bp do not fill a window of 50 bp minus 5 bp"),
        (10, 25, "bins of 10 bp do not fill"),
    ],
)
def test_bins_must_match_the_attributes(dataset, bin_size, crop, message):
    path = dataset()
    with h5py.File(path, "a") as file:
        file.attrs["bin_size"], file.attrs["crop"] = bin_size, crop
    if message is None:
        with layout.open_dataset(path):
            return
    with pytest.raises(InputError, match=re.escape(message)), layout.open_dataset(path):
        pass


def test_transform_round_trip_and_invalid_json(dataset):
    path = dataset()
    with layout.open_dataset(path) as file:
        assert layout.read_transform(file) == {"kind": "none"}
    for text in ("", "log1p", '"none"', "{}"):
        with h5py.File(path, "a") as file:
            file["target_transform"][()] = text
        with (
            layout.open_dataset(path) as file,
            pytest.raises(InputError, match="target_transform is not a JSON object with a key 'kind'"),
        ):
            layout.read_transform(file)


def test_coverage_labels_are_not_read_as_expression(dataset):
    path = dataset()
    values = np.random.default_rng(0).normal(size=(7, 3, 5)).astype(np.float32)
    with h5py.File(path, "a") as file:
        del file["labels"]
        file["labels"] = values
        file.attrs["bin_size"], file.attrs["crop"] = 8, 5
    with layout.open_dataset(path) as file:
        with pytest.raises(InputError, match="has 5 bins per window; expected one label per gene"):
            layout.read_labels(file)
        for rows in ([], [3], [6, 5, 4], [5, 0, 5, 1, 6, 0, 3]):
            np.testing.assert_array_equal(layout.read_label_rows(file, np.array(rows, int)), values[np.array(rows, int)])


@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize(("allele", "position"), [("A", 0), ("C", 1), ("G", 8), ("T", 9)])
def test_mutate_changes_one_base_in_place(depth, allele, position):
    sequence = np.concatenate([one_hot(encode("ACGTNACGTN")).T, np.arange(10, dtype=np.float32)[None]])[:depth]
    before = sequence.copy()
    assert decima.mutate(sequence, allele, position) is sequence
    assert sequence[:4, position].tolist() == [float(base == allele) for base in "ACGT"]
    others = np.delete(np.arange(10), position)
    np.testing.assert_array_equal(sequence[:, others], before[:, others])
    np.testing.assert_array_equal(sequence[4:], before[4:])


@pytest.mark.parametrize(
    ("shape", "allele", "position", "message"),
    [
        ((4, 10), "N", 0, "allele 'N' is not A, C, G or T"),
        ((5, 10), "", 0, "allele '' is not"),
        ((5, 10), "AC", 0, "allele 'AC' is not"),
        ((5, 10), "A", -1, "position -1 is outside the sequence of 10 bases"),
        ((5, 10), "A", 10, "position 10 is outside"),
        ((10, 4), "A", 0, "shape (10, 4); expected (4, length)"),
        ((2, 4, 10), "A", 0, "shape (2, 4, 10); expected"),
    ],
)
def test_invalid_mutations_are_refused(shape, allele, position, message):
    sequence = np.ones(shape, np.float32)
    with pytest.raises(InputError, match=re.escape(message)):
        decima.mutate(sequence, allele, position)
    assert (sequence == 1).all()


def test_other_schema_is_refused(dataset):
    path = dataset()
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(InputError, match="schema version 99"), layout.open_dataset(path):
        pass


def test_counts_and_names_by_split(dataset):
    path = dataset()
    assert decima.count_genes(path) == 7 and decima.count_genes(path, "val") == 1
    assert decima.index_genes(path).tolist() == list(range(7))
    assert decima.index_genes(path, "test").tolist() == [2, 5]
    assert decima.list_genes(path, "train").tolist() == ["a", "d", "e", "g"]
    assert decima.list_genes(path).tolist() == list("abcdefg")
    assert decima.get_gene_idx(path, "f") == decima.get_gene_idx(path, "f", "test") == 5
    with pytest.raises(InputError, match="unknown train gene 'f': known names: a, d, e, g"):
        decima.get_gene_idx(path, "f", "train")
    with pytest.raises(InputError, match="did you mean test"):
        decima.count_genes(path, "tests")


def test_error_for_unknown_gene_lists_the_closest_ids(dataset):
    path = dataset()
    with h5py.File(path, "a") as file:
        file["genes"][3] = ["YAL001C", "train"]
    assert decima.get_gene_idx(path, "YAL001C") == 3
    with pytest.raises(InputError, match="did you mean YAL001C"):
        decima.get_gene_idx(path, "YAL001W")


@pytest.mark.parametrize("pad", [0, 4])
@pytest.mark.parametrize("length", [None, 1, 2, 7, 49, 50])
def test_extract_gene_data_is_cut_around_the_centre(dataset, pad, length):
    path = dataset(pad)
    with h5py.File(path) as file:
        sequence, mask = file["sequences"][4], file["masks"][4]
    wanted = length or 50
    first = (50 + 2 * pad - wanted) // 2
    merged = decima.extract_gene_data(path, "e", length)
    assert merged.shape == (5, wanted) and merged.dtype == np.float32
    np.testing.assert_array_equal(merged[:4], one_hot(sequence[first : first + wanted]).T)
    np.testing.assert_array_equal(merged[4], mask[first : first + wanted])
    apart = decima.extract_gene_data(path, "e", length, merge=False)
    np.testing.assert_array_equal(apart[0], merged[:4])
    np.testing.assert_array_equal(apart[1], merged[4:])
    for wrong in (0, 51 + 2 * pad):
        with pytest.raises(InputError, match=f"seq_len is {wrong}"):
            decima.extract_gene_data(path, "e", wrong)


def test_default_crop_is_the_window(dataset, tiny):
    found = decima.extract_gene_data(dataset(4), "a")
    np.testing.assert_array_equal(found[:4], one_hot(encode(tiny.chromosomes["chr1"][:50])).T)
    assert found[4].tolist() == [0] * 20 + [1] * 15 + [0] * 15


@pytest.mark.parametrize("rows", [[], [3], [0, 1, 2], [6, 5, 4], [2, 2, 2], [5, 0, 5, 1, 6, 0, 3], list(range(7)) * 2])
@pytest.mark.parametrize("name", ["sequences", "masks"])
def test_rows_are_read_in_any_order(dataset, rows, name):
    with h5py.File(dataset()) as file:
        found = layout.read_codes(file, np.array(rows, dtype=int), 3, 40, name)
        assert found.dtype == file[name].dtype
        np.testing.assert_array_equal(found, file[name][:][rows, 3:40].reshape(len(rows), 37))
