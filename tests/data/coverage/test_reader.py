"""Bins of windows equal a plain definition and the output of the readers of Basenji and Baskerville for the same track."""

from __future__ import annotations

import json
import pickle
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
import pytest

import write_coverage
from cisnake.data.coverage.bins import count_covered
from cisnake.data.coverage.reader import CoverageReader, CoverageSettings, clipped, negative_tracks
from cisnake.data.coverage.transform import TargetTransform
from cisnake.data.dataset import layout
from cisnake.errors import InputError
from cisnake.files import write_table

SIZES = {"chr1": 900, "chr2": 700}
PEERS = Path(__file__).parent / "peers" / "coverage.npz"


def write_bigwig(path, values):
    """Write arrays by chromosome; NaN values are not written."""
    with pyBigWig.open(str(path), "w") as track:
        track.addHeader([(chrom, len(chrom_values)) for chrom, chrom_values in values.items()])
        for chrom, chrom_values in values.items():
            known = np.flatnonzero(~np.isnan(chrom_values))
            if len(known):
                track.addEntries(np.full(len(known), chrom), known, ends=known + 1, values=chrom_values[known].astype(float))
    return path


def make_tracks(files, **columns):
    n = len(files)
    table = {
        "identifier": [f"t{i}" for i in range(n)],
        "file": [str(file) for file in files],
        "format": "bigwig",
        "clip": np.inf,
        "clip_soft": np.inf,
        "scale": 1.0,
        "sum_stat": "sum",
        "strand_pair": range(n),
    }
    return pd.DataFrame(table | columns)


def make_windows(*places):
    return pd.DataFrame(places, columns=["chrom", "window_start", "window_end", "strand"])


def random_track(path, seed, gaps=False, sizes=SIZES):
    rng = np.random.default_rng(seed)
    values = {chrom: rng.gamma(0.5, 8, size).astype(np.float32) for chrom, size in sizes.items()}
    if gaps:
        for chrom_values in values.values():
            chrom_values[rng.random(len(chrom_values)) < 0.3] = np.nan
    return write_bigwig(path, values), values


WINDOWS = make_windows(("chr1", 0, 160, "+"), ("chr2", 333, 493, "-"), ("chr1", 740, 900, "-"), ("chr2", 10, 170, "+"))

PLAIN = {
    "sum": lambda x: x.sum(axis=-1),
    "mean": lambda x: x.mean(axis=-1),
    "avg": lambda x: x.mean(axis=-1),
    "max": lambda x: x.max(axis=-1),
    "median": lambda x: np.median(x, axis=-1),
    "peak": lambda x: np.clip(np.sqrt(4 * x.mean(axis=-1)), 0, 1),
    "sum_sqrt": lambda x: np.sqrt(1 + x.sum(axis=-1)) - 1,
    "mean_sqrt": lambda x: np.sqrt(1 + x.mean(axis=-1)) - 1,
    "sum_exp75": lambda x: (1 + x.sum(axis=-1)) ** 0.75 - 1,
}


@pytest.mark.parametrize("sum_stat", PLAIN)
def test_against_the_plain_definition(tmp_path, sum_stat):
    file, values = random_track(tmp_path / "a.bw", 0)
    tracks = make_tracks([file], sum_stat=sum_stat, scale=0.3, clip_soft=2.0, clip=3.5)
    reader = CoverageReader(tracks, WINDOWS, SIZES, 8, 24)
    labels = reader(slice(None))
    assert labels.shape == (4, 1, 14)
    assert labels.dtype == np.float32
    for label, (chrom, start, end, strand) in zip(labels[:, 0], WINDOWS.itertuples(index=False)):
        bases = values[chrom][start + 24 : end - 24].astype(float) * 0.3
        x = PLAIN[sum_stat](bases.reshape(-1, 8))
        x = np.where(x > 2, 2 - 1 + np.sqrt(np.maximum(x - 2 + 1, 0)), x)
        x = np.clip(x, -3.5, 3.5)
        np.testing.assert_allclose(label, x[::-1] if strand == "-" else x, rtol=3e-6, atol=1e-6)


def test_sums_of_integers_are_exact(tmp_path):
    values = {"chr1": np.random.default_rng(0).integers(0, 100_000, 900).astype(np.float32), "chr2": np.zeros(700, np.float32)}
    reader = CoverageReader(make_tracks([write_bigwig(tmp_path / "a.bw", values)]), WINDOWS[:1], SIZES, 16)
    np.testing.assert_array_equal(reader(slice(None))[0, 0], values["chr1"][:160].reshape(10, 16).sum(axis=1))


@pytest.mark.parametrize("who", ["basenji", "baskerville"])
def test_against_the_readers_of_peers(tmp_path, who):
    """Their labels are float16, which has 11 significant bits; Basenji also computes in float16."""
    with np.load(PEERS) as file:
        peers = {name: file[name] for name in file.files}
    sizes = {chrom: len(peers[chrom]) for chrom in ("chrA", "chrB")}
    track = write_bigwig(tmp_path / "a.bw", {chrom: np.where(peers[chrom] < 0, np.nan, peers[chrom] / 4) for chrom in sizes})
    windows = make_windows(*([*place, "+"] for place in json.loads(str(peers["windows"]))))
    blacklist = tmp_path / "black.bed"
    blacklist.write_text("".join("\t".join(map(str, place)) + "\n" for place in json.loads(str(peers["blacklist"]))))
    compared = 0
    for i, case in enumerate(json.loads(str(peers["cases"]))):
        if f"{who}_{i}" not in peers:
            continue
        settings = CoverageSettings(
            case.pop("order", "new"), bool(case.pop("interpolate_nan", 0)), blacklist if case.pop("blacklist", 0) else None
        )
        bin_size, crop = int(peers["bin_size"]), int(peers["crop"])
        reader = CoverageReader(make_tracks([track], **case), windows, sizes, bin_size, crop, settings)
        theirs = peers[f"{who}_{i}"].astype(np.float64)
        tolerance = 2.0**-10 if who == "basenji" else 1.2 * 2.0**-11
        np.testing.assert_allclose(clipped(reader, 0.9999999)(slice(None))[:, 0], theirs, rtol=tolerance, atol=1e-4)
        compared += 1
    assert compared == {"basenji": 8, "baskerville": 12}[who]


def test_strands_exchange_bins_and_tracks(tmp_path):
    files = [random_track(tmp_path / f"{i}.bw", i)[0] for i in range(3)]
    tracks = make_tracks(files, strand_pair=[1, 0, 2], sum_stat="sum_sqrt", scale=[0.1, 0.1, 1.0], clip_soft=[3, 3, np.inf])
    reverse = WINDOWS.assign(strand=["-", "+", "+", "-"])
    forward, other = (CoverageReader(tracks, windows, SIZES, 8)(slice(None)) for windows in (WINDOWS, reverse))
    np.testing.assert_array_equal(other, forward[:, [1, 0, 2], ::-1])


def test_row_slices_and_block_size_do_not_matter(tmp_path, monkeypatch):
    file, _ = random_track(tmp_path / "a.bw", 1, gaps=True)
    bed = tmp_path / "bed"
    bed.write_text("chr1\t30\t60\nchr2\t400\t420\nchr2\t0\t100\nchr1\t800\t810\n")
    settings = CoverageSettings(blacklist=bed, unmappable=bed, umap_clip=0.5)
    reader = CoverageReader(make_tracks([file, file], scale=[1.0, 2.0], strand_pair=[1, 0]), WINDOWS, SIZES, 8, 0, settings)
    whole = reader(slice(None))
    monkeypatch.setattr("cisnake.data.coverage.reader._BLOCK_VALUES", 1)
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(again(slice(None)), whole)
    np.testing.assert_array_equal(np.concatenate([again(slice(i, i + 1)) for i in range(4)]), whole)
    np.testing.assert_array_equal(again(slice(1, 3)), whole[1:3])
    assert again(slice(4, 4)).shape == (0, 2, 20)


def test_beyond_chromosome_ends_is_zero(tmp_path):
    ones = {"chr1": np.full(900, 1.0), "chr2": np.full(700, 1.0)}
    windows = make_windows(("chr1", -20, 60, "+"), ("chr2", 660, 740, "-"), ("chr2", 800, 880, "+"), ("chr1", -90, -10, "+"))
    reader = CoverageReader(make_tracks([write_bigwig(tmp_path / "a.bw", ones)]), windows, SIZES, 8)
    at_start = [0, 0, 4, 8, 8, 8, 8, 8, 8, 8]
    np.testing.assert_array_equal(reader(slice(None))[:, 0], [at_start, [0] * 5 + [8] * 5, [0] * 10, [0] * 10])


def test_blacklisted_regions_are_clipped_to_the_baseline(tmp_path):
    """Regions are widened by 20 bp, also across window ends; the baseline needs enough bins and no missing values."""
    values = {"chr1": np.tile([2.0, 4.0, 100.0, 3.0], 225), "chr2": np.full(700, 5.0)}
    values["chr2"][50] = np.nan
    file = write_bigwig(tmp_path / "a.bw", values)
    bed = tmp_path / "black.bed"
    bed.write_text("1\t100\t120\n1\t500\t504\n2\t0\t5\nother\t1\t2\n")
    windows = make_windows(("chr1", 104, 184, "+"), ("chr1", 400, 480, "+"), ("chr1", 440, 520, "-"), ("chr2", 16, 96, "+"))
    settings = CoverageSettings(blacklist=bed)
    sums = {1: (range(80, 140), 3.5), 4: (range(480, 524), 3.5)}
    expected = {}
    for row, (chrom, start, end, _) in enumerate(windows.itertuples(index=False)):
        bases = np.nan_to_num(values[chrom][start:end])
        if chrom == "chr1":
            black = np.isin(np.arange(start, end), [*sums[1][0], *sums[4][0]])
            assert np.quantile(bases, 0.5) == 3.5
            bases[black] = np.minimum(bases[black], 3.5)
        else:
            bases[: 25 - 16] = 0
        expected[row] = bases.reshape(10, 8).sum(axis=1)
    labels = CoverageReader(make_tracks([file]), windows, SIZES, 8, 0, settings)(slice(None))[:, 0]
    np.testing.assert_array_equal(labels, [expected[0], expected[1], expected[2][::-1], expected[3]])
    # With seven bins or fewer, the baseline is 0.
    few = CoverageReader(make_tracks([file]), windows[:1].assign(window_end=104 + 56), SIZES, 8, 0, settings)(slice(None))[0, 0]
    bases = np.where(np.arange(104, 160) < 140, 0, values["chr1"][104:160])
    np.testing.assert_array_equal(few, bases.reshape(7, 8).sum(axis=1))
    low = CoverageReader(make_tracks([file]), windows[:1], SIZES, 8, 0, CoverageSettings(blacklist=bed, blacklist_quantile=0))
    assert low(slice(None))[0, 0, 0] == 16


def test_a_negative_baseline_is_a_bound_on_both_sides(tmp_path):
    file = write_bigwig(tmp_path / "a.bw", {"chr1": np.tile([-3.0, -2.0, -1.0, 1.0], 225), "chr2": np.zeros(700)})
    bed = tmp_path / "black.bed"
    bed.write_text("chr1\t0\t900\n")
    reader = CoverageReader(make_tracks([file]), WINDOWS[:1], SIZES, 4, 0, CoverageSettings(blacklist=bed))
    np.testing.assert_array_equal(reader(slice(None))[0, 0], [-1.5 - 1.5 - 1 + 1] * 40)


def test_gaps_are_zero_or_interpolated(tmp_path):
    values = {"chr1": np.full(900, np.nan), "chr2": np.zeros(700)}
    values["chr1"][[8, 11, 31]] = [9.0, 3.0, 4.0]
    file = write_bigwig(tmp_path / "a.bw", values)
    window = make_windows(("chr1", 0, 40, "+"), ("chr1", 100, 140, "+"))
    at_zero = CoverageReader(make_tracks([file]), window, SIZES, 1)(slice(None))[:, 0]
    np.testing.assert_array_equal(at_zero, np.nan_to_num([values["chr1"][:40], values["chr1"][100:140]]))
    lines = np.interp(np.arange(40), [-1, 8, 11, 31, 40], [0, 9, 3, 4, 0])
    between = CoverageReader(make_tracks([file]), window, SIZES, 1, 0, CoverageSettings(interpolate_nan=True))(slice(None))[
        :, 0
    ]
    np.testing.assert_allclose(between, [lines, np.zeros(40)], rtol=1e-6)


def test_unmappable_bins_are_clipped_at_a_quantile_of_their_window(tmp_path):
    file, _ = random_track(tmp_path / "a.bw", 3)
    bed = tmp_path / "unmappable.bed"
    # Half a bin, a tenth of a bin, less than a tenth, and all bins from 800 on.
    bed.write_text("chr1\t745\t750\nchr1\t760\t761\nchr1\t770\t770\nchr1\t800\t900\n")
    settings = CoverageSettings(unmappable=bed, umap_clip=0.25)
    windows = make_windows(("chr1", 730, 890, "-"), ("chr2", 0, 160, "+"))
    plain = CoverageReader(make_tracks([file]), windows, SIZES, 10, 10)(slice(None))[:, 0]
    cut = CoverageReader(make_tracks([file]), windows, SIZES, 10, 10, settings)(slice(None))[:, 0]
    unmappable = np.isin(np.arange(740, 880, 10), [740, 760, *range(800, 880, 10)])[::-1]
    bound = np.quantile(plain[0], 0.25)
    assert (plain[0][unmappable] > bound).any()
    np.testing.assert_allclose(cut[0], np.where(unmappable, np.minimum(plain[0], bound), plain[0]))
    np.testing.assert_array_equal(cut[1], plain[1])


@pytest.mark.parametrize("seed", range(20))
def test_covered_bases_against_a_plain_count(seed):
    rng = np.random.default_rng(seed)
    covered = rng.random((5, 24)) < rng.choice([0, 0.2, 0.8, 1])
    pieces = [(row, start, end) for row in range(5) for start in range(24) for end in [start + 1] if covered[row, start]]
    found = count_covered(pd.DataFrame(pieces, columns=["row", "start", "end"], dtype=int), 5, 4, 6)
    np.testing.assert_array_equal(found, covered.reshape(5, 4, 6).sum(axis=2))


def test_inverse_of_the_transform_gives_coverage(tmp_path):
    file, values = random_track(tmp_path / "a.bw", 4)
    stats = ["sum", "sum_sqrt", "sum_exp75", "mean_sqrt", "peak", "max"]
    for order in ("new", "old"):
        tracks = make_tracks(
            [file] * 6, sum_stat=stats, scale=[1, 0.3, 2, 1, 0.01, 5], clip_soft=[np.inf, 4, 20, 0.5, np.inf, 8]
        )
        reader = CoverageReader(tracks, WINDOWS, SIZES, 8, 0, CoverageSettings(order))
        back = TargetTransform.from_dict(json.loads(json.dumps(reader.transform.to_dict())))
        coverage = back.inverse(reader(slice(0, 1)).transpose(0, 2, 1).astype(float))[0].T
        bases = values["chr1"][:160].reshape(20, 8).astype(float)
        for found, how in zip(coverage, ("sum", "sum", "sum", "mean", "", "max")):
            if how:
                np.testing.assert_allclose(found, PLAIN[how](bases), rtol=2e-5, atol=1e-5, err_msg=f"{how} {order}")


def test_names_with_and_without_chr_and_missing_chromosomes(tmp_path):
    whole, values = random_track(tmp_path / "a.bw", 5)
    bare = write_bigwig(tmp_path / "b.bw", {"1": values["chr1"], "2": values["chr2"]})
    part = write_bigwig(tmp_path / "c.bw", {"chr2": values["chr2"]})
    one, other = (CoverageReader(make_tracks([file]), WINDOWS, SIZES, 8)(slice(None)) for file in (whole, bare))
    np.testing.assert_array_equal(one, other)
    message = r"^tracks t1, t2 have no data on chr1, which have windows.*tiles\.exclude_chromosomes.*targets\.missing"
    with pytest.raises(InputError, match=message):
        CoverageReader(make_tracks([whole, part, part]), WINDOWS, SIZES, 8)
    with pytest.raises(InputError, match=r"^tracks t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 2 more have no data on chr1"):
        CoverageReader(make_tracks([part] * 12), WINDOWS, SIZES, 8)
    settings = CoverageSettings(missing_chromosome="zeros")
    reader = CoverageReader(make_tracks([whole, part]), WINDOWS, SIZES, 8, 0, settings)
    assert reader.missing.to_numpy().tolist() == [["t1", "chr1"]]
    found = reader(slice(None))[:, 1]
    np.testing.assert_array_equal(found, np.where((WINDOWS["chrom"] == "chr2").to_numpy()[:, None], one[:, 0], 0))
    # Chromosomes without windows may be missing.
    assert CoverageReader(make_tracks([part]), WINDOWS[1:2], SIZES, 8).missing.empty


def test_non_finite_labels_are_named_with_their_position(tmp_path):
    values = {"chr1": np.ones(900), "chr2": np.ones(700)}
    values["chr1"][805] = 3e38
    file = write_bigwig(tmp_path / "large.bw", values)
    with pytest.raises(InputError, match=r"large\.bw: the bin chr1:804-812 is 3e\+38"):
        CoverageReader(make_tracks([file], scale=10.0), WINDOWS, SIZES, 8, 8)(slice(None))
    values["chr1"][805] = -50
    file = write_bigwig(tmp_path / "low.bw", values)
    for order, sum_stat in (("new", "sum_sqrt"), ("old", "sum_sqrt"), ("new", "peak")):
        reader = CoverageReader(make_tracks([file], sum_stat=sum_stat), WINDOWS, SIZES, 8, 8, CoverageSettings(order))
        with pytest.raises(InputError, match=r"low\.bw: the bin chr1:804-812"):
            reader(slice(None))
    assert CoverageReader(make_tracks([file], clip=20.0), WINDOWS, SIZES, 8, 8)(slice(None)).min() == -20


@pytest.mark.parametrize("sum_stat", PLAIN)
@pytest.mark.parametrize("order", ["new", "old"])
def test_a_strand_stored_as_negative_values(tmp_path, sum_stat, order):
    """A negative scale is equivalent to flipping the sign of the file, for labels and coverage on both strands."""
    files = [random_track(tmp_path / f"{i}.bw", i, gaps=True)[0] for i in range(2)]
    _, values = random_track(tmp_path / "1.bw", 1, gaps=True)
    negative = write_bigwig(tmp_path / "minus.bw", {chrom: -chrom_values for chrom, chrom_values in values.items()})
    settings = CoverageSettings(order, interpolate_nan=True, blacklist=tmp_path / "b.bed", blacklist_quantile=0.8)
    (tmp_path / "b.bed").write_text("chr1\t30\t60\nchr2\t400\t420\n")
    form = {"sum_stat": sum_stat, "clip_soft": 3.0, "clip": 5.0, "strand_pair": [1, 0]}
    plain = CoverageReader(make_tracks(files, scale=0.3, **form), WINDOWS, SIZES, 8, 8, settings)
    flipped = CoverageReader(make_tracks([files[0], negative], scale=[0.3, -0.3], **form), WINDOWS, SIZES, 8, 8, settings)
    np.testing.assert_array_equal(flipped(slice(None)), plain(slice(None)))
    assert flipped.transform == plain.transform
    assert (flipped.transform.inverse(flipped(slice(None)).transpose(0, 2, 1)) >= 0).all()
    assert negative_tracks(flipped) == []


def test_negative_tracks_are_named(tmp_path):
    files = [random_track(tmp_path / f"{i}.bw", i)[0] for i in range(2)]
    values = {chrom: np.zeros(size) for chrom, size in SIZES.items()}
    values["chr1"][805] = -1
    files.append(write_bigwig(tmp_path / "low.bw", values))
    # Only a minus-strand window contains position 805; its labels are swapped with those of the partner.
    tracks = make_tracks(files, strand_pair=[2, 1, 0])
    assert negative_tracks(CoverageReader(tracks, WINDOWS, SIZES, 8)) == ["t2"]
    assert negative_tracks(CoverageReader(tracks, WINDOWS.iloc[:2], SIZES, 8)) == []


def test_negative_labels_give_a_warning(tmp_path, caplog):
    rng = np.random.default_rng(0)
    (tmp_path / "g.fa").write_text("".join(f">{chrom}\n{''.join(rng.choice(list('ACGT'), n))}\n" for chrom, n in SIZES.items()))
    write_bigwig(tmp_path / "low.bw", {chrom: np.full(size, -1.0) for chrom, size in SIZES.items()})
    tiles = WINDOWS.assign(gene_id=list("abcd"), strand="+", mask_start=0, mask_end=0, split="train", fold=0)
    write_table(tiles, tmp_path / "tiles.tsv")
    warnings = []
    for scale in ("1", "-1"):
        (tmp_path / "tracks.tsv").write_text(f"identifier\tfile\tscale\nminus\tlow.bw\t{scale}\n")
        options = {
            "windows": "tiles.tsv",
            "genome": "g.fa",
            "tracks": "tracks.tsv",
            "converted": "",
            "output": "d.h5",
        }
        arguments = [f"--{name}={tmp_path / value}" for name, value in options.items()]
        caplog.clear()
        write_coverage.main(
            write_coverage.parser().parse_args([*arguments, "--set=targets.bin_size=8", f"--set=run.data_dir={tmp_path}"])
        )
        warnings.append([record.getMessage() for record in caplog.records if record.levelname == "WARNING"])
        with layout.open_dataset(tmp_path / "d.h5") as file:
            assert (file["labels"][:] == -8 * int(scale)).all()
    assert len(warnings[0]) == 1 and warnings[0][0].startswith("labels below 0") and "minus" in warnings[0][0]
    assert warnings[1] == []


def test_signs_are_checked_in_a_sample_of_windows(tmp_path, monkeypatch):
    file, _ = random_track(tmp_path / "a.bw", 1)
    reader = CoverageReader(make_tracks([file]), pd.concat([WINDOWS] * 30, ignore_index=True), SIZES, 8)
    read = []
    monkeypatch.setattr(
        CoverageReader,
        "_read",
        lambda self, track, names, windows, file: read.extend(windows.index) or (np.zeros((len(windows), 160), np.float32)),
    )
    negative_tracks(reader)
    assert len(read) == 30
    monkeypatch.setattr("cisnake.data.coverage.reader._BLOCK_VALUES", 70)
    read.clear()
    negative_tracks(reader)
    assert len(read) == 3


def test_infinity_is_named_with_its_position(tmp_path, monkeypatch):
    """pyBigWig does not write infinite values; other programs do."""

    class Track:
        def chroms(self):
            return SIZES

        def values(self, chrom, start, end, numpy):
            return np.where(np.arange(start, end) == 805, -np.inf, 1).astype(np.float32)

    monkeypatch.setattr("cisnake.data.coverage.reader.open_bigwig", lambda path: nullcontext(Track()))
    with pytest.raises(InputError, match=r"inf\.bw is infinite at chr1:805"):
        CoverageReader(make_tracks(["inf.bw"]), WINDOWS[2:], SIZES, 8, 0)(slice(None))


def test_invalid_inputs_are_errors(tmp_path):
    file, _ = random_track(tmp_path / "a.bw", 6)
    tracks = make_tracks([file])
    with pytest.raises(InputError, match="windows of 160 bp minus 0 bp at either end are not a multiple of the bin size, 7 bp"):
        CoverageReader(tracks, WINDOWS, SIZES, 7)
    with pytest.raises(InputError, match="are not a multiple"):
        CoverageReader(tracks, WINDOWS, SIZES, 8, 80)
    with pytest.raises(InputError, match="windows of 160, 161 bp"):
        CoverageReader(tracks, pd.concat([WINDOWS, WINDOWS.assign(window_end=WINDOWS["window_end"] + 1)]), SIZES, 8)
    with pytest.raises(InputError, match=r"chr2 has 700 bp, but 800 bp in the genome"):
        CoverageReader(tracks, WINDOWS, SIZES | {"chr2": 800}, 8)
    with pytest.raises(InputError, match=r"a\.bw is not a BigWig: convert it with make_track\.py"):
        CoverageReader(tracks.assign(format="bam"), WINDOWS, SIZES, 8)
    (tmp_path / "text.bw").write_text("not a BigWig")
    for name in ("text.bw", "none.bw"):
        with pytest.raises(InputError, match=f"{name} cannot be read as BigWig"):
            CoverageReader(make_tracks([tmp_path / name]), WINDOWS, SIZES, 8)
    with pytest.raises(InputError, match="unknown missing_chromosome 'zero': did you mean zeros"):
        CoverageSettings(missing_chromosome="zero")
    with pytest.raises(InputError, match="unknown order of a target transform 'older': did you mean old"):
        CoverageReader(tracks, WINDOWS, SIZES, 8, 0, CoverageSettings("older"))
    with pytest.raises(InputError, match=r"umap_clip is 1\.5"):
        CoverageSettings(umap_clip=1.5)


def test_clipped(tmp_path):
    files = [random_track(tmp_path / f"{i}.bw", i)[0] for i in range(2)]
    reader = CoverageReader(make_tracks(files, scale=[1.0, 100.0]), WINDOWS, SIZES, 8)
    assert clipped(reader, 1.0) is reader
    plain, cut = reader(slice(None)), clipped(reader, 0.9)(slice(None))
    bounds = np.quantile(plain.transpose(1, 0, 2).reshape(2, -1), 0.9, axis=1)[:, None]
    np.testing.assert_allclose(cut, np.minimum(plain, bounds), rtol=1e-6)


def test_yeast_coverage_adds_up(yeast):
    """The bins of tiles that cover the genome add up to the sum in the header of the file."""
    sizes = {name: int(size) for name, size in (line.split() for line in (yeast / "chrom.sizes").read_text().splitlines())}
    places = [
        (chrom, start, start + 16384, "+-"[start % 3 == 0]) for chrom, size in sizes.items() for start in range(0, size, 16384)
    ]
    for name in ("insertions", "fragment_coverage"):
        file = yeast / f"atac_SRR1822137_{name}.bw"
        labels = CoverageReader(make_tracks([file]), make_windows(*places), sizes, 16)(slice(None))
        with pyBigWig.open(str(file)) as track:
            assert labels.sum(dtype=np.float64) == track.header()["sumData"]
