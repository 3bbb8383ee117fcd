"""Compare attribution methods and peak callers on a simulated genome with known truth.

Takes a finished run on a simulated genome (`make demo`) and runs attribute_genes.py, collect_attributions.py and call_peaks.py
on its models, for each method and caller. Prints Markdown tables: precision (peaks on sites of motifs with an effect) and
recall (such sites with a peak), for all peaks and for peaks with a q-value of at most `--max-q`, and the checks of the
attributions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))

from cisnake.files import read_table  # noqa: E402
from cisnake.interpret.attribution import AttributionFile  # noqa: E402
from cisnake.report import ContrastFindings, contrast_effect, measure_sites  # noqa: E402

# By name in the table: method, its options, whether both strands are averaged.
METHODS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "input_x_gradient": ("input_x_gradient", {}, False),
    "input_x_gradient, both strands": ("input_x_gradient", {}, True),
    "smoothgrad": ("smoothgrad", {}, False),
    "integrated_gradients, 5 steps": ("integrated_gradients", {"n_steps": 5}, False),
    "integrated_gradients, 10 steps": ("integrated_gradients", {"n_steps": 10}, False),
    "integrated_gradients, 50 steps": ("integrated_gradients", {"n_steps": 50}, False),
    "expected_integrated_gradients": ("expected_integrated_gradients", {"n_shuffles": 10, "n_steps": 5}, False),
    "in_silico_mutagenesis": ("in_silico_mutagenesis", {}, False),
}
CALLERS: dict[str, list[str]] = {
    "recursive_seqlets, threshold 0.01": ["--set", "peaks.method=recursive_seqlets", "--set", "peaks.threshold=0.01"],
    "recursive_seqlets, threshold 0.05": ["--set", "peaks.method=recursive_seqlets", "--set", "peaks.threshold=0.05"],
    "find_attr_peaks": ["--set", "peaks.method=find_attr_peaks"],
    "find_attr_peaks, n 20, height 2": [
        "--set",
        "peaks.method=find_attr_peaks",
        "--set",
        "peaks.n=20",
        "--set",
        "peaks.height=2",
    ],
    "tfmodisco_seqlets": ["--set", "peaks.method=tfmodisco_seqlets"],
}
PEAK_COLUMNS = {"start": "int", "end": "int", "attribution": "float", "q_value": "float"}


def main() -> None:
    """Run all methods and callers, and print the tables."""
    args = parser().parse_args()
    run = args.results
    tasks = read_table(run / "inputs/tasks.tsv")
    group_of_task = dict(zip(tasks["task"], tasks["group"], strict=True))
    effects = dict.fromkeys([f"effect_{group}" for group in tasks["group"].unique()], "float")
    truth = read_table(run / "inputs/truth.tsv", start="int", end="int", **effects)
    rows = []
    for name in args.methods:
        folder = args.folder / name.replace(", ", "_").replace(" ", "_")
        if not (folder / "seconds.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            seconds = attribute(run, folder, *METHODS[name], args.null_windows, args.genes, args.quality_genes)
            (folder / "seconds.json").write_text(json.dumps(seconds))
        minutes = json.loads((folder / "seconds.json").read_text()) / 60
        quality = pd.concat([AttributionFile(path).quality for path in sorted(folder.glob("*.h5"))])
        for caller in CALLERS:
            for max_q, found in measured(folder, CALLERS[caller], truth, group_of_task, args.max_q):
                shown = quality[["completeness", "replicates", "ism", "strands", "random_weights"]].median()
                rows.append({"method": name, "minutes": minutes, "caller": caller, "max_q": max_q, **found, **shown})
                print(json.dumps(rows[-1], default=float), file=sys.stderr, flush=True)
    print(table(rows))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("results", type=Path, help="results folder of a simulated run")
    p.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME", help="default: all")
    p.add_argument("--folder", type=Path, required=True, help="folder for attributions; existing ones are reused")
    p.add_argument("--genes", default="held_out", metavar="WHICH", help="as attribution.genes (default: held_out)")
    p.add_argument("--null-windows", type=int, default=500, metavar="N", help="shuffled windows (default: 500)")
    p.add_argument("--quality-genes", type=int, default=50, metavar="N", help="number of genes to check (default: 50)")
    p.add_argument("--max-q", type=float, default=0.1, help="largest q-value (default: 0.1)")
    return p


def attribute(
    run: Path, folder: Path, method: str, options: dict[str, Any], both_strands: bool, nulls: int, genes: str, checked: int
) -> float:
    """Write <contrast>.h5 to a folder for every contrast of the run, and return the seconds of attribute_genes.py."""
    contrasts = {}
    for path in sorted((run / "attributions").glob("*.h5")):
        contrast = AttributionFile(path).contrast
        contrasts[contrast.name] = {"on_tasks": list(contrast.on_tasks), "score": contrast.score}
        if contrast.off_tasks:
            contrasts[contrast.name]["off_tasks"] = list(contrast.off_tasks)
    section = {"contrasts": contrasts, "genes": genes, "method": method, "reverse_complement": both_strands, "n_shards": 1}
    section |= {"null_windows": nulls, "quality_genes": checked, **options}
    config = folder / "config.yaml"
    config.write_text(json.dumps({"attribution": section}))
    started = time.perf_counter()
    script(
        "attribute_genes", "--config", config, "--dataset", run / "dataset.h5", "--models",
        *sorted(run.glob("models/*/*/model.keras")), "--tasks", run / "tasks.tsv", "--threads", 2, "--output", folder,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    for name in contrasts:
        script(
            "collect_attributions", "--config", config, "--shards", folder / name, "--genome", run / "inputs/genome.fa",
            "--output", folder / f"{name}.h5",
            "--output-bigwig", folder / f"{name}.bw", "--output-quality", folder / f"{name}.quality.tsv",
        )  # fmt: skip
        shutil.rmtree(folder / name)
    return seconds


def measured(
    folder: Path, caller: list[str], truth: pd.DataFrame, group_of_task: dict[str, str], max_q: float
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield (largest q, counts and shares pooled over contrasts), for all peaks and for peaks with q up to `max_q`."""
    found = []
    for path in sorted(folder.glob("*.h5")):
        file = AttributionFile(path)
        script(
            "call_peaks", "--attributions", path, *caller, "--output-tsv", folder / "peaks.tsv",
            "--output-bed", folder / "peaks.bed",
        )  # fmt: skip
        found.append((file, read_table(folder / "peaks.tsv", **PEAK_COLUMNS)))
    for greatest in (1.0, max_q):
        counts: dict[str, int] = {}
        for file, peaks in found:
            findings = ContrastFindings(file.contrast, file.genes, peaks[peaks["q_value"] <= greatest], pd.DataFrame())
            sites = measure_sites(truth, contrast_effect(truth, file.contrast, group_of_task), findings)
            for key, value in sites.items():
                if key.startswith("n_"):
                    counts[key] = counts.get(key, 0) + value
        yield (
            greatest,
            {
                **counts,
                "precision": counts["n_peaks_on_site"] / max(counts["n_peaks"], 1),
                "recall": counts["n_strong_sites_found"] / max(counts["n_strong_sites"], 1),
            },
        )


def script(name: str, *arguments: Any) -> None:
    """Run a program of the workflow."""
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}.py failed:\n{done.stderr[-2000:]}")


def table(rows: list[dict[str, Any]]) -> str:
    """Return Markdown tables: precision and recall by method and caller for each largest q, and attribution checks."""
    lines = []
    for max_q in dict.fromkeys(row["max_q"] for row in rows):
        lines += [
            f"Precision / recall, q <= {max_q:g}",
            "",
            "| method | " + " | ".join(CALLERS) + " |",
            "|---" * (len(CALLERS) + 1) + "|",
        ]
        for method in dict.fromkeys(row["method"] for row in rows):
            found = {row["caller"]: row for row in rows if (row["method"], row["max_q"]) == (method, max_q)}
            cells = [f"{found[caller]['precision']:.2f} / {found[caller]['recall']:.2f}" for caller in CALLERS]
            lines.append("| " + " | ".join([method, *cells]) + " |")
        lines.append("")
    keys = {"ism": "mutagenesis (ρ)", "replicates": "replicates", "strands": "strands", "random_weights": "random weights",
            "completeness": "completeness error", "minutes": "minutes"}  # fmt: skip
    lines += ["| method | " + " | ".join(keys.values()) + " |", "|---" * (len(keys) + 1) + "|"]
    for row in {row["method"]: row for row in rows}.values():
        cells = [f"{row[key]:.2f}" if np.isfinite(row[key]) else "" for key in keys]
        lines.append("| " + " | ".join([row["method"], *cells]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
