"""Train one replicate of a model on the training genes of one fold.

Training stops when the validation score (mean Pearson r + R² / 4 over tasks, or the score in train.monitor) no longer improves,
and the model of the best epoch is written. With train.heads, batches of all data sets are mixed in random order, and the score
of the run's own head decides. After an interruption, training resumes from the checkpoint folder and reaches the same weights.
To train on several nodes, start the program once on each, by srun or with TF_CONFIG: each batch is divided among the nodes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from cisnake import __version__, configuration, program
from cisnake.data.matrix import read_tasks_table
from cisnake.errors import InputError
from cisnake.files import digest, file_sha256, write_table, write_whole
from cisnake.interpret import resolve_contrasts
from cisnake.model import own_head, read_params, replicate_seed


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "train_model")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="training data: dataset.h5")
    p.add_argument("--head-datasets", type=Path, nargs="*", default=[], metavar="H5", help="those of train.heads")
    p.add_argument("--tasks", type=Path, metavar="TSV", help="task table with groups, for train.contrasts")
    p.add_argument("--fold", type=int, default=0, help="fold whose genes are held out (default: 0)")
    p.add_argument("--replicate", type=int, default=0, help="number of the replicate, which sets its random seed (default: 0)")
    p.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    p.add_argument("--checkpoints", type=Path, required=True, metavar="DIR", help="folder for checkpoints")
    p.add_argument("--tracking", type=Path, default=Path("tracking"), metavar="DIR", help="folder for training curves")
    p.add_argument("--output-model", type=Path, required=True, metavar="KERAS", help="trained model")
    p.add_argument("--output-heads", type=Path, metavar="KERAS", help="the network with all heads, for train.heads")
    p.add_argument("--output-params", type=Path, required=True, metavar="YAML", help="its complete parameters")
    p.add_argument("--output-history", type=Path, required=True, metavar="TSV", help="loss and scores per epoch")
    return p


def main(args: argparse.Namespace) -> None:
    # Checked before the import of TensorFlow, which takes seconds.
    configured = configuration.read(args, "train_model")
    params = read_params(configured.model.params, configured.model.overrides)
    seed = replicate_seed(configured.run.seed, args.fold, args.replicate)
    others = [head.name for head in configured.train.heads]
    if len(args.head_datasets) != len(others):
        raise InputError(f"--head-datasets lists {len(args.head_datasets)} files, but train.heads has {len(others)}.")
    heads = dict(zip(others, args.head_datasets, strict=True))
    own = own_head(params["model"], heads)
    from cisnake.model import configure_devices, describe_devices, distribution_strategy, is_chief_worker
    from cisnake.model.network import join_heads
    from cisnake.model.training import Tracker, Trainer, batches_by_head, complete_params

    device = configure_devices(args.threads, configured.resources.gpus)
    strategy = distribution_strategy()
    params = complete_params(params, args.dataset, heads)
    train, val = batches_by_head({own: args.dataset} | heads, params, args.fold, seed)
    start = file_sha256(weights) if (weights := params.get("transfer", {}).get("weights")) else ""
    names, tasks = configured.train.contrasts, list(train[own].tasks)
    table = read_tasks_table(args.tasks, tasks) if names else None
    contrasts = [c.sides(tasks) for c in resolve_contrasts(configured.attribution.contrasts, table, names)] if names else []
    settings = json.dumps([params, contrasts], sort_keys=True)
    run = digest(args.dataset, *heads.values(), settings, f"{args.fold} {seed} {__version__} {start}")
    device = describe_devices(device, strategy)
    program.log.info("training on %s", device)
    chief = is_chief_worker(strategy)
    tracker = Tracker(list(configured.train.trackers) if chief else [], args.tracking, run[:16], params)
    trainer = Trainer(params, train, val, seed, args.checkpoints / run[:16], tracker, strategy, contrasts, own)
    models, history = trainer.fit()
    tracker.close()
    if not chief:
        return
    write_table(history, args.output_history)
    how = {"overrides": configured.model.overrides, "fold": args.fold, "seed": seed, "device": device, "version": __version__}
    how |= {"heads": {head: str(path) for head, path in heads.items()}} if heads else {}
    with write_whole(args.output_params) as part:
        part.write_text(yaml.safe_dump(trainer.params | how, sort_keys=False), encoding="utf-8")
    with write_whole(args.output_model) as part:
        models[own].save(part)
    if args.output_heads:
        with write_whole(args.output_heads) as part:
            join_heads(models).save(part)
    trainer.checkpoint.remove()


if __name__ == "__main__":
    program.run(main, parser())
