"""Read windows of a data set as model input, cropped, shifted and reverse-complemented, in any thread or process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cisnake.data.dataset import augment
from cisnake.data.dataset.layout import open_dataset
from cisnake.data.dataset.model_inputs import model_input
from cisnake.data.dataset.row_reader import RowReader
from cisnake.errors import InputError


class WindowReader:
    """Random-access reader for windows of dataset.h5 or genes.h5; picklable, and safe in threads and processes.

    The gene body is computed from its two ends in `windows/`; `masks` is not read.

    Parameters
    ----------
    h5_file: str or Path
    seq_len: int, optional
        Length of the windows, cropped around the centre of the stored ones. Default: the window without its pad.
    max_shift: int
        Largest shift of a window, in bases. Default 0.
    depth: int
        4 (bases), or 5 with the gene body as a fifth channel. Default 5.

    Attributes
    ----------
    seq_len, depth: int
    before, after: int
        Bases stored before and after an unshifted window.
    first: int
        Start of an unshifted window, relative to the start of the stored window without its pad.
    mask_start, mask_end: numpy.ndarray, shape=(N,), dtype=int64
        The gene body in an unshifted window, half-open, not clipped to it.

    Raises
    ------
    InputError
        The file is not a data set, or stores too few bases for `seq_len` and `max_shift`.
    """

    def __init__(self, h5_file: str | Path, seq_len: int | None = None, max_shift: int = 0, depth: int = 5) -> None:
        if depth not in (4, 5):
            raise InputError(f"depth is {depth}; it must be 4 (bases) or 5 (bases and gene body).")
        with open_dataset(h5_file) as file:
            stored, pad = int(file["padded_seq_len"][()]), int(file["pad"][()])
            self.seq_len = int(file["seq_len"][()]) if seq_len is None else seq_len
            self.max_shift, self.depth = max_shift, depth
            self.before = (stored - self.seq_len) // 2
            self.after = stored - self.seq_len - self.before
            if self.seq_len < 1 or max_shift < 0 or self.before < max_shift:
                raise InputError(
                    f"{h5_file} stores {stored} bases per window, too few for windows of {self.seq_len} bases shifted by up to "
                    f"{max_shift} in either direction: reduce seq_len, or regenerate the file with a larger pad."
                )
            self.first = self.before - pad
            self.mask_start, self.mask_end = (file[f"windows/{name}"][:] - self.first for name in ("mask_start", "mask_end"))
            self._sequences = RowReader(file, "sequences")

    def codes(self, rows: np.ndarray, before: int = 0, after: int = 0) -> np.ndarray:
        """Return the bases of unshifted windows, with `before` and `after` bases of flanking sequence.

        Returns
        -------
        numpy.ndarray, shape=(n, before + seq_len + after), dtype=int8
        """
        if before > self.before or after > self.after:
            raise IndexError(
                f"{before} bases before and {after} after a window requested, but {self.before} and {self.after} are stored"
            )
        return self._sequences.read(rows, self.before - before, self.before + self.seq_len + after)

    def read(self, rows: np.ndarray, shift: np.ndarray | None = None, reverse: np.ndarray | None = None) -> np.ndarray:
        """Return windows as model input, shifted and then reverse-complemented.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
            Row numbers in any order, repeats allowed; each chunk is unpacked once.
        shift: numpy.ndarray, shape=(n,), dtype=int, optional
            Downstream shift of each window, from -max_shift to max_shift: base i of a window shifted by s is base i + s of
            the unshifted one. Sequence and gene body shift together. Default: no shift.
        reverse: numpy.ndarray, shape=(n,), dtype=bool, optional
            Windows to reverse-complement, including the gene body. Default: none.

        Returns
        -------
        numpy.ndarray, shape=(n, seq_len, depth), dtype=float32
        """
        rows = np.asarray(rows)
        starts, ends = self.mask_start[rows], self.mask_end[rows]
        if shift is None:
            codes = self.codes(rows)
        else:
            codes = augment.crop(self.codes(rows, self.max_shift, self.max_shift), self.max_shift, shift)
            starts, ends = starts - shift, ends - shift
        if reverse is not None:
            codes, starts, ends = augment.turn(codes, starts, ends, reverse)
        return model_input(codes, starts, ends, self.depth)
