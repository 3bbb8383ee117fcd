"""patterns/<contrast>/: what was found de novo, as files, and read back for those who draw it."""

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
    """A known motif that lies on a pattern.

    Attributes
    ----------
    motif: Motif
        As in the database: turn it (`matrix`) where `strand` is "-".
    p_value, q_value: float
    overlap: int
        Columns that lie on each other.
    offset: int
        Column of the pattern on which the first column of `matrix` lies; negative where it begins before the pattern.
    strand: str
    """

    motif: Motif
    p_value: float
    q_value: float
    overlap: int
    offset: int
    strand: str

    @property
    def matrix(self) -> np.ndarray:
        """Probabilities as they lie on the pattern, shape=(width, 4)."""
        return self.motif.probabilities[::-1, ::-1] if self.strand == "-" else self.motif.probabilities


@dataclass(frozen=True, eq=False)
class FoundPattern:
    """A pattern as it is shown.

    Attributes
    ----------
    id, sign, consensus: str
    n_seqlets, n_genes: int
    mean_contribution: float
        Sum over the pattern, mean over its seqlets.
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
    """Return one row a pattern.

    Parameters
    ----------
    patterns: sequence of Pattern
    matches: pandas.DataFrame
        Of `tomtom.match_motifs`.

    Returns
    -------
    pandas.DataFrame
        The columns of `PATTERN_COLUMNS`. information in bits, against equal shares of the bases; mean_contribution the sum over
        the pattern, mean over seqlets; motif_id, motif_name and q_value of the best match, empty where there is none;
        contributions: positions divided by ";", of each those of A, C, G and T divided by ",".
    """
    best = matches[matches["rank"] == 1].set_index("pattern")[["motif_id", "motif_name", "q_value"]]
    seqlets = [pattern.seqlets for pattern in patterns]
    columns = [
        [pattern.id for pattern in patterns], [pattern.sign for pattern in patterns], [len(of) for of in seqlets],
        [of["gene_id"].nunique() for of in seqlets], [len(pattern) for pattern in patterns],
        [pattern.consensus for pattern in patterns], [pattern.motif.information.sum() for pattern in patterns],
        [pattern.contributions.sum() for pattern in patterns],
    ]  # fmt: skip
    table = pd.DataFrame(dict(zip(PATTERN_COLUMNS, columns, strict=False))).join(best, on="pattern")
    return table.assign(contributions=[_as_text(pattern.contributions) for pattern in patterns])


def _as_text(contributions: np.ndarray) -> str:
    return ";".join(",".join(f"{value:.5g}" for value in position) for position in contributions)


def write_patterns(patterns: Sequence[Pattern], matches: pd.DataFrame, paths: Sequence[Path]) -> None:
    """Write patterns and what they match.

    Parameters
    ----------
    patterns: sequence of Pattern
        May be empty: the tables then have a header only, and the MEME file no motif.
    matches: pandas.DataFrame
        Of `tomtom.match_motifs`.
    paths: sequence of Path
        Of the files of `FILES`, in that order.
    """
    meme, table, seqlets, matches_path = paths
    write_meme([pattern.motif for pattern in patterns], meme)
    write_table(pattern_table(patterns, matches), table)
    places = [pattern.seqlets for pattern in patterns] or [pd.DataFrame({column: [] for column in SEQLET_COLUMNS})]
    write_table(pd.concat(places), seqlets)
    write_table(matches, matches_path)


def read_patterns(folder: Path, database: Sequence[Motif]) -> list[FoundPattern]:
    """Return the patterns of a folder, each with the motifs that it matches.

    Parameters
    ----------
    folder: Path
        With the files of `FILES`, but for the seqlets.
    database: sequence of Motif
        Those that the patterns were matched to.

    Raises
    ------
    InputError
        A file is missing or does not agree with the others or with the database.
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
            raise InputError(f"{folder}: patterns.tsv and patterns.meme disagree on {row.pattern}; make them again.")
        of_row = matches[matches["pattern"] == row.pattern]
        if not set(of_row["motif_id"]) <= set(known):
            raise InputError(f"{folder}/matches.tsv has motifs that the database lacks: make it again with this database.")
        of_pattern = tuple(
            PatternMatch(known[m.motif_id], m.p_value, m.q_value, m.overlap, m.offset, m.strand) for m in of_row.itertuples()
        )
        matrix = motifs[row.pattern].probabilities
        facts = (row.pattern, row.sign, row.consensus, row.n_seqlets, row.n_genes, row.mean_contribution)
        patterns.append(FoundPattern(*facts, matrix, contributions, of_pattern))
    return patterns
