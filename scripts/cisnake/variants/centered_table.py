"""Write statistics of variants in windows centred on them, as a table or as AnnData."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.variants.controls import Controls, Significance, count_first
from cisnake.variants.statistics import comparing_statistics
from cisnake.variants.vcf import SCORED

_DESCRIPTION = ["variant_id", "chrom", "pos", "ref", "alt", "status"]

# Rows of the table of variants, and their values, shape=(n, columns, tasks).
_Scores = Iterator[tuple[np.ndarray, np.ndarray]]


def check_centered_output(output: str | Path) -> None:
    """Raise an InputError if `write_centered` cannot write a file with this extension."""
    if Path(output).suffix not in _WRITERS:
        raise InputError(f"{output} must end in .tsv or .h5ad.")


def write_centered(
    variants: pd.DataFrame,
    scores: _Scores,
    statistics: Sequence[str],
    tasks: Sequence[str],
    output: str | Path,
    controls: Controls | None = None,
) -> None:
    """Write statistics of variants, and their p- and q-values if there are controls, batch by batch.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `read_variants`.
    scores: iterator
        From `score_centered`.
    statistics, tasks: sequence of str
        Names along the axes of the scores, without repeated statistics.
    output: str or Path
        `.tsv`: one row per variant and task, and then one row without task and scores per variant that was not scored. Columns
        variant_id, chrom, pos (1-based), ref, alt, status, task, and one per statistic. `.h5ad`: variants are observations,
        described by the same columns, in the order of `variants`; tasks are variables; each statistic is a layer (float32),
        NaN for variants that were not scored. If names of variants repeat, those of the observations get numbers.
    controls: Controls, optional
        From `draw_centered_controls`. For each statistic that compares alleles there are two more columns or layers,
        <statistic>_p and <statistic>_q: p-values, and q-values among all variants, for each task. Default None.

    Raises
    ------
    InputError
        The extension of `output` is unknown.
    """
    check_centered_output(output)
    comparing = comparing_statistics(statistics)
    where = [list(statistics).index(name) for name in comparing]
    significance = Significance(controls) if controls else None
    columns = [*statistics]
    if significance:
        columns += [f"{name}_{letter}" for letter in "pq" for name in comparing]

    def effects(block: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return block[1][:, where].reshape(len(block[1]), len(where) * len(tasks))

    def completed(block: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        rows, values = block
        if significance is None:
            return block
        flat = effects(block)
        levels = (of(flat).reshape(len(rows), len(where), len(tasks)) for of in (significance.p_values, significance.q_values))
        return rows, np.concatenate([values, *levels], axis=1)

    table = variants.assign(pos=variants["start"] + 1)[_DESCRIPTION].reset_index(drop=True)
    with write_whole(output) as part, tempfile.TemporaryFile(dir=part.parent) as spool:
        blocks = map(completed, count_first(scores, effects, significance, spool))
        _WRITERS[Path(output).suffix](part, table, blocks, columns, list(tasks))


def _write_tsv(path: Path, table: pd.DataFrame, blocks: _Scores, columns: list[str], tasks: list[str]) -> None:
    unscored = table[~table["status"].isin(SCORED)].assign(task="", **dict.fromkeys(columns, np.nan))
    parts = (_rows(table.iloc[rows], values, columns, tasks) for rows, values in blocks)
    with open(path, "w", encoding="utf-8", newline="") as sink:
        for number, rows in enumerate(itertools.chain(parts, [unscored])):
            rows.to_csv(sink, sep="\t", index=False, header=number == 0, float_format="%.7g")


def _rows(table: pd.DataFrame, values: np.ndarray, columns: list[str], tasks: list[str]) -> pd.DataFrame:
    long = table.loc[table.index.repeat(len(tasks))].assign(task=tasks * len(table))
    return long.assign(**{name: values[:, i].ravel() for i, name in enumerate(columns)})


def _write_h5ad(path: Path, table: pd.DataFrame, blocks: _Scores, columns: list[str], tasks: list[str]) -> None:
    # Takes half a second to import.
    from anndata import AnnData
    from anndata.utils import make_index_unique

    names = make_index_unique(pd.Index(table["variant_id"].to_numpy(object)))
    described = AnnData(obs=table.set_index(names), var=pd.DataFrame(index=tasks))
    described.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        group = file.require_group("layers")
        layers = [group.create_dataset(name, described.shape, np.float32, fillvalue=np.nan) for name in columns]
        for layer in layers:
            layer.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for rows, values in blocks:
            for i, layer in enumerate(layers):
                layer[rows] = values[:, i]


_WRITERS = {".tsv": _write_tsv, ".h5ad": _write_h5ad}
