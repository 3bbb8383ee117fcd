"""Motifs: MEME files, and JASPAR by release and taxonomic group.

MEME is read and written here because no library that is at hand does it strictly: memelite (0.5.0) loses the last motif of a
file that ends with its last row, and Biopython (1.88) names no line in its errors.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.text_files import open_text

# Probabilities are printed with as few as two digits: four of them may miss one by this much.
ROUNDING = 0.021

_ATTRIBUTE = re.compile(r"(\w+)=\s*(\S+)")
_STATISTICS = re.compile(r"\bwidth *= *\d")


@dataclass(frozen=True, eq=False)
class Motif:
    """What a factor binds, as probabilities of the bases.

    Attributes
    ----------
    id: str
        Unique in its collection: a JASPAR matrix id with version, for example.
    name: str
        The factor, as people call it; not unique. The id when the source gives none.
    probabilities: numpy.ndarray, shape=(width, 4), dtype=float64
        In the order A C G T; rows sum to one.
    n_sites: int
        How many sites the motif was built from; 0 when the source does not say.

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
        """Information of each position in bits, shape=(width,), against equal shares of the bases."""
        positive = np.where(self.probabilities > 0, self.probabilities, 1.0)
        return 2.0 + (self.probabilities * np.log2(positive)).sum(axis=1)


def load_motifs(source: str | Path) -> list[Motif]:
    """Return the motifs of `jaspar:<release>/<taxonomic group>` or of a MEME file.

    Parameters
    ----------
    source: str or Path
        "jaspar:2026/fungi", for example, or the path of a MEME file, plain or gzipped.

    Raises
    ------
    InputError
        As `fetch_jaspar` and `read_meme`.
    """
    text = str(source)
    if not text.startswith("jaspar:"):
        return read_meme(source)
    release, slash, group = text.removeprefix("jaspar:").partition("/")
    if not slash or not release or not group:
        raise InputError(f"motifs '{text}' must read jaspar:<release>/<taxonomic group>, for example jaspar:2026/vertebrates.")
    return fetch_jaspar(release, group)


def fetch_jaspar(release: str, group: str) -> list[Motif]:
    """Return the latest version of every motif of JASPAR's CORE collection for one taxonomic group, sorted by id.

    The databases come with the package pyjaspar: nothing is downloaded.

    Parameters
    ----------
    release: str
        Year of the release: "2026".
    group: str
        JASPAR's taxonomic group: "vertebrates", "plants", "insects", "nematodes", "fungi", ...

    Raises
    ------
    InputError
        There is no such release in the installed pyjaspar, or no such group in the release.
    """
    import pyjaspar

    releases = [name.removeprefix("JASPAR") for name in pyjaspar.jaspar_releases]
    if release not in releases:
        raise unknown_name("JASPAR release", release, releases)
    database = pyjaspar.jaspardb(release=f"JASPAR{release}")
    try:
        found = database.conn.execute("SELECT DISTINCT val FROM MATRIX_ANNOTATION WHERE tag = 'tax_group' ORDER BY val")
        groups = [value for (value,) in found]
        if group not in groups:
            raise unknown_name(f"taxonomic group of JASPAR {release}", group, groups)
        records = database.fetch_motifs(collection="CORE", tax_group=[group], all_versions=False)
    finally:
        database.conn.close()
    if not records:
        raise InputError(f"JASPAR {release} has no motif for {group} in its CORE collection: choose another group.")
    motifs = []
    for record in sorted(records, key=lambda record: record.matrix_id):
        counts = np.array([record.counts[base] for base in "ACGT"], dtype=np.float64).T
        totals = counts.sum(axis=1, keepdims=True)
        motifs.append(Motif(record.matrix_id, record.name, counts / totals, round(float(totals[0, 0]))))
    return motifs


def read_meme(path: str | Path) -> list[Motif]:
    """Read a file in MEME's minimal motif format, plain or gzipped.

    The reader is strict, because a motif read wrongly still gives hits: widths must agree with the rows, every row must be
    four probabilities that sum to one but for rounding (they are then scaled to do so exactly), ids must be unique.

    Parameters
    ----------
    path: str or Path
        The file. A line `MOTIF <id> [<name>]` starts each motif, and `letter-probability matrix: ...` its matrix; the
        attributes alength, w and nsites may be missing. Other lines outside of matrices are passed over, and so are matrices of
        log odds.

    Returns
    -------
    list of Motif
        In the order of the file.

    Raises
    ------
    InputError
        The file is missing, not MEME, of another alphabet than DNA, holds no motif, or is malformed; the message gives the
        line.
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
            raise lines.error(number, "the first line must read 'MEME version <number>': is this a MEME file?")
        elif line.startswith("ALPHABET"):
            _check_alphabet(line, number, lines)
        elif line.startswith("MOTIF"):
            _check_matrix_came(heading, motifs, lines)
            heading = _heading(line, number, lines)
            if heading[1] in motifs:
                raise lines.error(number, f"motif '{heading[1]}' stands in the file twice: keep one, or give each its own id.")
        elif line.startswith("letter-probability matrix"):
            if heading is None or heading[1] in motifs:
                raise lines.error(number, "a matrix without a MOTIF line of its own.")
            motifs[heading[1]] = _matrix(line, number, lines, heading)
        elif line.startswith("log-odds matrix"):
            # What the program meme adds to each motif; it follows from the probabilities.
            while _numbers(lines.peek()) is not None:
                next(lines)
        elif heading is not None and _numbers(line) is not None:
            raise lines.error(number, f"a row of numbers outside of the matrix of motif '{heading[1]}': does its w= agree?")
    _check_matrix_came(heading, motifs, lines)
    if not motifs:
        raise InputError(f"{path} holds no motif: it must be in MEME format, with a line 'MOTIF <id> <name>' for each.")
    return list(motifs.values())


def write_meme(motifs: Iterable[Motif], path: str | Path) -> None:
    """Write motifs in MEME's minimal format, probabilities with six decimals.

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
    """Lines of a file with their numbers from one, blank ones left out; the next one can be looked at before it is taken."""

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
            # Not splitlines, to which more than line ends are ends of lines. Some editors begin a file with a byte-order mark.
            return file.read().removeprefix("\ufeff").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"motif file {path} is not text: it must be in MEME format, plain or gzipped.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"motif file {path} cannot be read ({error}): check motifs.source in the configuration.") from error


def _check_alphabet(line: str, number: int, lines: _Lines) -> None:
    # Either `ALPHABET= ACGT` or `ALPHABET "DNA" DNA-LIKE` followed by definitions of the letters.
    value = line.removeprefix("ALPHABET").lstrip("= ").strip().upper()
    if value.split(" ")[0] not in ("ACGT", '"DNA"'):
        raise lines.error(number, f"the alphabet is '{value}', but motifs must be of DNA: ALPHABET= ACGT.")


def _heading(line: str, number: int, lines: _Lines) -> tuple[int, str, str]:
    words = line.split()
    if words[0] != "MOTIF" or len(words) < 2 or not " ".join(words).isprintable():
        raise lines.error(number, "a MOTIF line must read 'MOTIF <id> <name>', in characters that can be printed.")
    # The program meme goes on with "width = 8 sites = 20 ...".
    name = _STATISTICS.split(" ".join(words[2:]))[0].strip()
    return number, words[1], name or words[1]


def _check_matrix_came(heading: tuple[int, str, str] | None, motifs: dict[str, Motif], lines: _Lines) -> None:
    if heading is not None and heading[1] not in motifs:
        raise lines.error(heading[0], f"motif '{heading[1]}' has no 'letter-probability matrix:'.")


def _matrix(line: str, number: int, lines: _Lines, heading: tuple[int, str, str]) -> Motif:
    _, motif_id, name = heading
    attributes = dict(_ATTRIBUTE.findall(line))
    if attributes.get("alength", "4") != "4":
        raise lines.error(number, f"alength= {attributes['alength']}, but motifs must be of DNA: alength= 4.")
    try:
        width = int(attributes["w"]) if "w" in attributes else None
        n_sites = round(float(attributes.get("nsites", 0)))
        if n_sites < 0:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise lines.error(number, f"w= and nsites= must be numbers, from 0 on, not as in '{line}'.") from error
    rows: list[list[float]] = []
    while (row := _numbers(lines.peek())) is not None:
        number, text = next(lines)
        if len(row) != 4:
            raise lines.error(number, f"motif '{motif_id}' needs four probabilities a row, here are {len(row)}.")
        total = sum(row)
        if not all(0 <= value <= 1 for value in row) or not abs(total - 1) <= ROUNDING:
            raise lines.error(number, f"'{text}' of motif '{motif_id}' are not four probabilities that sum to one.")
        rows.append([value / total for value in row])
    if not rows or (width is not None and len(rows) != width):
        stated = "at least one is needed" if width is None else f"its w= says {width}"
        raise lines.error(number, f"the matrix of motif '{motif_id}' has {len(rows)} rows, but {stated}.")
    return Motif(motif_id, name, np.array(rows), n_sites)


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line, or None when it is something else."""
    try:
        return [float(word) for word in line.split()] or None
    except ValueError:
        return None
