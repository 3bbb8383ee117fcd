import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome.bases import decode, encode, reverse_complement
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.variants.windows import Change, Window, alternative_windows, gene_windows, pair_with_genes, trim

LENGTH = 24
SIZE = 90


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    sequence = decode(np.random.default_rng(0).integers(0, 4, SIZE).astype(np.int8))
    path.write_text(f">chr1\n{sequence}\n")
    return Genome(path)


def chromosome(genome):
    return decode(genome.codes("chr1", 0, SIZE))


def window_of(start, strand, tss, gene_end):
    """A window, given the genome positions of its TSS base and gene end (exclusive, in the direction of the gene)."""
    return Window("chr1", start, start + LENGTH, strand, tss, gene_end)


def turned(text):
    return decode(reverse_complement(encode(text)))


def by_strings(sequence, window, start, ref, alt):
    """The window cut from the changed chromosome as text around the moved TSS, and the end of its gene."""
    padded, offset = "N" * 200 + sequence + "N" * 200, 200
    # Convert everything to the strand of the gene, as text and positions in it.
    if window.strand == "+":
        text, first = padded, start + offset
        zero = window.start + offset
    else:
        text, first = turned(padded), len(padded) - (start + len(ref) + offset)
        zero = len(padded) - (window.end + offset)
        ref, alt = turned(ref), turned(alt)
    assert text[first : first + len(ref)] == ref
    # Track each old base: those before the TSS base are upstream, the others are not.
    tss, end = zero + window.mask_start, zero + window.mask_end
    upstream_old = ref[: max(0, min(tss - first, len(ref)))] if first < tss else ""
    if first + len(ref) <= tss:
        upstream_new = alt
    elif first > tss:
        upstream_new = ""
    else:
        upstream_new = alt[: len(upstream_old)]
    downstream_old, downstream_new = ref[len(upstream_old) :], alt[len(upstream_new) :]
    upstream = text[: min(first, tss)] + upstream_new + text[min(first, tss) + len(upstream_old) : tss]
    between = text[tss : max(first, tss)]
    downstream = between + downstream_new + text[max(first, tss) + len(downstream_old) :]
    cut = upstream[len(upstream) - window.mask_start :] if window.mask_start else ""
    cut += downstream[: LENGTH - window.mask_start]
    # Likewise for the end of the gene: new bases that replace bases of the gene belong to it.
    place = max(first, tss)
    if place >= end or not (downstream_old or downstream_new):
        body = end - tss
    else:
        in_gene = downstream_old[: end - place]
        new_in_gene = downstream_new if place + len(downstream_old) <= end else downstream_new[: len(in_gene)]
        body = end - tss - len(in_gene) + len(new_in_gene)
    return cut, int(np.clip(window.mask_start + body, window.mask_start, LENGTH))


def build(genome, window, *changes):
    reference = window.codes(genome, 0, LENGTH)
    codes, mask_end = alternative_windows(genome, window, reference, changes)
    assert codes.dtype == np.int8
    return [decode(row) for row in codes], mask_end.tolist()


def random_variant(rng, sequence, low, high):
    start = int(rng.integers(max(low, 0), min(high, SIZE)))
    ref = sequence[start : start + int(rng.integers(1, 12))] if rng.random() < 0.6 else sequence[start]
    kind = rng.integers(4)
    letters = decode(rng.integers(0, 4, 12).astype(np.int8))
    if kind == 0:
        return start, ref, letters[: len(ref)]
    if kind == 1:
        return start, ref, ref[0]
    if kind == 2:
        return start, ref, ref[0] + letters[: int(rng.integers(1, 12))]
    return start, ref, letters[: int(rng.integers(1, 12))]


@pytest.mark.parametrize("strand", ["+", "-"])
def test_windows_are_those_cut_from_the_changed_chromosome(genome, strand):
    rng = np.random.default_rng(1)
    sequence = chromosome(genome)
    seen = {"across TSS": 0, "across edge": 0, "chromosome end": 0, "body end moved": 0}
    for _ in range(1500):
        start = int(rng.integers(-10, SIZE - LENGTH + 10))
        tss = int(rng.integers(0, LENGTH))
        window = window_of(start, strand, tss, tss + int(rng.integers(1, 2 * LENGTH)))
        place, ref, alt = random_variant(rng, sequence, start - 8, start + LENGTH + 2)
        change = trim(place, ref, alt)
        if not len(pair_with_genes(["chr1"], [change], [window])[0]):
            continue
        expected = by_strings(sequence, window, change.start, sequence[change.start : change.end], change.alt)
        got, mask_end = build(genome, window, change)
        assert (got[0], mask_end[0]) == expected, (window, change)
        first, last, _ = window.place(change)
        seen["across TSS"] += first < tss < last
        seen["across edge"] += first < 0 < last or first < LENGTH < last
        seen["chromosome end"] += "N" in got[0]
        seen["body end moved"] += mask_end[0] != min(window.mask_end, LENGTH)
    assert min(seen.values()) > 20, seen


@pytest.mark.parametrize("strand", ["+", "-"])
def test_many_changes_are_applied_independently(genome, strand):
    window = window_of(20, strand, 10, 18)
    sequence = chromosome(genome)
    snvs = [Change(p, p + 1, "ACGT"["ACGT".index(sequence[p]) - 1]) for p in range(20, 44)]
    mixed = [*snvs[:9], Change(30, 33, ""), *snvs[9:], Change(30, 30, "ACGTT")]
    together, ends = build(genome, window, *mixed)
    alone = [build(genome, window, change) for change in mixed]
    assert together == [codes[0] for codes, _ in alone]
    assert ends == [end[0] for _, end in alone]


def test_no_change_of_length_moves_the_tss(genome):
    sequence = chromosome(genome)
    window = window_of(30, "+", 10, 100)
    # Upstream of the TSS (genome 40): bases between change and TSS, and all bases downstream, stay in place.
    (codes,), _ = build(genome, window, Change(33, 36, ""))
    assert codes == sequence[27:33] + sequence[36:54]
    (codes,), _ = build(genome, window, Change(35, 35, "ACGT"))
    assert codes == (sequence[:35] + "ACGT" + sequence[35:40])[-10:] + sequence[40:54]
    # An insertion before the TSS base is upstream of it, one after it downstream.
    (codes,), _ = build(genome, window, Change(40, 40, "GG"))
    assert codes == sequence[32:40] + "GG" + sequence[40:54]
    (codes,), _ = build(genome, window, Change(41, 41, "GG"))
    assert codes == sequence[30:41] + "GG" + sequence[41:52]
    # A deletion across the TSS removes bases on both sides.
    (codes,), _ = build(genome, window, Change(38, 43, ""))
    assert codes == sequence[28:38] + sequence[43:57]
    # A substitution across it stays where it is.
    (codes,), _ = build(genome, window, Change(38, 42, "NNNN"))
    assert codes == sequence[30:38] + "NNNN" + sequence[42:54]


def test_the_mask_follows_the_gene_end(genome):
    for strand, inside, beyond in (("+", 43, 50), ("-", 39, 32)):
        window = window_of(30, strand, 8, 18)
        _, ends = build(
            genome, window, Change(inside, inside + 2, ""), Change(inside, inside, "AAA"), Change(beyond, beyond + 2, "")
        )
        assert ends == [16, 21, 18]
    cut = window_of(30, "+", 8, LENGTH + 3)
    _, ends = build(genome, cut, Change(45, 46, ""), Change(45, 50, ""))
    assert ends == [LENGTH, LENGTH - 2]


def test_shared_bases_of_alleles_are_trimmed():
    assert trim(10, "A", "G") == (10, 11, "G")
    assert trim(10, "AT", "A") == (11, 12, "")
    assert trim(10, "A", "ACC") == (11, 11, "CC")
    assert trim(10, "CAA", "CA") == (11, 12, "")
    assert trim(10, "acgt", "AGGT") == (11, 12, "G")
    assert trim(10, "AA", "AA") == (10, 10, "")


def test_change_is_paired_with_every_window_that_it_affects():
    rng = np.random.default_rng(2)
    windows = [
        window_of(int(s), "+", 5, 9)._replace(chrom=c) for s, c in zip(rng.integers(-5, 200, 40), rng.choice(["a", "b"], 40))
    ]
    starts = rng.integers(0, 220, 300)
    changes = [Change(int(s), int(s + w), "A" if w else "AC") for s, w in zip(starts, rng.integers(0, 9, 300))]
    chroms = [str(c) for c in rng.choice(["a", "b", "c"], 300)]
    expected = {
        (v, g)
        for v, (chrom, change) in enumerate(zip(chroms, changes))
        for g, window in enumerate(windows)
        if chrom == window.chrom
        and (
            (window.start < change.start < window.end)
            if change.start == change.end
            else any(window.start <= p < window.end for p in range(change.start, change.end))
        )
    }
    variant, gene = pair_with_genes(chroms, changes, windows)
    assert len(expected) > 100
    assert sorted(zip(variant.tolist(), gene.tolist())) == sorted(expected)
    assert (np.diff(variant) >= 0).all()
    assert [len(part) for part in pair_with_genes([], [], windows)] == [0, 0]
    assert [len(part) for part in pair_with_genes(chroms, changes, [])] == [0, 0]


def test_gene_windows_have_the_end_of_the_body():
    genes = pd.DataFrame(
        {
            "gene_id": ["a", "b", "c"],
            "chrom": "chr1",
            "strand": ["+", "-", "+"],
            "window_start": 30,
            "window_end": 30 + LENGTH,
            "mask_start": [8, 8, 10],
            "mask_end": [170, 44, 20],
        }
    )
    assert [window.mask_end for window in gene_windows(genes, LENGTH)] == [170, 44, 20]
    with pytest.raises(InputError, match="window of gene a has 24 bp"):
        gene_windows(genes, 30)
