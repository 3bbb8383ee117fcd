"""Print where the report of a simulated run is, and how much of the simulated truth the run found."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def lines(results: Path) -> list[str]:
    """Return the lines to print for a results folder.

    Parameters
    ----------
    results: Path
        The folder of a simulated run; its recovery.json is read.

    Returns
    -------
    list of str
        The path of the report, then six figures: score, baseline, motifs recovered, precision and recall of peaks, precision of
        the sure ones.
    """
    found = json.loads((results / "recovery.json").read_text(encoding="utf-8"))

    def figure(key: str) -> str:
        return "undefined" if found[key] is None else f"{found[key]:.2f}"

    rows = [
        ("held-out score (Pearson r)", f"{figure('pearson_achieved')} (possible: {figure('pearson_possible')})"),
        ("baseline (Pearson r)", figure("baseline_pearson")),
        ("planted motifs recovered", f"{found['motifs_recovered']} of {found['motifs_planted']}"),
        ("peaks at planted sites: precision", figure("peak_precision")),
        ("peaks at planted sites: recall", figure("peak_recall")),
        (f"precision of peaks with q <= {found['peak_q']}", figure("peak_precision_at_q")),
    ]
    return [f"Report: {results / 'report.html'}", *(f"  {name:<34} {value}" for name, value in rows)]


def main() -> None:
    results = Path(sys.argv[1])
    try:
        print("\n".join(lines(results)))
    except FileNotFoundError:
        sys.exit(f"{results / 'recovery.json'} does not exist: the run of the demo did not end well.")
    except (KeyError, ValueError) as error:
        sys.exit(
            f"{results / 'recovery.json'} cannot be read ({type(error).__name__}: {error}): delete it and run the demo again."
        )


if __name__ == "__main__":
    main()
