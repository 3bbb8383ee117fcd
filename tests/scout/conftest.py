"""A genome whose genes are regulated by the 250 bases upstream of their TSS and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cisnake.data.genome import decode, reverse_complement

N_GENES, SPACING, MARGIN, PROMOTER = 80, 900, 5000, 250


@dataclass(frozen=True)
class Near:
    """Input files of a run in which only the promoter matters."""

    folder: Path
    genes: list[str]
    values: np.ndarray

    def config(self, **sections: Any) -> dict[str, Any]:
        """Return a configuration of the run, with some sections replaced."""
        return {
            "run": {"name": "near"},
            "genome": {"fasta": str(self.folder / "genome.fa")},
            "annotation": {"gtf": str(self.folder / "genes.gtf")},
            "targets": {"matrix": str(self.folder / "matrix.tsv")},
            "windows": {},
            "splits": {"val": ["chr5"], "test": ["chr6"]},
            "model": {"params": "config/models/small.yaml"},
            "attribution": {"contrasts": {"heat": {"on_tasks": ["heat_1", "heat_2"]}}},
        } | sections

    def write(self, values: np.ndarray) -> Path:
        """Write the matrix and return its path."""
        rows = ["\t".join([gene, *(f"{v:.6g}" for v in row)]) for gene, row in zip(self.genes, values, strict=True)]
        path = self.folder / "matrix.tsv"
        path.write_text("\n".join(["gene\theat_1\theat_2\tcold", *rows]) + "\n")
        return path


@pytest.fixture
def near(tmp_path: Path, gene_row: Callable[..., str]) -> Near:
    rng = np.random.default_rng(5)
    sequences, rows, genes, counts = [], [], [], []
    for chrom in range(1, 7):
        codes = rng.integers(0, 4, 2 * MARGIN + N_GENES * SPACING).astype(np.int8)
        for i in range(N_GENES):
            tss, strand = MARGIN + i * SPACING, "+-"[int(rng.integers(2))]
            start, end = (tss, tss + 400) if strand == "+" else (tss - 399, tss + 1)
            promoter = codes[tss - PROMOTER : tss] if strand == "+" else codes[tss + 1 : tss + 1 + PROMOTER]
            promoter = promoter if strand == "+" else reverse_complement(promoter)
            counts.append([decode(promoter).count(word) for word in ("CGA", "TTG")])
            genes.append(f"g{chrom}_{i}")
            rows.append(gene_row(f"chr{chrom}", start, end, strand, gene_id=genes[-1], gene_biotype="coding"))
        sequences.append(f">chr{chrom}\n{decode(codes)}\n")
    (tmp_path / "genome.fa").write_text("".join(sequences))
    (tmp_path / "genes.gtf").write_text("".join(rows))
    shared, heat = np.array(counts, float).T[:, :, None]
    values = 100 + 10 * (shared + heat * np.array([1, 1, 0])) + rng.normal(0, 6, (len(genes), 3))
    values[::17, 1] = np.nan
    found = Near(tmp_path, genes, np.maximum(values, 1))
    found.write(found.values)
    return found


@pytest.fixture
def stored(near: Near) -> Callable[..., Path]:
    """A function that writes a configuration of the run, and returns its path."""

    def write(**sections: Any) -> Path:
        path = near.folder / "config.yaml"
        path.write_text(yaml.safe_dump(near.config(**sections)))
        return path

    return write
