"""Download a remote input file, and keep it only if its checksum matches."""

from __future__ import annotations

import argparse
import http.client
import shutil
import urllib.request
from pathlib import Path

from cisnake import program
from cisnake.errors import InputError
from cisnake.files import file_sha256, write_whole


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--url", required=True)
    p.add_argument("--sha256", required=True, metavar="HEX", help="expected SHA-256 of the downloaded file")
    p.add_argument("--output", type=Path, required=True, metavar="FILE")
    return p


def main(args: argparse.Namespace) -> None:
    with write_whole(args.output) as part:
        try:
            with urllib.request.urlopen(args.url, timeout=60) as response, open(part, "wb") as file:
                shutil.copyfileobj(response, file, 1 << 20)
        except (OSError, http.client.HTTPException) as error:
            raise InputError(f"{args.url} could not be downloaded ({error}): check the URL and the network.") from error
        actual = file_sha256(part)
        if actual != args.sha256:
            raise InputError(
                f"{args.url} has the SHA-256 {actual}, not {args.sha256}: the file changed or the download is incomplete."
            )


if __name__ == "__main__":
    program.run(main, parser())
