"""Take over a trained network as one replicate of a run.

The network is checked against the windows and tasks of the data set and written as a model of this run, with a record of its
origin.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from cisnake import __version__, configuration, program
from cisnake.data.dataset import open_dataset
from cisnake.files import file_sha256, write_whole
from cisnake.model import check_registered, find_card, is_torch_file, read_params


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "import_model")
    p.add_argument("--network", type=Path, required=True, metavar="FILE", help=".keras, .h5 with model.params, or of PyTorch")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="dataset.h5 of the run")
    p.add_argument("--output-model", type=Path, required=True, metavar="KERAS")
    p.add_argument(
        "--output-params", type=Path, required=True, metavar="YAML", help="parameters of the network, its origin, and its card"
    )
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "import_model")
    section = configured.model
    params = read_params(section.params, section.overrides) if section.params else None
    with open_dataset(args.dataset) as file:
        length = int(file["seq_len"][()])
        _, n_tasks, bins = file["labels"].shape
    from cisnake.model import read_given, torch_description

    shape = (bins, n_tasks) if configured.targets.kind == "coverage" else (n_tasks,)
    card = find_card(section.registry, section.folder, args.network)
    if card:
        check_registered(args.network, card.network)
        if card.params and Path(section.params) == Path(section.folder, card.params.file):
            check_registered(section.params, card.params)
    model = read_given(args.network, params, length, shape, section.head)
    origin: dict[str, Any] = {"file": str(args.network), "sha256": file_sha256(args.network), "version": __version__}
    if is_torch_file(args.network):
        origin |= torch_description(args.network)
    if card:
        origin |= {"card": card.description}
    with write_whole(args.output_params) as part:
        part.write_text(yaml.safe_dump((params or {}) | {"trained_elsewhere": origin}, sort_keys=False), encoding="utf-8")
    with write_whole(args.output_model) as part:
        model.save(part)
    program.log.info("%s: input %s, output %s, %d parameters", args.network, model.input_shape[1:], shape, model.count_params())


if __name__ == "__main__":
    program.run(main, parser())
