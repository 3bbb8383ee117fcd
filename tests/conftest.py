"""Shared fixtures: real yeast data, if available, and tiny genomes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

# Set before NumPy or TensorFlow is imported: they would use every core, although several workers run in parallel.
if "PYTEST_XDIST_WORKER" in os.environ:
    for library in ("TF_NUM_INTRAOP", "TF_NUM_INTEROP", "OPENBLAS_NUM", "OMP_NUM"):
        os.environ.setdefault(f"{library}_THREADS", "1")

import numpy as np


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with long tests first, so that no worker starts one of them when all others are done."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need packages which are not installed by default."""
    for marker, packages in (("patterns", ("memelite", "modiscolite")), ("browser", ("playwright", "axe_playwright_python"))):
        missing = [name for name in packages if find_spec(name) is None]
        if missing and item.get_closest_marker(marker):
            pytest.skip(f"{' and '.join(missing)} not installed: make {marker}")
    if item.get_closest_marker("browser") and not shutil.which("chromium"):
        pytest.skip("no Chromium on this machine")


@pytest.fixture(scope="session")
def yeast() -> Path:
    """Folder of the yeast genome, annotation and expression; tests are skipped only if CISNAKE_DATA is not set."""
    if "CISNAKE_DATA" not in os.environ:
        pytest.skip("CISNAKE_DATA names no folder of real data")
    folder = Path(os.environ["CISNAKE_DATA"]) / "yeast"
    with open(folder / "sacCer3.fa.gz", "rb"):
        return folder


@dataclass(frozen=True)
class TinyInputs:
    """Inputs of a run, as text and as files."""

    chromosomes: dict[str, str]
    fasta: Path
    gtf: Path
    matrix: Path


def gtf_row(chrom: str, start: int, end: int, strand: str, feature: str = "gene", **attributes: str) -> str:
    """Return a GTF line for a 0-based half-open interval."""
    pairs = " ".join(f'{key} "{value}";' for key, value in attributes.items())
    return "\t".join([chrom, "test", feature, str(start + 1), str(end), ".", strand, ".", pairs]) + "\n"


@pytest.fixture(scope="session")
def gene_row() -> Callable[..., str]:
    return gtf_row


@pytest.fixture
def tiny(tmp_path: Path) -> TinyInputs:
    """Three chromosomes of 600 bases with four genes each, on both strands, some near the ends, measured in three tasks."""
    rng = np.random.default_rng(7)
    chromosomes = {f"chr{i}": "".join(rng.choice(list("ACGT"), 600)) for i in (1, 2, 3)}
    folder = tmp_path / "tiny"
    folder.mkdir()
    fasta, gtf, matrix = folder / "genome.fa", folder / "genes.gtf", folder / "matrix.tsv"
    fasta.write_text("".join(f">{name} random\n{text[:350]}\n{text[350:]}\n" for name, text in chromosomes.items()))
    rows, cells = [], ["gene\theat\tcold\tacid\n"]
    for i, name in enumerate(chromosomes, start=1):
        for j, (start, end, strand) in enumerate([(100, 160, "+"), (200, 330, "-"), (340, 420, "+"), (430, 500, "-")]):
            gene_id = f"G{i}{'abcd'[j]}"
            rows.append(gtf_row(name, start, end, strand, gene_id=gene_id, gene_name=gene_id.lower(), gene_biotype="coding"))
            cells.append(f"{gene_id}\t{rng.normal():.4f}\t{rng.normal():.4f}\t{'NA' if j == 1 else '1.5'}\n")
    gtf.write_text("#!genome-build tiny\n" + "".join(rows))
    matrix.write_text("".join(cells))
    return TinyInputs(chromosomes, fasta, gtf, matrix)
