"""Scouting of a coverage run, on a small genome with tracks of known shape."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyBigWig
import pytest
import yaml

import scout as program
from cisnake import configuration
from cisnake.data.genome import decode
from cisnake.files import write_table
from cisnake.scout import choose_tiles, choose_tracks

LENGTH, TILE, BIN = 60_000, 1024, 32


@pytest.fixture
def files(tmp_path: Path, gene_row: Callable[..., str]) -> Path:
    """Three chromosomes with genes on both strands, and tracks: of either strand, accessible at a word, spiky, and constant."""
    rng = np.random.default_rng(3)
    chroms = ["chr1", "chr2", "chr3"]
    codes = {chrom: rng.integers(0, 4, LENGTH).astype(np.int8) for chrom in chroms}
    rows, tracks = [], {name: {} for name in ("rna_plus", "rna_minus", "open", "spiky", "flat")}
    for chrom in chroms:
        strands = {strand: rng.gamma(1, 0.2, LENGTH) for strand in "+-"}
        for i, start in enumerate(range(1000, LENGTH - 2000, 2000)):
            strand = "+-"[i % 2]
            rows.append(gene_row(chrom, start, start + 1200, strand, gene_id=f"{chrom}_{i}"))
            strands[strand][start : start + 1200] += 3
        site = np.array([m.start() for m in re.finditer("CGA|TCG", decode(codes[chrom]))])
        opened = np.convolve(np.bincount(site, minlength=LENGTH), np.ones(60), "same")
        spiky = rng.gamma(1, 0.01, LENGTH)
        spiky[rng.integers(0, LENGTH, 2)] = 1e5
        values = (strands["+"], strands["-"], opened, spiky, np.zeros(LENGTH))
        for name, value in zip(tracks, values, strict=True):
            tracks[name][chrom] = value
    for name, values in tracks.items():
        with pyBigWig.open(str(tmp_path / f"{name}.bw"), "w") as file:
            file.addHeader([(chrom, LENGTH) for chrom in chroms])
            for chrom in chroms:
                file.addEntries(chrom, 0, values=values[chrom].astype(float).tolist(), span=1, step=1)
    (tmp_path / "genome.fa").write_text("".join(f">{chrom}\n{decode(codes[chrom])}\n" for chrom in chroms))
    (tmp_path / "genes.gtf").write_text("".join(rows))
    starts = np.arange(0, LENGTH - TILE, TILE)
    tiles = pd.concat([pd.DataFrame({"chrom": chrom, "window_start": starts}) for chrom in chroms], ignore_index=True)
    split = tiles["chrom"].map({"chr1": "train", "chr2": "val", "chr3": "test"})
    tiles = tiles.assign(
        gene_id=tiles["chrom"] + ":" + tiles["window_start"].astype(str), window_end=tiles["window_start"] + TILE, strand="+",
        mask_start=0, mask_end=0, split=split, fold=0,
    )  # fmt: skip
    write_table(tiles, tmp_path / "tiles.tsv")
    return tmp_path


def run(folder: Path, table: str, **targets: Any) -> tuple[str, dict[str, Any]]:
    """Scout with a table of tracks; return the text of the page, and the advice."""
    (folder / "tracks.tsv").write_text(table)
    config = {
        "run": {"name": "tracks", "data_dir": str(folder)},
        "genome": {"fasta": "genome.fa"},
        "annotation": {"gtf": "genes.gtf"},
        "targets": {"kind": "coverage", "tracks": "tracks.tsv", "bin_size": BIN, "crop": 64, **targets},
        "windows": {"upstream": TILE // 2, "downstream": TILE // 2},
        "splits": {"val": ["chr2"], "test": ["chr3"]},
        "model": {"params": "config/models/coverage_small.yaml"},
        "attribution": {"contrasts": {"a": {"on_tasks": ["open"], "score": "aggregate"}}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    options = {"genome": "genome.fa", "gtf": "genes.gtf", "tiles": "tiles.tsv", "tracks": "tracks.tsv"}
    words = [part for option, name in options.items() for part in (f"--{option}", str(folder / name))]
    program.main(program.parser().parse_args(["--config", str(path), *words, "--output", str(folder / "scout")]))
    text = re.sub(r"<[^>]+>", " ", (folder / "scout" / "scout.html").read_text())
    advice = yaml.safe_load((folder / "scout" / "advice.yaml").read_text())
    merged = config | {"targets": config["targets"] | advice.get("targets", {})}
    configuration.complete(merged)
    return text, advice


GOOD = "identifier\tfile\tstrand_pair\nplus\trna_plus.bw\tminus\nminus\trna_minus.bw\tplus\nopen\topen.bw\t\n"


def test_ordinary_tracks_need_no_advice(files: Path) -> None:
    text, advice = run(files, GOOD)
    assert advice == {} and "Nothing about the tracks is unusual" in text and "look swapped" not in text
    windows = pd.read_csv(files / "scout" / "windows.tsv", sep="\t")
    assert windows["bases"].tolist() == [100, 200, 500, 1000, 2000] and windows["recommended"].sum() == 1
    run(files, "identifier\tfile\nopen\topen.bw\n")
    windows = pd.read_csv(files / "scout" / "windows.tsv", sep="\t").set_index("bases")
    # Sites act over 60 bases; more sequence than a bin and its flanks does not help.
    assert windows["score"].idxmax() in (100, 200) and windows["score"].max() > 0.5
    assert windows["recommended"].idxmax() <= 200


def test_swapped_strands_are_detected(files: Path) -> None:
    swapped = GOOD.replace("rna_plus", "rna_x").replace("rna_minus", "rna_plus").replace("rna_x", "rna_minus")
    assert "Tracks plus and minus look swapped" in run(files, swapped)[0]
    # The column strand has precedence over the name.
    columns = "identifier\tfile\tstrand_pair\tstrand\na\trna_minus.bw\tb\t-\nb\trna_plus.bw\ta\t+\n"
    assert "swapped" not in run(files, columns)[0]
    alike = "identifier\tfile\tstrand_pair\na\trna_plus.bw\tb\nb\trna_plus.bw\ta\n"
    assert "are a strand pair, but both are higher in genes on the + strand" in run(files, alike)[0]


def test_spiky_and_constant_tracks_are_named(files: Path) -> None:
    table = "identifier\tfile\nopen\topen.bw\nspiky\tspiky.bw\nflat\tflat.bw\n"
    text, advice = run(files, table)
    assert advice == {"targets": {"clip_pct": 0.999}}
    assert "spiky: the highest thousandth of the bins" in text and "open: the highest" not in text
    assert "flat has the same value" in text and "open has the same" not in text
    # What the table of tracks clips is no longer extreme.
    clipped = "identifier\tfile\tclip\nopen\topen.bw\t\nspiky\tspiky.bw\t2\n"
    assert run(files, clipped)[1] == {}


def test_test_tiles_are_not_read(files: Path) -> None:
    before = run(files, GOOD)
    for name in ("rna_plus", "rna_minus", "open"):
        with pyBigWig.open(str(files / f"{name}.bw")) as file:
            values = {chrom: file.values(chrom, 0, LENGTH, numpy=True) for chrom in ("chr1", "chr2", "chr3")}
        values["chr3"] = np.full(LENGTH, 1e6)
        with pyBigWig.open(str(files / f"{name}.bw"), "w") as file:
            file.addHeader([(chrom, LENGTH) for chrom in values])
            for chrom, value in values.items():
                file.addEntries(chrom, 0, values=value.astype(float).tolist(), span=1, step=1)
    assert run(files, GOOD) == before


def test_many_tracks_are_sampled_with_their_partners() -> None:
    pairs = np.arange(200) ^ 1
    tracks = pd.DataFrame({"identifier": [f"t{i}" for i in range(200)], "strand_pair": pairs})
    chosen = choose_tracks(tracks)
    assert len(chosen) <= 48 and {"t0", "t199"} <= set(chosen["identifier"])
    names = chosen["identifier"].str[1:].astype(int).to_numpy()
    assert np.array_equal(names[chosen["strand_pair"]], pairs[names])
    assert choose_tracks(tracks.head(10)).equals(tracks.head(10))


def test_tiles_are_sampled_evenly_and_never_from_the_test_split() -> None:
    n = 9000
    tiles = pd.DataFrame({"window_start": np.arange(n) * 100, "split": np.repeat(["train", "val", "test"], n // 3), "fold": 0})
    tiles = tiles.assign(window_end=tiles["window_start"] + 1000)
    chosen = choose_tiles(tiles, 1, 2)
    assert chosen["role"].value_counts().to_dict() == {"train": 400, "val": 200}
    assert chosen["window_start"].is_monotonic_increasing and chosen["window_start"].iloc[[0, 399]].tolist() == [0, 299900]
    # Long windows of many tracks: fewer tiles.
    assert len(choose_tiles(tiles.assign(window_end=tiles["window_start"] + 500_000), 1, 48)) < 30
    folds = tiles.assign(fold=np.arange(n) % 3, split="test")
    kept = choose_tiles(folds, 3, 2)
    assert set(kept["fold"]) == {1, 2} and (kept["fold"] == 1).sum() == 200
