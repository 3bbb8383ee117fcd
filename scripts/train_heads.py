"""Train a network on data sets of its own, one for each head, without a run: for example on human and mouse together.

Folders of Basenji or Baskerville are converted by import_tfrecords.py first. The parameter file is theirs. All data sets are
mixed in every epoch. For each head, the network of its best epoch is written; evaluate_dataset.py scores it. After an
interruption, the same command resumes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from cisnake import __version__, program
from cisnake.data.dataset import open_dataset
from cisnake.errors import InputError, unknown_name
from cisnake.files import digest, write_table, write_whole
from cisnake.model import read_params


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--params", type=Path, required=True, metavar="FILE", help="parameter file: params.json, or YAML")
    told = "data sets, such as head_human=human.h5 head_mouse=mouse.h5; with one head, only the file"
    p.add_argument("--datasets", required=True, nargs="+", metavar="HEAD=H5", help=told)
    p.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    p.add_argument("--fold", type=int, default=0, help="held-out fold, if the data sets have folds (default: 0)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    p.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs (default: 0)")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="<head>/model.keras, history.tsv, params.yaml")
    return p


def main(args: argparse.Namespace) -> None:
    params = read_params(args.params)
    from cisnake.model import configure_devices, describe_devices, distribution_strategy
    from cisnake.model.network import head_names
    from cisnake.model.training import Trainer, training_batches

    heads = head_names(params["model"])
    datasets = _by_head(args.datasets, heads)
    with open_dataset(next(iter(datasets.values()))) as file:
        params["model"].setdefault("seq_length", int(file["seq_len"][()]))
    device, strategy = configure_devices(args.threads, args.gpus), distribution_strategy()
    data = {head: training_batches(path, params, args.fold, args.seed) for head, path in datasets.items()}
    program.log.info("training on %s", describe_devices(device, strategy))
    run = digest(*datasets.values(), json.dumps(params, sort_keys=True), f"{args.fold} {args.seed} {__version__}")[:16]
    train, val = ({head: splits[split] for head, splits in data.items()} for split in ("train", "val"))
    trainer = Trainer(params, train, val, args.seed, args.output / "checkpoints" / run, strategy=strategy)
    models, history = trainer.fit()
    for head, model in models.items():
        (args.output / head).mkdir(parents=True, exist_ok=True)
        with write_whole(args.output / head / "model.keras") as part:
            model.save(part)
    write_table(history, args.output / "history.tsv")
    how = {"datasets": {head: str(path) for head, path in datasets.items()}, "seed": args.seed, "version": __version__}
    with write_whole(args.output / "params.yaml") as part:
        part.write_text(yaml.safe_dump(params | how, sort_keys=False), encoding="utf-8")
    trainer.checkpoint.remove()


def _by_head(given: list[str], heads: list[str]) -> dict[str, Path]:
    """Return the data set of each head, in the order of the heads."""
    named = dict(text.rpartition("=")[::2] for text in given)
    if len(heads) == 1 and list(named) == [""]:
        named = {heads[0]: named[""]}
    for head in named:
        if head and head not in heads:
            raise unknown_name("head in --datasets", head, heads)
    if "" in named or len(named) < len(heads) or len(given) > len(heads):
        raise InputError(f"--datasets needs one data set for each of {', '.join(heads)}, such as {heads[0]}=data.h5.")
    return {head: Path(named[head]) for head in heads}


if __name__ == "__main__":
    program.run(main, parser())
