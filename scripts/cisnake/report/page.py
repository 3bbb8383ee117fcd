"""The report: one HTML file that says what a run found, and how."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

import cisnake
from cisnake.data import Motif, read_meme
from cisnake.interpret.patterns import read_patterns
from cisnake.report import figures, igv, igv_views, logos
from cisnake.report.quality import count_quality, draw_quality
from cisnake.report.results import Contrast, Coverage, Evaluation, Results, Training, read_hits, read_predictions, read_results
from cisnake.report.shown_genes import LOGO_BASES, best_hits, best_region, choose_genes
from cisnake.report.words import DASH, count, number, share, signed

MAX_TASK_ROWS = 500
ENRICHED_Q = 0.05
SURE_Q = 0.1
MAX_PAIRS = 10
BEST_SCORES = ("epoch", "loss", "val_loss", "val_pearsonr", "val_r2")
PACKAGES = ("tensorflow-cpu", "tensorflow", "keras", "numpy", "pandas", "h5py", "lightmotif", "matplotlib", "snakemake")


def write_report(
    folder: Path,
    motifs: Path,
    title: str,
    config: Mapping[str, Any] | None = None,
    n_genes: int = 10,
    n_motifs: int = 10,
) -> str:
    """Return the report of a run as HTML that needs no other file.

    The same results give the same text, byte by byte: it holds no date and no path.

    Parameters
    ----------
    folder: Path
        `results/<run>`.
    motifs: Path
        Motifs in MEME format, for their logos.
    title: str
        Name of the run.
    config: mapping, optional
        The run's configuration, shown at the end.
    n_genes, n_motifs: int
        How many genes and clusters of motifs to show for each contrast.

    Raises
    ------
    InputError
        A part that every run makes is missing.
    """
    results = read_results(folder, config)
    matrices = {motif.id: motif for motif in read_meme(motifs)} if results.contrasts else {}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=number, count=count, share=share, signed=signed)
    main = results.evaluations[0]
    chosen = [choose_genes(c.attributions.windows, str(c.attributions.attrs["score"]), n_genes) for c in results.contrasts]
    shown = {gene for genes, _ in chosen for gene in genes["gene_id"]}
    variants = None if results.variants is None else igv_views.read_variants(folder / "variants/effects.tsv", shown)
    contrasts = [
        _contrast(i, contrast, genes, how, results, matrices, variants, n_motifs)
        for i, (contrast, (genes, how)) in enumerate(zip(results.contrasts, chosen, strict=True))
    ]
    return environment.get_template("template.html").render(
        title=title,
        main=main,
        recovery=results.recovery,
        recovery_json=_json(results.recovery),
        headline=headline(results),
        inputs=_inputs(results),
        training=_training(results.trainings),
        evaluations=[_evaluation(evaluation) for evaluation in results.evaluations],
        coverage=[_coverage(coverage) for coverage in results.coverage],
        contrasts=contrasts,
        quality=draw_quality({c.name: c.attributions.quality for c in results.contrasts}),
        browser=igv.browser_section([view for contrast in contrasts for view in contrast["views"]]),
        policy=igv.POLICY,
        sure_q=SURE_Q,
        n_genes=n_genes,
        variants=_variants(results),
        enriched_q=ENRICHED_Q,
        logo_bases=LOGO_BASES,
        track_bins=figures.TRACK_BINS,
        folds=len({training.fold for training in results.trainings}),
        definitions=logos.definitions(),
        colours=logos.COLOURS,
        versions=_versions(),
        config=_json(config),
    )


QUARTILES = {0.25: "lower quartile", 0.5: "median", 0.75: "upper quartile"}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""


def headline(results: Results) -> str:
    """Return the sentences that say what the figures at the top mean."""
    main = results.evaluations[0]
    model = main.summary["model"]["pearson_median"]
    ridge = main.summary["baselines"]["kmer_ridge"]["pearson_median"]
    held_out = {
        "test": "the models saw neither in training nor to choose when to stop",
        "val": "the models did not train on, but stopped by",
        "train": "the models were trained on",
    }[main.split]
    parts = [
        f"On {count(main.summary['n_genes'])} genes that {held_out}, predicted and measured values of the median task "
        f"correlate over genes with r = {number(model)}."
    ]
    if model is not None and ridge is not None:
        if model > ridge:
            parts.append(
                f"A ridge regression on k-mer counts, which knows what the sequence holds but not where, reaches "
                f"{number(ridge)}: the difference of {number(model - ridge)} is what the network adds."
            )
        else:
            parts.append(
                f"A ridge regression on k-mer counts reaches {number(ridge)}: the network is no better than that, so do not "
                "trust the motifs and effects below before it is."
            )
    recovery = results.recovery
    if recovery:
        parts.append(
            f"The genome is simulated, and its noise lets no model beyond r = {number(recovery.get('pearson_possible'))}. "
            f"{count(recovery.get('motifs_recovered'))} of {count(recovery.get('motifs_planted'))} planted motifs were "
            f"found again, and {count(recovery.get('decoys_called'))} of {count(recovery.get('decoys_planted'))} decoys "
            "taken for motifs."
        )
    return " ".join(parts)


def _inputs(results: Results) -> dict[str, Any]:
    summary = results.summary
    reasons = dict(sorted(summary["dropped"].items(), key=lambda item: (-item[1], item[0])))
    details = results.dropped.groupby("reason")["detail"].first() if len(results.dropped) else {}
    return {
        "summary": summary,
        "reasons": [(reason, n, details.get(reason, "")) for reason, n in reasons.items()],
        "kept": figures.draw_counts("kept", {"kept": summary["n_kept"], **reasons}, "genes", highlight="kept"),
        "splits": figures.draw_splits(results.genes),
        "split": {split: int((results.genes["split"] == split).sum()) for split in ("train", "val", "test")},
    }


def _training(trainings: list[Training]) -> dict[str, Any]:
    rows = []
    for training in trainings:
        history = training.history
        best = history[history["best"]].tail(1)
        scores = {key: best[key].iloc[0] if len(best) else None for key in BEST_SCORES}
        rows.append(
            {
                "name": training.name,
                "epochs": len(history),
                "minutes": history["seconds"].sum() / 60,
                **scores,
            }
        )
    flat = [_flatten(training.parameters) for training in trainings]
    keys = list(dict.fromkeys(key for parameters in flat for key in parameters))
    parameters = []
    for key in keys:
        values = [parameters.get(key, DASH) for parameters in flat]
        same = len(set(values)) == 1
        parameters.append((key, values[0] if same else ", ".join(values)))
    return {"rows": rows, "curves": figures.draw_learning(trainings), "parameters": parameters}


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """Return nested mappings as one, keys joined by dots, values as JSON; lists stay whole."""
    if isinstance(value, dict) and value:
        parts = (_flatten(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items())
        return {key: text for part in parts for key, text in part.items()}
    return {prefix: json.dumps(value, ensure_ascii=False, default=str)}


def _coverage(coverage: Coverage) -> dict[str, Any]:
    summary, tasks = coverage.summary, coverage.tasks.sort_values("pearson", ascending=False, na_position="last")
    rows = [
        ("ensemble", summary["model"]),
        *((f"replicate {i}", scores) for i, scores in enumerate(summary["replicates"])),
        ("ridge regression on k-mers", summary["baselines"]["kmer_ridge"]),
        ("mean profile around TSSs", summary["baselines"]["tss_profile"]),
        ("mean of the training tiles", summary["baselines"]["train_mean"]),
    ]
    tiles = coverage.examples.groupby("quantile", sort=True)
    return {
        "split": coverage.split,
        "summary": summary,
        "rows": rows,
        "tasks": tasks.head(MAX_TASK_ROWS).to_dict("records"),
        "n_tasks": len(tasks),
        "examples": [
            figures.draw_tile(f"tile-{coverage.split}-{i}", tile, f"tile at the {QUARTILES[quantile]} (r = {number(r)})")
            for i, (quantile, tile) in enumerate(tiles)
            for r in [tile["pearson"].iloc[0]]
        ],
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    split, summary = evaluation.split, evaluation.summary
    tasks = evaluation.tasks.sort_values(["pearson", "task"], ascending=[False, True], na_position="last")
    replicates = [column for column in tasks if column.startswith("replicate_") and column.endswith("_pearson")]
    ranked = tasks.dropna(subset=["pearson"])
    examples = []
    if evaluation.predictions is not None and len(ranked):
        for what, row in (("median", ranked.iloc[len(ranked) // 2]), ("best", ranked.iloc[0])):
            measured, predicted = read_predictions(evaluation.predictions, row["task"])
            title = f"{what} task, r = {number(row['pearson'])}"
            name = ": ".join(filter(None, (row["task"], row.get("description", ""))))
            examples.append(figures.draw_predictions(f"{what}-{split}", measured, predicted, title, name))
            if len(ranked) == 1:
                break
    singles = [r["pearson_median"] for r in summary["replicates"] if r["pearson_median"] is not None]
    mean = float(np.mean(singles)) if singles else None
    model = summary["model"]["pearson_median"]
    both = tasks.dropna(subset=["pearson", "kmer_ridge_pearson"])
    return {
        "split": split,
        "summary": summary,
        "rows": [
            ("ensemble", summary["model"]),
            *((f"replicate {i}", scores) for i, scores in enumerate(summary["replicates"])),
            ("ridge regression on k-mers", summary["baselines"]["kmer_ridge"]),
            ("mean of the training genes", summary["baselines"]["train_mean"]),
        ],
        "single_mean": mean,
        "gain": model - mean if model is not None and mean is not None and len(singles) > 1 else None,
        "n_singles": len(singles),
        "n_better": int((both["pearson"] > both["kmer_ridge_pearson"]).sum()),
        "n_compared": len(both),
        "n_undefined": len(tasks) - len(ranked),
        "baseline": figures.draw_baseline(split, tasks) if len(both) else "",
        "groups": figures.draw_groups(split, tasks) if figures.has_groups(ranked) else "",
        "examples": examples,
        "tasks": tasks.head(MAX_TASK_ROWS).to_dict("records"),
        "n_tasks": len(tasks),
        "replicates": replicates,
    }


def _contrast(
    index: int,
    contrast: Contrast,
    chosen: pd.DataFrame,
    how: str,
    results: Results,
    matrices: Mapping[str, Motif],
    variants: pd.DataFrame | None,
    n_motifs: int,
) -> dict[str, Any]:
    file, enrichment = contrast.attributions, contrast.enrichment
    hits = read_hits(contrast.hits, chosen["gene_id"]) if contrast.hits is not None else None
    labels = best_hits(hits) if hits is not None else {}
    checks = file.quality.set_index("gene_id")["prediction"]
    genes, views = [], []
    for i, (_, row) in enumerate(chosen.iterrows()):
        of_gene = [
            None if table is None else table[table["gene_id"] == row["gene_id"]] for table in (contrast.peaks, hits, variants)
        ]
        attributions, sequences = file.read_block(row["row"], row["row"] + 1)
        scores, codes = attributions[0].sum(axis=0), sequences[0]
        region = best_region(scores)
        genes.append(_gene(f"c{index}g{i}", row, codes, scores, region, of_gene[0], labels, results.genes))
        genes[-1]["poor"] = checks[row["gene_id"]] == "poor"
        views.append(igv_views.make_view(contrast.name, row, codes, scores, region, results.genes, *of_gene))
    return {
        "index": index,
        "name": contrast.name,
        "attrs": file.attrs,
        "how": how,
        "n_genes": len(file),
        "n_peaks": len(contrast.peaks),
        "n_positive": int((contrast.peaks["attribution"] > 0).sum()),
        "n_sure": int((contrast.peaks["q_value"] <= SURE_Q).sum()) if contrast.peaks["q_value"].notna().any() else None,
        "n_null": file.n_null,
        "quality": count_quality(file.quality),
        "scanned": enrichment is not None,
        "motifs": _motifs(contrast, matrices, n_motifs),
        "n_enriched": 0
        if enrichment is None
        else int(((enrichment["q_value"] <= ENRICHED_Q) & (enrichment["odds_ratio"] > 1)).sum()),
        "n_tested": 0 if enrichment is None else len(enrichment),
        "probed": contrast.effects is not None,
        "n_inert": 0 if contrast.effects is None else int((contrast.effects["verdict"] == "inert").sum()),
        "pairs": _pairs(contrast),
        "patterns": _patterns(contrast, matrices),
        "genes": genes,
        "views": views,
    }


def _patterns(contrast: Contrast, matrices: Mapping[str, Motif]) -> list[dict[str, Any]] | None:
    """Return the patterns found without a database, each above the motif that it is most like, column upon column."""
    if contrast.patterns is None:
        return None
    rows = []
    for pattern in read_patterns(contrast.patterns, list(matrices.values())):
        best = pattern.matches[0] if pattern.matches else None
        shown = [pattern.probabilities] if best is None else aligned(pattern.probabilities, best.matrix, best.offset)
        names = [f"Logo of pattern {pattern.id}", f"Logo of {best.motif.name} as it lies on it" if best else ""]
        pictures = [logos.draw_matrix(matrix, name) for matrix, name in zip(shown, names, strict=False)]
        rows.append({"pattern": pattern, "best": best, "logos": pictures})
    return rows


def aligned(first: np.ndarray, second: np.ndarray, offset: int) -> list[np.ndarray]:
    """Return two matrices, shape=(width, 4), filled up with columns that say nothing, so that they lie on each other.

    Parameters
    ----------
    first, second: numpy.ndarray, shape=(width, 4)
        Probabilities.
    offset: int
        Column of the first on which the first column of the second lies; may be negative.
    """
    start, end = min(0, offset), max(len(first), offset + len(second))
    filled = []
    for matrix, at in ((first, 0), (second, offset)):
        whole = np.full((end - start, 4), 0.25)
        whole[at - start : at - start + len(matrix)] = matrix
        filled.append(whole)
    return filled


def _pairs(contrast: Contrast) -> list[dict[str, Any]]:
    """Return the pairs of motifs that keep a distance, or share genes, more than chance has it; the surest first."""
    if contrast.pairs is None:
        return []
    table = contrast.pairs.assign(best=contrast.pairs[["q_value", "spacing_q_value"]].min(axis=1))
    sure = table[table["best"] <= ENRICHED_Q].sort_values(["best", "spacing_p_value", "p_value"], kind="stable")
    return sure.head(MAX_PAIRS).to_dict("records")


def _motifs(contrast: Contrast, matrices: Mapping[str, Motif], n: int) -> list[dict[str, Any]]:
    """Return the best-ranked motif of each of the `n` best clusters, with its logo, and its effects where they were probed."""
    if contrast.enrichment is None:
        return []
    table = contrast.enrichment.sort_values(["rank", "motif_id"], na_position="last")
    cluster = table["cluster"].where(table["cluster"] != "", table["motif_id"])
    table = table.assign(n_in_cluster=cluster.map(cluster.value_counts()))[~cluster.duplicated()].head(n)
    if contrast.effects is not None:
        table = table.merge(contrast.effects.drop(columns="motif_name"), on="motif_id", how="left")
    rows = table.to_dict("records")
    for row in rows:
        motif = matrices.get(row["motif_id"])
        row["logo"] = Markup("") if motif is None else logos.draw_matrix(motif.probabilities, f"Logo of {row['motif_name']}")
    return rows


def _gene(
    name: str,
    window: pd.Series,
    codes: np.ndarray,
    scores: np.ndarray,
    region: tuple[int, int],
    peaks: pd.DataFrame,
    labels: Mapping[str, str],
    annotation: pd.DataFrame,
) -> dict[str, Any]:
    first, last = region
    spans = list(zip(peaks["window_start"], peaks["window_end"], peaks["peak_id"], strict=True))
    boxes = [
        logos.Box(max(a - first, 0), min(b, last) - first, labels.get(peak, ""))
        for a, b, peak in spans
        if a < last and b > first
    ]
    gene_id = window["gene_id"]
    named = annotation.loc[annotation["gene_id"] == gene_id, "gene_name"]
    gene_name = (named.iloc[0] if len(named) else "") or gene_id
    start, end, strand = int(window["start"]), int(window["end"]), window["strand"]
    low, high = sorted(figures.window_to_genome(i, start, end, strand) for i in (first, last - 1))
    place = f"{window['chrom']}:{low:.0f}{DASH}{high + 1:.0f}"
    from_tss = [x - int(window["mask_start"]) for x in (first, last)]
    return {
        "gene_id": gene_id,
        "gene_name": gene_name,
        "window": f"{window['chrom']}:{start}{DASH}{end}",
        "strand": strand,
        "split": window["split"],
        "unseen": window["unseen"],
        "correct": window["correct"],
        "predicted": window["predicted"],
        "measured": window["measured"],
        "n_peaks": len(peaks),
        "region": place,
        "from_tss": from_tss,
        "track": figures.draw_track(
            name, scores, window, [(a, b) for a, b, _ in spans], (first, last), f"Attribution over the window of {gene_name}"
        ),
        "logo": logos.draw_attribution(
            codes[first:last],
            scores[first:last],
            f"Attribution logo of {gene_name}, {place}",
            boxes,
            [(x - first, label) for x, label in figures.genome_ticks(start, end, strand, first, last, 6)],
            figures.axis_label(window),
        ),
    }


def _variants(results: Results) -> dict[str, Any] | None:
    variants = results.variants
    if variants is None:
        return None
    return {
        "n_variants": variants.n_variants,
        "n_pairs": sum(variants.status.values()),
        "status": figures.draw_counts("status", variants.status, "variants × genes") if variants.status else "",
        "top": variants.top.to_dict("records"),
    }


def _versions() -> list[tuple[str, str]]:
    found = [("cisnake", cisnake.__version__), ("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    return found
