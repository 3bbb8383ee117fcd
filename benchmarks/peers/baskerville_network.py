"""Save the network of a parameter file, with the weights that all peers share, in Baskerville's format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .keras_weights import set_weights


def main() -> None:
    """Read params.json and write model.h5 in the folder that is named on the command line."""
    from baskerville.seqnn import SeqNN

    folder = Path(sys.argv[1])
    network = SeqNN({**json.loads((folder / "params.json").read_text())["model"], "verbose": False})
    set_weights(network.model)
    network.save(str(folder / "model.h5"))


if __name__ == "__main__":
    main()
