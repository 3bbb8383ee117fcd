"""Convert aligned reads, fragments or regions to a BigWig coverage track.

For BAM and fragment files, the track is the number of fragments over each base, or of fragment ends at each base. For BED and
narrowPeak files, it is 1 inside the regions and 0 elsewhere.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.coverage import CountSettings, read_tracks, write_track
from cisnake.data.genome import Genome
from cisnake.errors import unknown_name


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "make_track")
    p.add_argument("--tracks", type=Path, required=True, metavar="TSV", help="table of tracks, optionally with count settings")
    p.add_argument("--track", required=True, metavar="NAME", help="identifier of the track")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA", help="genome, for the chromosomes of the track")
    p.add_argument("--output", type=Path, required=True, metavar="BW")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "make_track")
    tracks = read_tracks(args.tracks, configured.run.data_dir or ".").set_index("identifier")
    if args.track not in tracks.index:
        raise unknown_name(f"track of {args.tracks}", args.track, tracks.index)
    track = tracks.loc[args.track]
    settings = CountSettings.from_dict(configuration.counting(track, dataclasses.asdict(configured.targets.count)))
    n = write_track(Path(track["file"]), track["format"], Genome(args.genome).sizes, args.output, settings)
    program.log.info("%d counts written to %s", n, args.output)


if __name__ == "__main__":
    program.run(main, parser())
