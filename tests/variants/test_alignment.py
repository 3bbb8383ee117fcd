"""Columns of an alignment against labels that follow the bases of the genome through the change."""

import numpy as np
import pytest

from cisnake.data.genome import Genome, decode
from cisnake.variants.alignment import align_change
from cisnake.variants.windows import Change, Window, alternative_windows, pair_with_genes

LENGTH, SIZE = 24, 90


def by_labels(window, change, flank):
    """Columns as (label of REF, position in the window without, position in the window with the change).

    Bases of the chromosome are labelled by their positions, which extend beyond its ends, and inserted bases by -1.
    """
    reach = 200
    old = list(range(-reach, SIZE + reach))
    new = old[: change.start + reach] + [-1] * len(change.alt) + old[change.end + reach :]
    first = change.start + reach
    n_old, n_new = change.end - change.start, len(change.alt)
    zero = window.start + reach
    if window.strand == "-":
        old, new, first = old[::-1], new[::-1], len(old) - (change.end + reach)
        zero = len(old) - (window.end + reach)
    tss = zero + window.mask_start
    if first + n_old <= tss:
        tss_in_new = tss + n_new - n_old
    else:
        # Replacements of bases upstream of the TSS are upstream of it, one for one.
        tss_in_new = tss if first > tss else first + min(tss - first, n_new)
    zero_new = tss_in_new - window.mask_start

    def inside(index, zero):
        return index - zero if 0 <= index - zero < LENGTH else -1

    columns = []
    for k in range(-flank, 0):
        columns.append((old[first + k], inside(first + k, zero), inside(first + k, zero_new), False))
        assert old[first + k] == new[first + k]
    for k in range(max(n_old, n_new)):
        label, here = (old[first + k], inside(first + k, zero)) if k < n_old else (-1, -1)
        columns.append((label, here, inside(first + k, zero_new) if k < n_new else -1, True))
    for k in range(flank):
        assert old[first + n_old + k] == new[first + n_new + k]
        columns.append((old[first + n_old + k], inside(first + n_old + k, zero), inside(first + n_new + k, zero_new), False))
    return [column for column in columns if column[1] >= 0 or column[2] >= 0]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_columns_hold_the_same_bases_in_both_windows(strand, tmp_path):
    rng = np.random.default_rng(5)
    sequence = rng.integers(0, 4, SIZE).astype(np.int8)
    (tmp_path / "genome.fa").write_text(f">chr1\n{decode(sequence)}\n")
    genome = Genome(tmp_path / "genome.fa")
    kinds = ("insertion", "deletion", "substitution", "left edge", "right edge", "across TSS", "chromosome end")
    seen = dict.fromkeys(kinds, 0)
    for _ in range(1200):
        start, tss = int(rng.integers(-8, SIZE - LENGTH + 8)), int(rng.integers(0, LENGTH))
        window = Window("chr1", start, start + LENGTH, strand, tss, tss + 9)
        place = int(rng.integers(max(start - 3, 0), min(start + LENGTH + 2, SIZE)))
        end = min(place + int(rng.integers(0, 6)), SIZE)
        change = Change(place, end, decode(rng.integers(0, 4, int(rng.integers(0, 6))).astype(np.int8)))
        if (change.start == change.end and not change.alt) or not len(pair_with_genes(["chr1"], [change], [window])[0]):
            continue
        aligned = align_change(window, change, flank=7)
        expected = by_labels(window, change, 7)
        got = list(zip(aligned.unchanged.tolist(), aligned.changed.tolist(), strict=True))
        assert got == [column[1:3] for column in expected], (window, change)
        np.testing.assert_array_equal(aligned.genome, np.maximum([column[0] for column in expected], -1))
        assert [column[3] for column in expected] == [aligned.core[0] <= i < aligned.core[1] for i in range(len(expected))]
        # The bases themselves: equal outside the core wherever both windows have one.
        reference = window.codes(genome, 0, LENGTH)
        changed = alternative_windows(genome, window, reference, [change])[0][0]
        for i, (old, new) in enumerate(got):
            if min(old, new) >= 0 and not aligned.core[0] <= i < aligned.core[1]:
                assert reference[old] == changed[new]
        first, last, allele = window.place(change)
        seen["insertion"] += first == last
        seen["deletion"] += len(allele) == 0
        seen["substitution"] += last - first == len(allele)
        seen["left edge"] += first < 7
        seen["right edge"] += last > LENGTH - 7
        seen["across TSS"] += first < tss < last
        seen["chromosome end"] += bool((np.asarray([column[0] for column in expected]) < -1).any())
    assert min(seen.values()) > 20, seen


def test_gaps_follow_the_matched_bases_in_the_direction_of_the_gene():
    for strand, unchanged, changed in (("+", [10, 11, 12], [10, -1, -1]), ("-", [11, 12, 13], [11, -1, -1])):
        window = Window("chr1", 0, LENGTH, strand, 2, 9)
        aligned = align_change(window, Change(10, 13, "G"), flank=3)
        first, last = aligned.core
        assert (first, last) == (3, 6)
        assert aligned.unchanged[first:last].tolist() == unchanged
        assert aligned.changed[first:last].tolist() == changed
        assert aligned.genome[first:last].tolist() == ([10, 11, 12] if strand == "+" else [12, 11, 10])
