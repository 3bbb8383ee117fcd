"""Load motifs from files (MEME, JASPAR, TRANSFAC, HOMER) and from JASPAR, by release and taxonomic group.

This module has its own strict MEME reader: memelite (0.5.0) loses the last motif of a file without a final newline, and
Biopython (1.88) does not name the line in its errors.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cisnake.data.motif_formats import ROUNDING, find_format, read_angled, read_transfac
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.text_files import open_text

_ATTRIBUTE = re.compile(r"(\w+)=\s*(\S+)")
_STATISTICS = re.compile(r"\bwidth *= *\d")


@dataclass(frozen=True, eq=False)
class Motif:
    """The binding motif of a transcription factor, as base probabilities.

    Attributes
    ----------
    id: str
        Identifier, unique in its collection; for example, a JASPAR matrix id with version.
    name: str
        Common name of the factor; not unique. Equal to the id if the source has no name.
    probabilities: numpy.ndarray, shape=(width, 4), dtype=float64
        Probabilities in the order A C G T; rows sum to 1.
    n_sites: int
        Number of sites from which the motif was built; 0 if unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data import Motif
    >>> motif = Motif("M1", "TF1", np.array([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]]))
    >>> len(motif), motif.information.tolist()
    (3, [2.0, 0.0, 1.0])
    """

    id: str
    name: str
    probabilities: np.ndarray
    n_sites: int = 0

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def information(self) -> np.ndarray:
        """Information content per position in bits, shape=(width,), relative to a uniform base composition."""
        positive = np.where(self.probabilities > 0, self.probabilities, 1.0)
        return 2.0 + (self.probabilities * np.log2(positive)).sum(axis=1)


def load_motifs(source: str | Path) -> list[Motif]:
    """Load motifs from JASPAR (`jaspar:<release>/<taxonomic group>`) or from a file.

    Parameters
    ----------
    source: str or Path
        A JASPAR collection such as "jaspar:2026/fungi", or the path of a file in the format of MEME, JASPAR, TRANSFAC or
        HOMER, plain or gzipped.

    Raises
    ------
    InputError
        As for `fetch_jaspar` and `read_motifs`.
    """
    text = str(source)
    if not text.startswith("jaspar:"):
        return read_motifs(source)
    release, slash, group = text.removeprefix("jaspar:").partition("/")
    if not slash or not release or not group:
        raise InputError(
            f"motifs '{text}' is not of the form jaspar:<release>/<taxonomic group>: use, for example, jaspar:2026/vertebrates."
        )
    return fetch_jaspar(release, group)


def fetch_jaspar(release: str, group: str) -> list[Motif]:
    """Return the latest version of each motif in JASPAR's CORE collection for a taxonomic group, sorted by id.

    The databases are part of the package pyjaspar; nothing is downloaded.

    Parameters
    ----------
    release: str
        Year of the release, such as "2026".
    group: str
        JASPAR's taxonomic group: "vertebrates", "plants", "insects", "nematodes", "fungi", ...

    Raises
    ------
    InputError
        The installed pyjaspar does not have the release, or the release does not have the group.
    """
    import pyjaspar

    releases = [name.removeprefix("JASPAR") for name in pyjaspar.jaspar_releases]
    if release not in releases:
        raise unknown_name("JASPAR release", release, releases)
    database = pyjaspar.jaspardb(release=f"JASPAR{release}")
    try:
        rows = database.conn.execute("SELECT DISTINCT val FROM MATRIX_ANNOTATION WHERE tag = 'tax_group' ORDER BY val")
        groups = [value for (value,) in rows]
        if group not in groups:
            raise unknown_name(f"taxonomic group of JASPAR {release}", group, groups)
        records = database.fetch_motifs(collection="CORE", tax_group=[group], all_versions=False)
    finally:
        database.conn.close()
    if not records:
        raise InputError(f"JASPAR {release} has no motifs for {group} in its CORE collection: use another group.")
    motifs = []
    for record in sorted(records, key=lambda record: record.matrix_id):
        counts = np.array([record.counts[base] for base in "ACGT"], dtype=np.float64).T
        totals = counts.sum(axis=1, keepdims=True)
        motifs.append(Motif(record.matrix_id, record.name, counts / totals, round(float(totals[0, 0]))))
    return motifs


def read_motifs(path: str | Path) -> list[Motif]:
    r"""Read a file of motifs, whose format is seen from its content.

    Parameters
    ----------
    path: str or Path
        In the format of MEME, JASPAR (with or without letters of the bases), TRANSFAC or HOMER, plain or gzipped. Counts are
        divided by their sum at each position; no pseudocount is added.

    Returns
    -------
    list of Motif
        In the order of the file. Of HOMER's heading, the id is the second field, and the name its part before the first "/".

    Raises
    ------
    InputError
        The file is missing, in another format, empty of motifs or malformed, or an id occurs twice. The message names the line.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cisnake.data import read_motifs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "motifs.jaspar")
    ...     _ = path.write_text(">MA0001.1 AGL3\nA [ 3 0 ]\nC [ 0 1 ]\nG [ 1 1 ]\nT [ 0 2 ]\n")
    ...     (motif,) = read_motifs(path)
    >>> motif.id, motif.name, motif.n_sites, motif.probabilities.tolist()
    ('MA0001.1', 'AGL3', 4, [[0.75, 0.0, 0.25, 0.0], [0.0, 0.25, 0.25, 0.5]])
    """
    path = Path(path)
    lines = _Lines(path, _read_lines(path))
    numbered = list(lines)
    form = find_format(numbered)
    if form == "meme":
        return read_meme(path)
    motifs: dict[str, Motif] = {}
    for matrix in (read_angled if form == "angled" else read_transfac)(path, numbered):
        if matrix.id in motifs:
            raise lines.error(matrix.line, f"motif '{matrix.id}' occurs twice: remove one, or make the ids unique.")
        totals = matrix.values.sum(axis=1, keepdims=True)
        n_sites = round(float(totals[0, 0])) if matrix.counts else 0
        motifs[matrix.id] = Motif(matrix.id, matrix.name, matrix.values / totals, n_sites)
    return list(motifs.values())


def read_meme(path: str | Path) -> list[Motif]:
    """Read a file in MEME's minimal motif format, plain or gzipped.

    The reader is strict, because a misread motif still gives hits: widths must match the number of rows, each row must be four
    probabilities that sum to 1 up to rounding (rows are rescaled to sum to 1 exactly), and ids must be unique.

    Parameters
    ----------
    path: str or Path
        Each motif starts with a line `MOTIF <id> [<name>]`, and its matrix with `letter-probability matrix: ...`. The
        attributes alength, w and nsites are optional. Log-odds matrices and other lines outside matrices are ignored.

    Returns
    -------
    list of Motif
        In the order of the file.

    Raises
    ------
    InputError
        The file is missing, not MEME, not of the DNA alphabet, empty of motifs, or malformed. The message names the line.
    """
    path = Path(path)
    motifs: dict[str, Motif] = {}
    heading: tuple[int, str, str] | None = None
    lines = _Lines(path, _read_lines(path))
    version_seen = False
    for number, line in lines:
        if line.split()[:2] == ["MEME", "version"]:
            version_seen = True
        elif not version_seen:
            raise lines.error(
                number, "the first line must be 'MEME version <number>': formats are MEME, JASPAR, TRANSFAC, HOMER."
            )
        elif line.startswith("ALPHABET"):
            _check_alphabet(line, number, lines)
        elif line.startswith("MOTIF"):
            _check_has_matrix(heading, motifs, lines)
            heading = _heading(line, number, lines)
            if heading[1] in motifs:
                raise lines.error(number, f"motif '{heading[1]}' occurs twice: remove one, or make the ids unique.")
        elif line.startswith("letter-probability matrix"):
            if heading is None or heading[1] in motifs:
                raise lines.error(number, "this matrix has no MOTIF line.")
            motifs[heading[1]] = _matrix(line, number, lines, heading)
        elif line.startswith("log-odds matrix"):
            # The program meme adds log-odds to each motif; they are redundant with the probabilities.
            while _numbers(lines.peek()) is not None:
                next(lines)
        elif heading is not None and _numbers(line) is not None:
            raise lines.error(number, f"row of numbers outside the matrix of motif '{heading[1]}': is its w= correct?")
    _check_has_matrix(heading, motifs, lines)
    if not motifs:
        raise InputError(f"{path} has no motifs: in MEME format, each motif starts with a line 'MOTIF <id> <name>'.")
    return list(motifs.values())


def write_meme(motifs: Iterable[Motif], path: str | Path) -> None:
    """Write motifs in MEME's minimal motif format, with probabilities to six decimals.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from cisnake.data import Motif, read_meme, write_meme
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_meme([Motif("M1", "TF1", np.full((2, 4), 0.25), n_sites=8)], Path(folder) / "motifs.meme")
    ...     [(m.id, m.name, len(m), m.n_sites) for m in read_meme(Path(folder) / "motifs.meme")]
    [('M1', 'TF1', 2, 8)]
    """
    with write_whole(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write("MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\n")
        file.write("Background letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n")
        for motif in motifs:
            file.write(f"\nMOTIF {motif.id} {motif.name}\n")
            file.write(f"letter-probability matrix: alength= 4 w= {len(motif)} nsites= {motif.n_sites} E= 0\n")
            np.savetxt(file, motif.probabilities, fmt="%.6f")


class _Lines(Iterator[tuple[int, str]]):
    """Iterator over the non-blank lines of a file and their 1-based numbers, with a look-ahead of one line."""

    def __init__(self, path: Path, lines: Sequence[str]) -> None:
        self.path = path
        self._lines = [(number, text) for number, line in enumerate(lines, start=1) if (text := line.strip())]
        self._next = 0

    def __next__(self) -> tuple[int, str]:
        if self._next == len(self._lines):
            raise StopIteration
        self._next += 1
        return self._lines[self._next - 1]

    def peek(self) -> str:
        return self._lines[self._next][1] if self._next < len(self._lines) else ""

    def error(self, number: int, message: str) -> InputError:
        return InputError(f"{self.path}, line {number}: {message}")


def _read_lines(path: Path) -> list[str]:
    try:
        with open_text(path) as file:
            # Not splitlines, which also splits at characters such as vertical tabs. Some editors write a byte-order mark.
            return file.read().removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"motif file {path} is not text: it must be in MEME format, plain or gzipped.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"motif file {path} cannot be read ({error}): check motifs.source in the configuration.") from error


def _check_alphabet(line: str, number: int, lines: _Lines) -> None:
    # Either `ALPHABET= ACGT` or `ALPHABET "DNA" DNA-LIKE` followed by definitions of the letters.
    value = line.removeprefix("ALPHABET").lstrip("= ").strip().upper()
    if value.split(" ")[0] not in ("ACGT", '"DNA"'):
        raise lines.error(number, f"the alphabet is '{value}', but only DNA is supported: ALPHABET= ACGT.")


def _heading(line: str, number: int, lines: _Lines) -> tuple[int, str, str]:
    words = line.split()
    if words[0] != "MOTIF" or len(words) < 2 or not " ".join(words).isprintable():
        raise lines.error(number, "a MOTIF line must be 'MOTIF <id> <name>', in printable characters.")
    # The program meme appends "width = 8 sites = 20 ...".
    name = _STATISTICS.split(" ".join(words[2:]))[0].strip()
    return number, words[1], name or words[1]


def _check_has_matrix(heading: tuple[int, str, str] | None, motifs: dict[str, Motif], lines: _Lines) -> None:
    if heading is not None and heading[1] not in motifs:
        raise lines.error(heading[0], f"motif '{heading[1]}' has no 'letter-probability matrix:'.")


def _matrix(line: str, number: int, lines: _Lines, heading: tuple[int, str, str]) -> Motif:
    _, motif_id, name = heading
    attributes = dict(_ATTRIBUTE.findall(line))
    if attributes.get("alength", "4") != "4":
        raise lines.error(number, f"alength= {attributes['alength']}, but only DNA is supported: alength= 4.")
    try:
        width = int(attributes["w"]) if "w" in attributes else None
        n_sites = round(float(attributes.get("nsites", 0)))
        if n_sites < 0:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise lines.error(number, f"w= and nsites= must be numbers and not negative, but the line is '{line}'.") from error
    rows: list[list[float]] = []
    while (row := _numbers(lines.peek())) is not None:
        number, text = next(lines)
        if len(row) != 4:
            raise lines.error(number, f"motif '{motif_id}' must have four probabilities per row, but this row has {len(row)}.")
        total = sum(row)
        if not all(0 <= value <= 1 for value in row) or not abs(total - 1) <= ROUNDING:
            raise lines.error(number, f"the row '{text}' of motif '{motif_id}' is not four probabilities that sum to 1.")
        rows.append([value / total for value in row])
    if not rows or (width is not None and len(rows) != width):
        expected = "must have at least one" if width is None else f"its w= is {width}"
        raise lines.error(number, f"the matrix of motif '{motif_id}' has {len(rows)} rows, but {expected}.")
    return Motif(motif_id, name, np.array(rows), n_sites)


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line, or None if it is not a row of numbers."""
    try:
        return [float(word) for word in line.split()] or None
    except ValueError:
        return None
