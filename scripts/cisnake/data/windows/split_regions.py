"""Regions of the genome for training, validation and test."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cisnake.data.genome import intersect, merge, parse_region, subtract
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table
from cisnake.sections import SplitsSection

SPLITS = ("train", "val", "test")
REGION_COLUMNS = ["chrom", "start", "end", "split"]


def resolve_regions(splits: SplitsSection, sizes: Mapping[str, int]) -> pd.DataFrame:
    """Return the regions of each split on the genome.

    Parameters
    ----------
    splits: SplitsSection
        `regions` (path of a table), or any of `val` and `test` (chromosomes and regions).
    sizes: mapping of str to int
        Lengths of the chromosomes of the genome.

    Returns
    -------
    pandas.DataFrame
        chrom, start, end (0-based, half-open), split. Regions of different splits share no bases. Without a table, all that is
        not in `val` or `test` is "train", including what fractions divide further.

    Raises
    ------
    InputError
        A region is not on the genome, or two splits share bases.

    Examples
    --------
    >>> from cisnake import configuration
    >>> from cisnake.data.windows import resolve_regions
    >>> splits = configuration.section("splits", val=["chr1:1-20"], test=["chr2"])
    >>> resolve_regions(splits, {"chr1": 100, "chr2": 50}).values.tolist()
    [['chr1', 20, 100, 'train'], ['chr1', 0, 20, 'val'], ['chr2', 0, 50, 'test']]
    """
    if splits.regions:
        return read_split_regions(str(splits.regions), sizes)
    held_out, problems = find_held_out({"val": splits.val or (), "test": splits.test or ()}, sizes)
    if problems:
        raise InputError("; ".join(problems))
    genome = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values())})
    return pd.concat([subtract(genome, held_out).assign(split="train"), held_out], ignore_index=True)


def find_held_out(chosen: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> tuple[pd.DataFrame, list[str]]:
    """Find the chromosomes and regions of `splits.val` and `splits.test` on the genome.

    Parameters
    ----------
    chosen: mapping of str to sequence of str
        Chromosomes and regions, as `parse_region` reads them, by split.
    sizes: mapping of str to int
        Lengths of the chromosomes of the genome.

    Returns
    -------
    regions: pandas.DataFrame
        chrom, start, end (0-based, half-open), split.
    problems: list of str
        One message for each entry that is not on the genome, and for the first bases that are in both splits.

    Examples
    --------
    >>> from cisnake.data.windows import find_held_out
    >>> find_held_out({"val": ["chr1:1-20"], "test": ["chr1:11-30"]}, {"chr1": 100})[1]
    ['splits.val and splits.test both contain chr1:11-20: remove it from one of them']
    """
    rows, problems = [], []
    for split, texts in chosen.items():
        for text in texts:
            try:
                rows.append((*parse_region(text, sizes, f"splits.{split}"), split))
            except InputError as error:
                problems.append(str(error))
    regions = pd.DataFrame(rows, columns=REGION_COLUMNS).astype({"start": "int64", "end": "int64"})
    shared = _shared_bases(regions, sizes)
    if shared:
        problems.append(f"splits.val and splits.test both contain {shared[2]}: remove it from one of them")
    return regions, problems


def read_split_regions(path: str | Path, sizes: Mapping[str, int]) -> pd.DataFrame:
    """Read a table of regions and their splits.

    Parameters
    ----------
    path: str or Path
        TSV with the columns chrom, start, end and split in its first line; coordinates as in BED.
    sizes: mapping of str to int
        Lengths of the chromosomes of the genome.

    Returns
    -------
    pandas.DataFrame
        chrom, start, end (0-based, half-open), split.

    Raises
    ------
    InputError
        The file is not such a table, a region is not on the genome, regions of two splits share bases, or a split has no
        region. The message names the line.
    """
    table = read_user_table(path, start="int64", end="int64").rename(columns={"#chrom": "chrom"})
    if not set(REGION_COLUMNS) <= set(table.columns):
        raise InputError(f"{path} must have the tab-separated columns chrom, start, end and split, with their names in line 1.")
    table = table[REGION_COLUMNS]
    length = table["chrom"].map(dict(sizes)).fillna(-1).astype("int64")
    wrong = ~table["split"].isin(SPLITS) | (table["start"] < 0) | (table["end"] <= table["start"]) | (table["end"] > length)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise _wrong_region(f"{path}, line {row + 2}", table.iloc[row], sizes)
    shared = _shared_bases(table, sizes)
    if shared:
        raise InputError(f"{path} assigns {shared[2]} to both {shared[0]} and {shared[1]}: give these bases one split only.")
    for split in SPLITS:
        if not table["split"].eq(split).any():
            raise InputError(f"{path} has no region for {split}: bases in no region are not used, so list all three splits.")
    return table


def _wrong_region(place: str, region: pd.Series, sizes: Mapping[str, int]) -> InputError:
    chrom, start, end, split = region
    if split not in SPLITS:
        return unknown_name(f"split in {place}:", split, SPLITS)
    if chrom not in sizes:
        return unknown_name(f"chromosome in {place}:", chrom, sizes)
    if end > sizes[chrom]:
        return InputError(f"{place}: {start}-{end} extends beyond the end of {chrom}, which has {sizes[chrom]:,} bp.")
    return InputError(f"{place}: the start must be at least 0, and the end greater than the start.")


def _shared_bases(regions: pd.DataFrame, sizes: Mapping[str, int]) -> tuple[str, str, str] | None:
    """Return two splits that share bases and the first shared place, or None."""
    for first, second in itertools.combinations(SPLITS, 2):
        shared = intersect(merge(regions[regions["split"] == first]), regions[regions["split"] == second])
        if len(shared):
            chrom, start, end = shared.iloc[0]
            return first, second, chrom if (start, end) == (0, sizes[chrom]) else place_in_words(chrom, start, end)
    return None


def place_in_words(chrom: str, start: int, end: int) -> str:
    """Return a 0-based, half-open interval as genome browsers write it, 1-based and with the last base included.

    Examples
    --------
    >>> place_in_words("chr2", 0, 500)
    'chr2:1-500'
    """
    return f"{chrom}:{start + 1}-{end}"
