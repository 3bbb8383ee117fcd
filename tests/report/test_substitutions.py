"""Every cell of a heat map of substitutions is at its base and position, with the colour of its effect."""

import re

import numpy as np

from cisnake.data.genome import encode
from cisnake.report.figures import BLUE, VERMILION
from cisnake.report.substitutions import draw_substitutions
from cisnake.report.svg_columns import COLUMN


def cells(svg):
    """Return the colour and opacity of each drawn cell, by position and base."""
    found = {}
    for colour, opacity, path in re.findall(r'<path fill="(#\w+)" fill-opacity="([\d.]+)" d="([^"]+)"/>', svg):
        for x, y in re.findall(r"M(\d+) (\d+)h", path):
            found[int(x) // COLUMN, "ACGT"[int(y) // 9]] = colour, float(opacity)
    return found


def test_blue_raises_and_vermilion_lowers_by_the_size_of_the_effect():
    effects = np.full((5, 4), np.nan)
    effects[1] = [0, 0.5, -1, 0.25]
    effects[3] = [-0.125, 0, 2, 0.01]
    found = cells(draw_substitutions(encode("AANCT"), effects, "t", largest=1.0))
    assert found == {
        (1, "C"): (BLUE, 0.5), (1, "G"): (VERMILION, 1), (1, "T"): (BLUE, 0.25),
        (3, "A"): (VERMILION, 0.125), (3, "G"): (BLUE, 1),
    }  # fmt: skip


def test_dots_mark_the_sequence_and_the_frame_ends_with_the_substitutions():
    effects = np.zeros((6, 4))
    effects[[0, 5]] = np.nan
    svg = draw_substitutions(np.array([0, 1, -1, 4, 3, 2]), effects, "<t>", largest=0.0, ticks=[(2, "10")], marked=(1, 3))
    dots = re.search(r'stroke-linecap="round" d="([^"]*)"', svg)[1]
    assert [(int(float(x) / COLUMN), "ACGT"[int(float(y) / 9)]) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h0", dots)] == [
        (1, "C"), (4, "T"),
    ]  # fmt: skip
    assert f'<rect x="{COLUMN}" y="0" width="{4 * COLUMN}" height="36" fill="#fff"' in svg
    assert f'<rect x="{COLUMN}" y="0" width="{2 * COLUMN}" height="36" fill="#000"' in svg
    assert "<title>&lt;t&gt;</title>" in svg and f'x="{2.5 * COLUMN}"' in svg and ">10</text>" in svg
    assert cells(svg) == {}


def test_nothing_substituted_draws_no_frame():
    svg = draw_substitutions(encode("ACG"), np.full((3, 4), np.nan), "t", largest=0.0)
    assert "<rect" not in svg and cells(svg) == {}
