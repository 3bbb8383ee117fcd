"""Read and write variants/explanations.h5: what the networks see around each allele of the explained variants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.files import open_hdf5, write_whole

EXPLANATIONS_SCHEMA_VERSION = 1
# Code of a column in which an allele has no base.
GAP = -1

_ARRAYS = {
    "genome": np.int64, "core": np.int64, "codes": np.int8, "attributions": np.float32, "mutagenesis": np.float32,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Explanations:
    """Attributions and mutagenesis around variants, aligned between alleles, in the direction of the gene.

    On axes of length two, the reference allele comes first. Alignments have different lengths; unused columns at their ends
    have no bases.

    Attributes
    ----------
    variants: pandas.DataFrame, n rows
        The columns of `top_variants.TOP_VARIANT_COLUMNS`, and strand of the gene.
    genome: numpy.ndarray, shape=(n, columns), dtype=int64
        Position on the genome, 0-based; -1 at bases that the genome lacks.
    core: numpy.ndarray, shape=(n, 2), dtype=int64
        Columns [first, last) of the changed bases.
    codes: numpy.ndarray, shape=(n, 2, columns), dtype=int8
        A0 C1 G2 T3 N4, and `GAP` where an allele has no base.
    attributions: numpy.ndarray, shape=(n, 2, columns), dtype=float32
        Attribution of each base to the prediction of the variant's task; NaN in gaps.
    mutagenesis: numpy.ndarray, shape=(n, 2, columns, 4), dtype=float32
        Prediction with A, C, G or T at this place minus the prediction for the allele; NaN where nothing was substituted.
    """

    variants: pd.DataFrame
    genome: np.ndarray
    core: np.ndarray
    codes: np.ndarray
    attributions: np.ndarray
    mutagenesis: np.ndarray

    def __len__(self) -> int:
        return len(self.variants)


def write_explanations(explanations: Explanations, path: str | Path) -> None:
    """Write explanations; the file appears once it is complete."""
    with write_whole(path) as part, h5py.File(part, "w") as file:
        file.attrs["schema_version"] = EXPLANATIONS_SCHEMA_VERSION
        for name, column in explanations.variants.items():
            text = not pd.api.types.is_numeric_dtype(column)
            values = column.to_numpy(object if text else None)
            file.create_dataset(f"variants/{name}", data=values, dtype=h5py.string_dtype("utf-8") if text else None)
        file["variants"].attrs["columns"] = list(explanations.variants)
        for name, kind in _ARRAYS.items():
            file.create_dataset(name, data=getattr(explanations, name), dtype=kind)


def read_explanations(path: str | Path) -> Explanations:
    """Read explanations written by `write_explanations`.

    Raises
    ------
    InputError
        The file is missing, truncated, or not a file of explanations.
    """
    remedy = "run the rule explain_variants again"
    with open_hdf5(path, "explanations of variants", remedy, faults=(OSError, KeyError)) as file:
        if file.attrs.get("schema_version") != EXPLANATIONS_SCHEMA_VERSION:
            raise KeyError(f"schema version {file.attrs.get('schema_version')}, expected {EXPLANATIONS_SCHEMA_VERSION}")
        stored = {name: file[f"variants/{name}"] for name in file["variants"].attrs["columns"]}
        table = {
            name: values.asstr()[:] if h5py.check_string_dtype(values.dtype) else values[:] for name, values in stored.items()
        }
        return Explanations(pd.DataFrame(table), **{name: file[name][:] for name in _ARRAYS})
