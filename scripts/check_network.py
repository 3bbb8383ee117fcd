"""Build or read the network of a coverage run and check its output shape, before tracks are read for hours.

Writes the number of parameters, and the shapes of the input and the output.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cisnake import configuration, program
from cisnake.errors import InputError
from cisnake.files import write_json
from cisnake.model import add_heads, own_head, read_params

if TYPE_CHECKING:
    import keras


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "check_network")
    p.add_argument("--tasks", type=int, required=True, metavar="N", help="number of tracks")
    p.add_argument("--output", type=Path, required=True, metavar="JSON")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "check_network")
    targets, section = configured.targets, configured.model
    seq_len = configured.windows.upstream + configured.windows.downstream
    bins = (seq_len - 2 * targets.crop) // targets.bin_size, args.tasks
    params = read_params(section.params, section.overrides) if section.params else None
    from cisnake.model import read_given

    if section.trained:
        model, *_ = (read_given(path, params, seq_len, bins, section.head) for path in section.trained)
    else:
        keys = f"targets.bin_size {targets.bin_size} and targets.crop {targets.crop}"
        shapes = {head.name: configuration.read_head_shape(head.dataset).labels for head in configured.train.heads}
        model = untrained(section.params, section.overrides, seq_len, bins, keys, shapes)
    write_json(
        {"parameters": model.count_params(), "input_shape": list(model.input_shape[1:]), "output_shape": list(bins)},
        args.output,
    )
    program.log.info("the network has %d parameters and predicts %d bins of %d tasks", model.count_params(), *bins)


def untrained(
    file: str, overrides: dict[str, Any], seq_len: int, bins: tuple[int, int], keys: str, heads: dict[str, tuple[int, ...]]
) -> keras.Model:
    from cisnake.model.network import build_model, head_model

    params = add_heads(read_params(file, overrides), heads)["model"]
    own = own_head(params, heads)
    tasks = {own: bins[1]} | {head: shape[-1] for head, shape in heads.items()}
    model = build_model({"seq_length": seq_len} | params, tasks)
    for head, shape in heads.items():
        predicted = tuple(head_model(model, head).output_shape[1:])
        if predicted != shape:
            raise InputError(
                f"{head} of {file} predicts shape {predicted} from windows of {seq_len} bases, but the labels of its data set "
                f"in train.heads have shape {shape}: change the blocks of {head}."
            )
    predicted = tuple(head_model(model, own).output_shape[1:])
    if predicted != bins:
        raise InputError(
            f"the network of {file} predicts shape {predicted} (positions, tasks) from windows of {seq_len} bases, "
            f"but {keys} require {bins}: change the pooling and cropping of the network, or change these keys."
        )
    return model


if __name__ == "__main__":
    program.run(main, parser())
