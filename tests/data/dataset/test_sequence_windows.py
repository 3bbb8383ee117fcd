"""All three input formats give the same windows, and errors name the record."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset.model_inputs import model_input
from cisnake.data.dataset.sequence_windows import SequenceWindows, from_fasta, from_one_hot, from_table
from cisnake.data.genome.bases import decode
from cisnake.errors import InputError
from cisnake.model import ensemble

N, LENGTH = 6, 50


@pytest.fixture
def windows() -> SequenceWindows:
    rng = np.random.default_rng(0)
    start = np.array([0, 0, 7, 49, 50, 20])
    end = np.array([50, 0, 31, 50, 50, 21])
    return SequenceWindows(["a", "b b", "NA", "1e5", "e", "f"], rng.integers(0, 5, (N, LENGTH)).astype(np.int8), start, end)


def as_table(windows: SequenceWindows) -> pd.DataFrame:
    sequences = [decode(row) for row in windows.codes]
    columns = {"gene_mask_start": windows.mask_start, "gene_mask_end": windows.mask_end}
    return pd.DataFrame({"name": windows.ids, "sequence": sequences, **columns})


def as_fasta(windows: SequenceWindows) -> str:
    rows = as_table(windows).itertuples()
    return "".join(
        f">{row.name}|gene_mask_start={row.gene_mask_start}|gene_mask_end={row.gene_mask_end}\n"
        f"{row.sequence[:30].lower()}\n{row.sequence[30:]}\n\n"
        for row in rows
    )


def assert_same(found: SequenceWindows, expected: SequenceWindows) -> None:
    assert found.ids == expected.ids and found.codes.dtype == np.int8
    np.testing.assert_array_equal(found.codes, expected.codes)
    assert found.mask_start.dtype == found.mask_end.dtype == np.int64
    np.testing.assert_array_equal(found.mask_start, expected.mask_start)
    np.testing.assert_array_equal(found.mask_end, expected.mask_end)


def test_fasta_plain_and_gzipped(windows, tmp_path: Path):
    (tmp_path / "x.fa").write_text(as_fasta(windows))
    assert_same(from_fasta(tmp_path / "x.fa"), windows)
    with gzip.open(tmp_path / "x.fa.gz", "wt") as handle:
        handle.write(as_fasta(windows).replace("|gene_mask_start", "|cell=T|gene_mask_start").rstrip("\n"))
    assert_same(from_fasta(tmp_path / "x.fa.gz"), windows)
    (tmp_path / "x.fa.gz").rename(tmp_path / "packed.fa")
    assert_same(from_fasta(tmp_path / "packed.fa"), windows)


def test_table_in_memory_and_as_a_file(windows, tmp_path: Path):
    table = as_table(windows)
    assert_same(from_table(table), windows)
    table.to_csv(tmp_path / "x.tsv", sep="\t", index=False)
    assert_same(from_table(tmp_path / "x.tsv"), windows)
    assert_same(from_table(table.astype({"gene_mask_start": float})), windows)


@pytest.mark.parametrize("kind", [np.float32, np.int8, bool])
def test_one_hot_in_both_orders_with_and_without_gene_body(windows, kind):
    inputs = model_input(windows.codes, windows.mask_start, windows.mask_end, 5).astype(kind)
    # Without a gene body, both ends are 0.
    empty = windows.mask_end == windows.mask_start
    expected = windows._replace(
        mask_start=np.where(empty, 0, windows.mask_start), mask_end=np.where(empty, 0, windows.mask_end)
    )
    for form in (inputs, inputs.swapaxes(1, 2)):
        assert_same(from_one_hot(form, windows.ids), expected)
    zeros = np.zeros(N, np.int64)
    for form in (inputs[..., :4], inputs[..., :4].swapaxes(1, 2)):
        assert_same(from_one_hot(form), SequenceWindows(list("012345"), windows.codes, zeros, zeros))


def test_short_sequences_are_read_in_decimas_order():
    inputs = np.zeros((1, 4, 5))
    inputs[0, [3, 1, 0, 2, 3], range(5)] = 1
    assert from_one_hot(inputs).codes.tolist() == [[3, 1, 0, 2, 3]]


def test_windows_are_valid_model_input(windows):
    inputs = keras.Input((LENGTH, 5))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    found = ensemble.predict_with_model(model, *from_table(as_table(windows))[1:])
    expected = model(model_input(windows.codes, windows.mask_start, windows.mask_end, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


GOOD = ">a|gene_mask_start=0|gene_mask_end=4\nACGT\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">b|gene_mask_start=0\nACGT\n", "record 'b|gene_mask_start=0': the header has no gene_mask_end"),
        (">b\nACGT\n", "record 'b': the header has no gene_mask_start"),
        (">|gene_mask_start=0|gene_mask_end=4\nACGT\n", "the header has no name"),
        (">b|gene_mask_start=x|gene_mask_end=4\nACGT\n", "record 'b': gene_mask_start is 'x', which is not an integer"),
        (">b|gene_mask_start=0.5|gene_mask_end=4\nACGT\n", "gene_mask_start is '0.5', which is not an integer"),
        (">b|gene_mask_start=nan|gene_mask_end=inf\nACGT\n", "gene_mask_start is 'nan', which is not an integer"),
        (">b|gene_mask_start=0|gene_mask_end=inf\nACGT\n", "gene_mask_end is 'inf', which is not an integer"),
        (">b|gene_mask_start=0|gene_mask_end=4\nACGTA\n", "record 'b': the sequence has 5 bases, the first one has 4"),
        (">b|gene_mask_start=0|gene_mask_end=0\n", "record 'b': the sequence has 0 bases"),
        (">b|gene_mask_start=0|gene_mask_end=4\nACRT\n", "record 'b': letter 'R' at base 3"),
        (">b|gene_mask_start=0|gene_mask_end=4\nAC-T\n", "letter '-' at base 3"),
        (
            ">b|gene_mask_start=0|gene_mask_end=5\nACGT\n",
            "record 'b': the gene body, 0 to 5, is not within the sequence of 4 bases",
        ),
        (">b|gene_mask_start=-1|gene_mask_end=3\nACGT\n", "the gene body, -1 to 3"),
        (">b|gene_mask_start=3|gene_mask_end=2\nACGT\n", "the gene body, 3 to 2"),
        (GOOD, "record 'a': an earlier record has the same name"),
    ],
)
def test_invalid_record_is_named(tmp_path: Path, text, message):
    (tmp_path / "x.fa").write_text(GOOD)
    assert from_fasta(tmp_path / "x.fa").ids == ["a"]
    (tmp_path / "x.fa").write_text(GOOD + text)
    with pytest.raises(InputError, match=rf"x\.fa, .*{re.escape(message)}"):
        from_fasta(tmp_path / "x.fa")


def test_files_that_are_not_fasta_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"cannot be read as FASTA: .*No such file"):
        from_fasta(tmp_path / "none.fa")
    (tmp_path / "empty.fa").write_text("\n")
    with pytest.raises(InputError, match="contains no sequences"):
        from_fasta(tmp_path / "empty.fa")
    (tmp_path / "x.fa").write_text("\nACGT\n>a\n")
    with pytest.raises(InputError, match="line 2: sequence before the first header"):
        from_fasta(tmp_path / "x.fa")
    (tmp_path / "x.fa.gz").write_bytes(b"\x1f\x8bno")
    with pytest.raises(InputError, match="cannot be read as FASTA"):
        from_fasta(tmp_path / "x.fa.gz")


def test_invalid_tables_are_refused(windows):
    table = as_table(windows)
    with pytest.raises(InputError, match="the table has no column gene_mask_end"):
        from_table(table.drop(columns="gene_mask_end"))
    with pytest.raises(InputError, match="the table contains no sequences"):
        from_table(table.iloc[:0])
    with pytest.raises(InputError, match="record 'b b': gene_mask_end is 'nan', which is not an integer"):
        from_table(table.assign(gene_mask_end=[50, np.nan, 50, 50, 50, 50]))


def test_invalid_arrays_are_refused(windows):
    inputs = model_input(windows.codes, windows.mask_start, windows.mask_end, 5)
    for shape in ((6, 50, 3), (6, 250), (6, 50, 5, 1)):
        with pytest.raises(InputError, match="have shape"):
            from_one_hot(np.zeros(shape))
    with pytest.raises(InputError, match="6 one-hot sequences but 2 names"):
        from_one_hot(inputs, ["a", "b"])
    with pytest.raises(InputError, match="'a': an earlier record"):
        from_one_hot(inputs, list("abcdea"))
    for value, place in ((0.5, (3, 4, 0)), (np.nan, (3, 4, 1)), (2, (3, 4, 2)), (-1, (3, 4, 3))):
        wrong = inputs.copy()
        wrong[3, 4, :4] = 0
        wrong[place] = value
        with pytest.raises(InputError, match="'1e5' has a base that is not one-hot"):
            from_one_hot(wrong, windows.ids)
    wrong = inputs.copy()
    wrong[2, 3, :4] = 1
    with pytest.raises(InputError, match="'NA' has a base that is not one-hot"):
        from_one_hot(wrong, windows.ids)
    for value in (0, 0.5, np.nan):
        wrong = inputs.copy()
        wrong[2, 15, 4] = value
        with pytest.raises(InputError, match="'NA' has a gene body that is not a single run"):
            from_one_hot(wrong, windows.ids)
