"""Regions as the units of a run: rows like those of genes, whose windows lie around the summit or the middle."""

from __future__ import annotations

import re

import pandas as pd

from cisnake.errors import InputError

# chr1:100-600, and what other tools make of it: chr1-100-600, chr1_100_600.
_PLACE = re.compile(r"(.+?)[:_-](\d+)[_-](\d+)")


def regions_as_genes(regions: pd.DataFrame, top: int | None = None, overlaps: str = "keep") -> pd.DataFrame:
    """Return regions as rows for `select_genes`, in the order of the file.

    Parameters
    ----------
    regions: pandas.DataFrame
        As from `annotation.read_bed_regions`.
    top: int, optional
        Number of regions with the highest signal to keep; of equal ones, the first in the file. Default None: all.
    overlaps: str
        "keep" (default), or "merge": regions on one strand that overlap, directly or through others, become one region, with
        the name, the summit and the signal of the strongest. Merging precedes `top`.

    Returns
    -------
    pandas.DataFrame
        gene_id (the name, or the place if several regions have the name), gene_name (the place, chrom:start-end), gene_biotype
        (empty), chrom, start, end, strand (+ if the region has none), middle and has_summit as from `read_bed_regions`; and
        reason and detail of the regions that are set aside ("merged", "below_top"), empty strings for others.

    Raises
    ------
    InputError
        `top` is given, but the signal of a region is not a number.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import regions_as_genes
    >>> regions = pd.DataFrame({"chrom": "chr1", "start": [0, 50, 200], "end": [80, 90, 260], "name": ["a", "b", "c"]})
    >>> regions = regions.assign(place="", strand=".", middle=[40, 70, 230], has_summit=False, signal=[1.0, 5.0, 2.0])
    >>> regions_as_genes(regions, top=1, overlaps="merge")[["gene_id", "start", "end", "middle", "reason"]].values.tolist()
    [['a', 0, 80, 40, 'merged'], ['b', 0, 90, 45, ''], ['c', 200, 260, 230, 'below_top']]
    """
    if top is not None and regions["signal"].isna().any():
        line = regions.index[regions["signal"].isna()][0]
        raise InputError(
            f"regions.top requires the signal of each region, but line {line} has none: give narrowPeak, or BED with scores."
        )
    table = regions.reset_index(drop=True).assign(reason="", detail="")
    # In some files, column 4 is a class of regions.
    table["name"] = table["name"].mask(table["name"].duplicated(keep=False), table["place"])
    if overlaps == "merge":
        table = _merge(table)
    if top is not None:
        order = table[table["reason"] == ""].sort_values("signal", ascending=False, kind="stable").index
        table.loc[order[top:], "reason"] = "below_top"
        table.loc[order[top:], "detail"] = f"the signal is not among the {top} highest"
    table["strand"] = table["strand"].replace(".", "+")
    named = table.rename(columns={"name": "gene_id", "place": "gene_name"}).assign(gene_biotype="")
    columns = ["gene_id", "gene_name", "gene_biotype", "chrom", "start", "end", "strand"]
    return named[[*columns, "middle", "has_summit", "reason", "detail"]]


def _merge(table: pd.DataFrame) -> pd.DataFrame:
    keys = ["chrom", "strand"]
    rows = table.sort_values([*keys, "start"], kind="stable")
    reach = rows.groupby(keys)["end"].cummax().groupby([rows[key] for key in keys]).shift(fill_value=-1)
    rows["run"] = (rows["start"] >= reach).cumsum()
    strongest = rows.sort_values("signal", ascending=False, kind="stable").drop_duplicates("run")
    spans = rows.groupby("run").agg(start=("start", "min"), end=("end", "max"))
    merged = strongest.assign(**{end: strongest["run"].map(spans[end]) for end in ("start", "end")})
    grown = (merged["start"] != strongest["start"]) | (merged["end"] != strongest["end"])
    merged.loc[grown & ~merged["has_summit"], "middle"] = (merged["start"] + merged["end"]) // 2
    merged.loc[grown, "place"] = merged["chrom"] + ":" + merged["start"].astype(str) + "-" + merged["end"].astype(str)
    others = rows.drop(index=strongest.index)
    into = others["run"].map(strongest.set_index("run")["name"])
    others = others.assign(reason="merged", detail="merged into " + into)
    return pd.concat([merged, others]).sort_index().drop(columns="run")


def match_places(genes: pd.DataFrame, ids: pd.Index) -> tuple[pd.DataFrame, str]:
    """Return regions with the spelling of a matrix for their places, and the column by which they match.

    Parameters
    ----------
    genes: pandas.DataFrame
        As from `regions_as_genes`.
    ids: pandas.Index of str
        Names of the rows of the matrix: names of regions, or their places as chr1:100-600, chr1-100-600 or chr1_100_600.

    Returns
    -------
    genes: pandas.DataFrame
        With `gene_name` as in the matrix, if it has the place.
    match_by: str
        "gene_id" if at least as many names as places are in the matrix, else "gene_name".
    """
    found = [_PLACE.fullmatch(name) for name in ids]
    spelling = {f"{place[1]}:{place[2]}-{place[3]}": place[0] for place in found if place}
    names = genes["gene_name"].map(spelling)
    by_name, by_place = int(genes["gene_id"].isin(ids).sum()), int(names.notna().sum())
    return genes.assign(gene_name=names.fillna(genes["gene_name"])), "gene_id" if by_name >= by_place else "gene_name"
