"""Ask whether the q-values of variants hold, on variants of a simulated genome whose true effects are known.

Draws new variants for the genome of a simulated run, nine in ten without any effect, scores them with its networks, and prints
for several thresholds of q which share of the called effects is false, and which share of the true ones is called.

python tools/calibrate_variants.py results/demo --set=variants.controls=20000
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from cisnake.files import read_table

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
# Variants that are drawn, before those with an effect are thinned to a tenth.
DRAWN = 9000
THRESHOLDS = (0.01, 0.05, 0.1, 0.2)


def thin_effects(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Return the records with a known effect. Those whose effect is not 0 are thinned at random to a tenth of all."""
    known = [line for line in lines if "EFFECT=" in line]
    acts = np.array([bool(np.any(true_effects(line))) for line in known])
    kept = rng.permutation(np.flatnonzero(acts))[: np.count_nonzero(~acts) // 9]
    return [known[i] for i in np.sort([*np.flatnonzero(~acts), *kept])]


def true_effects(line: str) -> np.ndarray:
    """Return the true effects of a record, one per task."""
    return np.array(line.rstrip().split("EFFECT=")[1].split(","), float)


def score(results: Path, folder: Path, options: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the true effects of new variants (variant_id, gene_id, tasks), and effects.tsv; options go to score_variants."""
    config = max((results / "config").glob("*.yaml"), key=lambda path: path.stat().st_mtime)
    simulated = folder / "inputs"
    run("simulate_inputs", config, f"--set=genome.simulate.n_variants={DRAWN}", "--outdir", simulated)
    text = (simulated / "variants.vcf").read_text(encoding="utf-8").splitlines()
    header = [line for line in text if line.startswith("#")]
    records = thin_effects([line for line in text if not line.startswith("#")], np.random.default_rng(0))
    vcf, table = folder / "variants.vcf", folder / "effects.tsv"
    vcf.write_text("\n".join([*header, *records]) + "\n", encoding="utf-8")
    run(
        "score_variants", config, "--vcf", vcf, "--genome", simulated / "genome.fa", "--genes", results / "genes.tsv",
        "--dataset", results / "dataset.h5", "--models", results / "models", "--threads", 2, "--output-tsv", table,
        "--output-vcf", folder / "effects.vcf.gz", *options,
    )  # fmt: skip
    tasks = list(read_table(simulated / "tasks.tsv")["task"])
    truth = pd.DataFrame([true_effects(line) for line in records], columns=tasks)
    truth["variant_id"] = [line.split("\t")[2] for line in records]
    truth["gene_id"] = [line.split("GENE=")[1].split(";")[0] for line in records]
    return truth, read_table(table, p_value="float", q_value="float", percentile="float")


def run(program: str, config: Path, *options: object) -> None:
    """Run a program of the workflow."""
    subprocess.run([sys.executable, str(SCRIPTS / f"{program}.py"), "--config", str(config), *map(str, options)], check=True)


def main(results: Path, options: list[str]) -> None:
    """Score the variants and print the tables."""
    with tempfile.TemporaryDirectory() as folder:
        truth, scored = score(results, Path(folder), options)
    key = ["variant_id", "gene_id", "task"]
    pairs = truth.melt(key[:2], var_name="task", value_name="true").merge(scored, on=key)
    false, strong = pairs["true"] == 0, pairs["true"].abs() >= 0.1
    print(f"{len(truth)} variants; {len(pairs)} effects on their genes, {false.mean():.1%} of them exactly 0")
    print(f"among these: p ≤ 0.05 in {(pairs['p_value'][false] <= 0.05).mean():.3f}, ", end="")
    print(f"percentile ≥ 95 in {(pairs['percentile'][false] >= 95).mean():.3f}")
    print("q\tcalled\tfalse\ttrue effects called\tof at least 0.1")
    for threshold in THRESHOLDS:
        called = pairs["q_value"] <= threshold
        wrong = (called & false).sum() / max(called.sum(), 1)
        print(f"{threshold}\t{called.sum()}\t{wrong:.1%}\t{called[~false].mean():.1%}\t{called[strong].mean():.1%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
