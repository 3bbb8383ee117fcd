"""Ask whether attributions stand out at the sites of known factors, for each contrast of a run.

For every motif hit in the windows of the genes that respond most, the tool compares the mean absolute attribution at the hit
with that at places of the same width, 20 to 100 bases away in the same window. The result is the probability that the hit has
more (an area under the ROC curve): 0.5 if attributions ignore the factor. Many hits are not bound, so values stay below 1.
Compare only attributions of the same genes.

python tools/rate_attributions.py results/yeast MSN2 HSF1 GCN4
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.motifs import HitFile

# Share of the genes, by absolute measured score, that count as responding.
RESPONDING = 0.25
# Shifts, in bases, of the places with which a hit is compared.
SHIFTS = np.concatenate([np.arange(-100, -19, 5), np.arange(20, 101, 5)])


def site_auroc(strength: np.ndarray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return, for each site, the share of shifted places with less attribution; ties count half, NaN without such a place.

    Places that overlap any of the sites are left out.

    Parameters
    ----------
    strength: numpy.ndarray, shape=(windows, length)
        Absolute attributions.
    rows, starts, ends: numpy.ndarray, shape=(sites,)
        Window of each site, and its first and last base, half-open.

    Examples
    --------
    >>> strength = np.zeros((1, 300))
    >>> strength[0, 150:160] = 1.0
    >>> one = np.array([0])
    >>> site_auroc(strength, one, one + 150, one + 160).tolist(), site_auroc(strength, one, one + 50, one + 60).tolist()
    ([1.0], [0.484375])
    """
    length = strength.shape[1]
    covered = np.zeros(strength.shape, np.int64)
    for row, start, end in zip(rows, starts, ends, strict=True):
        covered[row, start:end] = 1
    sums = np.pad(np.cumsum(strength, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    sites = np.pad(np.cumsum(covered, axis=1), ((0, 0), (1, 0)))
    at, width = starts[:, None] + SHIFTS, (ends - starts)[:, None]
    free = (at >= 0) & (at + width <= length)
    at = np.clip(at, 0, length - width)
    free &= sites[rows[:, None], at + width] == sites[rows[:, None], at]
    places = sums[rows[:, None], at + width] - sums[rows[:, None], at]
    own = (sums[rows, ends] - sums[rows, starts])[:, None]
    wins = np.where(np.isclose(own, places, rtol=1e-9, atol=0), 0.5, own > places)
    return np.where(free, wins, 0).sum(axis=1) / np.where(free.any(axis=1), free.sum(axis=1), np.nan)


def responding(windows: pd.DataFrame, share: float = RESPONDING) -> np.ndarray:
    """Return the rows of the genes whose measured score is farthest from the median."""
    away = (windows["measured"] - windows["measured"].median()).abs().fillna(-1.0).to_numpy()
    return np.sort(np.argsort(-away, kind="stable")[: round(share * len(away))])


def rate(attributions: AttributionFile, hits: HitFile, names: list[str]) -> pd.DataFrame:
    """Return one row per motif name: the number of hits in responding genes, and the mean of `site_auroc`."""
    chosen = responding(attributions.windows)
    strength = np.abs(np.stack(list(attributions.projected(chosen))))
    row_of = {gene: row for row, gene in enumerate(hits.windows["gene_id"])}
    genes = attributions.windows["gene_id"].to_numpy()[chosen]
    found = hits.read(np.array([row_of[gene] for gene in genes]))
    motif_names = hits.motifs["motif_name"].str.casefold().to_numpy()[found.motif]
    rows = []
    for name in names:
        mine = motif_names == name.casefold()
        values = site_auroc(strength, found.row[mine], found.start[mine], found.end[mine])
        auroc = np.nanmean(values) if np.isfinite(values).any() else np.nan
        rows.append({"motif": name, "hits": int(mine.sum()), "AUROC": auroc})
    return pd.DataFrame(rows)


def main() -> None:
    """Print a table for each contrast."""
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} results/<name> MOTIF ...")
    run, names = Path(sys.argv[1]), sys.argv[2:]
    hits = HitFile(run / "motifs" / "hits.h5")
    for path in sorted((run / "attributions").glob("*.h5")):
        table = rate(AttributionFile(path), hits, names)
        print(f"\n{path.stem}: mean {table['AUROC'].mean():.3f}\n{table.to_string(index=False, float_format='%.3f')}")


if __name__ == "__main__":
    main()
