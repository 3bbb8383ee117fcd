import numpy as np
import pandas as pd
import pyBigWig
import pytest

import collect_attributions
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.interpret.attribution import collect
from cisnake.interpret.attribution.collect import collect_shards, write_bigwig
from cisnake.interpret.attribution.file import QUALITY_COLUMNS, AttributionFile, write_attributions

LENGTH, SIZES = 30, {"chr2": 400, "chr1": 300, "chr3": 100}
ATTRS = {
    "contrast": "heat", "score": "aggregate", "method": "input_x_gradient", "on_tasks": ["a"], "off_tasks": [],
    "models": ["0f"], "replicates": 1,
}  # fmt: skip


def write(path, places, attrs=ATTRS, **asked):
    """Write genes at (chrom, window start, strand, TSS in the window) and return their windows and attributions."""
    chrom, start, strand, tss = zip(*places) if places else ([], [], [], [])
    start = np.array(start, np.int64)
    windows = pd.DataFrame(
        {
            "gene_id": [f"{path.stem}{i}" for i in range(len(places))], "chrom": chrom, "start": start, "end": start + LENGTH,
            "strand": strand, "mask_start": tss, "mask_end": LENGTH, "fold": 0, "split": "test", "measured": 0.0,
        }
    )  # fmt: skip
    rng = np.random.default_rng(len(places))
    attributions = rng.normal(size=(len(places), 4, LENGTH)).astype(np.float32)
    codes = rng.integers(0, 5, (len(places), LENGTH)).astype(np.int8)
    with write_attributions(path, windows, LENGTH, attrs, **asked) as append:
        given = {"spread": attributions[:, 0]} if asked.get("spread") else {}
        append(attributions, codes, *np.zeros((2, len(places))), **given)
        append.null(attributions.sum(axis=1)[: len(asked.get("null_genes", ()))])
        append.quality(pd.DataFrame({"ism": attributions[:, 0, 0]}))
    return windows, attributions


def plain(windows, attributions):
    """Value and distance of every covered base by definition, computed by loops over genes and bases."""
    values, nearest = {}, {}
    for (_, window), of_gene in zip(windows.iterrows(), attributions):
        forward = window["strand"] == "+"
        tss = window["start"] + window["mask_start"] if forward else window["end"] - 1 - window["mask_start"]
        for i in range(LENGTH):
            base = (window["chrom"], window["start"] + i if forward else window["end"] - 1 - i)
            rank = (abs(base[1] - tss), tss)
            if base not in nearest or rank < nearest[base]:
                nearest[base], values[base] = rank, sum(of_gene[:, i].astype(float))
    return values


def assert_track(path, expected):
    with pyBigWig.open(str(path)) as track:
        assert track.chroms() == SIZES
        for chrom, size in SIZES.items():
            # A track without values returns an empty list.
            found = track.values(chrom, 0, size) or [np.nan] * size
            for base in range(size):
                if (chrom, base) in expected:
                    assert found[base] == pytest.approx(expected[chrom, base], abs=1e-5), (chrom, base)
                else:
                    assert np.isnan(found[base]), (chrom, base)


PLACES = {
    "alone on both strands": [("chr1", 10, "+", 20), ("chr1", 100, "-", 20), ("chr2", 370, "-", 5), ("chr1", 0 + 50, "+", 0)],
    "overlapping": [("chr1", 100, "+", 20), ("chr1", 110, "-", 20), ("chr1", 90, "-", 3), ("chr1", 118, "+", 25)],
    # The base halfway between two TSS belongs to the TSS that is first on the genome, whose window begins later.
    "tie against the order of windows": [("chr1", 100, "+", 25), ("chr1", 112, "-", 24), ("chr1", 130, "+", 5)],
    "tie with the order of windows": [("chr1", 100, "+", 10), ("chr1", 105, "+", 15), ("chr1", 120, "+", 10)],
    "touching, and one within a run": [("chr1", 30, "+", 9), ("chr1", 60, "+", 9), ("chr1", 75, "-", 9), ("chr1", 90, "-", 2)],
    "unsorted chromosomes": [("chr1", 5, "+", 9), ("chr2", 5, "-", 9), ("chr1", 1, "-", 9), ("chr2", 0, "+", 9)],
}


@pytest.mark.parametrize("case", PLACES)
@pytest.mark.parametrize(("entries", "bases"), [(1_000_000, 1 << 24), (7, 1 << 24), (1_000_000, 40)])
def test_values_are_the_plain_ones(tmp_path, monkeypatch, case, entries, bases):
    monkeypatch.setattr(collect, "_ENTRIES", entries)
    monkeypatch.setattr(collect, "_PART_BASES", bases)
    windows, attributions = write(tmp_path / "heat.h5", PLACES[case])
    write_bigwig(tmp_path / "heat.h5", SIZES, tmp_path / "heat.bw")
    assert_track(tmp_path / "heat.bw", plain(windows, attributions))


def test_many_random_windows(tmp_path):
    rng = np.random.default_rng(0)
    places = [
        (rng.choice(list(SIZES)), int(rng.integers(0, 70)), str(rng.choice(["+", "-"])), int(tss))
        for tss in rng.permutation(LENGTH)
    ]
    windows, attributions = write(tmp_path / "heat.h5", places)
    # Genes with the same TSS are ordered by their windows.
    tss = windows["start"].where(windows["strand"] == "+", windows["end"] - 1) + windows["mask_start"] * np.where(
        windows["strand"] == "+", 1, -1
    )
    first = ~pd.DataFrame({"chrom": windows["chrom"], "tss": tss}).duplicated()
    windows, attributions = write(tmp_path / "heat.h5", [place for place, keep in zip(places, first) if keep])
    write_bigwig(tmp_path / "heat.h5", SIZES, tmp_path / "heat.bw")
    assert_track(tmp_path / "heat.bw", plain(windows, attributions))


def test_no_gene_gives_an_empty_track(tmp_path):
    write(tmp_path / "heat.h5", [])
    write_bigwig(tmp_path / "heat.h5", SIZES, tmp_path / "heat.bw")
    assert_track(tmp_path / "heat.bw", {})


@pytest.mark.parametrize("sizes", [{"chr2": 400}, {"chr1": 129, "chr2": 400}])
def test_windows_outside_of_the_genome_are_not_left_out(tmp_path, sizes):
    write(tmp_path / "a.h5", [("chr2", 5, "+", 9), ("chr1", 100, "-", 9)])
    with pytest.raises(InputError, match="window of a1, chr1:100-130, is outside the genome"):
        write_bigwig(tmp_path / "a.h5", sizes, tmp_path / "a.bw")
    assert not (tmp_path / "a.bw").exists()
    write_bigwig(tmp_path / "a.h5", {"chr1": 130, "chr2": 400}, tmp_path / "a.bw")


def test_shards_are_joined_in_their_order(tmp_path):
    shards = {"none": [], "a": PLACES["overlapping"], "empty": [], "b": PLACES["unsorted chromosomes"][:3]}
    parts = [write(tmp_path / f"{name}.h5", places) for name, places in shards.items()]
    collect_shards([tmp_path / f"{name}.h5" for name in shards], tmp_path / "joined.h5")
    joined = AttributionFile(tmp_path / "joined.h5")
    assert joined.genes == ["a0", "a1", "a2", "a3", "b0", "b1", "b2"]
    assert joined.attrs == ATTRS
    np.testing.assert_array_equal(joined.read_block(0, 7)[0], np.concatenate([part[1] for part in parts]))
    assert joined.windows["start"].tolist() == [place[1] for place in PLACES["overlapping"]] + [5, 5, 1]


def test_all_that_shards_have_is_joined(tmp_path):
    places = {"a": PLACES["overlapping"], "empty": [], "b": PLACES["unsorted chromosomes"][:3]}
    nulls = {"a": ["a1", "a1", "a3"], "empty": [], "b": ["b0"]}
    for name in places:
        write(tmp_path / f"{name}.h5", places[name], dtype="float16", spread=True, null_genes=nulls[name])
    parts = [AttributionFile(tmp_path / f"{name}.h5") for name in places]
    collect_shards([part.path for part in parts], tmp_path / "joined.h5")
    joined = AttributionFile(tmp_path / "joined.h5")
    assert (joined.dtype, joined.null_genes) == ("float16", ["a1", "a1", "a3", "b0"])
    np.testing.assert_array_equal(joined.read_block(0, 7)[0], np.concatenate([part.read_block(0, 9)[0] for part in parts]))
    np.testing.assert_array_equal(joined.read_spread(0, 7), np.concatenate([part.read_spread(0, 9) for part in parts]))
    expected = np.concatenate([block for part in parts for block in part.null_blocks()])
    np.testing.assert_array_equal(np.concatenate(list(joined.null_blocks())), expected)
    np.testing.assert_array_equal(joined.quality["ism"], np.concatenate([part.quality["ism"] for part in parts]))


@pytest.mark.parametrize("other", [{"dtype": "float16"}, {"spread": True}, {"attrs": ATTRS | {"models": ["1e"]}}])
def test_shards_that_differ_are_not_joined(tmp_path, other):
    write(tmp_path / "a.h5", PLACES["overlapping"])
    write(tmp_path / "b.h5", PLACES["overlapping"], **other)
    with pytest.raises(InputError, match=r"b.h5 and .*a.h5 .*: rerun attribute_genes"):
        collect_shards([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "joined.h5")


def test_shards_of_different_cuts_are_not_joined(tmp_path):
    write(tmp_path / "a.h5", PLACES["overlapping"])
    with pytest.raises(InputError, match=r"joined.h5 contain the gene \S+ twice: rerun attribute_genes"):
        collect_shards([tmp_path / "a.h5", tmp_path / "a.h5"], tmp_path / "joined.h5")
    assert not (tmp_path / "joined.h5").exists()


def test_only_empty_shards(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.h5", [])
    collect_shards([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "joined.h5")
    assert len(AttributionFile(tmp_path / "joined.h5")) == 0


def test_program(tmp_path):
    windows, attributions = write(tmp_path / "0000.h5", PLACES["overlapping"])
    (tmp_path / "genome.fa").write_text("".join(f">{chrom}\n{'A' * size}\n" for chrom, size in SIZES.items()))
    command = ["--set=attribution.n_shards=1", "--shards", str(tmp_path), "--genome", "genome.fa"]
    command += ["--output", "heat.h5", "--output-bigwig", "heat.bw"]
    command += ["--output-quality", "heat.tsv"]
    command = [str(tmp_path / part) if part.endswith((".fa", ".h5", ".bw", ".tsv")) else part for part in command]
    collect_attributions.main(collect_attributions.parser().parse_args(command))
    assert len(AttributionFile(tmp_path / "heat.h5")) == 4
    assert_track(tmp_path / "heat.bw", plain(windows, attributions))
    table = read_table(tmp_path / "heat.tsv", ism="float", strands="float", predicted="float")
    assert list(table) == ["gene_id", "split", "measured", "predicted", "predicted_sd", *QUALITY_COLUMNS]
    assert list(table["gene_id"]) == [f"0000{i}" for i in range(4)]
    np.testing.assert_allclose(table["ism"], attributions[:, 0, 0], rtol=1e-6)
    assert table["strands"].isna().all()
    # All genes were measured and predicted as 0, and are in the middle third.
    assert (table["prediction"] == "correct").all()
