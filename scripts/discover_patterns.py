"""Discover recurring patterns in the attributions of a contrast de novo, and match them to known motifs.

TF-MoDISco extracts seqlets with high contributions and clusters them into patterns; TOMTOM matches the patterns to known
motifs. Requires the packages that `make patterns` installs, and attributions with hypothetical contributions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data import read_meme
from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.patterns import discover_patterns, match_motifs, write_patterns


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "discover_patterns")
    p.add_argument("--attributions", type=Path, required=True, metavar="H5", help="attributions of one contrast")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="known motifs, from fetch_motifs.py")
    p.add_argument("--matches", type=int, default=10, help="number of known motifs to list per pattern (default: 10)")
    p.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    p.add_argument("--output-meme", type=Path, required=True, metavar="MEME", help="the patterns as motifs")
    p.add_argument("--output-patterns", type=Path, required=True, metavar="TSV", help="table of patterns")
    p.add_argument("--output-seqlets", type=Path, required=True, metavar="TSV", help="locations of the patterns")
    p.add_argument("--output-matches", type=Path, required=True, metavar="TSV", help="known motifs similar to each pattern")
    return p


def main(args: argparse.Namespace) -> None:
    settings = configuration.read(args, "discover_patterns")
    known = read_meme(args.motifs)
    file = AttributionFile(args.attributions)
    patterns = settings.motifs.patterns
    discovered = discover_patterns(file, patterns.width, patterns.max_seqlets, settings.run.seed, args.threads)
    matches = match_motifs([pattern.motif for pattern in discovered], known, args.matches, args.threads)
    n_matched = matches.loc[matches["q_value"] <= 0.05, "pattern"].nunique()
    outputs = (args.output_meme, args.output_patterns, args.output_seqlets, args.output_matches)
    write_patterns(discovered, matches, outputs)
    program.log.info("%d patterns; %d match a known motif at q <= 0.05", len(discovered), n_matched)


if __name__ == "__main__":
    program.run(main, parser())
