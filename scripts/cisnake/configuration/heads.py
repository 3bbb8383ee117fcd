"""The data sets on which a run trains further heads (`train.heads`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cisnake.errors import InputError
from cisnake.model import own_head, read_params


@dataclass(frozen=True)
class HeadShape:
    """What a data set requires of its head.

    Attributes
    ----------
    seq_len: int
        Window length, bp.
    bin_size, crop: int
        Length of a bin, and bases without bins at either end of a window, bp; 0 in an expression data set.
    bins: int
        Bins per window; 1 in an expression data set.
    tasks: int
    """

    seq_len: int
    bin_size: int
    crop: int
    bins: int
    tasks: int

    @property
    def labels(self) -> tuple[int, ...]:
        """Shape of the labels of a window: (tasks,), or (bins, tasks)."""
        return (self.bins, self.tasks) if self.bin_size else (self.tasks,)


def read_head_shape(path: str | Path) -> HeadShape:
    """Return what a data set requires of its head.

    Parameters
    ----------
    path: str or Path
        A dataset.h5, or a data folder of Basenji or Baskerville.

    Raises
    ------
    InputError
        The path is neither.
    """
    # Planning a run without further heads needs neither.
    from cisnake.data.basenji import read_sizes
    from cisnake.data.dataset import open_dataset

    if Path(path).is_dir():
        sizes = read_sizes(path)
        return HeadShape(sizes.seq_len, sizes.bin_size, sizes.crop, sizes.bins, sizes.tasks)
    with open_dataset(path) as file:
        _, tasks, bins = file["labels"].shape
        return HeadShape(int(file["seq_len"][()]), int(file.attrs["bin_size"]), int(file.attrs["crop"]), bins, tasks)


def find_head_problems(config: Mapping[str, Any], length: int) -> Iterator[str]:
    """Yield what is wrong with the heads of a run that trains its networks, as far as it is known before any job starts.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    length: int
        Bases in a window of the run.

    Raises
    ------
    InputError
        The parameter file has heads without a data set.
    """
    heads = config["train"]["heads"]
    names = [head["name"] for head in heads]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"train.heads lists {name} more than once: give each head its own name"
    try:
        model = read_params(config["model"]["params"], config["model"]["overrides"])["model"]
    except InputError:
        # Another check reports the error.
        return
    own_head(model, names)
    for head in heads:
        name, path = head["name"], head["dataset"]
        if not Path(path).exists():
            yield (
                f"train.heads: {path}, the data set of {name}, does not exist: relative paths refer to the working folder, "
                f"{Path.cwd()}; if another run writes it, start that run first"
            )
            continue
        try:
            shape = read_head_shape(path)
        except InputError as error:
            yield f"train.heads: {error}"
            continue
        if shape.seq_len != length:
            yield (
                f"train.heads: {path} has windows of {shape.seq_len} bases, but those of the run have {length}: all heads read "
                "windows of the same length; change the section windows"
            )
        yield from _shape_problems(config, model.get(name), name, path, shape)


def _shape_problems(config: Mapping[str, Any], blocks: Any, name: str, path: str, shape: HeadShape) -> Iterator[str]:
    if blocks is not None:
        last = blocks if isinstance(blocks, dict) else blocks[-1] if blocks else None
        units = last.get("units") if isinstance(last, dict) else None
        if units is not None and units != shape.tasks:
            yield f"{config['model']['params']}: {name} has {units} units, but {path} has {shape.tasks} tasks: change units"
        return
    targets = config["targets"]
    coverage = targets["kind"] == "coverage"
    own = (targets["bin_size"], targets["crop"]) if coverage else (0, 0)
    if (shape.bin_size, shape.crop) != own:
        yield (
            f"train.heads: {path} has {_words(shape.bin_size, shape.crop)}, but the run has {_words(*own)}: add {name} to "
            "the parameter file with blocks that predict its labels, because a copy of the run's own head cannot"
        )


def _words(bin_size: int, crop: int) -> str:
    return f"bins of {bin_size} bp and a crop of {crop} bp" if bin_size else "one label per window"
