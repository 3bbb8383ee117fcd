"""A small results folder with all files that the report reads, written without running the workflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from cisnake.files import write_json, write_table
from cisnake.interpret.attribution.file import write_attributions

GROUPS = ("heat", "acid", "starvation")


def write_results(
    folder: Path,
    n_genes: int = 40,
    n_tasks: int = 7,
    n_motifs: int = 6,
    length: int = 400,
    contrasts: tuple[str, ...] = ("heat", "acid"),
    n_epochs: int = 12,
    gene_names: tuple[str, ...] = (),
    splits: tuple[str, ...] = ("test", "val"),
) -> Path:
    """Write a realistic results folder of a simulated run and return it; `gene_names` replaces the first names."""
    rng = np.random.default_rng(1)
    tss_pos = length * 3 // 4
    number = np.arange(n_genes)
    strand = np.where(number % 2 == 0, "+", "-")
    chrom = np.array([f"chr{c}" for c in ("I", "II", "III", "IV", "V", "X")])[number * 6 // n_genes]
    split = np.where(chrom == "chrX", "test", np.where(chrom == "chrV", "val", "train"))
    tss = 10_000 + 3_000 * number
    window_start = np.where(strand == "+", tss - tss_pos, tss - (length - 1 - tss_pos))
    names = [*gene_names, *(f"GEN{i}" for i in number[len(gene_names) :])]
    genes = pd.DataFrame(
        {
            "gene_id": [f"Y{i:04d}W" for i in number], "gene_name": names, "chrom": chrom,
            "start": np.where(strand == "+", tss, tss - 899), "end": np.where(strand == "+", tss + 900, tss + 1),
            "strand": strand, "tss": tss, "tss_source": "annotation", "window_start": window_start,
            "window_end": window_start + length, "mask_start": tss_pos, "mask_end": min(tss_pos + 900, length),
            "split": split, "fold": 0,
        }
    )  # fmt: skip
    write_table(genes, folder / "genes.tsv")
    columns = ["gene_id", "gene_name", "chrom", "start", "end", "strand"]
    dropped = genes.loc[:4, columns].assign(reason=["not in matrix"] * 3 + ["window beyond chromosome"] * 2, detail="why so")
    write_table(dropped, folder / "genes_dropped.tsv")
    summary = {
        "n_annotated": n_genes + 5, "n_kept": n_genes, "n_dropped": 5,
        "dropped": {"not in matrix": 3, "window beyond chromosome": 2}, "split": genes["split"].value_counts().to_dict(),
        "notices": ["3 gene ids match only without their version suffix."], "n_version_stripped": 3,
        "tss_source": {"annotation": n_genes}, "n_tasks": n_tasks,
    }  # fmt: skip
    write_json(summary, folder / "genes_summary.json")

    for replicate in range(3):
        epoch = np.arange(1, n_epochs + 1)
        r = 0.5 * (1 - np.exp(-epoch / 4)) + 0.02 * rng.standard_normal(n_epochs)
        history = pd.DataFrame(
            {
                "epoch": epoch, "head": "head", "seconds": 6.5, "learning_rate": 0.01, "loss": 0.9 * np.exp(-epoch / 9) + 0.4,
                "val_loss": 1.2 - 0.6 * r, "val_pearsonr": r, "val_r2": r**2, "val_score": r,
                "best": r > np.maximum.accumulate(np.append(-1, r))[:-1],
            }
        )  # fmt: skip
        model = folder / f"models/fold_0/replicate_{replicate}"
        write_table(history, model / "history.tsv")
        parameters = {"model": {"seq_length": length, "trunk": [{"name": "conv", "filters": 64}]}, "train": {"seed": replicate}}
        (model / "params.yaml").write_text(yaml.safe_dump(parameters))

    tasks = [f"task {i} <5 min> $a$ & b" for i in range(n_tasks)]
    for part in splits:
        _write_evaluation(folder / "evaluation" / part, part, genes[genes["split"] == part], tasks, contrasts, rng)
    motifs = [(f"MA{i:04d}.1", f"FAC{i}", rng.dirichlet([0.25] * 4, size=8 + i % 7)) for i in range(n_motifs)]
    _write_meme(folder / "inputs/motifs.meme", motifs)
    for contrast in contrasts:
        _write_contrast(folder, contrast, genes, length, tss_pos, motifs, tasks, rng)
    _write_variants(folder / "variants/effects.tsv", genes, tasks, rng)
    recovery = {
        "pearson_possible": 0.812345, "pearson_achieved": 0.6, "baseline_pearson": 0.3, "motifs_planted": 8,
        "motifs_recovered": 7, "decoys_planted": 3,
        "decoys_called": 1, "peak_precision": 0.91, "peak_recall": 0.73, "variant_effect_spearman": 0.66,
        "motifs": {"MA0000.1": {"motif_name": "FAC0", "role": "activator", "acts": "yes", "enriched": "cluster"}},
    }  # fmt: skip
    write_json(recovery, folder / "recovery.json")
    return folder


def _write_evaluation(
    folder: Path, split: str, genes: pd.DataFrame, tasks: list[str], contrasts: tuple[str, ...], rng: np.random.Generator
) -> None:
    n = len(tasks)
    r = np.clip(rng.normal(0.55, 0.12, n), -1, 1)
    r[-1] = np.nan
    table = pd.DataFrame(
        {
            "task": tasks, "description": [f"what {task} is" for task in tasks],
            "group": [GROUPS[i % 3] for i in range(n)], "n": len(genes), "pearson": r, "spearman": r - 0.02,
            "r2": r**2 - 0.05, "kmer_ridge_pearson": r - np.abs(rng.normal(0.15, 0.1, n)), "kmer_ridge_r2": r**2 - 0.2,
            "train_mean_r2": -0.01,
        }
    )  # fmt: skip
    for replicate in range(3):
        table[f"replicate_{replicate}_pearson"] = r - np.abs(rng.normal(0.03, 0.01, n))
    write_table(table, folder / "tasks.tsv")

    def scores(column: str) -> dict:
        values = table[column]
        return {
            "pearson_median": values.median(), "pearson_max": values.max(), "pearson_mean": values.mean(),
            "spearman_median": values.median() - 0.01, "r2_median": (values**2).median(),
        }  # fmt: skip

    ridge = {"fold": 0, "upstream": 500, "downstream": 0, "words": "canonical", "penalty": 1000.0, "val_pearson": 0.4}
    mean = {"pearson_median": None, "pearson_max": None, "pearson_mean": None, "spearman_median": None, "r2_median": -0.0123}
    summary = {
        "split": split, "n_genes": len(genes), "n_tasks": n, "model": scores("pearson"),
        "baselines": {"train_mean": mean, "kmer_ridge": scores("kmer_ridge_pearson") | {"ridges": [ridge]}},
        "replicates": [scores(f"replicate_{i}_pearson") for i in range(3)], "ceiling": 0.93,
        "parts": {"network": scores("pearson"), "words": scores("kmer_ridge_pearson")},
        "conditions": {"n_conditions": 2, "model": scores("pearson"), "kmer_ridge": scores("pearson"), "ceiling": 0.987},
        "intervals": {"pearson": [0.51, 0.6], "r2": [0.2, 0.3], "kmer_ridge_pearson": [0.3, 0.45], "difference": [0.1, 0.2]},
        "verdict": "well above the baseline",
    }  # fmt: skip
    verdicts = ("well above the baseline", "no better than the mean", "below the baseline", "at the baseline", "unknown")
    by_contrast = pd.DataFrame(
        {
            "contrast": contrasts, "n": len(genes), "pearson": 0.44, "spearman": 0.43, "r2": 0.18, "kmer_ridge_pearson": 0.22,
            "kmer_ridge_spearman": 0.21, "kmer_ridge_r2": 0.01, "shuffled_pearson": 0.0, "shuffled_spearman": 0.0,
            "shuffled_r2": -0.9, "pearson_low": 0.39, "pearson_high": 0.49, "r2_low": 0.1, "r2_high": np.nan,
            "kmer_ridge_pearson_low": 0.1, "kmer_ridge_pearson_high": 0.3, "difference_low": 0.1, "difference_high": 0.3,
            "network_pearson": 0.41, "words_pearson": 0.31,
            "ceiling": np.nan, "verdict": np.resize(verdicts, len(contrasts)),
        }
    )  # fmt: skip
    write_table(by_contrast, folder / "contrasts.tsv")
    summary["contrasts"] = by_contrast.astype(object).where(by_contrast.notna(), None).set_index("contrast").to_dict("index")
    write_json(summary, folder / "summary.json")
    per_gene = pd.DataFrame({"gene_id": genes["gene_id"], "fold": 0, "n": n, "pearson": 0.5, "mse": 0.1})
    write_table(per_gene, folder / "genes.tsv")
    measured = rng.standard_normal((len(genes), n)).astype(np.float32)
    predicted = (0.5 * measured + 0.4 * rng.standard_normal(measured.shape)).astype(np.float32)
    measured[0, 0] = np.nan
    obs, var = (pd.DataFrame(index=pd.Index(names, dtype=object)) for names in (tasks, genes["gene_id"]))
    anndata.AnnData(measured.T, obs=obs, var=var, layers={"predicted": predicted.T}).write_h5ad(folder / "predictions.h5ad")


def _write_meme(path: Path, motifs: list[tuple[str, str, np.ndarray]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "MEME version 4\n\nALPHABET= ACGT\n\n"
    for motif_id, name, p in motifs:
        text += f"MOTIF {motif_id} {name}\nletter-probability matrix: alength= 4 w= {len(p)} nsites= 100 E= 0\n"
        text += "".join(" ".join(f"{x:.6f}" for x in row) + "\n" for row in p) + "\n"
    path.write_text(text)


def _write_contrast(
    folder: Path,
    contrast: str,
    genes: pd.DataFrame,
    length: int,
    tss_pos: int,
    motifs: list[tuple[str, str, np.ndarray]],
    tasks: list[str],
    rng: np.random.Generator,
) -> None:
    n = len(genes)
    scores = rng.normal(0, 0.004, (n, length))
    codes = rng.integers(0, 4, (n, length)).astype(np.int8)
    peaks, hits = [], []
    for i, gene in enumerate(genes.itertuples()):
        for k, offset in enumerate((-60, -95, -130, -tss_pos + 20)):
            first, sign = tss_pos + offset, -1 if k == 1 else 1
            last = first + 9
            scores[i, first:last] += sign * rng.uniform(0.05, 0.2, 9)
            start = gene.window_start + first if gene.strand == "+" else gene.window_end - last
            place = {"chrom": gene.chrom, "start": start, "end": start + 9, "strand": gene.strand}
            peak_id = f"{gene.gene_id}:{first}-{last}:{'+' if sign > 0 else '-'}"
            peaks.append(
                {
                    "peak_id": peak_id, "gene_id": gene.gene_id, **place, "window_start": first, "window_end": last,
                    "summit": first + 4, "from_tss": offset + 4, "height": scores[i, first + 4],
                    "attribution": scores[i, first:last].sum(), "p_value": 1e-5 if k else np.nan,
                    "q_value": 0.02 * (k + 1),
                }
            )  # fmt: skip
            for p_value in (1e-4, 1e-6):
                motif_id, name, _ = motifs[(i + k + (p_value > 1e-5)) % len(motifs)]
                hits.append(
                    {
                        "motif_id": motif_id, "motif_name": name, "gene_id": gene.gene_id, "peak_id": peak_id, "region": "peak",
                        **place, "window_start": first, "window_end": last, "orientation": "+-"[k % 2], "from_tss": offset + 4,
                        "score": 9.5, "p_value": p_value, "q_value": 0.02, "matched_seq": "ACGTACGTA", "site_attr_score": 0.6,
                        "motif_attr_score": 0.7,
                    }
                )  # fmt: skip
    attributions = np.zeros((n, 4, length), np.float32)
    np.put_along_axis(attributions, codes[:, None, :].astype(int), scores[:, None, :].astype(np.float32), axis=1)
    predicted = rng.normal(0, 1, n)
    windows = genes[["gene_id", "chrom", "strand", "mask_start", "mask_end", "fold", "split"]].assign(
        start=genes["window_start"], end=genes["window_end"], measured=1.2 * predicted + rng.normal(0, 0.5, n)
    )  # fmt: skip
    attrs = {
        "contrast": contrast, "score": "specificity", "method": "gradient × input", "on_tasks": tasks[:2],
        "off_tasks": tasks[2:], "models": ["abc"] * 3, "replicates": 3,
    }  # fmt: skip
    with write_attributions(folder / f"attributions/{contrast}.h5", windows, length, attrs) as append:
        append(attributions, codes, predicted, np.full(n, 0.1))
    write_table(pd.DataFrame(peaks), folder / f"peaks/{contrast}.tsv")
    write_table(pd.DataFrame(hits), folder / f"motifs/{contrast}/hits.tsv")
    m = len(motifs)
    enrichment = pd.DataFrame(
        {
            "motif_id": [motif[0] for motif in motifs], "motif_name": [motif[1] for motif in motifs],
            "cluster": [str(i // 2) for i in range(m)], "cluster_name": [motifs[i // 2 * 2][1] for i in range(m)],
            "representative": [motifs[i // 2 * 2][0] for i in range(m)], "cluster_orientation": np.resize(["+", "-"], m),
            "n_peaks": len(peaks), "n_peaks_with_hit": np.linspace(len(peaks), 1, m).astype(int),
            "n_background": 10 * len(peaks), "n_background_with_hit": 17,
            "odds_ratio": np.linspace(9, 0.5, m), "p_value": np.geomspace(1e-9, 1, m),
            "q_value": np.geomspace(1.7e-8, 1, m), "mean_attribution": np.linspace(0.6, -0.2, m), "n_hits": 20,
            "rank": np.arange(1, m + 1),
        }
    )  # fmt: skip
    write_table(enrichment, folder / f"motifs/{contrast}/enrichment.tsv")
    effects = enrichment.loc[: m // 2, ["motif_id", "motif_name"]].assign(
        n_sites=20, deletion_mean=-0.213, deletion_low=-0.3, deletion_high=-0.12, n_backgrounds=30, insertion_mean=0.31,
        insertion_low=0.22, insertion_high=np.nan, share_inert=0.25,
        verdict=np.resize(["raises", "sites_only", "inert", "no_sites"], m // 2 + 1), insertion_on_mean=0.051,
        insertion_on_low=0.04, insertion_on_high=0.06, insertion_off_mean=-0.259, insertion_off_low=-0.3,
        insertion_off_high=-0.2,
        deletion_on_mean=-0.05, deletion_off_mean=0.163, deletion_off_low=0.1, deletion_off_high=0.2,
        deletion_on_low=-0.1, deletion_on_high=0.0, representative=enrichment["representative"],
        moves=np.resize(["lowers_off", "", "", ""], m // 2 + 1),
    )  # fmt: skip
    write_table(effects, folder / f"motifs/{contrast}/effects.tsv")
    pairs = pd.DataFrame(
        {
            "first_cluster": "0", "first_name": [motifs[0][1]] * 2, "second_cluster": "1",
            "second_name": [motifs[2][1], "none"],
            "n_genes": n, "n_first": 9, "n_second": 7, "n_both": 6, "expected": 1.26, "odds_ratio": 21.5, "p_value": 1e-4,
            "q_value": [0.004, 0.8], "median_distance": 31.0, "orientation": "convergent", "bin_start": 30, "bin_end": 40,
            "bin_count": 5, "bin_expected": 0.43, "spacing_p_value": 1e-3, "spacing_q_value": [np.nan, 0.7],
        }
    )  # fmt: skip
    write_table(pairs, folder / f"motifs/{contrast}/pairs.tsv")


def _write_variants(path: Path, genes: pd.DataFrame, tasks: list[str], rng: np.random.Generator) -> None:
    rows = []
    for i, gene in enumerate(genes.head(8).itertuples()):
        place = {"variant_id": f"v{i}", "chrom": gene.chrom, "start": gene.tss - 50, "end": gene.tss - 49}
        place |= {"ref": "A", "alt": "G"}
        if i == 7:
            rows.append({**place, "gene_id": "", "status": "outside", "from_tss": "", "task": ""})
            continue
        for task in tasks:
            effect = rng.normal(0, 0.2)
            score = {
                "task": task,
                "effect_mean": effect,
                "effect_sd": 0.05,
                "p_value": 0.01,
                "q_value": 0.0375 if i < 2 else 0.5,
                "percentile": 88.88,
                "effect_fold_0/replicate_0": effect,
            }
            rows.append({**place, "gene_id": gene.gene_id, "status": "scored", "from_tss": -50, **score})
    write_table(pd.DataFrame(rows), path)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A complete results folder with one split, which a test may change."""
    return write_results(tmp_path / "run", n_genes=24, splits=("test",))


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete results folder, which tests must not change."""
    return write_results(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="session")
def make_results() -> Callable[..., Path]:
    """The function `write_results`, for folders with other names or sizes."""
    return write_results
