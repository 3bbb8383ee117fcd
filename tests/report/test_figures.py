"""Figures are valid, self-contained SVG, and their coordinates agree with the genome."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome.orientation import to_genome
from cisnake.report import figures


def window(strand: str, length: int = 300) -> pd.Series:
    place = {"chrom": "chrI", "start": 1000, "end": 1000 + length, "strand": strand}
    return pd.Series({**place, "mask_start": 200, "mask_end": 280})


def track(name: str = "g", strand: str = "+", length: int = 300) -> str:
    scores = np.random.default_rng(0).standard_normal(length)
    return figures.draw_track(name, scores, window(strand, length), [(10, 20)], (5, 115), "alt")


@pytest.mark.parametrize("strand", ["+", "-"])
def test_ticks_have_the_genome_positions_of_their_window_positions(strand):
    ticks = figures.genome_ticks(1000, 1300, strand, 40, 180, 5)
    assert len(ticks) >= 3
    for position, label in ticks:
        assert 40 <= position < 180
        assert to_genome(1000, 1300, strand, position, position + 1)[0] == int(label.replace(",", ""))


def test_ids_of_two_figures_differ_and_every_reference_has_a_target():
    seen: set[str] = set()
    for name in ("one", "two"):
        svg = track(name)
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
    assert track() == track()


def test_a_long_window_keeps_its_highest_base_and_stays_small():
    scores = np.zeros(500_000)
    scores[123_456] = 7.0
    scores[123_457] = -5.0
    svg = figures.draw_track("g", scores, window("+", 500_000), [], (0, 110), "alt")
    assert len(svg) < 60_000
    root = ElementTree.fromstring(svg)
    spread = []
    for colour in (figures.BLUE, figures.VERMILION):
        (outline,) = [path.get("d") for path in root.iter("path") if f"stroke: {colour}" in path.get("style", "")]
        spread.append(np.ptp([float(y) for y in re.findall(r"[ML] \S+ (\S+)", outline)]))
    assert spread[0] / spread[1] == pytest.approx(7 / 5, rel=0.01)


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
