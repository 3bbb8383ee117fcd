"""Read and write patterns/<contrast>/: de novo patterns and the known motifs that match them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data import Motif, read_meme, write_meme
from cisnake.errors import InputError
from cisnake.files import read_table, write_table
from cisnake.interpret.patterns.discover import SEQLET_COLUMNS, Pattern

FILES = ("patterns.meme", "patterns.tsv", "seqlets.tsv", "matches.tsv")
PATTERN_COLUMNS = (
    "pattern", "sign", "n_seqlets", "n_genes", "width", "consensus", "information", "mean_contribution", "motif_id",
    "motif_name", "q_value", "contributions",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PatternMatch:
    """A known motif aligned to a pattern.

    Attributes
    ----------
    motif: Motif
        The motif as in the database; `matrix` has the reverse complement if `strand` is "-".
    p_value, q_value: float
    overlap: int
        Number of aligned columns.
    offset: int
        Column of the pattern aligned to the first column of `matrix`; negative if the motif starts before the pattern.
    strand: str
        "+" or "-".
    """

    motif: Motif
    p_value: float
    q_value: float
    overlap: int
    offset: int
    strand: str

    @property
    def matrix(self) -> np.ndarray:
        """Base probabilities in the orientation of the pattern, shape=(width, 4)."""
        return self.motif.probabilities[::-1, ::-1] if self.strand == "-" else self.motif.probabilities


@dataclass(frozen=True, eq=False)
class FoundPattern:
    """A pattern read from files.

    Attributes
    ----------
    id, sign, consensus: str
    n_seqlets, n_genes: int
    mean_contribution: float
        Sum over the positions of the pattern, averaged over its seqlets.
    probabilities, contributions: numpy.ndarray, shape=(width, 4)
    matches: tuple of PatternMatch
        Best first.
    """

    id: str
    sign: str
    consensus: str
    n_seqlets: int
    n_genes: int
    mean_contribution: float
    probabilities: np.ndarray
    contributions: np.ndarray
    matches: tuple[PatternMatch, ...]


def pattern_table(patterns: Sequence[Pattern], matches: pd.DataFrame) -> pd.DataFrame:
    """Return a table with one row per pattern.

    Parameters
    ----------
    patterns: sequence of Pattern
    matches: pandas.DataFrame
        Table from `tomtom.match_motifs`.

    Returns
    -------
    pandas.DataFrame
        The columns of `PATTERN_COLUMNS`. information: bits, relative to uniform base frequencies. mean_contribution: sum over
        positions, averaged over seqlets. motif_id, motif_name, q_value: the best match, empty if there is none. contributions:
        positions separated by ";", each with the values for A, C, G and T separated by ",".
    """
    best = matches[matches["rank"] == 1].set_index("pattern")[["motif_id", "motif_name", "q_value"]]
    seqlets = [pattern.seqlets for pattern in patterns]
    columns = [
        [pattern.id for pattern in patterns], [pattern.sign for pattern in patterns], [len(table) for table in seqlets],
        [table["gene_id"].nunique() for table in seqlets], [len(pattern) for pattern in patterns],
        [pattern.consensus for pattern in patterns], [pattern.motif.information.sum() for pattern in patterns],
        [pattern.contributions.sum() for pattern in patterns],
    ]  # fmt: skip
    table = pd.DataFrame(dict(zip(PATTERN_COLUMNS, columns, strict=False))).join(best, on="pattern")
    return table.assign(contributions=[_as_text(pattern.contributions) for pattern in patterns])


def _as_text(contributions: np.ndarray) -> str:
    return ";".join(",".join(f"{value:.5g}" for value in position) for position in contributions)


def write_patterns(patterns: Sequence[Pattern], matches: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Write patterns and their matches.

    Parameters
    ----------
    patterns: sequence of Pattern
        May be empty; the tables then consist of a header only, and the MEME file has no motifs.
    matches: pandas.DataFrame
        Table from `tomtom.match_motifs`.
    paths: sequence of Path
        Output paths, in the order of `FILES`.
    """
    meme, table, seqlets, matches_path = paths
    write_meme([pattern.motif for pattern in patterns], meme)
    write_table(pattern_table(patterns, matches), table)
    places = [pattern.seqlets for pattern in patterns] or [pd.DataFrame({column: [] for column in SEQLET_COLUMNS})]
    write_table(pd.concat(places), seqlets)
    write_table(matches, matches_path)


def read_patterns(folder: Path, database: Sequence[Motif]) -> list[FoundPattern]:
    """Read the patterns in a folder, with their matches.

    Parameters
    ----------
    folder: Path
        Folder with the files of `FILES`; the seqlets are not needed.
    database: sequence of Motif
        The motifs that the patterns were matched to.

    Raises
    ------
    InputError
        A file is missing, or the files are inconsistent with each other or with the database.
    """
    numbers = {"n_seqlets": "int", "n_genes": "int", "mean_contribution": "float"}
    table = read_table(folder / "patterns.tsv", **numbers)
    if not len(table):
        return []
    motifs, known = {motif.id: motif for motif in read_meme(folder / "patterns.meme")}, {motif.id: motif for motif in database}
    matches = read_table(folder / "matches.tsv", p_value="float", q_value="float", overlap="int", offset="int")
    patterns = []
    for row in table.itertuples():
        contributions = np.array([position.split(",") for position in row.contributions.split(";")], dtype=np.float64)
        if row.pattern not in motifs or motifs[row.pattern].probabilities.shape != contributions.shape:
            raise InputError(f"{folder}: patterns.tsv and patterns.meme disagree on {row.pattern}: regenerate both.")
        rows = matches[matches["pattern"] == row.pattern]
        if not set(rows["motif_id"]) <= set(known):
            raise InputError(f"{folder}/matches.tsv has motifs that the database lacks: regenerate it with this database.")
        pattern_matches = tuple(
            PatternMatch(known[m.motif_id], m.p_value, m.q_value, m.overlap, m.offset, m.strand) for m in rows.itertuples()
        )
        matrix = motifs[row.pattern].probabilities
        facts = (row.pattern, row.sign, row.consensus, row.n_seqlets, row.n_genes, row.mean_contribution)
        patterns.append(FoundPattern(*facts, matrix, contributions, pattern_matches))
    return patterns
