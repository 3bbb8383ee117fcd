"""Probe motifs in silico: delete their sites in peaks, and insert them into shuffled windows.

Tests the representative of each of the top clusters of a contrast. Deletion replaces sites by random bases with the
dinucleotide frequencies of the window, and reports the change of the contrast's score (negative for a motif that increases it).
The control is the same change at random positions of the same windows, away from peaks and hits: motifs whose sites have no
larger effect than the control are labelled inert. Insertion places the motif's consensus into dinucleotide-shuffled windows of
random genes, at its usual distance from the TSS, and reports the change as well. Means over sites and over shuffled windows
have 95 % bootstrap intervals. If a representative does not account for the effect of its sites, up to three other members of
its cluster are tested as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake import configuration, program
from cisnake.data import read_meme
from cisnake.data.dataset import open_dataset, read_codes, read_tasks, read_windows
from cisnake.files import read_table, write_table
from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.probe import ProbeSettings, Scorer, choose_clusters, peak_places, probe_clusters, read_peak_hits


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "probe_motifs")
    p.add_argument(
        "--attributions", type=Path, required=True, metavar="H5", help="attributions of one contrast; its genes are probed"
    )
    p.add_argument("--peaks", type=Path, required=True, metavar="TSV", help="table of peaks from call_peaks.py")
    p.add_argument("--hits", type=Path, required=True, metavar="TSV", help="hits.tsv of the contrast")
    p.add_argument("--enrichment", type=Path, required=True, metavar="TSV", help="enrichment.tsv of the contrast")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="the motifs that were scanned")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5")
    program.add_model_options(p)
    p.add_argument("--output", type=Path, required=True, metavar="TSV", help="effects.tsv, one row per motif")
    p.add_argument("--output-sites", type=Path, required=True, metavar="TSV", help="site_effects.tsv, one row per deleted site")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.model import configure_devices, gene_readout, predictors_by_fold

    configure_devices(args.threads)
    configured = configuration.read(args, "probe_motifs")
    probe, seed = configured.motifs.probe, configured.run.seed
    paths = program.find_models(args.models, configured)
    attributed = AttributionFile(args.attributions)
    contrast = attributed.contrast
    enrichment = read_table(args.enrichment, odds_ratio="float", q_value="float")
    clusters = choose_clusters(enrichment, read_meme(args.motifs), probe.top)
    with open_dataset(args.dataset) as file:
        windows, tasks = read_windows(file), read_tasks(file)
        rows = np.flatnonzero(windows["gene_id"].isin(attributed.genes))
        windows = windows.iloc[rows].assign(row=rows).reset_index(drop=True)
        first, length = int(file["pad"][()]), int(file["seq_len"][()])
        models = predictors_by_fold(paths, gene_readout(file), configured.resources.batch_size)
        scorer = Scorer(
            windows,
            length,
            lambda chosen: read_codes(file, rows[chosen], first, first + length),
            {fold: list(replicates.values()) for fold, replicates in models.items()},
            contrast.side_weights(tasks),
        )
        genes = windows["gene_id"].tolist()
        wanted = [name for cluster in clusters for name in cluster.motif_ids]
        hits, places = read_peak_hits(args.hits, wanted, genes)
        peaks = peak_places(read_table(args.peaks, window_start="int64", window_end="int64"), genes)
        settings = ProbeSettings(probe.sites, probe.draws, probe.backgrounds, seed)
        effects, site_effects = probe_clusters(scorer, clusters, hits, pd.concat([peaks, places]), enrichment, settings)
    write_table(site_effects, args.output_sites)
    write_table(effects, args.output)
    verdicts = effects["verdict"].value_counts().to_dict()
    program.log.info("%d motifs of %s probed: %s", len(effects), contrast.name, verdicts)


if __name__ == "__main__":
    program.run(main, parser())
