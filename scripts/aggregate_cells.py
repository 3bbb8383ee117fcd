"""Sum single-cell counts into pseudobulks.

Cells with the same values in the chosen annotations are summed into one task. Writes the sums as h5ad, with the number of
cells, genes and counts of each pseudobulk in obs, and a table of the pseudobulks with too few cells.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.matrix import aggregate_cells, write_pseudobulks
from cisnake.errors import InputError
from cisnake.files import write_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "aggregate_cells")
    p.add_argument("--cells", type=Path, required=True, metavar="FILE", help="counts: h5ad (obs: cells) or Matrix Market")
    p.add_argument(
        "--table", type=Path, metavar="TSV", help="cell annotations, with the column cell (default: obs of the h5ad file)"
    )
    p.add_argument("--output", type=Path, required=True, metavar="H5AD")
    p.add_argument("--output-dropped", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    targets = configuration.read(args, "aggregate_cells").targets
    by, min_cells = targets.pseudobulks.by, targets.pseudobulks.min_cells
    if not by:
        raise InputError("targets.pseudobulks.by is empty: set it to the cell annotations to group by.")
    pseudobulks, dropped = aggregate_cells(args.cells, list(by), args.table, targets.layer, targets.gene_column, min_cells)
    write_table(dropped, args.output_dropped)
    write_pseudobulks(pseudobulks, args.output)
    program.log.info("%d pseudobulks of %d genes written to %s", *pseudobulks.shape, args.output)


if __name__ == "__main__":
    program.run(main, parser())
