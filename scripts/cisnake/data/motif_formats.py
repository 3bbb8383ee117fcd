"""Read the matrices of motif files in the formats of JASPAR, TRANSFAC and HOMER.

Biopython (1.88) reads the first two, but does not name the line in its errors.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cisnake.errors import InputError

# Tolerance of the sum of a row: probabilities may be rounded to two digits, so that four of them may miss 1 by this much.
ROUNDING = 0.021

# A line of a file: its 1-based number and its text.
Line = tuple[int, str]
_TRANSFAC = re.compile(r"(AC|BA|BF|CC|DE|DT|ID|NA|P0|PO|VV|XX|//)(\s|$)")


@dataclass(frozen=True, eq=False)
class Matrix:
    """The matrix of a motif as it stands in a file.

    Attributes
    ----------
    line: int
        The line with the name of the motif, or the first of the matrix if there is none.
    id, name: str
        `id` has no blanks; `name` is the id if the file has no other name.
    values: numpy.ndarray, shape=(width, 4), dtype=float64
        Counts or probabilities in the order A C G T.
    """

    line: int
    id: str
    name: str
    values: np.ndarray

    @property
    def counts(self) -> bool:
        """Whether the values are counts: any is above 1, or all are whole numbers."""
        return bool((self.values > 1).any() or (self.values == np.floor(self.values)).all())


def find_format(lines: Sequence[Line]) -> str:
    """Return the format of the first line that is not blank: "angled" (JASPAR or HOMER), "transfac" or "meme".

    Examples
    --------
    >>> from cisnake.data.motif_formats import find_format
    >>> [find_format([(1, line)]) for line in (">MA0001.1 AGL3", "AC M00001", "MEME version 4")]
    ['angled', 'transfac', 'meme']
    """
    first = next((text for _, text in lines if not text.startswith("#")), "")
    if first.startswith(">") or _is_row(first):
        return "angled"
    return "transfac" if _TRANSFAC.match(first) else "meme"


def read_angled(path: Path, lines: Sequence[Line]) -> Iterator[Matrix]:
    """Read matrices of JASPAR or HOMER, which begin with `>`.

    JASPAR has one row per base, with its letter or in the order A C G T; HOMER has one row per position, under a heading
    `>consensus<tab>name<tab>threshold`. Without a heading, the file has one matrix, which is named after the file.

    Parameters
    ----------
    path: Path
        For messages and names.
    lines: sequence of Line
        Without blank lines.

    Raises
    ------
    InputError
        A matrix is malformed. The message names the line.
    """
    heading: Line | None = None
    rows: list[Line] = []
    for number, text in itertools.chain(lines, [(0, ">")]):
        if text.startswith("#"):
            continue
        if not text.startswith(">"):
            rows.append((number, text))
            continue
        if heading is not None or rows:
            yield _angled(path, heading or (rows[0][0], f">{path.name.split('.')[0]}"), rows)
        heading, rows = (number, text), []


def _angled(path: Path, heading: Line, rows: Sequence[Line]) -> Matrix:
    number, text = heading
    fields = [field.strip() for field in text[1:].split("\t")]
    of_homer = len(fields) > 2 and _is_number(fields[2])
    if of_homer:
        motif_id, name = fields[1], fields[1].split("/")[0]
    else:
        motif_id, _, name = text[1:].strip().partition(" ") if len(fields) == 1 else (fields[0], "", fields[1])
    if not motif_id:
        raise _error(path, number, "a motif must begin with a line '>id name'")
    letters: list[str] = []
    values: list[list[float]] = []
    for row, line in rows:
        letter, found = _row(path, row, line)
        if values and len(found) != len(values[0]):
            raise _error(
                path, row, f"motif '{motif_id}' has {len(found)} numbers in this row, but {len(values[0])} in the first"
            )
        letters.append(letter)
        values.append(found)
    if not values:
        raise _error(path, number, f"motif '{motif_id}' has no matrix")
    matrix = np.array(values)
    probabilities = np.abs(matrix.sum(axis=1) - 1) <= ROUNDING
    if of_homer or (not any(letters) and matrix.shape[1] == 4 and (len(matrix) != 4 or probabilities.all())):
        if matrix.shape[1] != 4 or any(letters):
            raise _error(path, rows[0][0], f"motif '{motif_id}' must have four numbers (A C G T) per row, as in HOMER's files")
        return _checked(path, [row for row, _ in rows], Matrix(number, _word(motif_id), name.strip() or motif_id, matrix))
    if len(matrix) != 4 or (any(letters) and sorted(letters) != list("ACGT")):
        raise _error(path, rows[0][0], f"motif '{motif_id}' must have four rows, one for each of A, C, G and T")
    matrix = matrix[[letters.index(base) for base in "ACGT"]] if any(letters) else matrix
    return _checked(path, [rows[0][0]] * matrix.shape[1], Matrix(number, _word(motif_id), name.strip() or motif_id, matrix.T))


def read_transfac(path: Path, lines: Sequence[Line]) -> Iterator[Matrix]:
    """Read matrices of TRANSFAC: lines with codes of two letters, and a matrix under `P0` or `PO` that ends with another code.

    The id is AC, else ID, else DE; the name is NA, else ID.

    Parameters
    ----------
    path, lines
        As for `read_angled`.

    Raises
    ------
    InputError
        A matrix is malformed. The message names the line.
    """
    codes: dict[str, Line] = {}
    bases: list[int] | None = None
    values: list[list[float]] = []
    places: list[int] = []
    last = lines[-1][0] if lines else 0
    for number, text in itertools.chain(lines, [(last, "//")]):
        code, _, rest = text.replace("\t", " ").partition(" ")
        if code in ("AC", "ID", "NA", "DE"):
            codes.setdefault(code, (number, rest.strip()))
        elif code in ("P0", "PO"):
            order = rest.upper().split()
            if values or sorted(order[:4]) != list("ACGT"):
                raise _error(path, number, f"a motif has one line {code} with the bases A C G T")
            bases = [order.index(base) for base in "ACGT"]
        elif code.isdigit():
            if bases is None:
                raise _error(path, number, "row of numbers before the line P0 with the bases")
            # The consensus may follow the four numbers.
            _, found = _row(path, number, " ".join(rest.split()[:4]))
            if len(found) != 4:
                raise _error(path, number, f"this row has {len(found)} numbers, but it must have one for each of A C G T")
            values.append([found[base] for base in bases])
            places.append(number)
        elif code == "//":
            named = next((codes[key] for key in ("AC", "ID", "DE") if key in codes), None)
            if values:
                line, motif_id = named or (places[0], "")
                if not motif_id:
                    raise _error(path, line, "the motif has no id: give it a line AC or ID")
                name = next((codes[key][1] for key in ("NA", "ID") if key in codes), "")
                yield _checked(path, places, Matrix(line, _word(motif_id), name or motif_id, np.array(values)))
            elif named or bases is not None:
                raise _error(path, named[0] if named else number, "the motif has no matrix")
            codes, bases, values, places = {}, None, [], []


def _checked(path: Path, places: Sequence[int], matrix: Matrix) -> Matrix:
    """Check that each position, which stands in a line of `places`, has counts, or probabilities that sum to 1."""
    totals = matrix.values.sum(axis=1)
    wrong = totals <= 0 if matrix.counts else np.abs(totals - 1) > ROUNDING
    if wrong.any():
        at = int(np.argmax(wrong))
        what = "no counts" if matrix.counts else f"probabilities that sum to {totals[at]:g}, not 1"
        raise _error(path, places[at], f"position {at + 1} of motif '{matrix.id}' has {what}")
    return matrix


def _row(path: Path, number: int, text: str) -> tuple[str, list[float]]:
    """Return the base that begins a row, or an empty string, and the numbers of the row."""
    words = re.sub(r"[\[\]|:,]", " ", text).split()
    letter = words.pop(0).upper() if words and words[0].upper() in "ACGT" else ""
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if not values or not all(math.isfinite(value) and value >= 0 for value in values):
        raise _error(path, number, f"'{text}' is not a row of counts or probabilities")
    return letter, values


def _is_row(text: str) -> bool:
    words = text.replace("[", " ").replace("|", " ").split()
    return len(words) > 1 and (words[0].upper() in "ACGT" or _is_number(words[0])) and _is_number(words[1])


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _word(text: str) -> str:
    return "_".join(text.split())


def _error(path: Path, number: int, message: str) -> InputError:
    return InputError(f"{path}, line {number}: {message}.")
