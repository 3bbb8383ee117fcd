"""The heat map of motifs by contrasts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from cisnake.data import Motif
from cisnake.report.effect_map import MAX_ROWS, draw_effect_map

ROWS = [
    ("liver", "a", "raises", 0.2), ("liver", "b", "raises", 0.8), ("liver", "c", "inert", 0.01),
    ("blood", "a", "lowers", -0.4), ("blood", "b", "sites_only", 0.05), ("blood", "d", "raises", 0.3),
]  # fmt: skip


def table(rows=ROWS) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["contrast", "motif_id", "verdict", "insertion_mean"])
    return frame.assign(motif_name=frame["motif_id"].str.upper(), moves="")


def drawn(effects: pd.DataFrame, **options) -> ElementTree.Element:
    return ElementTree.fromstring(str(draw_effect_map(effects, {}, **options)))


def names(svg: ElementTree.Element) -> list[str]:
    return [text.text for text in svg.iter("text") if text.get("text-anchor") == "end"]


def test_rows_are_the_acting_motifs_by_the_contrast_on_which_they_act_most():
    # b acts on liver; d and a act most on blood, d upwards. c acts on nothing.
    assert names(drawn(table())) == ["B", "D", "A"]


def test_each_tested_cell_shows_its_verdict():
    svg = drawn(table())
    full = [rect for rect in svg.iter("rect") if rect.find("title") is not None]
    assert sorted(rect.find("title").text for rect in full) == ["0.20", "0.30", "0.80", "−0.40"]
    colours = {rect.find("title").text: (rect.get("fill"), float(rect.get("fill-opacity"))) for rect in full}
    assert colours["0.80"] == ("#0072b2", 1) and colours["−0.40"] == ("#d55e00", 0.5)
    # The frame of b on blood, and that of the legend.
    assert len([rect for rect in svg.iter("rect") if rect.get("stroke-dasharray")]) == 2


def test_a_corner_marks_motifs_that_act_on_the_off_tasks_alone():
    moves = ["lowers_off", "raises_on", "", "lowers_on,raises_off", np.nan, "lowers_off,raises_off"]
    svg = drawn(table().assign(moves=moves))
    corners = [path.get("d") for path in svg.iter("path") if path.get("class") == "aside"]
    # Rows are B, D, A: a acts so on liver, d on blood.
    x, y = zip(*((float(part) for part in re.match(r"M(\S+) (\S+?)h", d).groups()) for d in corners), strict=True)
    assert len(corners) == 2 and x[0] > x[1] and y[0] < y[1]
    # Also if every motif was tested in every contrast.
    assert len([path for path in drawn(table(ROWS[:2]).assign(moves="lowers_off")).iter("path") if path.get("class")]) == 2


def test_nothing_is_drawn_if_no_motif_acts():
    assert draw_effect_map(table([("liver", "a", "inert", 0.5), ("blood", "a", "sites_only", 0.1)]), {}) == ""


def test_many_contrasts_and_long_names_stay_inside_the_picture():
    name = "a very long name of a contrast <b>&" * 3
    rows = [(f"{name}{i}", f"m{j}", "raises", 1 + j / 100) for i in range(54) for j in range(MAX_ROWS + 20)]
    svg = drawn(table(rows))
    assert len(names(svg)) == MAX_ROWS and names(svg)[0] == f"M{MAX_ROWS + 19}", "the largest effects remain"
    _, _, width, height = map(float, svg.get("viewBox").split())
    headings = [text for text in svg.iter("text") if text.get("transform")]
    assert len(headings) == 54 and all(len(text.text) <= 28 for text in headings)
    assert headings[0].find("title").text == f"{name}0"
    for rect in svg.iter("rect"):
        assert float(rect.get("x")) + float(rect.get("width")) <= width
        assert float(rect.get("y")) + float(rect.get("height")) <= height
    # A heading of 28 characters is drawn upwards to the right, and must not leave the picture at the top.
    top = float(re.search(r"translate\(\S+ (\S+)\)", headings[0].get("transform"))[1])
    assert top >= 28 * 6.3 * np.sin(np.radians(48)) - 14


def test_logos_belong_to_their_motif():
    motif = Motif("b", "B", np.eye(4))
    svg = ElementTree.fromstring(str(draw_effect_map(table(), {"b": motif})))
    assert [use.get("href") for use in svg.iter("use")] == ["#base-A", "#base-C", "#base-G", "#base-T"]


@pytest.mark.parametrize("unit", ["", "log2 ratio <x>"])
def test_the_unit_is_named(unit):
    text = " ".join(text.text or "" for text in drawn(table(), unit=unit).iter("text"))
    assert ("(log2 ratio <x>)" in text) == bool(unit)
