"""Keras data set of windows with and without variants: `model.predict(VariantDataset(variants, "genes.h5"))`."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from cisnake.data.dataset import WindowReader, model_input, open_dataset, read_tasks, read_windows
from cisnake.data.genome import Genome, reverse_complement, to_window
from cisnake.errors import InputError
from cisnake.variants.variant_table import pair_variants
from cisnake.variants.vcf import SCORED, compare_alleles
from cisnake.variants.windows import Change, Window, alternative_windows, trim


class VariantDataset(keras.utils.PyDataset):
    """Reference and alternative windows of variants, in batches for a model.

    Alternative windows are anchored at the TSS (see `alternative_windows`). If an indel needs bases from beyond the stored
    window, they are read from the genome; without a genome, the variant is not scored and has the status `needs_genome`.
    Each variant is applied alone, independent of other variants of the gene.

    Windows are ordered by pair of variant and gene, within a pair by shift from -max_seq_shift to max_seq_shift, and within a
    shift REF before ALT. Only pairs with status `ok` or `flipped` have windows. Use `alleles` to separate the predictions.

    Parameters
    ----------
    variants: pandas.DataFrame
        Genome coordinates (`chrom`, `pos` or `start`, `ref`, `alt`) or Decima's format (`gene`, `rel_pos`, `ref_tx`,
        `alt_tx`); see `pair_variants`.
    h5_file: str or Path
        The data set with the windows: dataset.h5 of an expression run, or genes.h5. (Tiles have no TSS; their windows are
        anchored at the window start.)
    seq_len: int, optional
        Length of the windows, cropped around the centre of the stored ones. Default: the window without its pad.
    max_seq_shift: int
        Every window is repeated with all 2 max_seq_shift + 1 shifts. Default 0.
    genome: Genome, optional
        The genome of the data set; required for indels that need bases beyond the pad.
    convention: "current" or "older"
        Definition of `rel_pos`; see `pair_variants`. Default: that of current Decima.
    batch_size: int
        Windows per batch, counting both alleles. Default 4.
    depth: int
        4 (bases), or 5 with the gene body as a fifth channel. Default 5.
    workers, use_multiprocessing, max_queue_size: int, bool, int
        As for `HDF5Dataset`.

    Attributes
    ----------
    variants: pandas.DataFrame
        One row per pair of variant and gene: the columns of `pair_variants`, `from_tss` (position of the first changed base
        relative to the TSS, in the direction of the gene; for an insertion, of the base that follows it; missing without a
        gene), and `status`:

        - `ok`: the data set has REF; `flipped`: it has ALT and not REF, and its window is used as ALT; `mismatch`: it has
          neither;
        - `needs_genome`: an indel needs bases that the data set does not store, and no genome is given;
        - `outside`, `unknown_gene`, `no_alt`, `symbolic`, `unknown_ref`: see `pair_variants`.
    scored: numpy.ndarray, shape=(n,), dtype=int64
        The rows of `variants` that have windows.
    n_augmented: int
        Number of shifts per window.
    tasks: list of str
        Names of the tasks.

    Raises
    ------
    InputError
        The table does not have the required columns, the data set stores too few bases, or the genome is not the one of the
        data set.

    Examples
    --------
    >>> data = VariantDataset(pd.read_csv("variants.csv"), "genes.h5")  # doctest: +SKIP
    >>> ref, alt = data.alleles(model.predict(data))  # doctest: +SKIP
    >>> effect = (alt - ref).mean(axis=1)  # doctest: +SKIP
    """

    def __init__(
        self,
        variants: pd.DataFrame,
        h5_file: str | Path,
        seq_len: int | None = None,
        max_seq_shift: int = 0,
        genome: Genome | None = None,
        convention: str = "current",
        batch_size: int = 4,
        depth: int = 5,
        workers: int = 2,
        use_multiprocessing: bool = False,
        max_queue_size: int = 4,
    ) -> None:
        super().__init__(workers=workers, use_multiprocessing=use_multiprocessing, max_queue_size=max_queue_size)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        self.max_seq_shift, self.n_augmented, self.batch_size, self.depth = (
            max_seq_shift,
            2 * max_seq_shift + 1,
            batch_size,
            depth,
        )
        self._reader = WindowReader(h5_file, seq_len, max_seq_shift, depth)
        self.seq_len = self._reader.seq_len
        with open_dataset(h5_file) as file:
            table, pad, self.tasks = read_windows(file), int(file["pad"][()]), read_tasks(file)
        columns = ("chrom", "start", "end", "strand", "mask_start", "mask_end")
        stored = [Window(*row) for row in zip(*(table[column].tolist() for column in columns))]
        # `cropped` are the windows of length seq_len, `_whole` all stored bases.
        first, self._before, self._after = self._reader.first, self._reader.before, self._reader.after
        cropped = [window.widened(-first, first + self.seq_len - (window.end - window.start)) for window in stored]
        self._whole = [window.widened(pad, pad) for window in stored]
        genes = table["gene_id"].tolist()
        self.variants = pair_variants(variants, genes, stored, cropped, convention)
        index_of = {gene: index for index, gene in enumerate(genes)}
        self._gene = np.array([index_of.get(gene, -1) for gene in self.variants["gene_id"]], dtype=np.int64)
        if genome is not None and (self._gene >= 0).any():
            self._check_genome(genome, int(self._gene[self._gene >= 0][0]), h5_file)
        # By row of `variants`: the change, and bases upstream and downstream of the stored ones.
        self._changes: dict[int, Change] = {}
        self._flanks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._compare(genome)
        self.scored = np.flatnonzero(self.variants["status"].isin(SCORED))
        self._flipped = (self.variants["status"] == "flipped").to_numpy(bool)

    def __len__(self) -> int:
        """Return the number of batches; 0 if no variant has windows."""
        return -(-len(self.scored) * self.n_augmented * 2 // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Return the inputs of a batch as a tuple of one array, shape=(b, seq_len, depth), dtype=float32."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        total = len(self.scored) * self.n_augmented * 2
        places = np.arange(index * self.batch_size, min((index + 1) * self.batch_size, total))
        pairs, which = np.divmod(places, self.n_augmented * 2)
        shifts, alleles = which // 2 - self.max_seq_shift, which % 2
        rows = self.scored[pairs]
        # Read each pair's row, and build its changed window, once for all shifts.
        distinct, pair_of_window = np.unique(rows, return_inverse=True)
        stored = self._reader.codes(self._gene[distinct], self._before, self._after)
        codes, body = np.empty((len(places), self.seq_len), np.int8), np.empty((len(places), 2), np.int64)
        for number, row in enumerate(distinct.tolist()):
            rows_of_pair = np.flatnonzero(pair_of_window == number)
            has_change = alleles[rows_of_pair] != self._flipped[row]
            for changed in (False, True):
                same_allele = rows_of_pair[has_change == changed]
                if len(same_allele):
                    whole, bounds, start = self._window(row, stored[number], changed)
                    firsts = start + shifts[same_allele]
                    codes[same_allele] = np.lib.stride_tricks.sliding_window_view(whole, self.seq_len)[firsts]
                    body[same_allele] = bounds - firsts[:, None]
        return (model_input(codes, body[:, 0], body[:, 1], self.depth),)

    def alleles(self, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Separate the predictions of all windows into REF and ALT, each of shape (scored, n_augmented, ...)."""
        by_allele = predictions.reshape(len(self.scored), self.n_augmented, 2, *predictions.shape[1:])
        return by_allele[:, :, 0], by_allele[:, :, 1]

    def _window(self, row: int, stored: np.ndarray, changed: bool) -> tuple[np.ndarray, np.ndarray, int]:
        """Return all available bases around the window of a pair, the gene body in them, and the start of the window."""
        window = self._whole[self._gene[row]]
        if not changed:
            return stored, np.array([window.mask_start, window.mask_end]), self._before
        upstream, downstream = self._flanks.get(row, (stored[:0], stored[:0]))
        wide, added = window.widened(len(upstream), len(downstream)), len(upstream)
        reference = np.concatenate([upstream, stored, downstream])
        codes, mask_end = alternative_windows(None, wide, reference, [self._changes[row]])
        return codes[0], np.array([wide.mask_start, mask_end[0]]), self._before + added

    def _compare(self, genome: Genome | None) -> None:
        """Fill in status, change and distance from the TSS of each pair."""
        status = self.variants["status"].to_numpy(object).copy()
        from_tss = pd.array([pd.NA] * len(status), dtype="Int64")
        open_rows = np.flatnonzero(status == "")
        columns = {column: self.variants[column].to_numpy(object) for column in ("start", "ref", "alt")}
        # Grouped by gene, so that each gene is read once.
        order = open_rows[np.argsort(self._gene[open_rows], kind="stable")]
        for run in np.split(order, np.flatnonzero(np.diff(self._gene[order])) + 1) if len(order) else []:
            gene = self._gene[run[0]]
            stored, window = self._reader.codes(self._gene[run[:1]], self._before, self._after)[0], self._whole[gene]
            for row in run.tolist():
                start, ref, alt = (columns[column][row] for column in ("start", "ref", "alt"))
                sequence = _bases(stored, window, genome, start, start + max(len(ref), len(alt)))
                status[row] = compare_alleles(sequence, ref, alt)
                if status[row] == "mismatch":
                    continue
                change = trim(start, ref, alt) if status[row] == "ok" else trim(start, alt, ref)
                self._changes[row] = change
                from_tss[row] = window.place(change)[0] - window.mask_start
                begin, grown = window.moved(change)
                missing = max(0, -begin), max(0, begin - grown)
                if missing[0] > self._before - self.max_seq_shift or missing[1] > self._after - self.max_seq_shift:
                    if genome is None:
                        status[row] = "needs_genome"
                        continue
                    length = len(stored)
                    self._flanks[row] = (
                        window.codes(genome, -missing[0], 0),
                        window.codes(genome, length, length + missing[1]),
                    )
        self.variants["status"], self.variants["from_tss"] = status, from_tss

    def _check_genome(self, genome: Genome, gene: int, h5_file: str | Path) -> None:
        window = self._whole[gene]
        stored = self._reader.codes(np.array([gene]), self._before, self._after)[0]
        if window.chrom not in genome.sizes or not np.array_equal(window.codes(genome, 0, len(stored)), stored):
            raise InputError(
                f"{genome.path} does not match the sequences in {h5_file}: use the genome from which it was made, or none."
            )


def _bases(stored: np.ndarray, window: Window, genome: Genome | None, start: int, end: int) -> np.ndarray:
    """Return bases [start, end) of the forward strand, from the stored window or else from the genome; -1 if unavailable."""
    bases = np.full(end - start, -1, dtype=np.int8)
    low, high = max(start, window.start), min(end, window.end)
    if low < high:
        first, last = to_window(window.start, window.end, window.strand, low, high)
        codes = stored[first:last]
        bases[low - start : high - start] = reverse_complement(codes) if window.strand == "-" else codes
    if genome is not None and (bases < 0).any():
        bases = np.where(bases < 0, genome.codes(window.chrom, start, end), bases)
    return bases
