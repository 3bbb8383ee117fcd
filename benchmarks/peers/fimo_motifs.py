"""Scan windows with motifs on both strands by FIMO (MEME suite, through pymemesuite), and write hits."""

from __future__ import annotations

import numpy as np
from pymemesuite.common import MotifFile, Sequence
from pymemesuite.fimo import FIMO

from peers.motif_files import P_THRESHOLD, paths, read_windows, write_hits


def main() -> None:
    windows, path, output = paths()
    sequences = [Sequence(text, name=str(i).encode()) for i, text in enumerate(read_windows(windows))]
    scanner, rows = FIMO(both_strands=True, threshold=P_THRESHOLD), []
    with MotifFile(str(path)) as file:
        for number, motif in enumerate(file):
            pattern = scanner.score_motif(motif, sequences, file.background)
            for hit in pattern.matched_elements:
                # 1-based and closed; on the reverse strand, start is the larger coordinate.
                rows.append((number, int(hit.source.accession), min(hit.start, hit.stop) - 1, hit.strand == "-"))
    write_hits(output, *np.array(rows, dtype=np.int64).reshape(-1, 4).T)


if __name__ == "__main__":
    main()
