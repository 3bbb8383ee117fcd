"""Every letter of a logo has the right position and height."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cisnake.data.genome.bases import encode
from cisnake.report import logos

LETTER = re.compile(r'<use href="#base-([ACGT])" transform="matrix\(([-\d.e]+) 0 0 ([-\d.e]+) ([-\d.e]+) ([-\d.e]+)\)"/>')


def letters(svg: str) -> list[tuple[str, float, float, float]]:
    """Return base, x, y and upward height of each letter."""
    return [(base, float(x), float(y), -float(d)) for base, _, d, x, y in LETTER.findall(svg)]


def test_definitions_fill_the_unit_square_for_each_base():
    svg = logos.definitions()
    for base in "ACGT":
        path = re.search(rf'<path id="base-{base}" fill="(#\w+)" d="([^"]+)"/>', svg)
        assert path and path[1] == logos.COLOURS[base]
        points = np.array(re.findall(r"-?[\d.]+", path[2]), dtype=float).reshape(-1, 2)
        # Control points of curves can be slightly outside.
        assert points.min() >= -0.01 and points.max() <= 1.01
        np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [[0, 0], [1, 1]], atol=0.01)


def test_matrix_stacks_have_their_information_content_as_height():
    p = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0.5, 0], [0.1, 0.2, 0.0, 0.7]])
    drawn = letters(logos.draw_matrix(p, "m", height=100, column=10))
    heights = np.zeros((4, 4))
    for base, x, _, height in drawn:
        heights[int(x) // 10, "ACGT".index(base)] = height
    entropy = -sum(x * np.log2(x) for x in (0.1, 0.2, 0.7))
    expected = np.array([2, 0, 1, 2 - entropy])[:, None] * p * 50
    np.testing.assert_allclose(heights, expected, rtol=1e-3, atol=0.3)
    # The most probable base is on top.
    top = min((y - height, base) for base, x, y, height in drawn if x == 30)[1]
    assert top == "T"


def test_letters_of_a_stack_touch_and_do_not_overlap():
    drawn = letters(logos.draw_matrix(np.array([[0.1, 0.2, 0.1, 0.6]]), "m", height=100))
    bottoms, tops = [y for _, _, y, _ in drawn], [y - height for _, _, y, height in drawn]
    assert bottoms[0] == 100
    np.testing.assert_allclose(bottoms[1:], tops[:-1], atol=0.02)


def test_attribution_letters_are_the_sequence_scaled_by_score():
    scores = np.array([1.0, -0.5, 0.25, 0.75, 0.5])
    drawn = letters(logos.draw_attribution(encode("ACNGT"), scores, "g", column=10, height=150))
    assert [base for base, *_ in drawn] == list("ACGT"), "N has no letter"
    np.testing.assert_allclose([x for _, x, _, _ in drawn], [0, 10, 30, 40])
    np.testing.assert_allclose([height for *_, height in drawn], [100, -50, 75, 50])
    assert len({y for _, _, y, _ in drawn}) == 1, "all letters start at the zero line"


@pytest.mark.parametrize("scores", [np.zeros(5), np.full(5, np.nan), np.zeros(0)])
def test_a_logo_without_scores_is_empty(scores):
    svg = logos.draw_attribution(np.zeros(len(scores), np.int8), scores, "g")
    assert not letters(svg) and "nan" not in svg


def test_boxes_frame_their_positions_and_names_are_escaped():
    svg = logos.draw_attribution(encode("ACGTACGT"), np.ones(8), "<t>", [logos.Box(2, 5, "<b>&")], column=10)
    assert '<rect x="20"' in svg and 'width="30"' in svg
    assert "&lt;b&gt;&amp;" in svg and "<b>" not in svg and "<t>" not in svg


def test_names_that_would_overlap_are_on_different_levels():
    boxes = [logos.Box(i * 8, i * 8 + 6, "A_LONG_NAME_OF_A_FACTOR") for i in range(4)]
    svg = logos.draw_attribution(np.zeros(40, np.int8), np.ones(40), "g", boxes)
    heights = re.findall(r'y="(-?\d+)" font-weight="bold"', svg)
    assert len(heights) == 4 and len(set(heights)) >= 3
    assert min(map(int, heights)) > 0, "no name is truncated at the top"


def test_logos_with_the_same_limits_have_the_same_scale_and_zero():
    limits = (-1.0, 2.0)
    high = letters(logos.draw_attribution(encode("AC"), np.array([2.0, -1.0]), "g", height=90, limits=limits))
    low = letters(logos.draw_attribution(encode("AC"), np.array([0.5, 0.0]), "g", height=90, limits=limits))
    assert [height for *_, height in high] == [60, -30] and [height for *_, height in low] == [15]
    assert {y for _, _, y, _ in high} == {y for _, _, y, _ in low}


def test_gaps_are_dashes_and_changed_bases_have_a_band():
    codes = np.array([0, -1, -1, 3], np.int8)
    svg = logos.draw_attribution(codes, np.array([1.0, np.nan, np.nan, 0.5]), "g", column=10, marked=(1, 3))
    assert [base for base, *_ in letters(svg)] == ["A", "T"]
    assert re.findall(r'<text x="([\d.]+)" [^>]*>-</text>', svg) == ["15.0", "25.0"]
    assert '<rect x="10" ' in svg and 'width="20"' in svg
