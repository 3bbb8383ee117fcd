"""Find the sites of motifs in windows with lightmotif."""

from __future__ import annotations

import numpy as np

from cisnake.data.genome import N

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
# Rows that lightmotif scores at a time; it rescans a whole block if any of its positions may be a hit.
_SCAN_ROWS = 64


def scan_windows(codes: np.ndarray, steps: np.ndarray, cut: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the sites of one motif in windows, on both strands.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(windows, length), dtype=int8
    steps: numpy.ndarray, shape=(width, 4), dtype=int64
        Scores of the motif; see `log_odds.MotifScores`.
    cut: int
        Score threshold of a site, in steps. Sites that contain N or extend beyond the window are ignored.

    Returns
    -------
    row, start, orientation, total: numpy.ndarray, dtype=int
        Window, position of the site in it, +1 or -1, and score in steps. Sorted by row, start and orientation (+ first).

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.motifs.window_sites import scan_windows
    >>> steps = np.eye(4, dtype=np.int64)[encode("GATA")]
    >>> row, start, orientation, total = scan_windows(encode("CCGATACCTATCN")[None], steps, cut=4)
    >>> start.tolist(), orientation.tolist()
    ([2, 8], [1, -1])
    """
    windows = Windows(codes)
    place, orientation, total = windows.sites(steps, cut)
    order = np.lexsort((-orientation, place))
    return *windows.split(place[order]), orientation[order], total[order]


class Windows:
    """Windows joined to one sequence with an N between neighbours; lightmotif is fast only on long sequences.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(windows, length), dtype=int8
    """

    def __init__(self, codes: np.ndarray) -> None:
        import lightmotif

        self.length = codes.shape[1]
        joined = np.pad(codes, ((0, 0), (0, 1)), constant_values=N).ravel()
        self._n_before = np.zeros(len(joined) + 1, np.int32)
        np.cumsum(joined == N, out=self._n_before[1:])
        self._striped = lightmotif.stripe(_LETTERS[joined].tobytes().decode("ascii")) if len(joined) else None

    def split(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Convert joined positions to windows and positions in them."""
        return place // (self.length + 1), place % (self.length + 1)

    def known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the maximal stretches without N as window, start and end (half-open); dtype=int64."""
        is_n = np.diff(self._n_before).astype(bool)
        edges = np.flatnonzero(np.diff(np.concatenate([[True], is_n, [True]])))
        row, start = self.split(edges[::2])
        return row, start, start + edges[1::2] - edges[::2]

    def sites(self, steps: np.ndarray, cut: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the joined position, orientation and score of sites, in any order; see `scan_windows`."""
        import lightmotif

        width = len(steps)
        parts = [np.empty((0, 3), np.int64)]
        for orientation, oriented in ((1, steps), (-1, steps[::-1, ::-1])):
            if self._striped is None or width > self.length or cut > steps.max(axis=1).sum():
                continue
            # Scores are integers, so their sums are exact in the single precision of the scanner.
            matrix = lightmotif.ScoringMatrix({base: column.tolist() for base, column in zip("ACGT", oriented.T, strict=True)})
            scanner = lightmotif.scan(matrix, self._striped, threshold=cut - 0.5, block_size=_SCAN_ROWS)
            hits = np.array([(hit.position, orientation, hit.score) for hit in scanner], dtype=np.float64)
            parts.append(np.rint(hits.reshape(-1, 3)).astype(np.int64))
        sites = np.concatenate(parts)
        sites = sites[self._n_before[sites[:, 0] + width] == self._n_before[sites[:, 0]]]
        return sites[:, 0], sites[:, 1], sites[:, 2]
