"""Examples read from a folder written by Basenji are identical to those of Basenji's own reader."""

from __future__ import annotations

import json
import pickle
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

import import_tfrecords
from cisnake.data.basenji.folder import Examples, read_folder, read_target_transform
from cisnake.data.basenji.tfrecords import read_features, read_records
from cisnake.data.coverage.transform import TargetTransform
from cisnake.data.dataset import layout
from cisnake.data.genome.bases import one_hot
from cisnake.data.windows.tiles import TILE_COLUMNS
from cisnake.errors import InputError

FIXTURE = Path(__file__).parent
PARTS = {"train": "train", "valid": "val", "test": "test"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(FIXTURE, tmp_path / "set")


def run(folder: Path, *options: str) -> Path:
    output = folder / "dataset.h5"
    import_tfrecords.main(import_tfrecords.parser().parse_args([f"--folder={folder}", f"--output={output}", *options]))
    return output


def expected() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return one-hot sequences, targets (n, bins, tasks) and splits from Basenji's own reader."""
    arrays = np.load(FIXTURE / "expected.npz")
    sequences, targets = (np.concatenate([arrays[f"{part}_{what}"] for part in PARTS]) for what in ("sequences", "targets"))
    return sequences, targets, [split for part, split in PARTS.items() for _ in arrays[f"{part}_targets"]]


def field(tag: int, value: bytes) -> bytes:
    length = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 127 | 128, len(value) >> 7])
    return bytes([tag << 3 | 2]) + length + value


def rewrite(path: Path, change) -> None:
    """Rewrite a TFRecord file with changed features."""
    packed = b""
    for features in [change(read_features(message)) for message in read_records(path)]:
        entries = [field(1, field(1, name.encode()) + field(2, field(1, field(1, value)))) for name, value in features.items()]
        message = field(1, b"".join(entries))
        packed += len(message).to_bytes(8, "little") + bytes(4) + message + bytes(4)
    path.write_bytes(zlib.compress(packed))


def test_data_set_is_identical_to_basenjis(folder):
    sequences, targets, splits = expected()
    with layout.open_dataset(run(folder)) as file:
        codes, labels = file["sequences"][:], file["labels"][:]
        windows, attributes = layout.read_windows(file), dict(file.attrs)
        assert layout.read_tasks(file) == ["heat", "cold", "acid"]
        transform = TargetTransform.from_dict(layout.read_transform(file))
        assert not file["masks"][:].any()
    assert (one_hot(codes) == sequences).all() and (codes == 4).any()
    assert labels.dtype == np.float32 and (labels == targets.transpose(0, 2, 1)).all()
    assert labels.max() > 100 and (labels == labels.astype(np.float16)).all()
    assert windows["split"].tolist() == splits and (windows["fold"] == 0).all() and (windows["strand"] == "+").all()
    bed = [line.split() for line in (FIXTURE / "sequences.bed").read_text().splitlines()]
    assert [(w.chrom, str(w.start + 8), str(w.end - 8), s) for w, (*_, s) in zip(windows.itertuples(), bed)] == [
        *map(tuple, bed)
    ]
    assert windows["gene_id"][0] == "chr1:-8-56"
    assert (attributes["bin_size"], attributes["crop"], attributes["n_folds"]) == (8, 8, 1)
    assert transform == TargetTransform((0.5, 1.0, 2.0), (0.5, 1.0, 1.0), (64.0, np.inf, 32.0))
    # Bases beyond chromosome ends are N: the bins of the first training tile start at 0, those of the third end at the end.
    assert (codes[0, :8] == 4).all() and (codes[2, -8:] == 4).all()


def test_order_of_the_transform_is_an_option(folder):
    with layout.open_dataset(run(folder, "--order=old")) as file:
        assert layout.read_transform(file)["order"] == "old" and layout.read_transform(file)["power"] == [0.75, 1.0, 1.0]


def test_strand_pairs_are_those_of_the_table(folder):
    with layout.open_dataset(run(folder)) as file:
        assert layout.read_strand_pair(file).tolist() == [0, 1, 2], "none without the column"
    # The first column numbers the targets in a larger table, from which these were selected.
    path = folder / "targets.txt"
    lines = path.read_text().splitlines()
    cells = [("strand_pair", lines[0])]
    cells += [(pair, line.replace(line[0], number, 1)) for line, number, pair in zip(lines[1:], "579", ("9", "", "5"))]
    path.write_text("".join(f"{line}\t{pair}\n" for pair, line in cells))
    with layout.open_dataset(run(folder)) as file:
        assert layout.read_strand_pair(file).tolist() == [2, 1, 0]
        assert layout.read_strand_pair(file).dtype == np.int32
    path.write_text(path.read_text().replace("\t5\n", "\t7\n"))
    with pytest.raises(InputError, match=r"targets\.txt:\nline 2: strand_pair of heat is acid, but that of acid is cold"):
        run(folder)


def test_rows_in_any_order(folder):
    sequences, targets, _ = expected()
    found = read_folder(folder)
    assert list(found.windows.columns) == TILE_COLUMNS
    assert [path.name for path in found.files] == [
        f"{part}.tfr" for part in ("train-0", "train-1", "train-2", "valid-0", "valid-1", "test-0")
    ]
    assert found.first_rows == (0, 3, 6, 7, 10, 10)
    examples = Examples(found)
    again = pickle.loads(pickle.dumps(examples))
    for row in (5, 0, 1, 11, 10, 9, 3, 3, 6, 7):
        place = found.windows.iloc[row][["chrom", "window_start", "window_end"]]
        assert (one_hot(again.codes(*place)) == sequences[row]).all()
        assert (again.codes(*place, "-") == examples.codes(*place, "-")).all()
        assert (one_hot(examples.codes(*place, "-")) == sequences[row][::-1, ::-1]).all()
        assert (again.labels(slice(row, row + 1))[0] == targets[row].T).all()
    assert (examples.labels(slice(5, 11)) == targets[5:11].transpose(0, 2, 1)).all()
    # The pickled state changes if a file changes, but not by reading.
    assert pickle.dumps(examples) == pickle.dumps(Examples(found))
    before = pickle.dumps(examples)
    rewrite(folder / "tfrecords" / "test-0.tfr", lambda features: features)
    assert pickle.dumps(examples) != before


def test_files_are_sorted_by_number(folder):
    """With more than ten files, train-10 comes after train-9."""
    whole = [zlib.decompress(path.read_bytes()) for path in sorted((folder / "tfrecords").glob("*.tfr"))]
    # Sorted order: test-0, train-0, …, valid-0, valid-1. All become train, with one record per file.
    joined = b"".join(whole[1:4] + whole[4:] + whole[:1])
    size = len(joined) // 12
    shutil.rmtree(folder / "tfrecords")
    (folder / "tfrecords").mkdir()
    for i in range(12):
        (folder / f"tfrecords/train-{i}.tfr").write_bytes(zlib.compress(joined[size * i : size * (i + 1)]))
    bed = (folder / "sequences.bed").read_text().replace("valid", "train").replace("test", "train")
    (folder / "sequences.bed").write_text(bed)
    found = read_folder(folder)
    assert (Examples(found).labels(slice(0, 12)) == expected()[1].transpose(0, 2, 1)).all()
    assert set(found.windows["split"]) == {"train"}


def test_folds(folder):
    for name, fold in (("train", "fold0"), ("valid", "fold2"), ("test", "fold1")):
        for path in list((folder / "tfrecords").glob(f"{name}-*")):
            path.rename(path.with_name(path.name.replace(name, fold)))
        (folder / "sequences.bed").write_text((folder / "sequences.bed").read_text().replace(name, fold))
    with layout.open_dataset(run(folder)) as file:
        windows = layout.read_windows(file)
        assert file.attrs["n_folds"] == 3
        order = [*range(7), 10, 11, 7, 8, 9]
        assert (file["labels"][:] == expected()[1][order].transpose(0, 2, 1)).all()
    assert windows["fold"].tolist() == [0] * 7 + [1] * 2 + [2] * 3 and set(windows["split"]) == {"test"}


def test_one_hot_sequences_of_older_sets(folder):
    def to_one_hot(features: dict[str, bytes]) -> dict[str, bytes]:
        codes = np.frombuffer(features["sequence"], np.uint8)
        return features | {"sequence": one_hot(codes).astype(bool).tobytes()}

    for path in (folder / "tfrecords").glob("*.tfr"):
        rewrite(path, to_one_hot)
    with layout.open_dataset(run(folder)) as file:
        assert (one_hot(file["sequences"][:]) == expected()[0]).all()
    rewrite(folder / "tfrecords/valid-0.tfr", lambda features: features | {"sequence": b"\1" * 256})
    with pytest.raises(InputError, match=r"valid-0\.tfr: the sequence of chr2:.* is not one-hot"):
        run(folder)


def test_older_sets_without_crop_and_targets(folder):
    """Older data sets have whole windows in sequences.bed, no crop_bp and no table of targets."""
    bed = [line.split() for line in (folder / "sequences.bed").read_text().splitlines()]
    text = "".join(f"{chrom} {int(start) - 8 + 100} {int(end) + 8 + 100} {part}\n" for chrom, start, end, part in bed)
    (folder / "sequences.bed").write_text(text)
    statistics = json.loads((folder / "statistics.json").read_text())
    del statistics["crop_bp"]
    (folder / "statistics.json").write_text(json.dumps(statistics))
    (folder / "targets.txt").unlink()
    with layout.open_dataset(run(folder)) as file:
        assert file.attrs["crop"] == 8 and file["windows/start"][0] == 92
        assert layout.read_tasks(file) == ["target0", "target1", "target2"]
        assert layout.read_transform(file) == {"kind": "none"}


def test_transform_of_sparse_tables(folder):
    path = folder / "targets.txt"
    path.write_text("\tidentifier\tfile\n0\ta\ta.bw\n")
    assert TargetTransform.from_dict(read_target_transform(folder)) == TargetTransform((1.0,), (1.0,), None)
    path.write_text("\tidentifier\tsum_stat\n0\ta\tsum_sqr\n")
    with pytest.raises(InputError, match=r"sum_stat in .*targets\.txt 'sum_sqr'.*sum_sqrt"):
        read_target_transform(folder)
    path.write_text("\tidentifier\tscale\n0\ta\tbig\n")
    with pytest.raises(InputError, match=r"targets\.txt: scale is 'big', not a number"):
        read_target_transform(folder)


def edit(name: str, old: str, new: str):
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


def truncate(folder: Path) -> None:
    path = folder / "tfrecords/train-1.tfr"
    path.write_bytes(path.read_bytes()[:-20])


WRONG = [
    (lambda folder: (folder / "statistics.json").unlink(), r"set has no statistics\.json"),
    (lambda folder: (folder / "sequences.bed").unlink(), r"set has no sequences\.bed"),
    (lambda folder: shutil.rmtree(folder / "tfrecords"), r"set has no tfrecords"),
    (edit("statistics.json", "{", "["), r"statistics\.json is not JSON"),
    (edit("statistics.json", "pool_width", "pool"), r"statistics\.json.*KeyError\('pool_width'\)"),
    (edit("statistics.json", '"pool_width": 8', '"pool_width": 16'), r"6 bins of 16 bp are not centred in a window of 64 bp"),
    (edit("sequences.bed", "chr1\t0\t48\ttrain", "chr1\t0\t48\tstrain"), r"split in .*sequences\.bed 'strain'.*train"),
    (edit("sequences.bed", "\ttrain", "\tfold0"), r"split in .*sequences\.bed 'fold0'"),
    (edit("sequences.bed", "chr1\t0\t48\ttrain", "chr1\t0\t47\ttrain"), r"regions are not centred in windows of 64 bp"),
    (edit("sequences.bed", "chr1\t0\t48\ttrain", "chr1\tzero\t48\ttrain"), r"sequences\.bed must have the columns"),
    (edit("sequences.bed", "chr1\t0\t48\ttrain\n", ""), r"tfrecords has 7 examples of train, but sequences\.bed has 6"),
    (edit("targets.txt", "cold\t", "heat\t"), r"targets\.txt: several targets have the identifier heat"),
    (
        edit("targets.txt", "1\tcold\tcold.bw\t384\t\t1\tmean\tRNA:cold\n", ""),
        r"targets\.txt must have a column identifier and 3 rows",
    ),
    (edit("targets.txt", "identifier", "name"), r"targets\.txt must have a column identifier"),
    (truncate, r"train-1\.tfr is truncated"),
    (lambda folder: (folder / "tfrecords/train-1.tfr").unlink(), r"tfrecords lacks train-1\.tfr"),
    (
        lambda folder: (folder / "tfrecords/train-2.tfr").unlink(),
        r"tfrecords has 6 examples of train, but sequences\.bed has 7",
    ),
    (lambda folder: (folder / "tfrecords/test-0.tfr").unlink(), r"tfrecords lacks test-0\.tfr"),
    (edit("statistics.json", '"num_targets": 3', '"num_targets": 2'), r"targets\.txt must have a column identifier and 2 rows"),
]


@pytest.mark.parametrize(("damage", "message"), WRONG)
def test_inconsistent_folders_are_errors(folder, damage, message):
    damage(folder)
    with pytest.raises(InputError, match=message):
        run(folder)
    assert not (folder / "dataset.h5").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence": bytes(63)}, r"valid-0\.tfr: the sequence of chr2:-8-56 has 63 bytes up to 0, expected 64 up to 4"),
        ({"sequence": b"\5" * 64}, r"valid-0\.tfr: the sequence of chr2:-8-56 has 64 bytes up to 5"),
        ({"sequence": b""}, r"valid-0\.tfr: the sequence of chr2:-8-56 has 0 bytes"),
        ({"target": bytes(34)}, r"valid-0\.tfr: the targets of chr2:-8-56 take 34 bytes, expected 36 for 6 bins of 3 targets"),
        ({"target": np.full(18, np.inf, np.float16).tobytes()}, r"valid-0\.tfr: chr2:-8-56 has an infinite target"),
        ({"target": None}, r"valid-0\.tfr: record 0 has no target"),
    ],
)
def test_malformed_examples_are_errors(folder, change, message):
    def exchange(features: dict[str, bytes]) -> dict[str, bytes]:
        return {name: value for name, value in (features | change).items() if value is not None}

    rewrite(folder / "tfrecords/valid-0.tfr", exchange)
    with pytest.raises(InputError, match=message):
        run(folder)
