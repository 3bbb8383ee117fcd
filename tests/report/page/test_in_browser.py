"""The report in a web browser: no errors and no requests, tables that sort and filter, cards that open, at any width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cisnake.data.genome.bases import decode
from cisnake.files import read_table
from cisnake.interpret.attribution.file import AttributionFile
from cisnake.report.cards import CardReader, write_card_files
from cisnake.report.page import write_report
from cisnake.report.results import read_contrast, read_evaluations, read_run_genes

pytestmark = pytest.mark.browser

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
EVIL = '<script>document.title = "hacked"</script>'


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(write_report(whole, whole / "inputs/motifs.meme", "A run", n_genes=3), encoding="utf-8")
    return path


@contextmanager
def opened(chromium, path: Path, address: str = "", cards: bool = True, **options) -> Iterator:
    """Open a page and check in the end that it caused no error, no request and no violation of its policy."""
    context = chromium.new_context(**({"viewport": {"width": 1400, "height": 900}} | options))
    page, problems, requests = context.new_page(), [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri() + address)
    page.wait_for_selector("body[data-tables=ready]")
    if cards:
        page.wait_for_selector("#card[data-state]:not([data-state=loading])")
    yield page
    assert not problems
    outside = [url for url in requests if not url.startswith(("data:", "blob:", path.parent.as_uri()))]
    assert not outside
    context.close()


def table_of(page, heading: str):
    """Return the first table after a heading."""
    return page.locator(f"xpath=//h2[normalize-space()='{heading}']/following::table[contains(@class, 'data')][1]")


def column(table, number: int) -> list[str]:
    return [text.split("\n")[0] for text in table.locator(f"tbody tr td:nth-child({number})").all_inner_texts()]


def test_a_table_sorts_by_number_and_filters(chromium, report):
    with opened(chromium, report) as page:
        table = table_of(page, "Training")
        epochs, names = column(table, 3), column(table, 1)
        heading = table.locator("th", has_text="best epoch")
        heading.click()
        page.wait_for_selector("th[aria-sort=ascending]")
        page.wait_for_timeout(200)
        up = [int(text) for text in column(table, 3)]
        assert up == sorted(int(text) for text in epochs) != [int(text) for text in epochs]
        heading.click()
        page.wait_for_selector("th[aria-sort=descending]")
        page.wait_for_timeout(200)
        assert [int(text) for text in column(table, 3)] == up[::-1]
        page.get_by_label("Filter rows: Training").fill("replicate_1")
        assert column(table, 1) == [name for name in names if "replicate_1" in name]


@pytest.mark.parametrize(
    ("text", "value"), [("1,137", 1137), ("12.5%", 12.5), ("−3e−05", -3e-5), ("< 1e−300", 1e-300), ("–", ""), ("∞", "inf")]
)
def test_numbers_are_read_as_they_are_printed(chromium, report, text, value):
    with opened(chromium, report, cards=False) as page:
        found = page.evaluate("(text) => String(report.cellNumber(report.make('td', {}, text)))", text)
        assert found == "" if value == "" else float(found) == float(value)


def test_columns_are_chosen_and_rows_downloaded(chromium, report):
    with opened(chromium, report) as page:
        table = table_of(page, "Training")
        bar = page.locator(".bar", has=page.get_by_label("Filter rows: Training"))
        bar.locator(".columns summary").first.click()
        bar.get_by_label("minutes").uncheck()
        assert not table.locator("th", has_text="minutes").count()
        with page.expect_download() as saved:
            bar.get_by_role("button", name="TSV").click()
        rows = [line.split("\t") for line in Path(saved.value.path()).read_text(encoding="utf-8").splitlines()]
        assert saved.value.suggested_filename == "training.tsv" and len(rows) == 4
        assert rows[0] == ["model", "epochs", "best epoch", "loss", "validation loss", "validation r", "validation R²"]
        assert rows[1][:2] == ["fold_0/replicate_0", "12"]


def test_figures_are_downloaded_as_svg_and_png(chromium, report):
    with opened(chromium, report) as page:
        figure = page.locator("#card figure").first
        for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG\r\n")):
            with page.expect_download() as saved:
                figure.get_by_role("button", name=kind).click()
            content = Path(saved.value.path()).read_bytes()
            assert content.startswith(start) and saved.value.suggested_filename.endswith(f".{kind.lower()}")
            if kind == "SVG":
                assert b'id="base-A"' in content and b"<use" in content, "letters need their outlines"


def test_every_gene_is_found_and_has_an_address(chromium, report, whole):
    genes = read_table(whole / "genes.tsv")
    with opened(chromium, report) as page:
        page.locator("#gene-search").fill("GEN17")
        rows = page.locator("#gene-table tbody tr")
        assert rows.count() == 1 and genes["gene_id"][17] in rows.inner_text()
        page.locator("#gene-search").fill("")
        first = page.locator("#gene-table tbody tr a").nth(1)
        name = first.inner_text()
        first.click()
        page.wait_for_function("(name) => document.querySelector('#card h3')?.textContent.includes(name)", arg=name)
        address = page.evaluate("location.hash")
        assert address.startswith("#gene=Y") and "contrast=acid" in address
    with opened(chromium, report, address) as page:
        assert name in page.locator("#card h3").inner_text()
        assert abs(page.locator("#card").bounding_box()["y"]) < 60, "the page opens at the card"
    with opened(chromium, report, address.replace("acid", "heat")) as page:
        assert page.locator("select.contrast").first.input_value() == "1"
        assert name in page.locator("#card h3").inner_text()
    with opened(chromium, report, "#gene=nosuch") as page:
        assert "no attribution of nosuch" in page.locator("#card").inner_text()


@pytest.mark.parametrize("row", [6, 7])
def test_a_card_draws_the_letters_of_the_gene_in_its_direction(chromium, report, whole, row, tmp_path):
    """Genes of both strands: the letters of the whole window, from left to right, are the sequence on the gene's strand."""
    file = AttributionFile(whole / "attributions/acid.h5")
    values, codes = file.read_block(row, row + 1)
    page_path = tmp_path / "report.html"
    page_path.write_text(write_report(whole, whole / "inputs/motifs.meme", "A run", n_genes=40), encoding="utf-8")
    with opened(chromium, page_path, f"#gene={file.genes[row]}&contrast=acid", viewport={"width": 2800, "height": 900}) as page:
        page.evaluate("report.cards.picture.show(100, 300)")
        drawn = page.evaluate(
            "[...document.querySelectorAll('#card .place use')].map((use) => use.getAttribute('href').at(-1)).join('')"
        )
        scores = values[0].sum(axis=0)
        stored = np.array(page.evaluate("report.cards.picture.view.scores"))
        assert np.abs(stored - scores).max() <= np.abs(scores).max() / 9999
        high = np.abs(stored) * 130 / (stored.max() - min(stored.min(), 0)) >= 0.3
        assert drawn == decode(codes[0][100:300][high[100:300]])
        # The axis counts positions on the genome from 1: the first shown base of a gene on the − strand has the highest.
        window = file.windows.iloc[row]
        first = page.evaluate("report.cards.picture.view.genome(0)")
        assert first == (window["start"] + 1 if window["strand"] == "+" else window["end"])


def test_the_picture_is_moved_by_mouse_and_keys(chromium, report):
    with opened(chromium, report) as page:
        state = "[report.cards.picture.first, report.cards.picture.last]"
        length = page.evaluate("report.cards.picture.view.length")
        page.get_by_role("button", name="Whole window").click()
        assert page.evaluate(state) == [0, length]
        page.get_by_title("Zoom in").click()
        assert page.evaluate(state) == [length // 4, length // 4 * 3]
        picture = page.locator("#card .place svg")
        picture.focus()
        page.keyboard.press("End")
        assert page.evaluate(state)[1] == length
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(state) == [length // 2 - length // 10, length - length // 10]
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 150)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2 + 200, box["y"] + 150)
        page.mouse.up()
        assert page.evaluate(state)[0] < length // 2 - length // 10, "what is dragged to the right shows what lies left"
        assert "attribution" in page.locator("#card output").inner_text()


def test_the_contrast_is_chosen_once_for_all_parts(chromium, report):
    with opened(chromium, report) as page:
        assert page.locator("#motifs h3:visible").all_inner_texts() == ["acid"]
        page.locator("#genes select.contrast").select_option(label="heat")
        page.wait_for_selector("#card[data-state=ready]")
        page.wait_for_function("report.cards.shown.contrast === 'heat'")
        assert page.locator("#motifs h3:visible").all_inner_texts() == ["heat"]
        assert page.locator("nav select.contrast").input_value() == "1"


def test_the_same_card_in_igv(chromium, report):
    with opened(chromium, report) as page:
        page.locator("#browser summary").click()
        page.wait_for_selector("#browser[data-state=ready]")
        chrom = page.evaluate("report.cards.shown.chrom")
        assert page.evaluate("report.browser.igv.referenceFrameList[0].chr") == chrom
        assert page.locator("#igv-place").get_by_text("attribution, acid").count()


def test_cards_beside_the_page_are_loaded_when_they_are_asked_for(chromium, whole, tmp_path):
    html = write_report(whole, whole / "inputs/motifs.meme", "A run", n_genes=1, all_genes=True)
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    results = read_contrast(whole, "acid")
    chosen = write_report(whole, whole / "inputs/motifs.meme", "A run", n_genes=1)
    reader = CardReader(results, read_run_genes(whole), read_evaluations(whole, ["test"]), results.attributions.genes)
    write_card_files(reader, tmp_path / "report_data" / "acid")
    with opened(chromium, tmp_path / "report.html", "#gene=Y0021W&contrast=acid") as page:
        assert "GEN21" in page.locator("#card h3").inner_text()
    # Those of the other contrast are missing; the browser itself reports the file that it does not find.
    context = chromium.new_context()
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri() + "#gene=Y0021W&contrast=heat")
    page.wait_for_selector("#card[data-state=failed]")
    assert "must lie beside this page" in page.locator("#card").inner_text()
    context.close()
    (tmp_path / "alone.html").write_text(chosen, encoding="utf-8")
    with opened(chromium, tmp_path / "alone.html", "#gene=Y0021W&contrast=acid") as page:
        assert "report.all_genes: true" in page.locator("#card").inner_text()


@pytest.mark.parametrize("width", [1400, 1000, 390])
def test_nothing_is_wider_than_the_screen(chromium, report, width):
    with opened(chromium, report, viewport={"width": width, "height": 800}) as page:
        for part in page.locator("details:not(.columns)").all():
            part.evaluate("(part) => { part.open = true; }")
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cut = page.evaluate(
            """() => [...document.querySelectorAll('table')].filter((table) => table.offsetParent)
            .filter((table) => table.scrollWidth > table.closest('.scroll, .long, .wide, main').clientWidth + 1)
            .map((table) => report.headingOf(table))"""
        )
        assert not cut, "tables with columns out of sight"


@pytest.mark.parametrize(("width", "shown"), [(1400, True), (390, False)])
def test_contents_are_open_beside_the_text_and_closed_above_it(chromium, report, width, shown):
    with opened(chromium, report, viewport={"width": width, "height": 800}) as page:
        assert page.locator("nav.contents ol").is_visible() == shown
        assert page.locator("nav.contents").bounding_box()["height"] <= (900 if shown else 80)


def test_on_narrow_screens_a_cell_reads_as_one_text_beside_its_heading(chromium, report):
    with opened(chromium, report, viewport={"width": 390, "height": 800}) as page:
        cell = page.locator("#headline table.stacked td:has(span b)").first
        words = cell.evaluate("(cell) => [...cell.querySelectorAll('span')].map((span) => span.getBoundingClientRect().right)")
        edge = cell.evaluate("(cell) => cell.getBoundingClientRect().right")
        assert cell.get_attribute("data-label") == "motifs that act, tested in silico"
        assert words and abs(max(words) - edge) < 30, "the text ends at the edge and is not spread over the line"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(chromium, report, scheme):
    """No violation of WCAG 2.2 AA; igv.js, which is not ours, is not open."""
    from axe_playwright_python.sync_playwright import Axe

    with opened(chromium, report, color_scheme=scheme) as page:
        for part in page.locator("details:not(.columns):not(#browser)").all():
            part.evaluate("(part) => { part.open = true; }")
        page.wait_for_timeout(200)
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}})
        assert not found.response["violations"], found.generate_report()


def test_dark_and_print(chromium, report, tmp_path):
    with opened(chromium, report, color_scheme="dark") as page:
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("#motifs h3:visible").all_inner_texts() == ["acid", "heat"], "paper has all contrasts"
        page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_hostile_names_are_text(chromium, make_results, tmp_path):
    names = (EVIL, '"><img src=x onerror=alert(1)>', "</script><b>", "a & b")
    results = make_results(
        tmp_path / "run", n_genes=12, gene_names=names * 3, contrasts=(EVIL.replace("/", "-"),), splits=("test",)
    )
    html = write_report(results, results / "inputs/motifs.meme", EVIL, n_genes=12)
    (tmp_path / "report.html").write_text(html, encoding="utf-8")
    with opened(chromium, tmp_path / "report.html") as page:
        assert page.title() == f"{EVIL}: Cisnake report" and not page.locator("main img").count()
        shown = set()
        for i in range(4):
            page.locator("#gene-table tbody tr a").nth(i).click()
            page.wait_for_selector("#card[data-state=ready]")
            shown.add(page.locator("#card h3").evaluate("(heading) => heading.firstChild.textContent"))
        assert shown & set(names) and page.title() == f"{EVIL}: Cisnake report"


def test_pages_without_attributions_or_with_one_gene(chromium, make_results, results, tmp_path):
    shutil.rmtree(results / "attributions")
    (tmp_path / "none.html").write_text(write_report(results, results / "inputs/motifs.meme", "None"), encoding="utf-8")
    with opened(chromium, tmp_path / "none.html", cards=False) as page:
        assert not page.locator("#genes").count()
    few = make_results(tmp_path / "few", n_genes=6, contrasts=("heat",), splits=("test",))
    peaks = few / "peaks/heat.tsv"
    peaks.write_text(peaks.read_text().splitlines()[0] + "\n")
    (tmp_path / "few.html").write_text(write_report(few, few / "inputs/motifs.meme", "Few", n_genes=1), encoding="utf-8")
    with opened(chromium, tmp_path / "few.html") as page:
        assert "No peaks were called" in page.locator("#card").inner_text()
