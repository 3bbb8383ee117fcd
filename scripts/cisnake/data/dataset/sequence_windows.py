"""Sequences of one's own, from FASTA, a table or one-hot arrays, as models take windows."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cisnake.data.genome import N, encode
from cisnake.errors import InputError
from cisnake.files import read_user_table
from cisnake.text_files import open_text

_LETTERS = frozenset("ACGTNacgtn")
_MASK = ("gene_mask_start", "gene_mask_end")


class SequenceWindows(NamedTuple):
    """Windows that are in memory: what `ensemble.predict_with_model` and `model_inputs.model_input` take.

    ids: n names, each once. codes: (n, length) int8, A0 C1 G2 T3 N4, in the gene's direction. mask_start, mask_end: (n,) int64,
    the gene body, half-open, from 0 at the first base; both 0 without one.
    """

    ids: list[str]
    codes: np.ndarray
    mask_start: np.ndarray
    mask_end: np.ndarray


def from_fasta(path: str | Path) -> SequenceWindows:
    """Read sequences from FASTA, plain or gzipped, with headers `>name|gene_mask_start=0|gene_mask_end=1200`.

    Parameters
    ----------
    path: str or Path
        All sequences are of one length; further fields of a header are left aside.

    Raises
    ------
    InputError
        Names the record: fields of its header are missing or no whole numbers, its name is an earlier one's, its length
        another, a letter none of A, C, G, T, N, or its gene body not within it.
    """
    names, starts, ends, sequences = [], [], [], []
    for header, sequence in _records(Path(path)):
        name, *rest = header.split("|")
        fields = dict(field.split("=", 1) for field in rest if "=" in field)
        missing = [field for field in _MASK if field not in fields]
        if missing or not name.strip():
            raise InputError(
                f"{path}, record '{header}': the header has no {missing[0] if missing else 'name'}; it must read "
                "'>name|gene_mask_start=0|gene_mask_end=1200'."
            )
        names.append(name.strip())
        starts.append(fields[_MASK[0]].strip())
        ends.append(fields[_MASK[1]].strip())
        sequences.append(sequence)
    return _checked(names, sequences, starts, ends, str(path))


def from_table(table: pd.DataFrame | str | Path) -> SequenceWindows:
    """Take sequences from a table with the columns name, sequence, gene_mask_start and gene_mask_end.

    Parameters
    ----------
    table: pandas.DataFrame, or str or Path
        In memory, or a TSV.

    Raises
    ------
    InputError
        A column is missing; or names the record, as `from_fasta` does.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.dataset import from_table
    >>> windows = from_table(pd.DataFrame({"name": ["a"], "sequence": ["ACGT"], "gene_mask_start": 1, "gene_mask_end": 3}))
    >>> windows.ids, windows.codes.tolist(), windows.mask_start.tolist()
    (['a'], [[0, 1, 2, 3]], [1])
    """
    source = "the table" if isinstance(table, pd.DataFrame) else str(table)
    table = table if isinstance(table, pd.DataFrame) else read_user_table(table)
    missing = [column for column in ("name", "sequence", *_MASK) if column not in table]
    if missing:
        raise InputError(f"{source} has no column {missing[0]}: it needs name, sequence, gene_mask_start and gene_mask_end.")
    names, sequences = (table[column].astype(str).tolist() for column in ("name", "sequence"))
    starts, ends = (table[column].tolist() for column in _MASK)
    return _checked(names, sequences, starts, ends, source)


def from_one_hot(inputs: np.ndarray, ids: Sequence[str] | None = None) -> SequenceWindows:
    """Take sequences from one-hot arrays, with the gene body as a fifth channel or without one.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(n, 4 or 5, length) or (n, length, 4 or 5)
        Channels A C G T and mask; a base has a single 1, or zeros alone where it is N. An array both of whose axes could be
        that of channels is read as (n, channels, length), Decima's order.
    ids: sequence of str, optional
        Default: "0", "1", …

    Raises
    ------
    InputError
        The shape is another; or names the record: a base is not one-hot, its gene body not one run of 1, or its name an
        earlier one's.
    """
    inputs = np.asarray(inputs)
    if inputs.ndim != 3 or not {4, 5} & set(inputs.shape[1:]):
        raise InputError(
            f"one-hot sequences have the shape {inputs.shape}: it must be (n, 4 or 5, length) or (n, length, 4 or 5)."
        )
    names = [str(i) for i in range(len(inputs))] if ids is None else [str(name) for name in ids]
    if len(names) != len(inputs):
        raise InputError(f"{len(inputs)} one-hot sequences have {len(names)} names.")
    channels = inputs if inputs.shape[1] in (4, 5) else inputs.swapaxes(1, 2)
    bases = channels[:, :4]
    count = bases.sum(axis=1)
    _refuse(((bases != 0) & (bases != 1)).any(axis=(1, 2)) | (count > 1).any(axis=1), names, "has a base that is not one-hot")
    codes = np.where(count == 0, N, bases.argmax(axis=1)).astype(np.int8)
    start = end = np.zeros(len(names), dtype=np.int64)
    if channels.shape[1] == 5:
        mask = channels[:, 4]
        inside = mask == 1
        start = np.where(inside.any(axis=1), inside.argmax(axis=1), 0)
        end = start + inside.sum(axis=1)
        position = np.arange(mask.shape[1])
        run = (position >= start[:, None]) & (position < end[:, None])
        _refuse((mask != run).any(axis=1), names, "has a gene body that is not one run of 1")
    _refuse_twice(names, "the one-hot sequences")
    return SequenceWindows(names, codes, start, end)


def _refuse(wrong: np.ndarray, names: list[str], what: str) -> None:
    if wrong.any():
        raise InputError(f"one-hot sequence '{names[int(wrong.argmax())]}' {what}.")


def _refuse_twice(names: list[str], source: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{source}, record '{name}': an earlier one has that name; names must differ.")
        seen.add(name)


def _records(path: Path) -> Iterable[tuple[str, str]]:
    """Yield header and sequence of each record of a FASTA file."""
    header: str | None = None
    lines: list[str] = []
    try:
        with open_text(path) as handle:
            for number, line in enumerate(handle, start=1):
                text = line.strip()
                if text.startswith(">"):
                    if header is not None:
                        yield header, "".join(lines)
                    header, lines = text[1:], []
                elif text and header is None:
                    raise InputError(f"{path}, line {number}: a sequence without a header ('>…'): is it FASTA?")
                else:
                    lines.append(text)
    except (OSError, UnicodeDecodeError, zlib.error, EOFError) as error:
        raise InputError(f"{path} cannot be read as FASTA: {error}") from error
    if header is None:
        raise InputError(f"{path} holds no sequence: is it FASTA?")
    yield header, "".join(lines)


def _checked(names: list[str], sequences: list[str], starts: list, ends: list, source: str) -> SequenceWindows:
    if not names:
        raise InputError(f"{source} holds no sequence.")
    _refuse_twice(names, source)
    length = len(sequences[0])
    codes, body = np.empty((len(names), length), dtype=np.int8), np.empty((len(names), 2), dtype=np.int64)
    for i, (name, sequence) in enumerate(zip(names, sequences)):
        record = f"{source}, record '{name}'"
        if len(sequence) != length or not length:
            raise InputError(
                f"{record}: {len(sequence)} bases long, the first one {length}; all must be of one length above 0."
            )
        if not _LETTERS.issuperset(sequence):
            at = next(i for i, letter in enumerate(sequence) if letter not in _LETTERS)
            raise InputError(f"{record}: letter '{sequence[at]}' at base {at + 1}; only A, C, G, T and N are known.")
        codes[i] = encode(sequence)
        start, end = (_integer(value, field, record) for value, field in zip((starts[i], ends[i]), _MASK))
        if not 0 <= start <= end <= length:
            raise InputError(f"{record}: gene body {start} to {end} is not within its {length} bases.")
        body[i] = start, end
    return SequenceWindows(names, codes, body[:, 0], body[:, 1])


def _integer(value: object, field: str, record: str) -> int:
    try:
        number = float(str(value))
        if number.is_integer():
            return int(number)
    except ValueError:
        pass
    raise InputError(f"{record}: {field} is '{value}', no whole number.")
