"""Score trained networks on one split of a data set, without a run: for example on a data folder of Basenji.

A folder of Basenji or Baskerville is converted by import_tfrecords.py first. The table has one row per target. The loss is
printed with and without the networks' own penalties on their weights; Baskerville's includes them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cisnake import program
from cisnake.data.coverage import read_network_tasks
from cisnake.data.dataset import open_dataset, read_strand_pair, read_tasks
from cisnake.errors import InputError
from cisnake.files import write_table
from cisnake.model import read_params


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    program.add_network_options(p)
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="data set with labels")
    p.add_argument("--split", choices=("train", "val", "test"), default="test", help="which examples (default: test)")
    p.add_argument("--fold", type=int, default=0, help="held-out fold, if the data set has folds (default: 0)")
    p.add_argument("--loss", metavar="NAME", help="loss to report (default: that of --params)")
    p.add_argument("--output", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    params = read_params(args.params) if args.params else None
    with open_dataset(args.dataset) as file:
        tasks, pairs = read_tasks(file), read_strand_pair(file)
    if args.tasks:
        tasks, named = read_network_tasks(args.tasks, len(tasks))
        pairs = pairs if named is None else np.asarray(named)
    if not args.loss and not params:
        raise InputError("a .keras file does not name the loss of its training: add --loss, for example --loss poisson.")
    from cisnake.model import WindowViews, configure_devices, loss_of_settings, parse_loss, read_network, score_predictions
    from cisnake.model.training import split_batches

    configure_devices(args.threads, 0)
    models = [read_network(path, params, args.head) for path in args.networks]
    loss = loss_of_settings(params["train"]) if params and not args.loss else parse_loss(args.loss)
    batches = split_batches(args.dataset, args.split, models[0].input_shape[-1], args.batch_size, args.fold)
    views = WindowViews(args.shifts, args.reverse_complement, None if pairs is None else pairs.tolist())
    table, value = score_predictions(models, batches, loss, args.batch_size, views)
    table.insert(0, "task", tasks)
    write_table(table, args.output)
    penalty = float(np.mean([sum(map(float, model.losses)) for model in models]))
    r = table["pearsonr"].median()
    program.log.info("%s, %d examples: median r over %d targets %.4f", args.split, len(batches.rows), len(table), r)
    program.log.info("loss %.6g, with penalties %.6g", value, value + penalty)


if __name__ == "__main__":
    program.run(main, parser())
