"""The loading benchmark without timing: its tables, and the files that both sides read."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))

import loading  # noqa: E402
from peers import loading_files  # noqa: E402


def test_ratios_are_relative_to_the_faster_block_size_of_decima() -> None:
    speeds = {}
    for length in loading_files.WINDOWS:
        for kind, values in (("alone", [8, 12]), ("threads", [16, 16]), ("fit", [4, 6])):
            speeds["Cisnake", f"{length} warm {kind}"] = np.array(values, float)
        speeds["Decima", f"{length} warm 1"] = np.array([1.0, 1.0])
        speeds["Decima", f"{length} warm 2"] = np.array([2.0, 2.0])
    rows = loading.speed_table(speeds, "warm").splitlines()
    assert rows[0] == "| examples/s | 10,000 bp | 200,000 bp | 524,288 bp |"
    assert rows[2].endswith("| 10 (8–12) | 10 (8–12) | 10 (8–12) |")
    assert rows[-2] == "| two threads ÷ faster Decima row |" + " 8 (8–8) |" * 3
    assert rows[-3] == "| one thread ÷ faster Decima row |" + " 5 (4–6) |" * 3
    assert rows[-1] == "| `fit` ÷ faster Decima row |" + " 2.5 (2–3) |" * 3


def test_sizes_are_compared() -> None:
    assert loading.size_table({10_000: (2_000_000, 11_000_000)}).endswith("| 1600 of 10,000 bp | 2.0 | 11.0 | 5.5 |")


def test_both_files_have_the_same_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_files, "WINDOWS", {1000: (9, 2)})
    loading_files.make_files(tmp_path, 1000)
    with (
        h5py.File(loading_files.our_file(tmp_path, 1000)) as ours,
        h5py.File(loading_files.their_file(tmp_path, 1000)) as theirs,
    ):
        assert set(theirs) == {"pad", "seq_len", "padded_seq_len", "tasks", "genes", "labels", "sequences", "masks"}
        for name in theirs:
            np.testing.assert_array_equal(theirs[name][()], ours[name][()])
        assert theirs["masks"].dtype == np.float32 and theirs["sequences"].dtype == np.int8
        assert theirs["masks"].chunks is None and theirs["sequences"].shape == (9, 1020)
    loading_files.drop_from_memory(loading_files.our_file(tmp_path, 1000))


def test_a_digest_distinguishes_positions() -> None:
    rng = np.random.default_rng(0)
    inputs, labels = rng.random((2, 30, 5)), rng.random((2, 3, 1))
    digest = loading_files.digest(inputs, labels)
    assert len(digest) == 2 * 5 + 2
    np.testing.assert_allclose(loading_files.digest(inputs.copy(), labels[..., 0]), digest)
    assert not np.allclose(loading_files.digest(np.roll(inputs, 1, axis=1), labels), digest)
    assert not np.allclose(loading_files.digest(inputs[..., [1, 0, 2, 3, 4]], labels), digest)


def test_arguments_have_the_defaults_that_the_page_describes() -> None:
    arguments = loading.parser().parse_args([])
    assert (arguments.runs, arguments.threads, arguments.python) == (3, 2, None)
