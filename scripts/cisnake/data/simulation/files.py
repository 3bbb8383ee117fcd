"""Write the files of a simulated genome."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pysam

from cisnake.data.genome import decode
from cisnake.data.simulation.genome import Simulation, truth
from cisnake.data.simulation.variants import draw_variants, variant_effects, write_vcf
from cisnake.files import write_json, write_table

LINE = 60
"""Bases per line of the FASTA file."""


def write_inputs(made: Simulation, folder: Path) -> dict[str, int]:
    """Write all files of a simulation; they appear in the folder only once all of them are complete.

    The files are genome.fa, genome.fa.fai, genes.gtf, expression.tsv and expression_noiseless.tsv (gene_id and one column per
    task, log expression, NA for missing values), tasks.tsv, variants.vcf, truth.tsv and simulation.json.

    Parameters
    ----------
    made: Simulation
    folder: Path
        Created if it is missing; other files in it are left alone.

    Returns
    -------
    dict of str to int
        Numbers of genes, sites and variants.
    """
    sites, variants = truth(made), draw_variants(made)
    effects = variant_effects(made, variants)
    labelled = made.genes["labelled"].to_numpy()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as temporary:
        part = Path(temporary)
        (part / "genome.fa").write_text(_fasta(made.chromosomes), encoding="utf-8")
        pysam.faidx(str(part / "genome.fa"))
        (part / "genes.gtf").write_text(_gtf(made.genes, made.seed), encoding="utf-8")
        _matrix(made, made.observed, labelled).to_csv(
            part / "expression.tsv", sep="\t", index=False, float_format="%.6g", na_rep="NA"
        )
        _matrix(made, made.noiseless, labelled).to_csv(
            part / "expression_noiseless.tsv", sep="\t", index=False, float_format="%.9g"
        )
        write_table(made.tasks, part / "tasks.tsv")
        (part / "variants.vcf").write_text(write_vcf(made, variants, effects), encoding="utf-8")
        write_table(sites, part / "truth.tsv")
        write_json(describe(made, sites), part / "simulation.json")
        for path in sorted(part.iterdir()):
            os.replace(path, folder / path.name)
    # The index must not be older than the genome: readers that compare their ages would rebuild it.
    os.utime(folder / "genome.fa.fai")
    return {"genes": len(made.genes), "sites": len(sites), "variants": len(variants)}


def describe(made: Simulation, sites: pd.DataFrame) -> dict:
    """Return the content of simulation.json: settings, seed, motifs with their weights, and the maximum r per task."""
    measured = ~np.isnan(made.observed) & made.genes["labelled"].to_numpy()[:, None]
    possible = [float(np.corrcoef(made.noiseless[m, t], made.observed[m, t])[0, 1]) for t, m in enumerate(measured.T)]
    counts = sites.groupby(["motif_id", "origin"]).size()
    motifs = [
        {
            "motif_id": r.motif.id,
            "motif_name": r.motif.name,
            "role": r.role,
            "weights": dict(zip(made.regulation.groups, r.weights, strict=True)),
            "information": float(r.motif.information.sum()),
            "threshold": r.threshold,
            "n_planted": int(counts.get((r.motif.id, "planted"), 0)),
            "n_chance": int(counts.get((r.motif.id, "chance"), 0)) if r.active else None,
        }
        for r in made.regulation.regulators
    ]
    return {
        "seed": made.seed,
        "settings": asdict(made.settings),
        "motifs": motifs,
        "possible_r": dict(zip(made.tasks["task"], possible, strict=True)),
    }


def _matrix(made: Simulation, values: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(values[rows], columns=made.tasks["task"].to_list())
    table.insert(0, "gene_id", made.genes["gene_id"].to_numpy()[rows])
    return table


def _fasta(chromosomes: dict[str, np.ndarray]) -> str:
    lines = []
    for name, codes in chromosomes.items():
        text = decode(codes)
        lines.append(f">{name}")
        lines += [text[i : i + LINE] for i in range(0, len(text), LINE)]
    return "\n".join(lines) + "\n"


def _gtf(genes: pd.DataFrame, seed: int) -> str:
    """Return the genes as GTF, each with one transcript of two exons; the intron is the middle third."""
    lines = [f"#!genome-build simulated, seed {seed}"]
    for g in genes.itertuples(index=False):
        third = (g.end - g.start) // 3
        exons = [(g.start, g.start + third), (g.end - third, g.end)]
        exons = exons if g.strand == "+" else exons[::-1]
        spans = [("gene", g.start, g.end), ("transcript", g.start, g.end)] + [("exon", *span) for span in exons]
        for number, (feature, start, end) in enumerate(spans, start=-1):
            tags = [f'gene_id "{g.gene_id}"']
            tags += [f'transcript_id "{g.gene_id}T"'] if feature != "gene" else []
            tags += [f'gene_name "{g.gene_name}"', 'gene_biotype "protein_coding"']
            tags += [f'exon_number "{number}"'] if feature == "exon" else []
            lines.append(f"{g.chrom}\tsimulated\t{feature}\t{start + 1}\t{end}\t.\t{g.strand}\t.\t{'; '.join(tags)};")
    return "\n".join(lines) + "\n"
