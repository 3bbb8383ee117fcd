"""Read user-supplied sequences from FASTA, a table or one-hot arrays, ready for prediction."""

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
    """Windows held in memory, as input for `ensemble.predict_with_model` and `model_inputs.model_input`.

    Attributes
    ----------
    ids: list of str
        n unique names.
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        A0 C1 G2 T3 N4, in the direction of the gene.
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int64
        The gene body, half-open, 0 at the first base of the window; both are 0 if there is no gene body.
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
        All sequences have the same length. Other header fields are ignored.

    Raises
    ------
    InputError
        A header field is missing or not an integer, a name is repeated, lengths differ, a letter is not A, C, G, T or N, or a
        gene body extends beyond its sequence. The message names the record.
    """
    names, starts, ends, sequences = [], [], [], []
    for header, sequence in _records(Path(path)):
        name, *rest = header.split("|")
        fields = dict(field.split("=", 1) for field in rest if "=" in field)
        missing = [field for field in _MASK if field not in fields]
        if missing or not name.strip():
            raise InputError(
                f"{path}, record '{header}': the header has no {missing[0] if missing else 'name'}; the expected format is "
                "'>name|gene_mask_start=0|gene_mask_end=1200'."
            )
        names.append(name.strip())
        starts.append(fields[_MASK[0]].strip())
        ends.append(fields[_MASK[1]].strip())
        sequences.append(sequence)
    return _checked(names, sequences, starts, ends, str(path))


def from_table(table: pd.DataFrame | str | Path) -> SequenceWindows:
    """Read sequences from a table with the columns name, sequence, gene_mask_start and gene_mask_end.

    Parameters
    ----------
    table: pandas.DataFrame, or str or Path
        A table in memory, or the path of a TSV file.

    Raises
    ------
    InputError
        A column is missing, or a record is invalid for one of the reasons listed in `from_fasta`.

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
        raise InputError(
            f"{source} has no column {missing[0]}: the required columns are name, sequence, gene_mask_start and gene_mask_end."
        )
    names, sequences = (table[column].astype(str).tolist() for column in ("name", "sequence"))
    starts, ends = (table[column].tolist() for column in _MASK)
    return _checked(names, sequences, starts, ends, source)


def from_one_hot(inputs: np.ndarray, ids: Sequence[str] | None = None) -> SequenceWindows:
    """Read sequences from a one-hot array, with or without the gene body as a fifth channel.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(n, 4 or 5, length) or (n, length, 4 or 5)
        Channels A C G T and, optionally, the mask. A base has a single 1; N is all zero. If either axis could hold the
        channels, the array is read as (n, channels, length), which is Decima's order.
    ids: sequence of str, optional
        Names of the sequences. Default: "0", "1", …

    Raises
    ------
    InputError
        The shape is invalid, a base is not one-hot, a gene body is not a single run of 1, or a name is repeated. Except for
        the shape, the message names the record.
    """
    inputs = np.asarray(inputs)
    if inputs.ndim != 3 or not {4, 5} & set(inputs.shape[1:]):
        raise InputError(f"one-hot sequences have shape {inputs.shape}; expected (n, 4 or 5, length) or (n, length, 4 or 5).")
    names = [str(i) for i in range(len(inputs))] if ids is None else [str(name) for name in ids]
    if len(names) != len(inputs):
        raise InputError(f"there are {len(inputs)} one-hot sequences but {len(names)} names.")
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
        _refuse((mask != run).any(axis=1), names, "has a gene body that is not a single run of 1")
    _refuse_repeated(names, "the one-hot sequences")
    return SequenceWindows(names, codes, start, end)


def _refuse(wrong: np.ndarray, names: list[str], problem: str) -> None:
    if wrong.any():
        raise InputError(f"one-hot sequence '{names[int(wrong.argmax())]}' {problem}.")


def _refuse_repeated(names: list[str], source: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{source}, record '{name}': an earlier record has the same name; names must be unique.")
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
                    raise InputError(f"{path}, line {number}: sequence before the first header ('>…'): is this a FASTA file?")
                else:
                    lines.append(text)
    except (OSError, UnicodeDecodeError, zlib.error, EOFError) as error:
        raise InputError(f"{path} cannot be read as FASTA: {error}") from error
    if header is None:
        raise InputError(f"{path} contains no sequences: is this a FASTA file?")
    yield header, "".join(lines)


def _checked(names: list[str], sequences: list[str], starts: list, ends: list, source: str) -> SequenceWindows:
    if not names:
        raise InputError(f"{source} contains no sequences.")
    _refuse_repeated(names, source)
    length = len(sequences[0])
    codes, body = np.empty((len(names), length), dtype=np.int8), np.empty((len(names), 2), dtype=np.int64)
    for i, (name, sequence) in enumerate(zip(names, sequences)):
        record = f"{source}, record '{name}'"
        if len(sequence) != length or not length:
            raise InputError(
                f"{record}: the sequence has {len(sequence)} bases, the first one has {length}; all sequences must have the "
                "same length, above 0."
            )
        if not _LETTERS.issuperset(sequence):
            at = next(i for i, letter in enumerate(sequence) if letter not in _LETTERS)
            raise InputError(f"{record}: letter '{sequence[at]}' at base {at + 1}; only A, C, G, T and N are supported.")
        codes[i] = encode(sequence)
        start, end = (_integer(value, field, record) for value, field in zip((starts[i], ends[i]), _MASK))
        if not 0 <= start <= end <= length:
            raise InputError(f"{record}: the gene body, {start} to {end}, is not within the sequence of {length} bases.")
        body[i] = start, end
    return SequenceWindows(names, codes, body[:, 0], body[:, 1])


def _integer(value: object, field: str, record: str) -> int:
    try:
        number = float(str(value))
        if number.is_integer():
            return int(number)
    except ValueError:
        pass
    raise InputError(f"{record}: {field} is '{value}', which is not an integer.")
