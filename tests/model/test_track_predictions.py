"""Tracks along regions: every bin is predicted once, in its place, from the window around it."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pyBigWig
import pytest

from cisnake.data.genome import Genome, one_hot
from cisnake.errors import InputError
from cisnake.model import WindowViews, write_track_predictions
from cisnake.model.track_predictions import divide_regions

BIN, LENGTH, POSITIONS = 4, 32, 5
CROP = (LENGTH - BIN * POSITIONS) // 2


def network(seed=0):
    """A network whose bins are weighted counts of their own bases, and of one base on either side."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((LENGTH, 4))
    x = keras.layers.Conv1D(2, BIN + 2, strides=BIN)(keras.layers.Cropping1D((CROP - 1, CROP - 1))(inputs))
    return keras.Model(inputs, x)


def regions(*rows):
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


@pytest.fixture
def genome(tiny):
    return Genome(tiny.fasta)


def expected_bin(model, genome, chrom, start):
    kernel, bias = model.layers[-1].get_weights()
    return np.einsum("kc,kcf->f", one_hot(genome.codes(chrom, start - 1, start + BIN + 1)), kernel) + bias


def test_every_bin_has_the_value_of_its_bases(genome, tmp_path):
    size = genome.sizes["chr1"]
    asked = regions(("chr1", 6, 50), ("chr1", 48, 91), ("chr2", 0, 9), ("chr1", size - 30, size), ("chr1", 200, 201))
    model = network()
    write_track_predictions(asked, genome, [model], ["a", "b"], tmp_path / "t", BIN, batch_size=3)
    covered = {("chr1", at) for at in [*range(4, 92, BIN), 200, *range((size - 30) // BIN * BIN, size, BIN)]}
    covered |= {("chr2", at) for at in range(0, 12, BIN)}
    for i, task in enumerate("ab"):
        with pyBigWig.open(str(tmp_path / "t" / f"{task}.bw")) as track:
            found = {(chrom, s): (e, v) for chrom in ("chr1", "chr2") for s, e, v in track.intervals(chrom)}
        assert set(found) == covered
        for (chrom, start), (end, value) in found.items():
            assert end == min(start + BIN, genome.sizes[chrom])
            np.testing.assert_allclose(value, expected_bin(model, genome, chrom, start)[i], rtol=1e-4, atol=1e-5)


def test_pieces_cover_each_base_once(genome):
    pieces = divide_regions(regions(("chr1", 3, 77), ("chr1", 70, 75), ("chr1", 76, 130), ("chr2", 8, 9)), genome, 4, 20)
    bases = [(p.chrom, base) for p in pieces for base in range(p.start, p.end)]
    assert len(bases) == len(set(bases))
    assert set(bases) == {("chr1", b) for b in range(132)} | {("chr2", b) for b in range(8, 12)}
    assert all(p.start % 4 == 0 and p.end - p.start <= 20 for p in pieces)


def test_both_strands_and_all_networks_are_averaged(genome, tmp_path):
    models = [network(1), network(2)]
    asked = regions(("chr1", 40, 60))
    pair = [1, 0]
    write_track_predictions(asked, genome, models, ["+", "-"], tmp_path / "t", BIN, ["-"], WindowViews((0,), True, pair))
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["-.bw"]
    x = one_hot(genome.codes("chr1", 40 - CROP, 40 - CROP + LENGTH))[None]
    turned = [np.asarray(m(x[:, ::-1, ::-1]))[0, ::-1][:, pair] for m in models]
    expected = np.mean([*(np.asarray(m(x))[0] for m in models), *turned], axis=0)[:, 1]
    with pyBigWig.open(str(tmp_path / "t" / "-.bw")) as track:
        np.testing.assert_allclose([v for *_, v in track.intervals("chr1")], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "tasks", "bin_size", "message"),
    [
        (("chr1", 10, 10**6), ["a", "b"], BIN, r"region chr1:11-1000000 is outside the genome"),
        (("chr1", 10, 20), ["a", "b"], 8, r"5 positions of 8 bases are not the middle"),
        (("chr1", 10, 20), ["a", "b/c"], BIN, r"task b/c cannot be the name of a file"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(asked, tasks, bin_size, message, genome, tmp_path):
    with pytest.raises(InputError, match=message):
        write_track_predictions(regions(asked), genome, [network()], tasks, tmp_path / "t", bin_size)
    assert not [path for path in tmp_path.iterdir() if path.name != "tiny"]


def test_networks_without_positions_and_existing_folders_are_refused(genome, tmp_path):
    inputs = keras.Input((LENGTH, 4))
    flat = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    with pytest.raises(InputError, match="one value per window"):
        write_track_predictions(regions(("chr1", 1, 9)), genome, [flat], ["a", "b"], tmp_path / "t", BIN)
    with pytest.raises(InputError, match="exists already"):
        write_track_predictions(regions(("chr1", 1, 9)), genome, [network()], ["a", "b"], tmp_path, BIN)


def test_the_program_predicts_a_whole_genome(tmp_path, tiny, genome):
    network().save(tmp_path / "a.keras")
    program = Path(__file__).resolve().parents[2] / "scripts" / "predict_tracks.py"
    options = ["--networks", "a.keras", "--genome", tiny.fasta, "--bin-size", str(BIN), "--output", "tracks"]

    def run(*more):
        return subprocess.run(
            [sys.executable, program, *options, *more], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )

    refused = run("--select", "task_7")
    assert refused.returncode == 1 and "task in --select" in refused.stderr and not (tmp_path / "tracks").exists()
    done = run("--select", "task_1")
    assert done.returncode == 0, done.stderr
    with pyBigWig.open(str(tmp_path / "tracks" / "task_1.bw")) as track:
        assert track.chroms() == genome.sizes
        assert all(sum(e - s for s, e, _ in track.intervals(chrom)) == size for chrom, size in genome.sizes.items())
