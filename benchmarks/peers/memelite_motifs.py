"""Scan windows with motifs on both strands by memelite's fimo, and write hits or score thresholds."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from memelite import fimo

from peers.motif_files import P_THRESHOLD, paths, read_motifs, write_hits

EPS, BIN = 1e-4, 0.1


def write_cuts() -> None:
    """Write each motif's scores and the largest score that is not a hit, as `fimo` computes them."""
    from memelite.fimo import _pwm_to_mapping

    _, path, output = paths()
    arrays: dict[str, Any] = {}
    for name, matrix in read_motifs(path).items():
        scores = np.log2(matrix + EPS) + 2
        smallest, log_p = _pwm_to_mapping(scores, BIN)
        passing = np.flatnonzero(log_p < np.log2(P_THRESHOLD))
        arrays[f"scores {name}"] = scores.T
        arrays[f"above {name}"] = np.float32((passing[0] + smallest) * BIN if len(passing) else np.inf)
    np.savez(output, **arrays)


def main() -> None:
    windows, path, output = paths()
    # memelite's reader of MEME files gives the same matrices.
    tables = fimo(read_motifs(path), str(windows), threshold=P_THRESHOLD)
    motif = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    window = np.concatenate([table["sequence_name"].to_numpy() for table in tables]).astype("U").astype(int)
    start, strand = (np.concatenate([table[name].to_numpy() for table in tables]) for name in ("start", "strand"))
    write_hits(output, motif, window, start.astype(int), strand == "-")


if __name__ == "__main__":
    write_cuts() if "--cuts" in sys.argv else main()
