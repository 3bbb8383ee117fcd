"""Inputs and outputs of motif scanners: windows as FASTA, motifs as MEME, hits as arrays. Requires only NumPy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

P_THRESHOLD = 1e-4


def read_motifs(path: Path) -> dict[str, np.ndarray]:
    """Return motif probabilities by id, shape=(4, width), from a MEME file written by `fetch_motifs.py`."""
    motifs: dict[str, list[list[float]]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("MOTIF"):
            name = line.split()[1]
            motifs[name] = []
        elif motifs and line and line[0] in "01":
            motifs[name].append([float(word) for word in line.split()])
    return {name: np.array(rows).T for name, rows in motifs.items()}


def read_windows(path: Path) -> list[str]:
    """Return the sequences of a FASTA file with one line per sequence."""
    return path.read_text().splitlines()[1::2]


def write_hits(path: Path, motif: np.ndarray, window: np.ndarray, start: np.ndarray, reverse: np.ndarray) -> None:
    """Write hits: index of motif and window, position in the window, and whether on the reverse strand."""
    np.savez(path, motif=motif, window=window, start=start, reverse=reverse)


def paths() -> tuple[Path, Path, Path]:
    """Return the paths of windows, motifs and output from the command line."""
    windows, motifs, output = map(Path, sys.argv[1:4])
    return windows, motifs, output
