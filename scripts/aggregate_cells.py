"""Sum the counts of single cells to pseudobulks, a matrix like any other.

Cells that are alike in the annotations named become one task. Writes the sums as h5ad, whose obs say how many cells, genes and
counts each has, and a table of the groups that have too few cells.
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
    p.add_argument("--cells", type=Path, required=True, metavar="FILE", help="counts: h5ad (obs cells), or MTX with its folder")
    p.add_argument("--table", type=Path, metavar="TSV", help="column cell, and annotations (default: obs of the h5ad)")
    p.add_argument("--output", type=Path, required=True, metavar="H5AD")
    p.add_argument("--output-dropped", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    targets = configuration.read(args, "aggregate_cells").targets
    by, min_cells = targets.pseudobulks.by, targets.pseudobulks.min_cells
    if not by:
        raise InputError("targets.pseudobulks.by is empty: name the annotations of cells whose values make a pseudobulk.")
    pseudobulks, dropped = aggregate_cells(args.cells, list(by), args.table, targets.layer, targets.gene_column, min_cells)
    write_table(dropped, args.output_dropped)
    write_pseudobulks(pseudobulks, args.output)
    program.log.info("%d pseudobulks of %d genes written to %s", *pseudobulks.shape, args.output)


if __name__ == "__main__":
    program.run(main, parser())
