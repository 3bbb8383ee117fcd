"""Windows that share bases with held-out windows of another data set of the same genome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset import overlaps_held_out, writer
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome

LENGTH = 40


def genome(folder: Path, seed: int, chrom: str = "chr1") -> Genome:
    folder.mkdir(exist_ok=True)
    codes = np.random.default_rng(seed).integers(0, 4, 1000).astype(np.int8)
    (folder / "genome.fa").write_text(f">{chrom}\n{decode(codes)}\n")
    return Genome(folder / "genome.fa")


def dataset(path: Path, source: Genome, starts, strands=None, splits="train", folds=0, n_folds=1, pad=0, bins=0, chrom="chr1"):
    n = len(starts)
    windows = pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(n)], "chrom": chrom, "strand": strands or ["+"] * n,
            "window_start": starts, "window_end": np.asarray(starts) + LENGTH, "mask_start": 0, "mask_end": 0,
            "split": splits, "fold": folds,
        }
    )  # fmt: skip
    labels = writer.Labels(np.zeros((n, 1, LENGTH // bins if bins else 1), np.float32), ["a"])
    writer.write_dataset(path, windows, labels, source, writer.Layout(pad, bins), {"n_folds": n_folds})
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    starts, splits = [0, 200, 400, 960], ["train", "val", "test", "val"]
    return dataset(tmp_path / "own.h5", genome(tmp_path / "one", 0), starts, ["+", "-", "-", "+"], splits)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_windows_of_the_same_genome_that_share_a_base_are_found(own, tmp_path, strand):
    starts = [0, 160, 161, 239, 240, 361, 440, 930]
    other = dataset(tmp_path / "other.h5", genome(tmp_path / "copy", 0), starts, [strand] * 8)
    assert overlaps_held_out(own, other).tolist() == [False, False, True, True, False, True, False, True]


def test_bases_into_which_training_shifts_windows_count(own, tmp_path):
    starts = [0, 157, 158, 242, 243]
    other = dataset(tmp_path / "other.h5", genome(tmp_path / "copy", 0), starts, pad=3)
    assert overlaps_held_out(own, other).tolist() == [False, False, True, True, False]


def test_chromosomes_of_another_genome_with_the_same_name_are_not_confused(own, tmp_path):
    other = dataset(tmp_path / "other.h5", genome(tmp_path / "mouse", 1), [0, 200, 400])
    assert not overlaps_held_out(own, other).any()
    other = dataset(tmp_path / "elsewhere.h5", genome(tmp_path / "named", 0, "chr2"), [0, 200], chrom="chr2")
    assert not overlaps_held_out(own, other).any()


def test_masked_and_changed_bases_make_no_other_genome(own, tmp_path):
    source = genome(tmp_path / "patched", 0)
    text = list((tmp_path / "patched" / "genome.fa").read_text().splitlines()[1])
    text[210:225] = "N" * 15
    text[405] = "A" if text[405] != "A" else "C"
    (tmp_path / "patched" / "genome.fa").write_text(">chr1\n" + "".join(text) + "\n")
    source = Genome(tmp_path / "patched" / "genome.fa")
    other = dataset(tmp_path / "other.h5", source, [0, 200, 400])
    assert overlaps_held_out(own, other).tolist() == [False, True, True]


def test_held_out_windows_are_those_of_the_fold(tmp_path):
    source = genome(tmp_path / "one", 0)
    own = dataset(tmp_path / "own.h5", source, [0, 100, 200, 300], splits="test", folds=[0, 1, 2, 3], n_folds=4)
    other = dataset(tmp_path / "other.h5", source, [0, 100, 200, 300, 400])
    assert overlaps_held_out(own, other, 1).tolist() == [False, True, True, False, False]
    assert overlaps_held_out(own, other, 3).tolist() == [True, False, False, True, False]


def test_windows_of_genes_reach_beyond_held_out_tiles(tmp_path):
    source = genome(tmp_path / "one", 0)
    own = dataset(tmp_path / "own.h5", source, [100, 300], splits=["train", "test"], bins=8)
    starts = [100, 219, 220, 221, 300, 379, 380]
    other = dataset(tmp_path / "other.h5", source, starts)
    assert overlaps_held_out(own, other).tolist() == [False, False, False, True, True, True, False]
