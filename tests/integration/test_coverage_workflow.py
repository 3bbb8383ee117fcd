"""The workflow on coverage tracks: a small genome with open chromatin around one motif."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pyBigWig
import pytest
import yaml

from cisnake.data import motif_database
from cisnake.data.genome.bases import decode, reverse_complement
from cisnake.files import read_table

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., str]
Jobs = Callable[[str], dict[str, int]]

CHROMOSOMES, LENGTH, SPACING = ("chr1", "chr2", "chr3", "chr4"), 36_000, 600
OPEN = 60
NETWORK = {
    "model": {
        "norm_type": None,
        "augment_rc": True,
        "trunk": [
            {"name": "conv_motif", "filters": 24, "kernel_size": 13, "pool_size": 20, "activation": "relu"},
            {"name": "conv_block", "filters": 16, "kernel_size": 5, "activation": "relu"},
            {"name": "Cropping1D", "cropping": 2},
        ],
        "head": {"name": "final", "activation": "softplus"},
    },
    "train": {
        "batch_size": 8,
        "loss": "poisson",
        "optimizer": "adam",
        "learning_rate": 0.01,
        "clip_norm": 1.0,
        "train_epochs_max": 25,
        "patience": 25,
    },
}


def write_inputs(folder: Path) -> None:
    """A genome, genes on both strands, variants, and fragments and a BigWig with high coverage around one motif."""
    rng = np.random.default_rng(0)
    motif = next(motif for motif in motif_database.load_motifs("jaspar:2026/vertebrates") if motif.name.upper() == "CTCF")
    site = motif.probabilities.argmax(axis=1).astype(np.int8)
    genome, genes, sites = {}, [], []
    for chrom in CHROMOSOMES:
        codes = rng.integers(0, 4, LENGTH).astype(np.int8)
        for number, tss in enumerate(range(700, LENGTH - 700, SPACING)):
            strand = "+" if number % 2 else "-"
            first, last = (tss, tss + 200) if strand == "+" else (tss - 199, tss + 1)
            genes.append(f'{chrom}\tmade\tgene\t{first + 1}\t{last}\t.\t{strand}\t.\tgene_id "{chrom}g{number}";\n')
            if rng.random() < 0.6:
                at = tss + int(rng.integers(-80, 20))
                codes[at : at + len(site)] = site if rng.random() < 0.5 else reverse_complement(site)
                sites.append((chrom, at + len(site) // 2))
        genome[chrom] = codes
    (folder / "genome.fa").write_text("".join(f">{chrom}\n{decode(codes)}\n" for chrom, codes in genome.items()))
    (folder / "genes.gtf").write_text("".join(genes))
    fragments = []
    for chrom, middle in sites:
        for _ in range(30):
            start = int(middle + rng.normal(0, OPEN / 3)) - 30
            fragments.append((chrom, max(start, 0), start + 60))
    for _ in range(4000):
        start = int(rng.integers(0, LENGTH - 60))
        fragments.append((str(rng.choice(CHROMOSOMES)), start, start + 60))
    with gzip.open(folder / "fragments.tsv.gz", "wt") as sink:
        sink.writelines(f"{chrom}\t{start}\t{end}\tcell\t1\n" for chrom, start, end in sorted(fragments))
    with pyBigWig.open(str(folder / "signal.bw"), "w") as track:
        track.addHeader([(chrom, LENGTH) for chrom in CHROMOSOMES])
        for chrom in CHROMOSOMES:
            depth = np.full(LENGTH, 0.2, np.float32)
            for of_chrom, middle in sites:
                if of_chrom == chrom:
                    depth[middle - OPEN : middle + OPEN] += 2
            track.addEntries(chrom, 0, values=depth.tolist(), span=1, step=1)
    (folder / "tracks.tsv").write_text(
        "\tidentifier\tfile\tclip\tsum_stat\tdescription\n"
        "0\tatac\tfragments.tsv.gz\t100\tmean\topen chromatin\n"
        "1\tsignal\tsignal.bw\t384\tmean_sqrt\ta signal\n"
    )
    records = []
    for number, (chrom, middle) in enumerate(sites[:40]):
        position = middle - 1
        reference = "ACGT"[genome[chrom][position]]
        alternative = "ACGT"[3 - genome[chrom][position]]
        records.append(f"{chrom}\t{position + 1}\tv{number}\t{reference}\t{alternative}\t.\t.\t.\n")
    (folder / "variants.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "".join(sorted(records, key=lambda record: (record.split("\t")[0], int(record.split("\t")[1]))))
    )
    chosen = [m for i, m in enumerate(motif_database.load_motifs("jaspar:2026/vertebrates")) if i % 40 == 0 or m.id == motif.id]
    motif_database.write_meme(chosen, folder / "some.meme")
    (folder / "network.yaml").write_text(yaml.safe_dump(NETWORK))
    config = {
        "run": {"name": "open", "seed": 1},
        "genome": {"fasta": "genome.fa"},
        "annotation": {"gtf": "genes.gtf"},
        "targets": {
            "kind": "coverage",
            "tracks": "tracks.tsv",
            "bin_size": 20,
            "crop": 40,
            "gene_score": {"region": "tss", "upstream": 100, "downstream": 40},
        },
        "tiles": {"stride_train": 0.5, "stride_test": 320},
        "windows": {"upstream": 220, "downstream": 180},
        "splits": {"val": ["chr3"], "test": ["chr4"]},
        "model": {"params": "network.yaml"},
        "train": {"replicates": 2},
        "evaluate": {"baseline": {"k": 5, "upstream": 100, "downstream": 40, "alpha": 100}},
        "attribution": {
            "n_shards": 2,
            "reverse_complement": True,
            "method": "input_x_gradient",
            "null_windows": 20,
            "quality_genes": 2,
            "contrasts": {"open": {"on_tasks": ["atac", "signal"], "score": "aggregate"}, "more": {"on_tasks": ["atac"]}},
        },
        "motifs": {"source": "some.meme", "probe": {"top": 2, "sites": 5, "draws": 2, "backgrounds": 5}},
        "variants": {"vcf": "variants.vcf", "controls": 20},
        "report": {"top_genes": 2, "top_motifs": 3},
        "resources": {"threads": 1},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


COUNT_READS = """
import atexit, sys
reads = []
sys.addaudithook(lambda event, given: reads.append(given[0]) if event == "open" and given[0] == "tracks.tsv" else None)
atexit.register(lambda: print("reads:", len(reads)))
from snakemake.cli import main
main(sys.argv[1:])
"""


def test_the_table_of_tracks_is_read_once_to_plan_a_run(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    command = [sys.executable, "-c", COUNT_READS, "--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--dry-run"]
    done = subprocess.run([*command, "--configfile", "config.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("reads: 1\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, snakemake: Run) -> Path:
    folder = tmp_path_factory.mktemp("coverage") / "of mine"
    folder.mkdir()
    write_inputs(folder)
    printed = snakemake(folder, "--configfile", "config.yaml")
    assert printed.endswith("exit 0"), printed
    return folder / "results" / "open"


@pytest.mark.slow
def test_bins_and_genes_of_the_held_out_chromosome_are_predicted(finished: Path) -> None:
    bins = json.loads((finished / "evaluation/test/bins.json").read_text())
    genes = json.loads((finished / "evaluation/test/summary.json").read_text())
    assert bins["model"]["pearson_median"] > 0.8
    assert genes["model"]["pearson_median"] > 0.8
    for summary in (bins, genes):
        for baseline in summary["baselines"].values():
            assert (baseline["pearson_median"] or 0) < summary["model"]["pearson_median"]


@pytest.mark.slow
def test_data_sets_of_tiles_and_genes_have_the_coverage_of_the_tracks(finished: Path) -> None:
    with pyBigWig.open(str(finished / "tracks/atac.bw")) as atac, pyBigWig.open(str(finished / "../../signal.bw")) as signal:
        for name, strand in (("dataset.h5", "+"), ("genes.h5", "-")):
            with h5py.File(finished / name) as file:
                row = int(np.flatnonzero(file["windows/strand"].asstr()[:] == strand)[5])
                chrom, start = file["windows/chrom"].asstr()[row], int(file["windows/start"][row])
                expected = np.stack([track.values(chrom, start + 40, start + 360, numpy=True) for track in (atac, signal)])
                expected = np.nan_to_num(expected).reshape(2, 16, 20).mean(axis=2)
                expected[1] = np.sqrt(1 + expected[1]) - 1
                np.testing.assert_allclose(file["labels"][row], expected[:, :: 1 if strand == "+" else -1], rtol=1e-5)
    with h5py.File(finished / "genes.h5") as file:
        assert file["gene_bins"].shape == (len(read_table(finished / "genes.tsv")), 16)
        np.testing.assert_array_equal(file["gene_bins"][:].sum(axis=1), 7)


@pytest.mark.slow
def test_the_motif_behind_the_tracks_is_found(finished: Path) -> None:
    enrichment = read_table(finished / "motifs/open/enrichment.tsv").sort_values("rank", key=pd.to_numeric)
    assert enrichment["motif_name"].iloc[0].upper() == "CTCF"
    effects = read_table(finished / "motifs/open/effects.tsv")
    of_ctcf = effects[effects["motif_name"].str.upper() == "CTCF"].iloc[0]
    assert float(of_ctcf["deletion_mean"]) < 0 < float(of_ctcf["insertion_mean"])


@pytest.mark.slow
def test_breaking_its_sites_closes_the_chromatin(finished: Path) -> None:
    effects = read_table(finished / "variants/effects.tsv")
    near = effects[(effects["status"] == "ok") & (effects["task"] == "atac") & (effects["from_tss"].astype(int).abs() < 90)]
    assert len(near) > 10
    assert (near["effect_mean"].astype(float) < 0).mean() > 0.8
    assert near["p_value"].astype(float).median() < 0.2 and near["percentile"].astype(float).median() > 50


@pytest.mark.slow
def test_the_report_shows_tiles(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "mean profile around TSSs" in page and "tile at the median" in page


@pytest.mark.slow
@pytest.mark.parametrize("earlier", ["tiles={sample: 0.8}", "windows={max_shift: 4}", "targets={clip_pct: 0.99}"])
def test_changes_of_the_network_and_of_earlier_keys_are_planned_up_to_the_report(
    finished: Path, snakemake: Run, jobs: Jobs, earlier: str
) -> None:
    # The network is checked in parallel with reading tracks. If the plan ended there, training would need a second run.
    given = ["--config", "model={overrides: {train.learning_rate: 0.02}}", earlier]
    planned = jobs(snakemake(finished.parents[1], "--dry-run", "--configfile", "config.yaml", *given))
    once = {"check_network", "score_variants", "explain_variants", "write_browser_files", "write_report"}
    twice = {"write_coverage", "train_model", "evaluate_model", "evaluate_coverage", "attribute_genes", "probe_motifs"}
    assert {name: planned.get(name) for name in once | twice} == dict.fromkeys(once, 1) | dict.fromkeys(twice, 2)


@pytest.mark.slow
def test_given_networks_predict_tiles_and_regions_as_they_did_genes(finished: Path, snakemake: Run) -> None:
    folder, genes = finished.parents[1], read_table(finished / "genes.tsv", tss="int64")
    rows = [
        f"{gene.chrom}\t{gene.tss - 20}\t{gene.tss + 21}\t{gene.gene_id}\t0\t{gene.strand}\n" for gene in genes.itertuples()
    ]
    (folder / "regions.bed").write_text("".join(rows))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["run"] |= {"name": "given"}
    config |= {"annotation": {}, "regions": {"file": "regions.bed"}, "train": {}}
    config["model"] = {"trained": [f"results/open/models/fold_0/replicate_{i}/model.keras" for i in range(2)]}
    (folder / "given.yaml").write_text(yaml.safe_dump(config))
    wanted = [f"results/given/evaluation/test/{name}" for name in ("predictions.h5ad", "bins.json")]
    printed = snakemake(folder, *wanted, "--configfile", "given.yaml")
    assert printed.endswith("exit 0"), printed[-6000:]
    own, given = (anndata.read_h5ad(folder / f"results/{run}/evaluation/test/predictions.h5ad") for run in ("open", "given"))
    assert own.var_names.tolist() == given.var_names.tolist() and given.n_vars > 50
    np.testing.assert_allclose(given.layers["predicted"], own.layers["predicted"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(given.X, own.X, rtol=1e-5)
    bins = [json.loads((folder / f"results/{run}/evaluation/test/bins.json").read_text()) for run in ("open", "given")]
    assert bins[0]["model"] == pytest.approx(bins[1]["model"], abs=1e-4)


def test_a_network_with_the_wrong_bins_is_rejected_before_tracks_are_read(tmp_path: Path, snakemake: Run) -> None:
    write_inputs(tmp_path)
    # One job at a time: otherwise labels could be written before the network is built.
    given = ["--configfile", "config.yaml", "--config", "targets={crop: 20}", "--until", "train_model", "--cores", "1"]
    printed = snakemake(tmp_path, *given)
    assert not printed.endswith("exit 0")
    assert (
        "predicts shape (16, 2) (positions, tasks) from windows of 400 bases, but targets.bin_size 20 and targets.crop 20"
        in printed
    )
    assert not list((tmp_path / "results/open").glob("*.h5"))
