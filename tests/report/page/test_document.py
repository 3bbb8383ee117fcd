"""The page has the numbers of the files, is self-contained, and survives hostile names."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.configuration import complete
from cisnake.files import read_table, write_table
from cisnake.interpret.attribution.file import AttributionFile
from cisnake.interpret.patterns import discover, files
from cisnake.report import words
from cisnake.report.page import cards, document, motifs, programs

from ...configured import configured

ROOT = Path(__file__).parents[3]


CONFIG = complete(
    {
        "run": {"name": "A-run"},
        "genome": {"simulate": {}},
        "targets": {},
        "model": {"params": "config/models/demo.yaml"},
        "splits": {"val": ["chr2"], "test": ["chr3"]},
        "train": {"replicates": 3},
        "evaluate": {"splits": ["val", "test"]},
        "attribution": {"contrasts": {name: {"on_tasks": [name]} for name in ("acid", "heat")}},
        "variants": {"controls": 0, "explained": 0},
    }
)


def write(results: Path, title: str = "A run", **options) -> str:
    return document.write_report(results, results / "inputs/motifs.meme", title, **options)


@pytest.fixture(scope="module")
def text(whole: Path) -> str:
    return write(whole, config=CONFIG, n_genes=3, n_motifs=3)


class Structure(HTMLParser):
    """Parser that collects start tags with their attributes, unclosed tags, and errors."""

    VOID = frozenset({"meta", "br", "use", "path", "rect", "line", "image", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.errors: list[str] = []
        self.feed(text)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> at {self.getpos()}")


def test_the_page_is_well_formed_and_ids_are_unique(text):
    structure = Structure(text)
    assert not structure.errors and not structure.open
    ids = [attrs["id"] for _, attrs in structure.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in structure.tags:
        target = attrs.get("href", "")
        # A script draws the card of such an address, so that no element has this id.
        if target.startswith("#") and not target.startswith("#gene="):
            assert target[1:] in ids, attrs


def test_nothing_is_loaded_from_outside(text):
    for tag, attrs in Structure(text).tags:
        assert tag not in ("link", "iframe", "object", "embed")
        for key in ("src", "href", "srcset", "action"):
            assert attrs.get(key, "#").startswith(("#", "data:")), attrs
    # The policy of the page forbids requests by scripts.
    assert f'<meta http-equiv="Content-Security-Policy" content="{html.escape(programs.POLICY)}"' in text.replace(
        "&#39;", "&#x27;"
    )
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


def test_headline_numbers_are_those_of_the_files(text, whole):
    summary, recovery = (json.loads((whole / name).read_text()) for name in ("evaluation/test/summary.json", "recovery.json"))
    tiles = {html.unescape(k): v for k, v in re.findall(r"<div><dt>([^<]+)</dt><dd>([^<]+)</dd></div>", text)}
    assert tiles["median r of the ensemble, test split"] == f"{summary['model']['pearson_median']:.3f}"
    ridge = summary["baselines"]["kmer_ridge"]["pearson_median"]
    assert tiles["median r of ridge regression on k-mers"] == f"{ridge:.3f}"
    assert tiles["genes held out (test)"] == str(summary["n_genes"])
    assert tiles["tasks"] == str(summary["n_tasks"])
    assert tiles["possible r, given the noise"] == f"{recovery['pearson_possible']:.3f}"
    assert tiles["planted motifs found again"] == "7 of 8"
    assert rows_with(text, "FAC0")[0] == ["FAC0", "MA0000.1", "activator", "yes", "cluster"]
    assert tiles["precision of peaks"] == "0.910" and tiles["recall of peaks"] == "0.730"


def rows_with(text: str, first_cell: str) -> list[list[str]]:
    """Return the cells, as text, of all table rows with this first cell."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in re.findall(r"<tr>(.*?)</tr>", text, re.S)]
    plain = [[html.unescape(re.sub(r"<[^>]+>", " ", cell)).strip() for cell in row] for row in rows]
    return [row for row in plain if row and row[0] == first_cell]


def test_every_task_is_in_the_table_with_its_scores(text, whole):
    tasks = read_table(whole / "evaluation/test/tasks.tsv", pearson="float", kmer_ridge_pearson="float", r2="float")
    for task in tasks.itertuples():
        (row, *_) = rows_with(text, f"{task.task}  {task.description}")
        assert row[1] == task.group and row[2] == task.n
        assert row[3] == words.number(task.pearson) and row[6] == words.number(task.kmer_ridge_pearson)
        assert row[5] == words.number(task.r2)
    last = tasks.iloc[-1]
    assert rows_with(text, f"{last['task']}  {last['description']}")[0][3] == "–", "an undefined score"


def test_training_shows_the_best_epoch_of_each_replicate(text, whole):
    for replicate in range(3):
        name = f"fold_0/replicate_{replicate}"
        history = read_table(whole / "models" / name / "history.tsv", best="bool", val_pearsonr="float", val_loss="float")
        best = history.loc[history["val_pearsonr"].idxmax()]
        assert history["best"].sum() > 1, "every epoch that was the best so far is marked"
        (row,) = rows_with(text, name)
        assert row[1] == str(len(history)) and row[2] == best["epoch"] and row[5] == words.number(best["val_pearsonr"])
    assert rows_with(text, "train.seed")[0][1] == "0, 1, 2"
    assert rows_with(text, "model.seq_length")[0][1] == "400"


def test_motifs_are_the_best_of_each_cluster_with_effects(text, whole):
    for contrast in ("heat", "acid"):
        section = text.split(f'<h3 id="motifs-{["acid", "heat"].index(contrast)}">')[1].split("<h3")[0].split("</section>")[0]
        assert re.findall(r"<b>(FAC\d+)</b>", section) == ["FAC0", "FAC2", "FAC4"]
        assert section.count('class="matrix"') == 3 and section.count("<summary>and 1 similar</summary>") == 3
        assert "−0.213" in section and "−0.30 to −0.12" in section and "0.22 to –" in section
        table = read_table(whole / f"motifs/{contrast}/enrichment.tsv")
        assert f"{int(table['n_peaks_with_hit'][2])} of {int(table['n_peaks'][2])}" in section
        assert words.number(float(table["q_value"][2]), 2, "g") in section
        section = re.sub(r'<details class="small">.*?</details>', "", section, flags=re.DOTALL)
        verdicts = re.findall(r'<b>(raises|lowers)</b> the score|<span class="badge warn">([^<]+)<', section)
        assert ["".join(found) for found in verdicts] == ["raises", "is inert"]
        assert re.findall(r'</b> the score<br><span class="small wrap">([^<]+)', section) == ["lowers the off-tasks"]
        assert section.count('title="off-tasks, 95% interval: −0.30 to −0.20">off −0.26<') == 2
        assert section.count(">on 0.051<") == 2 and section.count("a motif that lowers the off-tasks raises it") == 1
        assert section.count("25.0% of sites inert") == 2 and section.count("not probed") == 1
        (pair,) = rows_with(section, "FAC0")
        assert pair[1:5] == ["FAC2", "6", "1.3", "21.5"] and pair[6:9] == ["30 to 40", "convergent", "5"]


def test_the_first_screen_says_that_a_motif_acts_on_the_off_tasks_only(results):
    path = results / "motifs/heat/effects.tsv"
    table = read_table(path).assign(verdict="raises")
    table["moves"] = table["motif_id"].map({"MA0000.1": "lowers_off", "MA0002.1": "raises_on,lowers_off"}).fillna("raises_on")
    write_table(table, path)
    drivers = write(results, n_genes=1).split("motifs that act, tested in silico")[1].split("</table>")[0]
    heat = re.sub(r"<[^>]+>", "", drivers.split(">heat</a>")[1])
    found = re.findall(r"(FAC\d+) ↑ raises( \([^)]*\))?", heat)
    assert found == [("FAC0", " (lowers the off-tasks)"), ("FAC2", "")]


def test_a_cluster_keeps_its_name_where_another_member_is_better(results):
    path = results / "motifs/heat/enrichment.tsv"
    table = read_table(path)
    ids = table["motif_id"].tolist()
    # MA0003 is the second member of the second cluster.
    table["rank"] = table["motif_id"].map({ids[3]: 0}).fillna(table["rank"])
    write_table(table, path)
    section = write(results, n_genes=1, n_motifs=2).split('<h3 id="motifs-1">')[1].split("</section>")[0]
    assert re.findall(r"<b>(FAC\d+)</b>", section) == ["FAC2", "FAC0"]
    assert re.findall(r"best here: (FAC\d+) \(odds ratio", section) == ["FAC3"]


def test_members_of_a_cluster_are_listed_and_one_that_acts_is_named_beside_the_verdict(results):
    path = results / "motifs/heat/effects.tsv"
    table = read_table(path)
    # FAC0 and FAC1 are one cluster: FAC0 does not act by itself, and FAC1 does.
    table.loc[:1, "verdict"], table.loc[:1, "moves"] = ["sites_only", "lowers"], ["", "raises_off,lowers_on"]
    write_table(table, path)
    text = write(results, n_genes=1, n_motifs=2)
    section = text.split('<h3 id="motifs-1">')[1].split("</section>")[0]
    first, second = re.findall(r"<details class=\"small\">(.*?)</details>", section, flags=re.DOTALL)
    member = re.sub(r"<[^>]+>", "", first).split("similar")[1].strip()
    assert re.fullmatch(r"FAC1 \(MA0001\.1\): rank 2, odds ratio [\d.]+, q [\d.e−]+, lowers the score \(raises .*\)", member)
    assert "FAC3 (MA0003.1): rank 4" in second and "has no sites" in second
    assert section.count("but FAC1 lowers the score (raises the off-tasks, lowers the on-tasks)") == 1
    assert "not by itself" in section
    drivers = text.split("motifs that act, tested in silico")[1].split("</table>")[0]
    assert "FAC1 (of FAC0)" in drivers


def test_patterns_are_aligned_with_the_motifs_that_they_match(results):
    rng = np.random.default_rng(0)
    seqlets = pd.DataFrame(
        {column: [1, 2] for column in discover.SEQLET_COLUMNS} | {"pattern": "positive_1", "gene_id": ["a", "b"]}
    )
    found = discover.Pattern("positive_1", rng.dirichlet(np.ones(4), 7), rng.random((7, 4)), seqlets)
    match = {"pattern": "positive_1", "rank": 1, "motif_id": "MA0003.1", "motif_name": "FAC3", "p_value": 1e-5, "e_value": 1e-4}
    match |= {"q_value": 0.0032, "overlap": 5, "offset": -2, "strand": "-"}
    (results / "patterns/heat").mkdir(parents=True)
    paths = [results / "patterns/heat" / name for name in files.FILES]
    files.write_patterns([found], pd.DataFrame([match]), paths)
    text = write(results, n_genes=1, n_motifs=1)
    assert text.count("Patterns found without a database") == 1
    section = text.split("Patterns found without a database")[1].split("</table>")[0]
    assert (
        "FAC3" in section and "MA0003.1, − strand" in section and "0.0032" in section and section.count('class="matrix"') == 2
    )
    first, second = motifs.align(found.probabilities, np.full((12, 4), [0.7, 0.1, 0.1, 0.1]), -2)
    assert len(first) == len(second) == 12
    np.testing.assert_array_equal(first[2:9], found.probabilities)
    assert (first[:2] == 0.25).all() and (first[9:] == 0.25).all()


def test_checks_are_listed_for_each_contrast(text, whole):
    section = text.split('<section id="trust">')[1].split("</section>")[0]
    for contrast in ("acid", "heat"):
        peaks = read_table(whole / f"peaks/{contrast}.tsv", q_value="float")
        (row,) = rows_with(section, contrast)
        assert row[-2:] == [f"{len(peaks):,}", f"{(peaks['q_value'] <= 0.1).sum():,}"]


def unpack(packed: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))


def card_data(text: str) -> dict:
    """Return the data of the genes section, with its tables unpacked."""
    data = json.loads(re.search(r'<script type="application/json" id="card-data">(.*?)</script>', text)[1])
    data["units"] = pd.DataFrame(**dict(zip(("columns", "data"), unpack(data["units"]).values(), strict=True)))
    for contrast in data["contrasts"]:
        table = unpack(contrast["table"])
        contrast["table"] = pd.DataFrame(table["rows"], columns=table["columns"])
        contrast["cards"] = {int(row): unpack(card) for row, card in contrast["cards"].items()}
    return data


def test_cards_are_of_the_largest_correct_held_out_genes(text, whole):
    data = card_data(text)
    for contrast in data["contrasts"]:
        table = AttributionFile(whole / f"attributions/{contrast['name']}.h5").windows
        held_out = table[table["split"] != "train"]
        third = {name: pd.qcut(held_out[name].rank(), 3, labels=False) for name in ("measured", "predicted")}
        good = held_out[third["measured"] == third["predicted"]]
        best = pd.concat([good.nlargest(2, "predicted"), good.nsmallest(1, "predicted")])
        ranked = contrast["table"].sort_values("rank")
        assert list(data["units"]["gene_id"][ranked["unit"][:3]]) == list(best["gene_id"])
        shown = [contrast["cards"][row] for row in ranked.index[:3]]
        for card, row in zip(shown, best.itertuples(), strict=True):
            assert card["gene"]["id"] == row.gene_id and card["gene"]["window"] == [row.start, row.end]
            assert card["gene"]["unseen"] and card["gene"]["prediction"] == "correct"
            assert (card["gene"]["predicted"], card["gene"]["measured"]) == pytest.approx(
                (row.predicted, row.measured), rel=1e-3
            )
        # Each peak has hits of two motifs, and is named after the cluster of the better one of those whose cluster is enriched.
        hits = read_table(whole / f"motifs/{contrast['name']}/hits.tsv")[
            ["gene_id", "peak_id", "motif_id", "orientation", "p_value"]
        ]
        enrichment = read_table(whole / f"motifs/{contrast['name']}/enrichment.tsv", rank="int", q_value="float")
        sure = enrichment[enrichment["cluster"].isin(enrichment.loc[enrichment["q_value"] <= 0.05, "cluster"])]
        first = hits[hits["gene_id"] == best["gene_id"].iloc[0]].drop(columns="p_value").assign(p=hits["p_value"].astype(float))
        first = first.merge(sure, on="motif_id").sort_values("p", kind="stable")
        first = first.drop_duplicates("peak_id").set_index("peak_id")
        peaks = pd.DataFrame(shown[0]["peaks"]["rows"], columns=shown[0]["peaks"]["columns"])
        arrows = np.where(first["orientation"] == first["cluster_orientation"], " →", " ←")
        assert sorted(peaks.loc[peaks["enriched"], "motif"]) == sorted(first["cluster_name"] + arrows) and len(first)
        assert all(name.startswith("other motif: ") for name in peaks.loc[~peaks["enriched"], "motif"])
        assert all(", p = " in hit for hit in peaks["best_hit"])


def test_every_gene_is_listed_and_the_others_are_ranked_by_their_distance_from_the_median(text, whole):
    data = card_data(text)
    for contrast in data["contrasts"]:
        file, table = AttributionFile(whole / f"attributions/{contrast['name']}.h5"), contrast["table"]
        assert list(data["units"]["gene_id"][table["unit"]]) == file.genes and sorted(table["rank"]) == list(range(1, 41))
        peaks = read_table(whole / f"peaks/{contrast['name']}.tsv")["gene_id"].value_counts()
        assert list(table["peaks"]) == [peaks[gene] for gene in file.genes]
        far = (table["predicted"] - table["predicted"].median()).abs()[table.sort_values("rank").index[3:]]
        assert far.is_monotonic_decreasing


def test_the_page_has_the_chosen_genes_in_all_contrasts_unless_these_are_many(whole, monkeypatch):
    def shown(text: str) -> list[set[str]]:
        data = card_data(text)
        return [{card["gene"]["id"] for card in contrast["cards"].values()} for contrast in data["contrasts"]]

    acid, heat = shown(write(whole, n_genes=3))
    assert acid == heat and 3 < len(acid) <= 6
    monkeypatch.setattr(cards, "MAX_CARDS", 2 * len(acid) - 1)
    first, second = shown(write(whole, n_genes=3))
    assert len(first) == len(second) == 3 and first | second == acid
    monkeypatch.setattr(cards, "PAGE_BYTES", 10)
    assert [len(genes) for genes in shown(write(whole, n_genes=3))] == [1, 1], "one card per contrast, however large"


def test_hostile_names_are_escaped(tmp_path, make_results):
    evil = '<script>alert("x")</script>'
    names = (evil, '"><img src=x onerror=alert(1)>', "a\x01b $^$ é & {{ 7 * 7 }}", "</svg></article>")
    results = make_results(tmp_path / "run", n_genes=12, gene_names=names * 3, splits=("test",))
    hits = results / "motifs/heat/hits.tsv"
    hits.write_text(hits.read_text().replace("FAC1", "<img src=y>"))
    text = write(results, config=CONFIG | {"evaluate": {"splits": ["test"]}, "evil": evil}, n_genes=4)
    structure = Structure(text)
    scripts = [attrs.get("id") for tag, attrs in structure.tags if tag == "script"]
    assert scripts == ["datatables", "igv-library", "igv-style", "card-data", *[None] * 5], "only those of the page"
    assert "img" not in {tag for tag, _ in structure.tags} and not structure.errors
    assert "&lt;script&gt;" in text
    data = card_data(text)
    assert set(data["units"]["gene_name"]) == set(names)
    assert {card["gene"]["name"] for card in data["contrasts"][0]["cards"].values()} <= set(names)


def test_libraries_are_the_released_versions():
    table = (programs.ASSETS / "README.md").read_text()
    for name in programs.LIBRARIES.values():
        digest = hashlib.sha256((programs.ASSETS / name).read_bytes()).hexdigest()
        assert re.search(rf"`{re.escape(name)}` .*\d+\.\d+\.\d+.*MIT.*`{digest}`", table), f"{name}: {digest}"
        assert "MIT" in (programs.ASSETS / f"{name.partition('.')[0]}.LICENSE").read_text()
    assert "default-src 'none'" in programs.POLICY and "http" not in programs.POLICY_WITH_FILES


def test_missing_optional_parts_are_not_shown(results):
    for part in ("variants", "attributions"):
        shutil.rmtree(results / part)
    (results / "recovery.json").unlink()
    text = write(results)
    for anchor in ("motifs", "genes"):
        assert f'id="{anchor}"' not in text and f'href="#{anchor}"' not in text
    assert "No variants were scored (variants.vcf is not set)." in text
    assert "planted" not in text and "simulated" not in text and not Structure(text).errors


def test_motifs_and_effects_may_be_missing(results):
    shutil.rmtree(results / "motifs/heat")
    (results / "motifs/acid/effects.tsv").unlink()
    (results / "motifs/acid/pairs.tsv").unlink()
    (results / "evaluation/test/predictions.h5ad").unlink()
    text = write(results, n_genes=2)
    assert "Motifs were not scanned for" in text and "effect of deleting it" not in text and not Structure(text).errors


def test_empty_tables_are_shown(results):
    motifs = ("hits.tsv", "enrichment.tsv", "effects.tsv", "pairs.tsv")
    for path in ("peaks/heat.tsv", "genes_dropped.tsv", *(f"motifs/heat/{name}" for name in motifs)):
        lines = (results / path).read_text().splitlines()
        (results / path).write_text(lines[0] + "\n")
    summary = json.loads((results / "genes_summary.json").read_text())
    (results / "genes_summary.json").write_text(json.dumps({**summary, "dropped": {}, "n_dropped": 0, "notices": []}))
    (results / "variants/effects.tsv").write_text((results / "variants/effects.tsv").read_text().splitlines()[0] + "\n")
    text = write(results, n_genes=2)
    assert "0 peaks of attribution" in text and "The VCF has no variants." in text and not Structure(text).errors


def test_variants_have_q_values_only_with_controls(results):
    text = write(results, n_genes=2)
    assert "2 of 8 pairs of allele and gene have an effect with q ≤ 0.1" in text and ">88.9<" in text
    path = results / "variants/effects.tsv"
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    table.assign(q_value=0.5).to_csv(path, sep="\t", index=False)
    assert "None of 8 pairs of allele and gene has an effect with q ≤ 0.1" in write(results, n_genes=2)
    table.drop(columns=["p_value", "q_value", "percentile"]).to_csv(path, sep="\t", index=False)
    text = write(results, n_genes=2)
    assert "Whether effects exceed chance was not tested (variants.controls is 0)." in text
    assert "percentile" not in text and "q ≤ 0.1 in at least one task" not in text and not Structure(text).errors


def test_used_and_unused_tss_are_counted(results):
    path = results / "genes_summary.json"
    assert "Measured TSSs" not in write(results, n_genes=2)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tss_bed": {"used": 1234, "distance": 7, "unknown_id": 2}}))
    text = write(results, n_genes=2)
    assert "Measured TSSs: 1,234 used; 2 of no annotated gene; 7 too far away." in text and not Structure(text).errors


@pytest.mark.parametrize("found", [50, 0])
def test_background_regions_are_counted_and_the_scores_without_them_shown(results, found):
    path, scores = results / "genes_summary.json", results / "evaluation/test/summary.json"
    assert "background regions" not in write(results, n_genes=1)
    of = {"mean": 0.4, "q05": 0.3, "median": 0.41, "q95": 0.5}
    gc = {"regions": of} | ({"background": of | {"median": 0.42}} if found else {})
    background = {"asked": 60, "found": found, "n_kept": found, "gc": gc, "n_share": dict.fromkeys(gc, 0.0)}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"background": background}))
    without = {"n_background": 11, "model": {"pearson_median": 0.1234}, "kmer_ridge": {"pearson_median": 0.4321}}
    scores.write_text(json.dumps(json.loads(scores.read_text()) | {"background": without}))
    page = re.sub(r"<[^>]+>|\s+", " ", text := write(results, n_genes=1))
    assert f"{found} background regions were added" in page and not Structure(text).errors
    assert ("50 were drawn, 60 asked for. The median GC content of the regions is 0.41" in page) == (found > 0)
    assert "These include 11 background regions." in page and "r = 0.123, and 0.432 for the ridge regression" in page


def test_the_score_of_conditions_is_shown_where_replicates_are_named(results):
    assert "For the mean of each condition's replicates, r = " in (text := write(results, n_genes=1).replace("&#39;", "'"))
    assert "at most 0.987 is possible" in text
    path = results / "evaluation/test/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"conditions": None}))
    assert "each condition" not in write(results, n_genes=1)


def test_undefined_scores_are_shown_as_dashes(results):
    path = results / "evaluation/test/summary.json"
    summary = json.loads(path.read_text())
    for scores in (summary["model"], summary["baselines"]["kmer_ridge"], *summary["replicates"]):
        scores.update(dict.fromkeys(scores.keys() - {"ridges"}))
    summary.update(intervals=None, ceiling="unknown", conditions=None, verdict="unknown")
    path.write_text(json.dumps(summary))
    tasks = results / "evaluation/test/tasks.tsv"
    table = read_table(tasks)
    table[["pearson", "spearman", "r2", "kmer_ridge_pearson"]] = ""
    table.to_csv(tasks, sep="\t", index=False)
    text = write(results, n_genes=1)
    assert "r = –" in text and rows_with(text, "ensemble")[0][1:] == ["–"] * 5
    visible = re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", text, flags=re.S)
    assert not re.search(r"\b(nan|NaN|None)\b", visible)


@pytest.mark.parametrize("verdict", ["no better than the mean", "below the baseline"])
def test_a_model_that_must_not_be_interpreted_opens_the_page_with_its_verdict(results, verdict):
    path = results / "evaluation/test/summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verdict": verdict}))
    text = write(results, n_genes=1)
    first = text.index('class="alert"')
    assert f"The model is {verdict} on held-out genes" in text[first:] and first < text.index('class="tiles"')
    assert f"The prediction of levels is {verdict}" in text.split('<section id="variants">')[1].split("</section>")[0]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"n_seen": "unknown", "model": None, "kmer_ridge": None}, "On which genes they were trained is not known"),
        ({"n_seen": 0, "model": None, "kmer_ridge": None}, ""),
        ({"n_seen": 24, "model": None, "kmer_ridge": None}, "trained on all 24 genes scored here: nothing is held out"),
        (
            {"n_seen": 9, "model": {"pearson_median": 0.1234}, "kmer_ridge": {"pearson_median": 0.4321}},
            "trained on 9 of the 24 genes scored here. Without these, r = 0.123, and 0.432 for the ridge regression.",
        ),
    ],
)
def test_networks_from_elsewhere_are_listed_and_what_they_have_seen_is_said(results, seen, said):
    path = results / "evaluation" / "test" / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"n_genes": 24, "seen": seen}))
    for params in results.glob("models/*/*/params.yaml"):
        params.write_text("trained_elsewhere: {file: nets/a.keras, sha256: abc123, version: 0.1.0}\n")
        params.with_name("history.tsv").unlink()
    page = write(results)
    shown = re.sub(r"<[^>]+>|\s+", " ", page)
    assert "Nothing was trained. The networks were given" in page and "nets/a.keras" in page and "abc123" in page
    assert "of the test split, predicted and measured" in page and "neither in training" not in page
    before = shown.partition("Nothing was trained")[0]
    assert said in before and bool(re.search("networks were trained on|come from elsewhere", before)) == bool(said)


def test_contrasts_that_must_not_be_interpreted_carry_their_verdict_everywhere(text):
    head, rest = text.split('class="tiles"')[0], text.split('id="trust"')[1]
    alerts = re.findall(r'<p class="alert" role="alert">(.*?)</p>', head)
    assert any("The contrast acid is predicted no better than by the mean." in alert for alert in alerts)
    assert not any("heat" in alert for alert in alerts)
    for section in ("motifs", "genes"):
        acid, heat = rest.split(f'<section id="{section}"')[1].split("</section>")[0].split("<h3")[1:]
        assert 'class="alert"' in acid and 'class="alert"' not in heat.split("<noscript>")[0]
    assert rest.split("</table>")[0].count('badge warn">no better than the mean') == 1


def test_scores_of_contrasts_stand_in_the_first_section(text):
    first = text.split('id="headline"')[1].split("</section>")[0]
    assert "0.390 to 0.490" in first and "0.440" in first


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (0.12345, (3, "f"), "0.123"), (-0.5, (3, "f"), "−0.500"), (-0.0001, (3, "f"), "0.000"), (float("nan"), (3, "f"), "–"),
        (None, (3, "f"), "–"), (float("inf"), (3, "g"), "∞"), (1.7e-8, (2, "g"), "1.7e−08"), (123.0, (3, "g"), "123"),
        (12.0, (0, "f"), "12"),
    ],
)  # fmt: skip
def test_number_formatting(value, form, expected):
    assert words.number(value, *form) == expected


def test_the_program_writes_the_same_bytes_twice_and_never_imports_tensorflow(whole, tmp_path):
    command = [
        "--results", str(whole), "--motifs", str(whole / "inputs/motifs.meme"), "--set", "run.name=A_run",
        "--set", "report.top_genes=1", *configured(tmp_path, **CONFIG), "--output",
    ]  # fmt: skip
    code = (
        "import sys, runpy; sys.argv[0] = 'write_report.py'\n"
        "try:\n    runpy.run_path('scripts/write_report.py', run_name='__main__')\n"
        "finally:\n    assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    environment = {"PYTHONPATH": "scripts", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "5", "SOURCE_DATE_EPOCH": "1577966400"}
    subprocess.run([sys.executable, "-c", code, *command, str(tmp_path / "a.html")], check=True, cwd=ROOT, env=environment)
    text = write(whole, "A_run", config=CONFIG, n_genes=1, written="2020-01-02")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == text
    assert "report of 2020-01-02" in text and str(whole) not in text
