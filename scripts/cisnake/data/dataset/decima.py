"""Decima's functions to read a file of genes, for files of either program."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from cisnake.data.dataset.layout import open_decima, read_codes
from cisnake.data.genome import BASES, one_hot
from cisnake.data.windows import SPLITS
from cisnake.errors import InputError, unknown_name


def count_genes(h5_file: str | Path, key: str | None = None) -> int:
    """Return the number of genes in the file, or in the split `key` ("train", "val", "test").

    The functions of this module also read files written by Decima. They have the same names and signatures as Decima's.
    """
    return len(index_genes(h5_file, key))


def index_genes(h5_file: str | Path, key: str | None = None) -> np.ndarray:
    """Return the rows of all genes, or of those in the split `key`; shape=(n,), dtype=int64.

    Raises
    ------
    InputError
        The split is unknown. (Decima returns no rows in this case.)
    """
    with open_decima(h5_file) as file:
        return _rows_of_split(file["genes"].asstr()[:, 1], key)


def _rows_of_split(splits: np.ndarray, key: str | None) -> np.ndarray:
    if key is None:
        return np.arange(len(splits))
    if key not in SPLITS and key not in splits:
        raise unknown_name("split", key, SPLITS)
    return np.flatnonzero(splits == key)


def list_genes(h5_file: str | Path, key: str | None = None) -> np.ndarray:
    """Return the ids of all genes, or of those in the split `key`, in file order; shape=(n,), dtype=str."""
    with open_decima(h5_file) as file:
        genes = file["genes"].asstr()[:]
    return genes[_rows_of_split(genes[:, 1], key), 0].astype(str)


def get_gene_idx(h5_file: str | Path, gene: str, key: str | None = None) -> int:
    """Return the row of a gene, counted over all genes in the file.

    Parameters
    ----------
    h5_file: str or Path
    gene: str
    key: str, optional
        The split that must contain the gene. Default: any. (Decima accepts this argument but ignores it.)

    Raises
    ------
    InputError
        The gene is not in the file, or not in the split. The message lists the closest ids.
    """
    with open_decima(h5_file) as file:
        return _find_gene(file, gene, key)


def _find_gene(file: h5py.File, gene: str, key: str | None = None) -> int:
    genes = file["genes"].asstr()[:]
    candidates = _rows_of_split(genes[:, 1], key)
    rows = candidates[genes[candidates, 0] == gene]
    if not len(rows):
        raise unknown_name("gene" if key is None else f"{key} gene", gene, genes[candidates, 0])
    return int(rows[0])


def extract_gene_data(
    h5_file: str | Path, gene: str, seq_len: int | None = None, merge: bool = True
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Return the one-hot sequence and mask of a gene, cropped around the centre of the padded window.

    Parameters
    ----------
    h5_file: str or Path
    gene: str
    seq_len: int, optional
        Length to return, at most the stored length. Default: the window without its pad. (Decima's default is 524,288,
        independent of the file.)
    merge: bool
        Whether to return one array. Default True.

    Returns
    -------
    numpy.ndarray, shape=(5, seq_len), dtype=float32
        Rows A C G T mask, 5' to 3' of the gene; N is all zero. If `merge` is False, two arrays of shapes (4, seq_len) and
        (1, seq_len).

    Raises
    ------
    InputError
        The gene is unknown, or `seq_len` exceeds the stored length.
    """
    with open_decima(h5_file) as file:
        row = np.array([_find_gene(file, gene)])
        padded = int(file["padded_seq_len"][()])
        length = int(file["seq_len"][()]) if seq_len is None else seq_len
        if not 0 < length <= padded:
            raise InputError(f"seq_len is {length}; it must be between 1 and {padded}, the length stored in {h5_file}.")
        first = (padded - length) // 2
        sequence = one_hot(read_codes(file, row, first, first + length)[0]).T
        mask = read_codes(file, row, first, first + length, "masks").astype(np.float32)
    return np.concatenate([sequence, mask]) if merge else (sequence, mask)


def mutate(seq: np.ndarray, allele: str, pos: int) -> np.ndarray:
    """Substitute one base of a one-hot sequence in place, and return the same array.

    It works in place because Decima's function does. Copy the sequence first if you still need the reference.

    Parameters
    ----------
    seq: numpy.ndarray, shape=(4, length) or (5, length)
        As returned by `extract_gene_data`. A fifth row, the mask, is left unchanged.
    allele: str
        A, C, G or T, on the strand of the gene.
    pos: int
        0-based position in `seq`, counted from its 5' end.

    Returns
    -------
    numpy.ndarray
        `seq`.

    Raises
    ------
    InputError
        The allele is not a single base, or the position is outside the sequence; `seq` is unchanged. (Decima would set the
        mask for an allele N, and count a negative position from the end.)

    Examples
    --------
    >>> from cisnake.data.dataset import mutate
    >>> from cisnake.data.genome import encode, one_hot
    >>> sequence = one_hot(encode("AAC")).T
    >>> mutate(sequence, "G", pos=1).argmax(axis=0).tolist()
    [0, 2, 1]
    """
    if seq.ndim != 2 or seq.shape[0] not in (4, 5):
        raise InputError(f"the sequence to mutate has shape {seq.shape}; expected (4, length) or (5, length).")
    if len(allele) != 1 or allele not in BASES:
        raise InputError(f"allele '{allele}' is not A, C, G or T: only single-base substitutions are supported.")
    if not 0 <= pos < seq.shape[1]:
        raise InputError(f"position {pos} is outside the sequence of {seq.shape[1]} bases; positions start at 0.")
    seq[:4, pos] = 0
    seq[BASES.index(allele), pos] = 1
    return seq
