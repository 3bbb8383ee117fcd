"""Browser files refer to files that exist, also after the folder has moved, and hold the results of the run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyBigWig
import pytest

from cisnake.errors import InputError
from cisnake.files import write_table
from cisnake.report.browser import files

ROOT = Path(__file__).parents[3]
SIZES = {"chr2": 3_001, "chr10": 2_000, "chr1": 2_502}
CONTRASTS = ("liver", "a-b", "a_b")


def write_bigwig(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    track = pyBigWig.open(str(path), "w")
    track.addHeader(list(SIZES.items()))
    track.addEntries("chr2", 10, values=[0.5, -0.5], span=1, step=1)
    track.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A results folder that contains the genome and the annotation, with a space in its path."""
    rng = np.random.default_rng(3)
    results = tmp_path / "my results" / "run"
    (results / "inputs").mkdir(parents=True)
    fasta = "".join(f">{chrom}\n{''.join(rng.choice(list('ACGTNacgt'), size))}\n" for chrom, size in SIZES.items())
    (results / "inputs/genome.fa").write_text(fasta)
    (results / "inputs/genes.gtf").write_text('chr1\tx\tgene\t1\t900\t.\t+\t.\tgene_id "g0";\n')
    genes = pd.DataFrame(
        {
            "gene_id": ["g0", "g1"], "gene_name": ["ADH1", ""], "chrom": ["chr1", "chr10"], "start": [0, 100],
            "end": [900, 300], "strand": ["+", "-"], "split": ["train", "test"],
        }
    )  # fmt: skip
    write_table(genes, results / "genes.tsv")
    for contrast in CONTRASTS:
        write_bigwig(results / f"attributions/{contrast}.bw")
        n = 60
        start = rng.integers(0, 1_900, n)
        attribution = np.where(np.arange(n) % 3 == 0, -1, 1) * (1 + rng.permutation(n))
        peaks = pd.DataFrame(
            {
                "peak_id": [f"p{i}" for i in range(n)], "gene_id": "g0", "chrom": rng.choice(list(SIZES), n), "start": start,
                "end": start + 9, "strand": "+", "attribution": attribution / 7, "p_value": 1e-3, "q_value": np.nan,
            }
        )  # fmt: skip
        write_table(peaks, results / f"peaks/{contrast}.tsv")
        hits = peaks[["peak_id", "chrom", "start", "end"]].assign(
            motif_id="M1", motif_name="NA", strand="-", orientation="-", p_value=1e-4
        )
        # Every peak has a hit of two similar motifs, and the first seven have one of a motif that is not enriched.
        other = {"motif_id": "M2", "motif_name": "FOS", "strand": "+", "orientation": "+", "p_value": 1e-5}
        third = hits.head(7).assign(motif_id="M3", motif_name="TBP", p_value=1e-6)
        write_table(pd.concat([hits.iloc[:50], hits.iloc[:40].assign(**other), third]), results / f"motifs/{contrast}/hits.tsv")
        enrichment = pd.DataFrame(
            {
                "motif_id": ["M1", "M2", "M3"], "motif_name": ["NA", "FOS", "TBP"], "cluster": ["1", "1", "2"],
                "cluster_name": ['nan "x"', 'nan "x"', "TBP"], "cluster_orientation": ["+", "-", "+"], "rank": [1, 2, 3],
                "q_value": [0.001, 0.9, 0.9], "odds_ratio": [9.0, 0.1, 2.0],
            }
        )  # fmt: skip
        write_table(enrichment, results / f"motifs/{contrast}/enrichment.tsv")
    (results / "variants").mkdir()
    (results / "variants/effects.vcf.gz").touch()
    return results


def write(results: Path, **options) -> Path:
    files.write_browser_files(
        **{
            "results": results, "genome": results / "inputs/genome.fa", "annotation": results / "inputs/genes.gtf",
            "title": "my run", "contrasts": CONTRASTS, "output": results / "browser", **options,
        }
    )  # fmt: skip
    return results / "browser"


def session(folder: Path) -> ElementTree.Element:
    return ElementTree.parse(folder / "igv_session.xml").getroot()


def stanzas(path: Path) -> list[dict[str, str]]:
    blocks = path.read_text().strip().split("\n\n")
    return [dict(line.split(" ", 1) for line in block.splitlines()) for block in blocks]


def test_files_of_a_session_exist_after_the_folder_moved(run):
    write(run)
    moved = run.parent.parent / "elsewhere"
    shutil.move(run, moved)
    folder = moved / "browser"
    root = session(folder)
    paths = [element.get("path") for element in root.iter("Resource")]
    assert len(paths) == len(set(paths)) == 3 * len(CONTRASTS) + 2
    for path in (*paths, root.get("genome")):
        assert not Path(path).is_absolute() and (folder / path).is_file(), path
    assert {"../attributions/a-b.bw", "../inputs/genes.gtf", "../variants/effects.vcf.gz"} < set(paths)
    drawn = {track.get("id"): track for track in root.iter("Track")}
    assert set(drawn) == {*paths, "Reference sequence"}
    assert drawn["../attributions/liver.bw"].get("renderer") == "DYNSEQ"
    assert drawn["../attributions/liver.bw"].get("name") == "liver attribution"
    assert drawn["liver.peaks.bb"].get("color") is None, "it would override the colours of the peaks"


def test_files_outside_the_results_have_absolute_paths_and_are_left_out_of_the_hub(run, tmp_path):
    shutil.copy(run / "inputs/genome.fa", tmp_path / "genome.fa")
    for name in ("outer", "in ner"):
        write_bigwig((tmp_path if name == "outer" else run) / f"tracks/{name}.bw")
    coverage = pd.DataFrame(
        {
            "identifier": ["outer", "in ner"], "description": ["", "of the run"],
            "file": [str(tmp_path / "tracks/outer.bw"), str(run / "tracks/in ner.bw")],
        }
    )  # fmt: skip
    folder = write(run, genome=tmp_path / "genome.fa", annotation=None, coverage=coverage)
    root = session(folder)
    paths = [element.get("path") for element in root.iter("Resource")]
    assert root.get("genome") == str(tmp_path / "genome.fa")
    assert str(tmp_path / "tracks/outer.bw") in paths and "../tracks/in ner.bw" in paths and "genes.bb" in paths
    urls = [stanza["bigDataUrl"] for stanza in stanzas(folder / "trackDb.txt") if "bigDataUrl" in stanza]
    assert len(urls) == 3 * len(CONTRASTS) + 3
    assert "../tracks/in%20ner.bw" in urls and not any("outer" in url or url.startswith("/") for url in urls)


@pytest.mark.parametrize("assembly", [None, "sacCer3"])
def test_files_of_a_hub_exist_after_the_folder_moved(run, assembly):
    write(run, assembly=assembly)
    folder = Path(shutil.move(run, run.parent.parent / "elsewhere")) / "browser"
    (hub,) = stanzas(folder / "hub.txt")
    assert {"hub", "shortLabel", "longLabel", "genomesFile", "email"} == set(hub) and hub["hub"] == "my_run"
    (genome,) = stanzas(folder / hub["genomesFile"])
    if assembly:
        assert genome == {"genome": "sacCer3", "trackDb": "trackDb.txt"} and not (folder / "genome.2bit").exists()
    else:
        assert (folder / genome["twoBitPath"]).is_file() and genome["genome"] == "my_run" and genome["organism"] == "my run"
        chrom, _, span = genome["defaultPos"].partition(":")
        first, last = map(int, span.split("-"))
        assert 1 <= first < last <= SIZES[chrom] + 55
    tracks = stanzas(folder / genome["trackDb"])
    names = [track["track"] for track in tracks]
    assert len(names) == len(set(names)) and all(name.isidentifier() and name.isascii() for name in names)
    data = [track for track in tracks if "bigDataUrl" in track]
    assert len(data) == 3 * len(CONTRASTS) + 2 and len(tracks) == len(data) + len(CONTRASTS)
    for track in data:
        path = folder / unquote(track["bigDataUrl"])
        assert path.is_file() and not track["bigDataUrl"].startswith("/"), track
        assert {"shortLabel", "longLabel", "type", "visibility"} <= set(track) and len(track["longLabel"]) <= 80
        assert track.get("parent", names[0]) in names
        if track["type"].startswith("bigBed"):
            n_fields, n_bed = np.frombuffer(path.read_bytes()[32:36], "<u2")
            words = track["type"].split()
            assert int(words[1]) <= n_fields == n_bed and (len(words) == 3) == (n_fields > int(words[1]))
    logos = [track for track in data if track.get("logo") == "on"]
    assert [track["type"] for track in logos] == ["bigWig"] * len(CONTRASTS)
    assert all(track["color"] != track["altColor"] for track in logos)


def test_bigbeds_hold_peaks_named_by_cluster_and_coloured_by_sign_and_each_hit_once(run):
    folder = write(run)
    peaks = pd.read_csv(run / "peaks/a-b.tsv", sep="\t")
    file = pyBigWig.open(str(folder / "a-b.peaks.bb"))
    found = {
        (chrom, start, end, *rest.split("\t")[6:8]): rest.split("\t") for chrom in file.chroms() for start, end, rest in
        file.entries(chrom, 0, SIZES[chrom])
    }  # fmt: skip
    assert len(found) == len(peaks)
    for peak in peaks.itertuples():
        fields = next(rest for rest in found.values() if rest[7] == peak.peak_id)
        assert (peak.chrom, peak.start, peak.end, "g0", peak.peak_id) in found
        assert fields[5] == ("0,114,178" if peak.attribution > 0 else "213,94,0")
        number = int(peak.peak_id[1:])
        assert fields[0] == ('nan "x" ←' if number < 50 else "no motif") and fields[2] == "+"
        best = "TBP, p = 1.0e−06" if number < 7 else "FOS, p = 1.0e−05" if number < 40 else "NA, p = 0.00010"
        assert fields[9] == (best if number < 50 else "")
        assert float(fields[8]) == pytest.approx(peak.attribution, rel=1e-2)
        assert 0 <= int(fields[1]) <= 1000 and fields[10:] == ["0.001", ""]
    largest = peaks.loc[peaks["attribution"].abs().idxmax()]
    (top,) = [rest for rest in found.values() if rest[1] == "1000"]
    assert top[7] == largest["peak_id"]
    hits = pyBigWig.open(str(folder / "a-b.hits.bb"))
    rows = [rest for chrom in hits.chroms() for _, _, rest in hits.entries(chrom, 0, SIZES[chrom])]
    expected = {'nan "x"\t50\t-\tFOS, M2\tyes', 'nan "x"\t40\t-\tNA, M1\tyes', "TBP\t60\t-\tTBP, M3\tno"}
    assert set(rows) == expected and len(rows) == len(peaks.head(50)[["chrom", "start"]].drop_duplicates()) + 7
    genes = pyBigWig.open(str(folder / "genes.bb"))
    assert genes.entries("chr1", 0, 10) == [(0, 900, "ADH1\t0\t+\tg0\ttrain")]
    assert genes.entries("chr10", 100, 101)[0][2].startswith("g1\t")


def test_browsers_open_at_the_strongest_peak(run):
    peaks = pd.read_csv(run / "peaks/liver.tsv", sep="\t")
    peaks.loc[5, ["chrom", "start", "end", "attribution"]] = ["chr10", 0, 10, -99.0]
    write_table(peaks, run / "peaks/liver.tsv")
    assert session(write(run)).get("locus") == "chr10:1-60"


def test_a_run_without_peaks_hits_motifs_and_variants(run):
    write(run)
    for path in ("peaks/liver.tsv", "peaks/a-b.tsv"):
        (run / path).write_text((run / path).read_text().splitlines()[0] + "\n")
    hits = run / "motifs/a-b/hits.tsv"
    hits.write_text(hits.read_text().splitlines()[0] + "\n")
    shutil.rmtree(run / "motifs/liver")
    shutil.rmtree(run / "variants")
    folder = write(run, contrasts=["liver", "a-b"])
    paths = [element.get("path") for element in session(folder).iter("Resource")]
    assert paths == ["../attributions/liver.bw", "../attributions/a-b.bw", "../inputs/genes.gtf"]
    assert not (folder / "liver.peaks.bb").exists(), "left over from an earlier run"
    kinds = [track["type"] for track in stanzas(folder / "trackDb.txt") if "type" in track]
    assert kinds == ["bigWig", "bigWig", "bigBed 6 +"]


def test_peaks_outside_the_genome_are_refused(run):
    peaks = pd.read_csv(run / "peaks/liver.tsv", sep="\t")
    peaks.loc[0, "end"] = 10_000
    write_table(peaks, run / "peaks/liver.tsv")
    with pytest.raises(InputError, match="outside the genome"):
        write(run)


def test_a_missing_file_is_named_with_its_rule(run):
    (run / "attributions/liver.bw").unlink()
    with pytest.raises(InputError, match=r"liver\.bw.*collect_attributions"):
        write(run)


def test_the_program_writes_them_and_never_imports_tensorflow(run):
    (run.parent / "tracks.tsv").write_text(f"identifier\tfile\na track\t{run}/attributions/liver.bw\n")
    command = [
        "--results", str(run), "--genome", str(run / "inputs/genome.fa"), "--set", "run.name=x",
        "--set", "attribution.contrasts={a_b: {on_tasks: [a]}}",
        "--tracks", str(run.parent / "tracks.tsv"), "--converted", str(run / "tracks"), "--output", str(run / "browser"),
    ]  # fmt: skip
    code = (
        "import sys, runpy; sys.argv[0] = 'write_browser_files.py'\n"
        "try:\n    runpy.run_path('scripts/write_browser_files.py', run_name='__main__')\n"
        "finally:\n    assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, *command], check=True, cwd=ROOT, env={"PYTHONPATH": "scripts", "PATH": "/usr/bin"}
    )
    names = [element.get("name") for element in session(run / "browser").iter("Resource")]
    assert names == ["a_b attribution", "a_b peaks", "a_b hits", "genes", "variants", "a track"]
