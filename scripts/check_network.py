"""Build the network of a coverage run and check its output shape, before tracks are read for hours.

Writes the number of parameters, and the shapes of the input and the output.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from cisnake import configuration, program
from cisnake.errors import InputError
from cisnake.files import write_json
from cisnake.model import read_params


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "check_network")
    p.add_argument("--tasks", type=int, required=True, metavar="N", help="number of tracks")
    p.add_argument("--output", type=Path, required=True, metavar="JSON")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "check_network")
    targets, file = configured.targets, configured.model.params
    seq_len = configured.windows.upstream + configured.windows.downstream
    params = read_params(file, configured.model.overrides)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cisnake.model.network import build_model, check_single_head

    check_single_head(params["model"])
    model = build_model({"seq_length": seq_len} | params["model"], args.tasks)
    predicted, bins = tuple(model.output_shape[1:]), ((seq_len - 2 * targets.crop) // targets.bin_size, args.tasks)
    if predicted != bins:
        raise InputError(
            f"the network of {file} predicts shape {predicted} (positions, tasks) from windows of {seq_len} bases, "
            f"but targets.bin_size {targets.bin_size} and targets.crop {targets.crop} require {bins}: change the pooling and "
            "cropping of the network, or change these keys."
        )
    shapes = {"input_shape": list(model.input_shape[1:]), "output_shape": list(predicted)}
    write_json({"parameters": model.count_params(), **shapes}, args.output)
    program.log.info("the network has %d parameters and predicts %d bins of %d tasks", model.count_params(), *bins)


if __name__ == "__main__":
    program.run(main, parser())
