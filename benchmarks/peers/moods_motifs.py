"""MOODS as a program: reads windows and motifs, scans both strands, writes hits; or its cuts."""

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
    # Joined to one sequence, each window followed by an N, which no hit spans: faster than window by window.
    sequences = read_windows(windows)
    step = len(sequences[0]) + 1
    found = [np.array([hit.pos for hit in of_motif], dtype=np.int64) for of_motif in scanner.scan("N".join(sequences))]
    place = np.concatenate(found)
    motif = np.repeat(np.arange(2 * n), [len(of_motif) for of_motif in found])
    write_hits(output, motif % n, place // step, place % step, motif >= n)


def write_cuts() -> None:
    """Write each motif's scores and its least score of a hit."""
    _, _, output = paths()
    names, matrices, cuts = scored()
    found: dict[str, Any] = {f"scores {name}": np.array(matrix).T for name, matrix in zip(names, matrices, strict=True)}
    found |= {f"from {name}": np.float64(cut) for name, cut in zip(names, cuts, strict=True)}
    np.savez(output, **found)


if __name__ == "__main__":
    write_cuts() if "--cuts" in sys.argv else main()
