"""The embedded browser is self-contained, has the right data, and is drawn by a web browser if one is installed."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from cisnake.report import igv
from cisnake.report.igv_views import View

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "</script><!--<script>\"'&é\u2028🧬"


def make_view(length: int = 300, contrast: str = "liver", label: str = "A (g)", chrom: str = "chr1") -> View:
    rng = np.random.default_rng(length)
    start = 1_000
    places = pd.DataFrame({"start": [start + 5, start + 40], "end": [start + 12, start + 55]})
    return View(
        contrast=contrast, label=label, chrom=chrom, start=start, end=start + length, focus=(start + 2, start + 60),
        sequence="".join(rng.choice(list("ACGTN"), length)), scores=rng.standard_normal(length).astype(np.float32),
        genes=places.assign(name=label, strand=["+", "-"], color="#123456"),
        peaks=places.assign(name=["+1", "−2"], color=["#0072b2", "#d55e00"], p_value=[1.23456789e-8, np.nan]),
        hits=places.assign(name=HOSTILE, strand=["+", "-"]), variants=places.head(0).assign(name=[]),
    )  # fmt: skip


class Elements(HTMLParser):
    """Parser that collects tags with their attributes, and the content of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.feed(str(text))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script" and self.scripts:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)


def script(html: str, name: str) -> str:
    (text,) = [text for attrs, text in Elements(html).scripts if attrs.get("id") == name]
    return text


def unpack(text: str) -> str:
    return gzip.decompress(base64.b64decode(text, validate=True)).decode()


VIEWS = [make_view(), make_view(700, label=f"{HOSTILE} (h)"), make_view(300, contrast=HOSTILE, label='"><img src=x>')]


@pytest.fixture(scope="module")
def html() -> str:
    return str(igv.browser_section(VIEWS))


def test_scores_are_stored_to_four_digits_of_the_largest(html):
    packed = json.loads(script(html, "igv-views"))
    assert len(packed) == len(VIEWS)
    for text, view in zip(packed, VIEWS, strict=True):
        found = json.loads(unpack(text))
        assert found["sequence"] == view.sequence and found["focus"] == list(view.focus)
        assert (found["chrom"], found["start"], found["end"]) == (view.chrom, view.start, view.end)
        assert found["contrast"] == view.contrast
        values = np.array(found["scores"]) * found["step"]
        assert np.abs(values - view.scores).max() <= np.abs(view.scores).max() / 9999
        kinds = {track["kind"]: track for track in found["tracks"]}
        assert set(kinds) == {"peaks", "hits", "variants", "genes"} <= set(json.loads(script(html, "igv-style")))
        start = view.start
        expected = [[start + 5, start + 12, HOSTILE, "+"], [start + 40, start + 55, HOSTILE, "-"]]
        assert kinds["hits"]["rows"] == expected and kinds["hits"]["columns"] == ["start", "end", "name", "strand"]
        assert [row[-1] for row in kinds["peaks"]["rows"]] == [1.235e-8, None] and kinds["variants"]["rows"] == []


def test_a_gene_without_attribution_and_a_name_with_a_colon():
    view = replace(make_view(chrom="HLA:1"), scores=np.zeros(300, np.float32))
    found = json.loads(unpack(json.loads(script(igv.browser_section([view]), "igv-views"))[0]))
    assert set(found["scores"]) == {0} and found["chrom"] == "HLA_1", "igv.js parses the part after a colon as a position"


def test_a_view_is_small():
    rng = np.random.default_rng(0)
    for length, most in ((600, 4_000), (20_000, 100_000)):
        view = replace(make_view(length), scores=(rng.standard_normal(length) ** 3).astype(np.float32))
        assert len(json.loads(script(igv.browser_section([view]), "igv-views"))[0]) < most


def test_names_are_escaped_and_nothing_is_loaded(html):
    elements = Elements(html)
    assert [tag for tag, _ in elements.tags if tag == "script"] == ["script"] * 4
    assert not {tag for tag, _ in elements.tags} & {"img", "link", "iframe", "object"}
    for _, attrs in elements.tags:
        assert not set(attrs) & {"src", "href", "srcset", "action"}
        assert not any("://" in str(value) for value in attrs.values())
    groups = [attrs["label"] for tag, attrs in elements.tags if tag == "optgroup"]
    assert groups == ["liver", HOSTILE] and html.count("<option ") == 3
    assert "://" not in script(html, "igv-views") and "://" not in igv.PROGRAM.read_text()
    assert "http" not in igv.POLICY and "default-src 'none'" in igv.POLICY


def test_igv_is_the_released_version_and_output_is_reproducible(html):
    library = script(html, "igv-library")
    digest = hashlib.sha256(gzip.decompress(base64.b64decode(library))).hexdigest()
    table = (igv.LIBRARY.parent / "README.md").read_text()
    assert f"`{digest}`" in table and re.search(r"igv\.min\.js.*3\.\d+\.\d+.*MIT", table)
    assert "MIT" in (igv.LIBRARY.parent / "igv.LICENSE").read_text()
    assert str(igv.browser_section(VIEWS)) == html


def test_no_views_give_no_browser():
    assert igv.browser_section([]) == ""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_web_browser_draws_it_without_network_requests(html, tmp_path):
    page = tmp_path / "page.html"
    # Requests that the policy forbids are not sent, but reported to the page.
    watch = "document.addEventListener('securitypolicyviolation', (e) => { document.body.dataset.blocked = e.blockedURI; });"
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{igv.POLICY}"><script>{watch}</script>'
    page.write_text(f"<!DOCTYPE html><html><head>{head}</head><body>{html}</body></html>", encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,900",
        f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=20000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert re.search(r'<div id="browser" data-state="ready">', done.stdout), done.stderr[-2000:]
    assert "data-blocked" not in done.stdout
