"""Figures are valid, self-contained SVG, and their coordinates agree with the genome."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from cisnake.report import figures


def drawn(name: str = "g") -> str:
    """Return a figure with clip paths and with points as an image."""
    x = np.random.default_rng(0).standard_normal(2_000)
    return figures.draw_predictions(name, x, x, "title", "task")


def test_ids_of_two_figures_differ_and_every_reference_has_a_target():
    seen: set[str] = set()
    for name in ("one", "two"):
        svg = drawn(name)
        root = ElementTree.fromstring(svg)
        ids = {element.get("id") for element in root.iter()} - {None}
        references = {
            value.removeprefix("url(").removesuffix(")").removeprefix("#")
            for element in root.iter()
            for key, value in element.attrib.items()
            if (key == "href" and value.startswith("#")) or value.startswith("url(#")
        }
        assert references <= ids and references
        assert not ids & seen
        seen |= ids


def test_figures_are_reproducible():
    assert drawn() == drawn()


def test_special_characters_in_names_are_escaped():
    counts = {"<script>$a$ & \x00b": 3, "$": 2}
    svg = figures.draw_counts("x", counts, "genes")
    texts = ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter("text")]
    assert "<script>$a$ & b" in texts and "$" in texts and "<script>" not in svg


def test_many_points_become_an_image_inside_the_figure():
    x = np.random.default_rng(0).standard_normal(20_000)
    svg = figures.draw_predictions("p", x, x, "title", "task")
    assert "data:image/png;base64," in svg and len(svg) < 200_000
    assert "<image" not in figures.draw_predictions("p", x[:100], x[:100], "title", "task")


def test_figures_without_measurements_are_drawn():
    nothing = np.full(5, np.nan)
    assert figures.draw_predictions("p", nothing, nothing, "t", "task").startswith("<svg")
    tasks = pd.DataFrame({"task": ["a"], "pearson": [np.nan], "kmer_ridge_pearson": [np.nan]})
    assert figures.draw_baseline("test", tasks).startswith("<svg")


def test_many_chromosomes_are_merged_without_losing_genes():
    rng = np.random.default_rng(0)
    genes = pd.DataFrame({"chrom": [f"scaffold_{i}" for i in rng.integers(0, 500, 5000)], "split": "train"})
    svg = figures.draw_splits(genes)
    texts = ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter("text")]
    assert sum(text.startswith("scaffold_") for text in texts) == figures.MAX_CHROMOSOMES - 1
    assert "471 others" in texts and "train (5,000)" in texts


def test_chromosomes_are_sorted_naturally():
    assert sorted(["chr10", "chr2", "chrX", "chr1"], key=figures.natural_key) == ["chr1", "chr2", "chr10", "chrX"]


LONG = "a cell of a very particular type and state, from a tissue with a long name, of donor number"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_groups", [2, 7, 200])
def test_long_names_of_many_groups_leave_space_for_the_data(n_groups):
    group = [f"{LONG} {i}" for i in range(n_groups)]
    r = np.linspace(0.2, 0.8, n_groups)
    tasks = pd.DataFrame({"task": group, "group": group, "pearson": r, "kmer_ridge_pearson": r - 0.1})
    for svg, share in ((figures.draw_groups("test", tasks), 0.4), (figures.draw_baseline("test", tasks), 0.7)):
        root = ElementTree.fromstring(svg)
        assert all(len("".join(text.itertext())) <= figures.MAX_LABEL + 8 for text in root.iter("text"))
        width = float(root.get("viewBox").split()[2])
        # The clip path is the frame of the data.
        frames = [float(rect.get("width")) for clip in root.iter("clipPath") for rect in clip.iter("rect")]
        assert frames and max(frames) > share * width


def test_short_names_that_differ_at_either_end_stay_different():
    assert len({figures.shorten(f"{LONG} {i}") for i in range(20)}) == 20
    assert len({figures.shorten(f"{i} {LONG}") for i in range(20)}) == 20
    assert {len(figures.shorten("x" * n)) for n in (30, 31, 200)} == {figures.MAX_LABEL}
