"""Windows with one site each."""

import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome.bases import encode, reverse_complement

from .counted import CONSENSUS, LENGTH, N


@pytest.fixture
def world():
    """Genes with one site each at different positions, forward in even and reverse in odd rows, and their hits."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (N, LENGTH)).astype(np.int8)
    tss = rng.integers(50, 70, N)
    starts = tss - 20
    forward = np.arange(N) % 2 == 0
    for row in range(N):
        site = encode(CONSENSUS)
        codes[row, starts[row] : starts[row] + 8] = site if forward[row] else reverse_complement(site)
    windows = pd.DataFrame(
        {
            "gene_id": [f"g{i}" for i in range(N)],
            "mask_start": tss,
            "mask_end": 110,
            "fold": np.arange(N) % 3,
            "row": np.arange(N),
        }
    )
    hits = pd.DataFrame(
        {
            "motif_id": "M1",
            "gene_id": windows["gene_id"],
            "region": "peak",
            "chrom": "chr1",
            "start": 1000 * np.arange(N) + starts,
            "end": 1000 * np.arange(N) + starts + 8,
            "strand": np.where(forward, "+", "-"),
            "window_start": starts,
            "window_end": starts + 8,
            "orientation": np.where(forward, "+", "-"),
            "from_tss": starts + 3 - tss,
            "p_value": np.linspace(1e-6, 1e-4, N),
        }
    )
    return codes, windows, hits
