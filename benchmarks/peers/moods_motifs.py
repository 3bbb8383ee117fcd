"""Scan windows with motifs on both strands by MOODS, and write hits or score thresholds."""

from __future__ import annotations

import sys
from typing import Any

import MOODS.scan
import MOODS.tools
import numpy as np

from peers.motif_files import P_THRESHOLD, paths, read_motifs, read_windows, write_hits

PSEUDO = 1e-4
BACKGROUND = [0.25] * 4


def scored() -> tuple[list[str], list, list[float]]:
    _, path, _ = paths()
    motifs = read_motifs(path)
    matrices = [MOODS.tools.log_odds(matrix.tolist(), BACKGROUND, PSEUDO) for matrix in motifs.values()]
    return list(motifs), matrices, [MOODS.tools.threshold_from_p(matrix, BACKGROUND, P_THRESHOLD) for matrix in matrices]


def main() -> None:
    windows, _, output = paths()
    _, matrices, cuts = scored()
    n = len(matrices)
    scanner = MOODS.scan.Scanner(7)
    scanner.set_motifs(matrices + [MOODS.tools.reverse_complement(matrix) for matrix in matrices], BACKGROUND, cuts + cuts)
    # Scanning one joined sequence is faster than window by window; no hit spans the N after each window.
    sequences = read_windows(windows)
    step = len(sequences[0]) + 1
    positions = [np.array([hit.pos for hit in hits], dtype=np.int64) for hits in scanner.scan("N".join(sequences))]
    place = np.concatenate(positions)
    motif = np.repeat(np.arange(2 * n), [len(hits) for hits in positions])
    write_hits(output, motif % n, place // step, place % step, motif >= n)


def write_cuts() -> None:
    """Write each motif's scores and the smallest score of a hit."""
    _, _, output = paths()
    names, matrices, cuts = scored()
    arrays: dict[str, Any] = {f"scores {name}": np.array(matrix).T for name, matrix in zip(names, matrices, strict=True)}
    arrays |= {f"from {name}": np.float64(cut) for name, cut in zip(names, cuts, strict=True)}
    np.savez(output, **arrays)


if __name__ == "__main__":
    write_cuts() if "--cuts" in sys.argv else main()
