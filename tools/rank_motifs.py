"""Print the ranks of motifs among the clusters of similar motifs, for each contrast of a run.

python tools/rank_motifs.py results/yeast MSN2 HSF1 GCN4
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from cisnake.files import read_table
from cisnake.interpret.motifs import rank_clusters


def read_enrichment(path: Path) -> pd.DataFrame:
    """Read an enrichment table with numeric columns."""
    floats = dict.fromkeys(("odds_ratio", "p_value", "q_value", "mean_attribution"), "float")
    return read_table(path, cluster="int64", rank="int64", n_hits="int64", **floats)


def rank_motifs(enrichment: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return one row per motif: rank and statistics of its cluster, and of the motif itself.

    Parameters
    ----------
    enrichment: pandas.DataFrame
        The table of one contrast.
    names: list of str
        Motif names, case-insensitive; unknown names are skipped.
    """
    clusters = rank_clusters(enrichment).set_index("cluster")
    rows = []
    for name in names:
        for motif in enrichment[enrichment["motif_name"].str.casefold() == name.casefold()].itertuples():
            cluster = clusters.loc[motif.cluster]
            rows.append(
                {
                    "motif": motif.motif_name,
                    "cluster rank": f"{cluster['rank']} of {len(clusters)}",
                    "cluster of": cluster["cluster_name"],
                    "members": cluster["n_members"],
                    "q": f"{cluster['q_value']:.2g}",
                    "odds ratio": f"{cluster['odds_ratio']:.3g}",
                    "mean attribution": f"{cluster['mean_attribution']:.3g}",
                    "own rank": motif.rank,
                    "own q": f"{motif.q_value:.2g}",
                    "own odds ratio": f"{motif.odds_ratio:.3g}",
                    "own mean attribution": f"{motif.mean_attribution:.3g}",
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Print a table for each contrast."""
    if len(sys.argv) < 3:
        sys.exit(f"usage: python {sys.argv[0]} results/<name> MOTIF ...")
    for path in sorted(Path(sys.argv[1]).glob("motifs/*/enrichment.tsv")):
        print(f"\n{path.parent.name}\n{rank_motifs(read_enrichment(path), sys.argv[2:]).to_string(index=False)}")


if __name__ == "__main__":
    main()
