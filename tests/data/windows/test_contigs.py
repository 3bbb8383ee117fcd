"""Contigs match base-by-base definitions; also their shares of the genome and the distance between splits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows import contigs as module
from cisnake.data.windows.contigs import (
    break_contigs,
    break_for_fractions,
    divide_contigs,
    find_unknown,
    make_contigs,
    separate_contigs,
)
from cisnake.errors import InputError
from cisnake.sections import SplitsSection


def by(**keys: Any) -> SplitsSection:
    return configuration.section("splits", **keys)


Places = list[tuple]
LONG = 1_000_000
SIZES = dict.fromkeys(["chr1", "chr2", "chr3"], LONG)


def table(places: Places) -> pd.DataFrame:
    frame = pd.DataFrame(places, columns=["chrom", "start", "end", "split", "fold"][: len(places[0]) if places else 3])
    return frame.astype({"start": "int64", "end": "int64"})


def places(frame: pd.DataFrame) -> Places:
    return list(frame.itertuples(index=False, name=None))


def runs(bases: set[tuple[str, int]]) -> Places:
    found: Places = []
    for chrom, i in sorted(bases):
        if found and found[-1][0] == chrom and found[-1][2] == i:
            found[-1] = (chrom, found[-1][1], i + 1)
        else:
            found.append((chrom, i, i + 1))
    return found


def bases(places: Places) -> set[tuple[str, int]]:
    return {(place[0], i) for place in places for i in range(place[1], place[2])}


def halve(start: int, end: int, shortest: int, longest: int) -> list[tuple[int, int]]:
    if end - start <= longest or (end - start) // 2 < shortest:
        return [(start, end)]
    middle = start + (end - start) // 2
    return halve(start, middle, shortest, longest) + halve(middle, end, shortest, longest)


@pytest.mark.parametrize("at_once", [7, 1 << 24])
def test_unknown_bases_are_found_in_pieces_of_any_size(tmp_path: Path, monkeypatch, at_once):
    sequences = {"chr1": "NNACGTNNNNNNNNNNACRn", "chr2": "ACGT", "chr3": "nnnnnnnnnnnnnn"}
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
    monkeypatch.setattr(module, "_BASES_AT_ONCE", at_once)
    found = find_unknown(Genome(path), ["chr1", "chr2", "chr3"])
    assert places(found) == [("chr1", 0, 2), ("chr1", 6, 16), ("chr1", 18, 20), ("chr3", 0, 14)]
    assert find_unknown(Genome(path), ["chr2"]).empty


@pytest.mark.parametrize("seed", range(30))
def test_contigs_base_by_base(seed):
    rng = np.random.default_rng(seed)
    sizes = {f"chr{i}": int(rng.integers(1, 200)) for i in range(rng.integers(1, 4))}

    def random_places(n: int) -> Places:
        start = rng.integers(0, 190, n)
        return [*zip(rng.choice(list(sizes), n), start.tolist(), (start + rng.integers(0, 40, n)).tolist())]

    gaps, limit = random_places(rng.integers(0, 6)), random_places(8)
    shortest, longest = int(rng.integers(1, 12)), int(rng.integers(12, 60))
    genome = bases([(chrom, 0, size) for chrom, size in sizes.items()])
    without_gaps = genome - bases(gaps)
    for limits in (None, limit):
        left = without_gaps if limits is None else without_gaps & bases(limits)
        wanted = [
            (chrom, *half)
            for chrom, start, end in runs(left)
            if end - start >= shortest
            for half in halve(start, end, shortest, longest)
        ]
        found, dropped = make_contigs(sizes, table(gaps), None if limits is None else table(limits), shortest, longest)
        assert places(found) == wanted
        assert list(dropped) == ["gaps", "outside_limit", "short_contigs"]
        assert dropped["gaps"] == len(genome) - len(without_gaps)
        assert dropped["outside_limit"] == len(without_gaps) - len(left)
        assert dropped["short_contigs"] == len(left) - len(bases(places(found)))


QUARTERS = [
    ("a", 10, 35),
    ("a", 35, 60),
    ("a", 60, 85),
    ("a", 85, 111),
    ("b", 0, 30),
]


def test_contigs_are_halved_as_long_as_they_hold_a_window():
    contigs = table([("a", 10, 111), ("b", 0, 30)])
    for shortest in (1, 25):
        assert places(break_contigs(contigs, shortest, 30)) == QUARTERS
    assert places(break_contigs(contigs, 26, 30)) == [("a", 10, 60), ("a", 60, 111), ("b", 0, 30)]


def plain_deal(length: list[int], aim: list[float], abstains: list[bool], floor: list[int], seed: int) -> list[int]:
    """The procedure one contig at a time, in plain Python."""
    rng, has, part = np.random.default_rng(seed), [0] * len(aim), [0] * len(length)
    for i in sorted(range(len(length)), key=lambda i: (-length[i], i)):
        lacks = [max(f, a - h) for f, a, h in zip(floor, aim, has)]
        lacks = [0 if no and length[i] > 0.2 * lack else lack for no, lack in zip(abstains, lacks)]
        part[i] = int(rng.choice(len(aim), p=[lack / sum(lacks) for lack in lacks]))
        has[part[i]] += length[i]
    return part


def random_contigs(seed: int, n: int = 120) -> pd.DataFrame:
    """Contigs on two chromosomes, some of them adjacent."""
    rng = np.random.default_rng(seed)
    found: Places = []
    for chrom in ("chr1", "chr2"):
        steps = rng.integers(1, 60, n) * rng.integers(0, 2, n)
        ends = np.cumsum(rng.integers(20, 200, n) + steps)
        found += [(chrom, int(start), int(end)) for start, end in zip(np.r_[0, ends[:-1]] + steps, ends)]
    return table(found)


@pytest.mark.parametrize("seed", range(10))
def test_fractions_and_folds_against_the_plain_procedure(seed):
    contigs = random_contigs(seed)
    length = (contigs["end"] - contigs["start"]).tolist()
    total = sum(length)
    for splits in ({"val_fraction": 0.1, "test_fraction": 0.25}, {"folds": 4}):
        if "folds" in splits:
            part = plain_deal(length, [-(-total // 4)] * 4, [False] * 4, [0] * 4, seed)
            wanted = contigs.assign(split="test", fold=part)
        else:
            aim = [0.65 * total, 0.1 * total, 0.25 * total]
            part = plain_deal(length, aim, [False, True, True], [1, 0, 0], seed)
            wanted = contigs.assign(split=[("train", "val", "test")[i] for i in part], fold=0)
        found = divide_contigs(contigs, by(**splits), SIZES, seed)
        assert places(found) == sorted(places(found))
        for key, group in wanted.groupby(["split", "fold"]):
            of_key = found[(found["split"] == key[0]) & (found["fold"] == key[1])]
            assert places(of_key[["chrom", "start", "end"]]) == runs(bases(places(group)))
        again = divide_contigs(contigs, by(**splits), {"chr1": LONG, "chr2": LONG}, seed)
        assert found.equals(again)
        assert not found.equals(divide_contigs(contigs, by(**splits), {"chr1": LONG, "chr2": LONG}, seed + 1))


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_close_to_their_targets(seed):
    contigs = random_contigs(seed, n=500)
    length = (contigs["end"] - contigs["start"]).sum()
    by_fraction = divide_contigs(contigs, by(val_fraction=0.1, test_fraction=0.2), {"chr1": LONG, "chr2": LONG}, seed)
    by_fold = divide_contigs(contigs, by(folds=5), {"chr1": LONG, "chr2": LONG}, seed)
    for found, key, aims in (
        (by_fraction, "split", {"train": 0.7, "val": 0.1, "test": 0.2}),
        (by_fold, "fold", dict.fromkeys(range(5), 0.2)),
    ):
        share = (found["end"] - found["start"]).groupby(found[key]).sum() / length
        assert share.sum() == pytest.approx(1)
        for name, aim in aims.items():
            assert share[name] == pytest.approx(aim, abs=0.02)


def test_by_chromosome():
    contigs = table([("chr1", 0, 50), ("chr1", 50, 90), ("chr2", 0, 40), ("chr3", 5, 9)])
    splits = {"val": ["chr3"], "test": ["chr2"]}
    assert places(divide_contigs(contigs, by(**splits), SIZES, 0)) == [
        ("chr1", 0, 90, "train", 0),
        ("chr2", 0, 40, "test", 0),
        ("chr3", 5, 9, "val", 0),
    ]
    with pytest.raises(InputError, match=r"splits\.val 'chr4'"):
        divide_contigs(contigs, by(val=["chr4"], test=["chr2"]), SIZES, 0)
    with pytest.raises(InputError, match=r"splits\.genes does not apply to tiles"):
        divide_contigs(contigs, by(genes="splits.tsv"), SIZES, 0)
    with pytest.raises(InputError, match=r"none of the 4 contigs, of up to 50 bp, was assigned to val"):
        divide_contigs(contigs, by(val=["chr4"], test=["chr2"]), SIZES | {"chr4": 9}, 0)


def test_contigs_are_cut_at_the_borders_of_regions(tmp_path: Path):
    contigs = table([("chr1", 5, 50), ("chr1", 50, 90), ("chr2", 0, 40)])
    found = divide_contigs(contigs, by(val=["chr1:1-10", "chr1:31-60"], test=["chr2:11-20"]), {"chr1": 90, "chr2": 40}, 0)
    assert places(found) == [
        ("chr1", 5, 10, "val", 0),
        ("chr1", 10, 30, "train", 0),
        ("chr1", 30, 60, "val", 0),
        ("chr1", 60, 90, "train", 0),
        ("chr2", 0, 10, "train", 0),
        ("chr2", 10, 20, "test", 0),
        ("chr2", 20, 40, "train", 0),
    ]
    path = tmp_path / "regions.tsv"
    path.write_text("chrom\tstart\tend\tsplit\nchr1\t0\t30\ttrain\nchr1\t40\t60\tval\nchr2\t10\t40\ttest\n")
    found = divide_contigs(contigs, by(regions=str(path)), {"chr1": 90, "chr2": 40}, 0)
    assert places(found) == [("chr1", 5, 30, "train", 0), ("chr1", 40, 60, "val", 0), ("chr2", 10, 40, "test", 0)]


@pytest.mark.parametrize("seed", range(5))
def test_fractions_of_all_bases_are_held_out_beside_regions(seed):
    contigs = random_contigs(seed, n=500)
    sizes = {"chr1": LONG, "chr2": LONG}
    total = (contigs["end"] - contigs["start"]).sum()
    test = contigs[(contigs["chrom"] == "chr2") & (contigs["end"] <= 20000)]
    aim = (test["end"] - test["start"]).sum() / total
    for splits, held_out in (
        ({"val_fraction": 0.1, "test": ["chr2:1-20000"]}, "val"),
        ({"test_fraction": 0.1, "val": ["chr2:1-20000"]}, "test"),
    ):
        found = divide_contigs(contigs, by(**splits), sizes, seed)
        share = (found["end"] - found["start"]).groupby(found["split"]).sum() / total
        assert share.sum() == pytest.approx(1) and share[held_out] == pytest.approx(0.1, abs=0.02)
        fixed = found[found["split"] == ("test" if held_out == "val" else "val")]
        assert bases(places(fixed)) == {(c, i) for c, i in bases(places(contigs)) if c == "chr2" and i < 20000}
        assert aim - 0.01 < share[fixed["split"].iloc[0]] < aim + 0.01
        assert found.equals(divide_contigs(contigs, by(**splits), sizes, seed))


def test_a_fraction_that_leaves_nothing_beside_a_chromosome_is_refused():
    contigs = table([("chr1", 0, 50), ("chr2", 0, 950)])
    with pytest.raises(InputError, match=r"together are 1\.05 of the bases: nothing is left for training"):
        divide_contigs(contigs, by(val_fraction=0.1, test=["chr2"]), {"chr1": 50, "chr2": 950}, 0)


def test_contigs_too_large_to_be_held_out_are_named():
    contigs = table([("chr1", 1000 * i, 1000 * i + 900) for i in range(20)])
    with pytest.raises(InputError, match=r"up to 900 bp, was assigned to val: use larger fractions, or regions.*20%"):
        divide_contigs(contigs, by(val_fraction=0.1, test_fraction=0.1), {"chr1": LONG}, 0)
    with pytest.raises(InputError, match=r"together are 1 of the bases"):
        divide_contigs(contigs, by(val_fraction=0.4, test_fraction=0.6), {"chr1": LONG}, 0)
    with pytest.raises(InputError, match=r"was assigned to fold"):
        divide_contigs(contigs[:2], by(folds=3), {"chr1": LONG}, 0)


def near(places: Places, distance: int) -> set[tuple[str, int]]:
    return bases([(chrom, start - distance, end + distance) for chrom, start, end, *_ in places])


@pytest.mark.parametrize("distance", [0, 1, 30, 250])
@pytest.mark.parametrize("seed", range(6))
def test_splits_are_separated_no_further_than_needed(seed, distance):
    rng = np.random.default_rng(seed)
    contigs = random_contigs(seed, n=25)
    contigs = contigs.assign(split=rng.choice(["train", "val", "test"], len(contigs)), fold=0)
    found = separate_contigs(contigs, distance)
    before = {split: places(contigs[contigs["split"] == split]) for split in ("train", "val", "test")}
    after = {split: places(found[found["split"] == split]) for split in ("train", "val", "test")}
    assert after["test"] == before["test"]
    assert bases(after["val"]) == bases(before["val"]) - near(after["test"], distance)
    held_out = near(after["test"], distance) | near(after["val"], distance)
    assert bases(after["train"]) == bases(before["train"]) - held_out
    assert places(found) == sorted(places(found))


@pytest.mark.parametrize("distance", [0, 1, 30, 250])
@pytest.mark.parametrize("seed", range(6))
def test_folds_are_separated_at_the_start_of_the_downstream_contig(seed, distance):
    rng = np.random.default_rng(seed)
    contigs = random_contigs(seed, n=25)
    contigs = contigs.assign(split="test", fold=rng.integers(0, 4, len(contigs)))
    found = separate_contigs(contigs, distance)
    for fold in range(4):
        of_fold, others = places(contigs[contigs["fold"] == fold]), places(contigs[contigs["fold"] != fold])
        right_of = bases([(chrom, end, end + distance) for chrom, _, end, *_ in others])
        assert bases(places(found[found["fold"] == fold])) == bases(of_fold) - right_of
    for left, right in pairwise(places(found)):
        if left[0] == right[0] and left[4] != right[4]:
            assert right[1] - left[2] >= distance
    assert found.groupby("chrom")["start"].is_monotonic_increasing.all()


@pytest.mark.parametrize("splits", [{"val_fraction": 0.1, "test_fraction": 0.1}, {"val_fraction": 0.1, "test": ["chr3"]}])
@pytest.mark.parametrize("seed", range(4))
def test_fractions_of_a_genome_of_three_chromosomes(seed, splits):
    sizes = {"chr1": 5_600_000, "chr2": 4_500_000, "chr3": 2_500_000}
    contigs, _ = make_contigs(sizes, table([]), None, 2048, 786432)
    found = divide_contigs(break_for_fractions(contigs, by(**splits), 2048), by(**splits), sizes, seed)
    share = (found["end"] - found["start"]).groupby(found["split"]).sum() / sum(sizes.values())
    assert 0.08 < share["val"] <= 0.1
    assert 0.08 < share["test"] <= 0.1 if "test_fraction" in splits else share["test"] == pytest.approx(2.5 / 12.6)
    # They are spread over the chromosomes.
    assert found[found["split"] == "val"]["chrom"].nunique() == (3 if "test_fraction" in splits else 2)


def test_long_contigs_are_halved_only_for_fractions():
    contigs = table([("chr1", 0, 1000), ("chr2", 0, 30)])
    assert break_for_fractions(contigs, by(folds=3), 10) is contigs
    assert break_for_fractions(contigs, by(val=["chr1"], test=["chr2"]), 10) is contigs
    halved = break_for_fractions(contigs, by(val_fraction=0.5, test=["chr2"]), 10)
    assert (halved["end"] - halved["start"]).max() <= 20 and bases(places(halved)) == bases(places(contigs))
