"""The written file does not depend on pieces, processes or interruptions."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset import layout
from cisnake.data.dataset import pieces as dataset_pieces
from cisnake.data.dataset.writer import Labels, Layout, write_dataset
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows import splits
from cisnake.errors import InputError

N, SEQ_LEN, PAD, BIN, CROP, TASKS = 23, 48, 5, 8, 4, ["a", "größe"]
BINS = (SEQ_LEN - 2 * CROP) // BIN


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    letters = [decode(row) for row in np.random.default_rng(1).integers(0, 5, (3, 400)).astype(np.int8)]
    (tmp_path / "genome.fa").write_text("".join(f">chr{i}\n{text}\n" for i, text in enumerate(letters)))
    return Genome(tmp_path / "genome.fa")


def windows(**columns) -> pd.DataFrame:
    """Windows on both strands, some beyond chromosome ends; gene bodies empty, inside, and beyond the window."""
    rng = np.random.default_rng(2)
    start = rng.integers(-20, 400 - SEQ_LEN + 20, N)
    start[:2] = -PAD - SEQ_LEN, 400 + PAD
    mask_start = rng.integers(-10, SEQ_LEN, N)
    table = {
        "gene_id": [f"g{i}" for i in range(N)],
        "split": rng.choice(splits.SPLITS, N),
        "chrom": rng.choice(["chr0", "chr1", "chr2"], N),
        "start": start + 3,
        "end": start + 5,
        "strand": rng.choice(["+", "-"], N),
        "window_start": start,
        "window_end": start + SEQ_LEN,
        "mask_start": mask_start,
        "mask_end": mask_start + rng.integers(0, 40, N),
        "fold": rng.integers(0, 3, N),
    }
    # An index with gaps, as after dropping rows.
    return pd.DataFrame(table | columns, index=np.arange(N)[::-1] * 2)


def labels() -> np.ndarray:
    values = np.random.default_rng(3).normal(size=(N, len(TASKS), BINS)).astype(np.float32)
    values[4, 1] = np.nan
    return values


def weights() -> np.ndarray:
    return np.random.default_rng(4).random((N, BINS)).astype(np.float32)


@dataclass(frozen=True)
class Source:
    """Rows of an array, as a picklable function."""

    array: np.ndarray

    def __call__(self, rows: slice) -> np.ndarray:
        return self.array[rows]


@dataclass(frozen=True)
class Failing:
    """A source that fails at rows from `first` on."""

    first: int
    how: str = "input"

    def __call__(self, rows: slice) -> np.ndarray:
        if rows.start >= self.first:
            if self.how == "input":
                raise InputError("track a.bw ends early: make it again.")
            os.kill(os.getpid(), signal.SIGKILL)
        return labels()[rows]


@pytest.fixture
def write(tmp_path: Path, genome: Genome):
    def written(name: str = "d.h5", table: pd.DataFrame | None = None, values=None, pad: int = PAD, **options) -> Path:
        options = {"attributes": {"n_folds": 3}, **options}
        shape = Layout(pad, options.pop("bin_size", BIN), options.pop("crop", CROP))
        extras = {key: options.pop(key) for key in ("transform", "gene_bins") if key in options}
        measured = Labels(labels() if values is None else values, TASKS, **extras)
        write_dataset(tmp_path / name, windows() if table is None else table, measured, genome, shape, **options)
        return tmp_path / name

    return written


@pytest.fixture
def small_pieces(monkeypatch) -> None:
    """One row per chunk, two rows per piece."""
    monkeypatch.setattr(dataset_pieces, "_CHUNK_BYTES", 1)


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*pieces*"))


@pytest.mark.parametrize("kind", ["arrays", "functions"])
@pytest.mark.parametrize("chunk_bytes", [1, 130, 1 << 16])
@pytest.mark.parametrize("pieces", [1, 4, 16])
def test_file_matches_the_definition(write, genome, tmp_path, monkeypatch, kind, chunk_bytes, pieces):
    monkeypatch.setattr(dataset_pieces, "_CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(dataset_pieces, "_PIECES", pieces)
    made = Source if kind == "functions" else np.asarray
    path = write(values=made(labels()), gene_bins=made(weights()), transform={"kind": "coverage", "scale": [1.0, 2.0]})
    with layout.open_dataset(path) as file:
        np.testing.assert_array_equal(file["labels"][:], labels())
        np.testing.assert_array_equal(file["gene_bins"][:], weights())
        assert layout.read_transform(file) == {"kind": "coverage", "scale": [1.0, 2.0]}
        assert dict(file.attrs) == {"schema_version": 2, "n_folds": 3, "bin_size": BIN, "crop": CROP}
        found = layout.read_windows(file)
        for row, window in enumerate(windows().itertuples()):
            codes = genome.codes(window.chrom, window.window_start - PAD, window.window_end + PAD, window.strand)
            np.testing.assert_array_equal(file["sequences"][row], codes)
            body = [window.mask_start <= i - PAD < window.mask_end for i in range(SEQ_LEN + 2 * PAD)]
            assert file["masks"][row].astype(bool).tolist() == body
    table = windows().drop(columns=["start", "end"]).rename(columns={"window_start": "start", "window_end": "end"})
    pd.testing.assert_frame_equal(found, table[found.columns].reset_index(drop=True), check_dtype=False)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 64, 65])
def test_pieces_cover_every_row_once_and_end_with_a_chunk(n, monkeypatch):
    shapes = {"sequences": (100,), "masks": (100,), "labels": (3, 5)}
    job = dataset_pieces.PiecePlan(pd.DataFrame(index=range(n)), Path("g"), 0, shapes, (), {"labels": Source(labels())})
    for chunk_bytes in (1, 200, 900, 1 << 16):
        for piece_bytes in (1, 1000, 1 << 20):
            monkeypatch.setattr(dataset_pieces, "_CHUNK_BYTES", chunk_bytes)
            monkeypatch.setattr(dataset_pieces, "_PIECE_BYTES", piece_bytes)
            pieces = job.cut()
            assert np.concatenate([np.arange(rows.start, rows.stop) for rows in pieces]).tolist() == list(range(n))
            assert all(rows.stop % job.chunk_rows == 0 for rows in pieces[:-1])
            assert all((rows.stop - rows.start) * (200 + 60) <= max(piece_bytes, job.chunk_rows * 260) for rows in pieces)


def test_chunk_rows_of_long_and_short_rows(write):
    with h5py.File(write()) as file:
        assert file["sequences"].chunks == (N, SEQ_LEN + 2 * PAD)
    job = dataset_pieces.PiecePlan(windows(), Path("g"), 0, {"sequences": (200_000,), "masks": (200_000,)}, (), {})
    assert job.chunk_rows == 1
    # 65,536 bytes hold 131 rows of 500.
    job = dataset_pieces.PiecePlan(
        windows(), Path("g"), 0, {"sequences": (500,), "masks": (500,), "labels": (9000, 1)}, ("labels",), {}
    )
    assert job.chunk_rows == 128


def test_expression_labels_of_two_axes_are_stored_as_one_bin(write):
    values = labels()[:, :, 0]
    with layout.open_dataset(write(values=values.astype(np.float64), bin_size=0, crop=0)) as file:
        assert file["labels"].shape == (N, 2, 1) and file["labels"].chunks is None
        np.testing.assert_array_equal(layout.read_labels(file), values)
        assert layout.read_transform(file) == {"kind": "none"} and "gene_bins" not in file


def test_processes_write_the_same_bytes(write, small_pieces):
    alone = write("alone.h5", values=Source(labels()))
    assert write("shared.h5", values=Source(labels()), processes=2).read_bytes() == alone.read_bytes()


SLOW = """
import os, time
from pathlib import Path
import numpy as np

class Slow:
    def __init__(self, folder, values):
        self.folder, self.values = folder, values

    def __call__(self, rows):
        with open(f"{self.folder}/calls", "a") as log:
            print(rows.start, os.getpid(), file=log, flush=True)
        while rows.start >= 10 and not os.path.exists(f"{self.folder}/go"):
            time.sleep(0.05)
        return self.values[rows]
"""
KILLED = """
import sys
sys.path[:0] = sys.argv[1:4]
import test_writer as t
from cisnake.data.dataset import pieces
from slow import Slow
pieces._CHUNK_BYTES = 1
folder = sys.argv[1]
labels = t.Labels(Slow(folder, t.labels()), t.TASKS)
layout = t.Layout(t.PAD, t.BIN, t.CROP)
t.write_dataset(f"{folder}/d.h5", t.windows(), labels, t.Genome(f"{folder}/genome.fa"), layout, {"n_folds": 3}, processes=2)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads what runs from /proc")
def test_a_killed_write_is_resumed_and_ends_the_same(write, small_pieces, tmp_path, monkeypatch):
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    from slow import Slow

    command = [sys.executable, "-c", KILLED, tmp_path, Path(__file__).parent, Path(dataset_pieces.__file__).parents[3]]
    deadline = time.monotonic() + 60
    with open(tmp_path / "said", "w") as said:
        process = subprocess.Popen(command, stderr=said)
    try:
        begun: list[str] = []
        while len(begun) < 7 or len(done := list(tmp_path.glob("d.h5.pieces-*/0*.h5"))) < 5:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.02)
            begun = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    finally:
        process.kill()
        process.wait()
    calls = np.loadtxt(tmp_path / "calls", dtype=int)
    # A process without its parent exits.
    while any(map(is_running, set(calls[:, 1]))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (tmp_path / "d.h5").exists() and len(left_behind(tmp_path)) == 1
    assert sorted(path.name for path in done) == [f"{row:09d}.h5" for row in (0, 2, 4, 6, 8)]
    assert {10, 12} <= set(calls[:, 0])
    # A piece left half written by a system crash is written again.
    done[0].write_bytes(done[0].read_bytes()[:1000])
    (tmp_path / "go").touch()
    (tmp_path / "calls").unlink()
    resumed = write(values=Slow(str(tmp_path), labels()))
    assert np.loadtxt(tmp_path / "calls", dtype=int)[:, 0].tolist() == [int(done[0].stem), *range(10, N, 2)]
    assert resumed.read_bytes() == write("whole.h5", values=Source(labels())).read_bytes()
    assert left_behind(tmp_path) == []


def test_pieces_are_reused_only_for_the_same_content(write, small_pieces, tmp_path, genome):
    def folder_of(**options) -> str:
        with pytest.raises(InputError, match=r"a\.bw"):
            write(**{"values": Failing(6), **options})
        (folder,) = tmp_path.glob("d.h5.pieces-*")
        assert sorted(path.name for path in folder.iterdir()) == ["000000000.h5", "000000002.h5", "000000004.h5"]
        shutil.rmtree(folder)
        return folder.name

    first = folder_of()
    assert folder_of() == first
    moved = windows()
    moved.iloc[-1, moved.columns.get_loc("mask_end")] += 1
    changes = [
        {"values": Failing(5)},
        {"table": moved},
        {"table": windows(fold=1)},
        {"pad": PAD + 1},
        {"attributes": {"n_folds": 3, "tracks_sha256": "1"}},
        {"crop": 8},
        {"bin_size": 4, "crop": 14},
        {"transform": {"kind": "coverage"}},
        {"gene_bins": Source(weights())},
    ]
    names = {first, *(folder_of(**change) for change in changes if "crop" not in change)}
    assert len(names) == len(changes) - 1
    os.utime(genome.path, (1, 1))
    assert folder_of() not in names


def test_old_piece_folders_are_removed_at_the_end(write, tmp_path):
    (tmp_path / "d.h5.pieces-0123").mkdir()
    (tmp_path / "other.h5.pieces-0123").mkdir()
    write()
    assert left_behind(tmp_path) == ["other.h5.pieces-0123"]


def test_errors_of_worker_processes_are_raised(write, small_pieces, tmp_path):
    with pytest.raises(InputError) as raised:
        write(values=Failing(4), processes=2)
    assert str(raised.value) == "track a.bw ends early: make it again."
    assert not (tmp_path / "d.h5").exists()


def test_killed_process_is_reported(write, small_pieces):
    with pytest.raises(InputError, match="was killed, probably because memory ran out: use fewer processes"):
        write(values=Failing(4, "kill"), processes=2)


def change(row: int, **cells) -> pd.DataFrame:
    table = windows().reset_index(drop=True)
    for column, value in cells.items():
        table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (change(7, gene_id="g3"), "two windows have the id g3"),
        (change(7, split="tests"), "unknown split 'tests': did you mean test"),
        (change(7, window_end=1000), "the window of g7 has"),
        (windows().iloc[:0], "would contain no windows"),
    ],
)
def test_invalid_tables_are_refused(write, tmp_path, table, message):
    with pytest.raises(InputError, match=re.escape(message)):
        write(table=table)
    assert not (tmp_path / "d.h5").exists() and left_behind(tmp_path) == []


@pytest.mark.parametrize(("bin_size", "crop"), [(7, 4), (8, 3), (8, 24), (100, 0)])
def test_bins_must_fill_the_window(write, bin_size, crop):
    with pytest.raises(InputError, match=f"bins of {bin_size} bp do not fill a window of {SEQ_LEN} bp minus {crop}"):
        write(bin_size=bin_size, crop=crop)


@pytest.mark.parametrize(
    "values", [labels().swapaxes(1, 2), labels()[:-1], Source(labels().swapaxes(1, 2)), Source(labels()[:5])]
)
def test_labels_of_wrong_shape_are_refused(write, values):
    with pytest.raises(ValueError, match="shape"):
        write(values=values)


@pytest.mark.parametrize("tracks", [2, 20_000])
def test_strand_pairs_round_trip_for_any_number_of_tracks(genome, tmp_path, tracks):
    pairs = np.arange(tracks) ^ 1
    few = windows().iloc[:2]
    labels = Labels(np.zeros((2, tracks, BINS), np.float32), [f"t{i}" for i in range(tracks)], strand_pair=pairs)
    write_dataset(tmp_path / "d.h5", few, labels, genome, Layout(PAD, BIN, CROP), {"n_folds": 1})
    with layout.open_dataset(tmp_path / "d.h5") as file:
        assert (layout.read_strand_pair(file) == pairs).all()


def test_files_without_strand_pairs_and_with_the_old_attribute(write):
    with h5py.File(write(), "r+") as file:
        assert layout.read_strand_pair(file) is None
        file.attrs["strand_pair"] = np.array([1, 0], np.int32)
        assert layout.read_strand_pair(file).tolist() == [1, 0]
