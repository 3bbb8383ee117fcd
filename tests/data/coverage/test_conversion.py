"""Tracks computed from reads, fragments and regions equal a plain count at every base."""

from __future__ import annotations

import gzip

import numpy as np
import pyBigWig
import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cisnake.data.coverage.conversion import coverage_runs, write_track
from cisnake.data.coverage.count_settings import CountSettings, check_counting
from cisnake.errors import InputError

SIZES = {"chr1": 300, "chr2": 200, "chr3": 50}


def read_values(path, sizes=SIZES):
    with pyBigWig.open(str(path)) as track:
        assert list(track.chroms()) == [chrom for chrom in sizes if chrom in track.chroms()]
        return {chrom: track.values(chrom, 0, size, numpy=True) for chrom, size in sizes.items() if chrom in track.chroms()}


def count(intervals, sizes=SIZES):
    """Add one to every base of each interval, one by one; bases beyond chromosome ends are ignored."""
    values = {chrom: np.zeros(size) for chrom, size in sizes.items()}
    for chrom, start, end in intervals:
        for base in range(max(start, 0), min(end, sizes[chrom])):
            values[chrom][base] += 1
    return values


def check(path, expected):
    found = read_values(path)
    assert found.keys() == expected.keys()
    for chrom, values in expected.items():
        np.testing.assert_array_equal(found[chrom], np.float32(values), err_msg=chrom)


def random_fragments(seed=0, n=400):
    rng = np.random.default_rng(seed)
    chroms = rng.choice(["chr1", "chr2"], n)
    starts = np.array([rng.integers(0, SIZES[chrom]) for chrom in chroms])
    ends = [rng.integers(start + 1, min(start + 60, SIZES[chrom]) + 1) for chrom, start in zip(chroms, starts)]
    return [("chr1", 0, 300), ("chr1", 299, 300), ("chr2", 0, 1), *zip(chroms.tolist(), starts.tolist(), map(int, ends))]


def write_table(path, rows, more=""):
    text = "".join(f"{chrom}\t{start}\t{end}{more}\n" for chrom, start, end in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30))
def test_runs_are_minimal_and_give_each_base_its_count(intervals):
    intervals = [(min(pair), max(pair)) for pair in intervals]
    starts, ends = np.array([pair[0] for pair in intervals], int), np.array([pair[1] for pair in intervals], int)
    first, last, values = coverage_runs(starts, ends, 30)
    assert first[0] == 0 and last[-1] == 30
    np.testing.assert_array_equal(first[1:], last[:-1])
    assert (np.diff(values) != 0).all()
    expected = count([("c", *pair) for pair in intervals], {"c": 30})["c"]
    np.testing.assert_array_equal(np.repeat(values, last - first), expected)


@pytest.mark.parametrize("shift", [(0, 0), (4, -5), (-7, 9)])
@pytest.mark.parametrize("name", ["f.tsv.gz", "f.bed3"])
def test_fragments(tmp_path, shift, name):
    fragments = random_fragments()
    # The file also has an empty fragment, which must not count.
    table = write_table(tmp_path / name, [*fragments, ("chr1", 7, 7)], "\tAAACCC-1\t2")
    moved = [(chrom, start + shift[0], end + shift[1]) for chrom, start, end in fragments]
    write_track(table, "fragments", SIZES, tmp_path / "a.bw", CountSettings(shift=shift))
    check(tmp_path / "a.bw", count(moved))
    n = write_track(table, "fragments", SIZES, tmp_path / "b.bw", CountSettings("ends", shift))
    ends = [(chrom, at, at + 1) for chrom, start, end in moved for at in (start, end - 1)]
    expected = count(ends)
    check(tmp_path / "b.bw", expected)
    assert n == sum(values.sum() for values in expected.values())
    write_track(table, "fragments", SIZES, tmp_path / "c.bw", CountSettings("ends", shift, cpm=True))
    check(tmp_path / "c.bw", {chrom: values * (1e6 / n) for chrom, values in expected.items()})


def test_overlapping_bed_regions_are_one(tmp_path):
    regions = random_fragments(1, 20)[2:]
    bed = tmp_path / "peaks.narrowPeak"
    rows = "".join(f"{chrom.removeprefix('chr')}\t{start}\t{end}\tname#1\t0\t.\n" for chrom, start, end in regions)
    bed.write_text("# a comment\ntrack name=peaks\n" + rows[:-1] + "\n\nbrowser position\nchrUn\t1\t2\n")
    n = write_track(bed, "bed", SIZES, tmp_path / "a.bw", CountSettings())
    assert n == len(regions)
    check(tmp_path / "a.bw", {chrom: np.minimum(values, 1) for chrom, values in count(regions).items()})


def write_bam(path, reads, sizes=SIZES):
    """Write reads: dicts of flag, chrom, start, cigar, and optionally name, mapq, mate (start of the mate), length."""
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": chrom, "LN": size} for chrom, size in sizes.items()]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for i, fields in enumerate(reads):
            read = pysam.AlignedSegment(bam.header)
            read.query_name, read.flag = fields.get("name", f"r{i}"), fields["flag"]
            read.reference_id = list(sizes).index(fields["chrom"])
            read.next_reference_id = read.reference_id
            read.reference_start, read.cigarstring = fields["start"], fields["cigar"]
            read.next_reference_start, read.template_length = fields.get("mate", 0), fields.get("length", 0)
            read.mapping_quality = fields.get("mapq", 60)
            read.query_sequence = "A" * read.infer_query_length()
            bam.write(read)
    return path


# Pairs of 10 bp reads (chrom, start, end, whether read 1 is reverse), two of them at chromosome ends.
PAIRS = [("chr1", 0, 40, False), ("chr1", 260, 300, True), ("chr2", 100, 130, True), ("chr2", 100, 110, False)]
SINGLES = [("chr1", 0, False), ("chr1", 5, True), ("chr1", 290, False), ("chr2", 190, True), ("chr2", 50, False)]


def pair_reads():
    for chrom, start, end, reverse in PAIRS:
        left = {"chrom": chrom, "start": start, "cigar": "10M", "mate": end - 10, "length": end - start}
        right = {"chrom": chrom, "start": end - 10, "cigar": "10M", "mate": start, "length": start - end}
        first, second = (right, left) if reverse else (left, right)
        # Flags: paired and proper pair; read or mate reverse; read 1 or 2.
        yield {**first, "flag": 0x43 | (0x10 if reverse else 0x20)}
        yield {**second, "flag": 0x83 | (0x20 if reverse else 0x10)}


def single_reads():
    return [{"chrom": c, "start": s, "cigar": "10M", "flag": 0x10 if reverse else 0} for c, s, reverse in SINGLES]


def track_of(tmp_path, reads, *settings, **more):
    n = write_track(write_bam(tmp_path / "a.bam", reads), "bam", SIZES, tmp_path / "a.bw", CountSettings(*settings, **more))
    return tmp_path / "a.bw", n


@pytest.mark.parametrize("shift", [(0, 0), (4, -5)])
@pytest.mark.parametrize("strand", ["", "+", "-"])
def test_pairs(tmp_path, shift, strand):
    wanted = [pair for pair in PAIRS if strand in ("", "-" if pair[3] else "+")]
    # The length of a pair is known, so `extend` does not apply.
    path, n = track_of(tmp_path, pair_reads(), "fragments", shift, extend=15, strand=strand)
    assert n == len(wanted)
    check(path, count([(chrom, start + shift[0], end + shift[1]) for chrom, start, end, _ in wanted]))
    path, n = track_of(tmp_path, pair_reads(), "ends", shift, strand=strand)
    ends = [(c, at, at + 1) for c, start, end, _ in wanted for at in (start + shift[0], end - 1 + shift[1])]
    check(path, count(ends))
    assert n == 2 * len(wanted)


@pytest.mark.parametrize("strand", ["", "+", "-"])
def test_single_reads(tmp_path, strand):
    wanted = [single for single in SINGLES if strand in ("", "-" if single[2] else "+")]
    path, _ = track_of(tmp_path, single_reads(), strand=strand)
    check(path, count([(chrom, start, start + 10) for chrom, start, _ in wanted]))
    path, _ = track_of(tmp_path, single_reads(), extend=25, strand=strand)
    check(path, count([(c, s + 10 - 25, s + 10) if reverse else (c, s, s + 25) for c, s, reverse in wanted]))
    path, _ = track_of(tmp_path, single_reads(), "ends", (2, -3), strand=strand)
    at = [(c, s + 9 - 3 if reverse else s + 2) for c, s, reverse in wanted]
    check(path, count([(c, place, place + 1) for c, place in at]))


@pytest.mark.parametrize("what", ["fragments", "ends", "reads"])
def test_cpm_of_strands_add_up(tmp_path, what):
    """The counts per million of both strands, in separate files, add up to those of the whole library."""
    reads = [*pair_reads(), *single_reads()]
    both, n = track_of(tmp_path, reads, what, cpm=True)
    expected, total = read_values(both), dict.fromkeys(SIZES, 0)
    for strand in "+-":
        path, n_strand = track_of(tmp_path, reads, what, cpm=True, strand=strand)
        assert 0 < n_strand < n
        total = {chrom: total[chrom] + values for chrom, values in read_values(path).items()}
    for chrom, values in expected.items():
        np.testing.assert_allclose(total[chrom], values, rtol=1e-6)


def test_reads_count_aligned_bases(tmp_path):
    spliced = {"chrom": "chr1", "start": 20, "cigar": "5S10M100N4M2I3M1D6M", "flag": 0}
    path, n = track_of(tmp_path, [spliced, *pair_reads()], "reads", cpm=True)
    blocks = [("chr1", 20, 30), ("chr1", 130, 137), ("chr1", 138, 144)]
    mates = [(c, at, at + 10) for c, start, end, _ in PAIRS for at in (start, end - 10)]
    assert n == 1 + 2 * len(PAIRS)
    check(path, {chrom: values * (1e6 / n) for chrom, values in count(blocks + mates).items()})


def test_filters_of_reads(tmp_path):
    plain = {"chrom": "chr1", "start": 20, "cigar": "10M"}
    kept = [{**plain, "flag": 0, "mapq": 30}, {**plain, "flag": 0x400, "start": 50, "mapq": 30}]
    dropped = [{**plain, "flag": flag} for flag in (0x4, 0x100, 0x200, 0x800)] + [{**plain, "flag": 0, "mapq": 29}]
    improper = [{**plain, "flag": 0x41, "mate": 60, "length": 50}, {**plain, "flag": 0x83, "mate": 0, "length": -30}]
    path, n = track_of(tmp_path, kept + dropped + improper, min_mapq=30)
    assert n == 1
    check(path, count([("chr1", 20, 30)]))
    path, n = track_of(tmp_path, kept + dropped, min_mapq=30, keep_duplicates=True)
    assert n == 2
    check(path, count([("chr1", 20, 30), ("chr1", 50, 60)]))


def test_tracks_have_the_chromosomes_of_the_bam_header(tmp_path):
    reads = [{"chrom": "1", "start": 20, "cigar": "10M", "flag": 0}, {"chrom": "chrUn", "start": 0, "cigar": "10M", "flag": 0}]
    bam = write_bam(tmp_path / "a.bam", reads, {"1": 300, "chrUn": 10, "chr3": 50})
    write_track(bam, "bam", SIZES, tmp_path / "a.bw", CountSettings())
    expected = count([("chr1", 20, 30)])
    del expected["chr2"]
    check(tmp_path / "a.bw", expected)
    with pytest.raises(InputError, match=r"a\.bam: 1 has 300 bp, but 301 bp in the genome"):
        write_track(bam, "bam", SIZES | {"chr1": 301}, tmp_path / "b.bw", CountSettings())
    assert not (tmp_path / "b.bw").exists()


def test_records_beyond_chromosome_ends_are_named(tmp_path):
    table = write_table(tmp_path / "f.tsv", [("chr1", 0, 300), ("2", 100, 200), ("2", 150, 201)])
    for form in ("fragments", "bed"):
        with pytest.raises(InputError, match=r"f\.tsv, line 3: end is beyond 2, which has 200 bp in the genome"):
            write_track(table, form, SIZES, tmp_path / "a.bw", CountSettings())
    for read in (
        {"chrom": "chr3", "start": 45, "cigar": "10M", "flag": 0, "name": "far"},
        {"chrom": "chr3", "start": 30, "cigar": "10M", "flag": 0x63, "mate": 35, "length": 25, "name": "far"},
    ):
        with pytest.raises(InputError, match=r"a\.bam: the read far ends beyond chr3, which has 50 bp"):
            track_of(tmp_path, [read])
    # Fragments that settings extend beyond the chromosome are clipped.
    path, _ = track_of(tmp_path, [{"chrom": "chr3", "start": 30, "cigar": "10M", "flag": 0}], extend=100)
    check(path, count([("chr3", 30, 50)]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\t9\nchr1\tx\t9\n", r"line 2: the start is not an integer"),
        ("chr1\t5\t9\n#c\n\nchr1\t5\n", r"line 4: the end is not an integer"),
        ("chr1\t5\t9.5\n", r"line 1: the end is not an integer"),
        ("chr1\t-5\t9\n", r"line 1: the start must be at least 0"),
        ("chr1\t9\t5\n", r"line 1: the start must be at least 0, and the end must not precede the start"),
        ("chr1 5 9\n", r"cannot be read as a tab-separated table of chrom, start and end"),
        ("", r"no record of .* was counted"),
        ("# no reads\n", r"no record of .* was counted"),
        ("chrX\t5\t9\n", r"no chromosome of .* is in the genome: .* has chrX"),
        ("chr1\t5\t5\n", r"no record of .* was counted"),
    ],
)
def test_malformed_tables_are_errors(tmp_path, text, message):
    (tmp_path / "f.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        write_track(tmp_path / "f.tsv", "fragments", SIZES, tmp_path / "a.bw", CountSettings())
    assert not list(tmp_path.glob("*a.bw"))


def test_truncated_files_are_errors(tmp_path):
    table = write_table(tmp_path / "f.tsv.gz", random_fragments(n=5000))
    table.write_bytes(table.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"f\.tsv\.gz cannot be read"):
        write_track(table, "fragments", SIZES, tmp_path / "a.bw", CountSettings())
    bam = write_bam(tmp_path / "a.bam", single_reads() * 9000)
    bam.write_bytes(bam.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"a\.bam cannot be read as BAM"):
        write_track(bam, "bam", SIZES, tmp_path / "a.bw", CountSettings())
    with pytest.raises(InputError, match=r"f\.tsv\.gz cannot be read as BAM"):
        write_track(table, "bam", SIZES, tmp_path / "a.bw", CountSettings())


def test_inconsistent_settings_are_errors(tmp_path):
    table = write_table(tmp_path / "f.tsv", [("chr1", 0, 300)])
    for form, settings, message in (
        ("fragments", CountSettings("reads"), "has no reads"),
        ("fragments", CountSettings(strand="+"), "but the format is fragments: remove strand"),
        ("bed", CountSettings(strand="+"), "but the format is bed: remove strand"),
        ("bed", CountSettings(cpm=True), "cpm"),
        ("cram", CountSettings(), "unknown format of a track 'cram': did you mean bam"),
    ):
        with pytest.raises(InputError, match=message):
            write_track(table, form, SIZES, tmp_path / "a.bw", settings)
    for form in ("bigwig", "bam"):
        check_counting(form, CountSettings("reads", strand="+", cpm=True))
    with pytest.raises(InputError, match="has no reads"):
        check_counting("fragments", CountSettings("reads"))
    with pytest.raises(InputError, match="unknown count 'end': did you mean ends"):
        CountSettings("end")
    with pytest.raises(InputError, match="unknown strand"):
        CountSettings(strand="plus")
    with pytest.raises(InputError, match="remove shift and extend, or set count to fragments or ends"):
        CountSettings("reads", (4, -5))
    with pytest.raises(InputError, match="at least 0"):
        CountSettings(extend=-1)
    with pytest.raises(InputError, match="unknown key of count 'mapq': did you mean min_mapq"):
        CountSettings.from_dict({"mapq": 3})
    assert CountSettings.from_dict({"shift": [4, -5], "count": "ends"}) == CountSettings("ends", (4, -5))


@pytest.mark.parametrize(("what", "name"), [("fragments", "fragment_coverage"), ("ends", "insertions")])
def test_yeast_fragments_give_the_published_tracks(yeast, tmp_path, what, name):
    sizes = {name: int(size) for name, size in (line.split() for line in (yeast / "chrom.sizes").read_text().splitlines())}
    source = yeast / "atac_SRR1822137_fragments.bed3.gz"
    write_track(source, "fragments", sizes, tmp_path / "a.bw", CountSettings(what))
    found, expected = (read_values(path, sizes) for path in (tmp_path / "a.bw", yeast / f"atac_SRR1822137_{name}.bw"))
    for chrom in sizes:
        np.testing.assert_array_equal(found[chrom], np.nan_to_num(expected[chrom]))
