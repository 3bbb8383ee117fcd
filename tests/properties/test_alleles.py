"""Windows with a variant compared with the mutated chromosome as text, up to and beyond the chromosome ends."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.variants.windows import Change, Window, alternative_windows, pair_with_genes, trim

SIZE, LENGTH, PAD = 70, 20, 200
PAIR = str.maketrans("ACGTN", "TGCAN")
BASES = st.text("ACGT", max_size=12)


class Case(NamedTuple):
    window: Window
    change: Change
    ref: str


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> tuple[Genome, str]:
    text = "".join(np.random.default_rng(5).choice(list("ACGT"), SIZE))
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">c\n{text}\n")
    return Genome(path), text


@st.composite
def windows(draw) -> Window:
    """A window that contains the TSS, and may extend beyond the chromosome and end before the end of the gene."""
    start = draw(st.integers(-8, SIZE - LENGTH + 8))
    tss = draw(st.integers(0, LENGTH - 1))
    return Window("c", start, start + LENGTH, draw(st.sampled_from("+-")), tss, draw(st.integers(tss + 1, LENGTH + 30)))


@st.composite
def changes(draw) -> Change:
    start = draw(st.integers(0, SIZE))
    end = draw(st.integers(start, min(SIZE, start + draw(st.sampled_from([0, 1, 3, 30])))))
    return Change(start, end, draw(BASES if end > start else st.text("ACGT", min_size=1, max_size=12)))


def touches(change: Change, window: Window) -> bool:
    """Whether a variant replaces or removes a base of the window, or inserts bases between two of its bases."""
    if change.start == change.end:
        return window.start < change.start < window.end
    return bool(set(range(change.start, change.end)) & set(range(window.start, window.end)))


def expected(text: str, window: Window, change: Change) -> tuple[str, int]:
    """Return the window and the end of the gene body, cut from the mutated chromosome on the strand of the gene."""
    text = "N" * PAD + text + "N" * PAD
    first, last, allele, zero = change.start + PAD, change.end + PAD, change.alt, window.start + PAD
    if window.strand == "-":
        text, allele = text[::-1].translate(PAIR), allele[::-1].translate(PAIR)
        first, last, zero = len(text) - last, len(text) - first, len(text) - (window.end + PAD)
    tss, end = zero + window.mask_start, zero + window.mask_end
    if last <= tss:
        upstream, downstream = text[:first] + allele + text[last:tss], text[tss:]
    elif first > tss:
        upstream, downstream = text[:tss], text[tss:first] + allele + text[last:]
    else:
        # The variant covers the TSS: new bases replace old ones, and excess bases follow.
        upstream, downstream = text[:first] + allele[: tss - first], allele[tss - first :] + text[last:]
    begin = len(upstream) - window.mask_start
    # Nothing changes downstream of the gene end, so the remaining length gives the new length of the gene.
    if first < end and last <= end:
        behind = len(text) - end
    elif first < end:
        behind = len(text) - last + max(len(allele) - (end - first), 0)
    else:
        behind = len(text) - end + len(allele) - (last - first)
    body_end = len(upstream) + len(downstream) - behind - begin
    return (upstream + downstream)[begin : begin + LENGTH], min(max(body_end, window.mask_start), LENGTH)


@given(windows(), changes())
def test_windows_are_cut_from_the_mutated_chromosome(genome, window: Window, change: Change) -> None:
    reader, text = genome
    assume(touches(change, window))
    reference = window.codes(reader, 0, LENGTH)
    codes, mask_end = alternative_windows(reader, window, reference, [change])
    assert (decode(codes[0]), int(mask_end[0])) == expected(text, window, change)


@given(windows(), st.lists(changes(), max_size=5))
def test_variants_are_independent(genome, window: Window, several: list[Change]) -> None:
    reader, _ = genome
    several = [change for change in several if touches(change, window)]
    reference = window.codes(reader, 0, LENGTH)
    before = reference.copy()
    codes, mask_end = alternative_windows(reader, window, reference, several)
    assert np.array_equal(reference, before)
    for i, change in enumerate(several):
        alone = alternative_windows(reader, window, reference, [change])
        assert np.array_equal(codes[i], alone[0][0]) and mask_end[i] == alone[1][0]


@given(windows(), changes())
def test_the_inverse_variant_gives_the_reference(genome, window: Window, change: Change) -> None:
    reader, text = genome
    assume(touches(change, window) and change.end > change.start)
    reference = window.codes(reader, 0, LENGTH)
    codes, mask_end = alternative_windows(reader, window, reference, [change._replace(alt=text[change.start : change.end])])
    assert np.array_equal(codes[0], reference) and mask_end[0] == min(window.mask_end, LENGTH)


@given(st.integers(0, 40), BASES.filter(len), BASES.filter(len), st.booleans())
def test_trimming_changes_nothing(start: int, ref: str, alt: str, lower: bool) -> None:
    change = trim(start, ref.lower() if lower else ref, alt)
    text = "N" * start + ref + "N" * 5
    changed = text[: change.start] + change.alt + text[change.end :]
    assert changed == text[:start] + alt + text[start + len(ref) :]
    left = text[change.start : change.end]
    assert len(change.alt) - len(left) == len(alt) - len(ref)
    if left and change.alt:
        assert left[0] != change.alt[0] and left[-1] != change.alt[-1]


@given(st.lists(windows(), max_size=6), st.lists(changes(), max_size=6), st.data())
def test_every_affected_window_is_found(several: list[Window], made: list[Change], data) -> None:
    chroms = data.draw(st.lists(st.sampled_from("cd"), min_size=len(made), max_size=len(made)))
    found = set(zip(*(part.tolist() for part in pair_with_genes(chroms, made, several)), strict=True))
    assert found == {
        (i, j)
        for i, change in enumerate(made)
        for j, window in enumerate(several)
        if chroms[i] == window.chrom and touches(change, window)
    }
