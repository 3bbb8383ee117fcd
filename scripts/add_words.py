"""Add the words of a fold to its trained networks, with weights that suit the whole ensemble.

The weights of network and words are chosen on validation genes, for the mean of the predictions of all replicates. The mean is
better than each network, so that the words need less weight beside it than beside a single network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.dataset import open_dataset, read_tasks
from cisnake.files import write_table, write_whole
from cisnake.words import read_word_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "add_words")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="training data: dataset.h5")
    p.add_argument("--words", type=Path, required=True, metavar="H5", help="table of words of the fold")
    p.add_argument("--networks", type=Path, required=True, metavar="DIR", help="folder of the fold: replicate_<j>/model.keras")
    p.add_argument("--fold", type=int, default=0, help="fold whose genes are held out (default: 0)")
    p.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the models: replicate_<j>/model.keras")
    p.add_argument("--output-weights", type=Path, required=True, metavar="TSV", help="weights of network and words")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "add_words")
    with open_dataset(args.dataset) as file:
        table = read_word_table(args.words, len(read_tasks(file)), int(file["seq_len"][()]))
    from cisnake.model import configure_devices, load_model
    from cisnake.model.training import blend_with_words, split_batches

    configure_devices(args.threads)
    names = [Path(f"replicate_{j}", "model.keras") for j in range(configured.train.replicates)]
    networks = [load_model(args.networks / name) for name in names]
    val = split_batches(args.dataset, "val", networks[0].input_shape[-1], configured.resources.batch_size, args.fold)
    models, weights = blend_with_words(networks, table, val)
    for model, name in zip(models, names, strict=True):
        (args.output / name).parent.mkdir(parents=True, exist_ok=True)
        with write_whole(args.output / name) as part:
            model.save(part)
    write_table(weights, args.output_weights)


if __name__ == "__main__":
    program.run(main, parser())
