"""What scanners of motifs are given and give: a FASTA file of windows, a MEME file, and hits as arrays. Needs NumPy alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

P_THRESHOLD = 1e-4


def read_motifs(path: Path) -> dict[str, np.ndarray]:
    """Return the probabilities of motifs by id, shape=(4, width), of a MEME file as `fetch_motifs.py` writes it."""
    motifs: dict[str, list[list[float]]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("MOTIF"):
            name = line.split()[1]
            motifs[name] = []
        elif motifs and line and line[0] in "01":
            motifs[name].append([float(word) for word in line.split()])
    return {name: np.array(rows).T for name, rows in motifs.items()}


def read_windows(path: Path) -> list[str]:
    """Return the sequences of a FASTA file whose sequences stand on one line each."""
    return path.read_text().splitlines()[1::2]


def write_hits(path: Path, motif: np.ndarray, window: np.ndarray, start: np.ndarray, reverse: np.ndarray) -> None:
    """Keep hits: number of the motif and of the window, position in it, and whether on the reverse strand."""
    np.savez(path, motif=motif, window=window, start=start, reverse=reverse)


def paths() -> tuple[Path, Path, Path]:
    """Return where this process is told to find windows and motifs, and to write to."""
    windows, motifs, output = map(Path, sys.argv[1:4])
    return windows, motifs, output
