"""The methods of a run as a paragraph that can be pasted into a paper, with the works to cite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cisnake
from cisnake.report.page.about import file_name, unit_name
from cisnake.report.results import Results
from cisnake.report.units import label_unit
from cisnake.report.words import count

# Works by the name under which sentences cite them.
WORKS = {
    "snakemake": "Mölder et al. 2021, F1000Research 10:33",
    "tensorflow": "Abadi et al. 2016, OSDI 16:265",
    "basenji": "Kelley et al. 2018, Genome Research 28:739",
    "ridge": "Hoerl and Kennard 1970, Technometrics 12:55",
    "input_x_gradient": "Shrikumar et al. 2016, arXiv:1605.01713",
    "saliency": "Simonyan et al. 2013, arXiv:1312.6034",
    "integrated_gradients": "Sundararajan et al. 2017, PMLR 70:3319",
    "expected_integrated_gradients": "Erion et al. 2021, Nature Machine Intelligence 3:620",
    "smoothgrad": "Smilkov et al. 2017, arXiv:1706.03825",
    "in_silico_mutagenesis": "Zhou and Troyanskaya 2015, Nature Methods 12:931",
    "correct_mean": "Majdandzic et al. 2023, Genome Biology 24:109",
    "shuffle": "Altschul and Erickson 1985, Molecular Biology and Evolution 2:526",
    "tfmodisco": "Shrikumar et al. 2018, arXiv:1811.00416",
    "decima": "Lal et al. 2024, bioRxiv 2024.10.09.617507",
    "fdr": "Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289",
    "tomtom": "Gupta et al. 2007, Genome Biology 8:R24",
}

_METHODS = {
    "input_x_gradient": "the product of input and gradient",
    "saliency": "gradients",
    "integrated_gradients": "integrated gradients",
    "expected_integrated_gradients": "expected integrated gradients",
    "smoothgrad": "smoothed gradients",
    "in_silico_mutagenesis": "in-silico mutagenesis",
}
_CENTRED = ("input_x_gradient", "saliency", "smoothgrad", "in_silico_mutagenesis")
_PEAKS = {
    "recursive_seqlets": ("spans in which every sub-span is unlikely as well", ()),
    "find_attr_peaks": ("local maxima", ("decima",)),
    "tfmodisco_seqlets": ("windows of fixed width", ("tfmodisco",)),
}


def write_methods(results: Results, config: Mapping[str, Any] | None) -> tuple[str, list[str]]:
    """Return the paragraph, in which numbers in brackets cite works, and these works in the order of their numbers.

    Parameters
    ----------
    results: Results
    config: mapping, optional
        Complete configuration of the run. None: not known, and the paragraph is empty.
    """
    if config is None:
        return "", []
    works: list[str] = []

    def cite(*names: str) -> str:
        for name in names:
            if WORKS[name] not in works:
                works.append(WORKS[name])
        return f" [{', '.join(str(works.index(WORKS[name]) + 1) for name in names)}]"

    sentences = [
        *_model(results, config, cite),
        *(_attribution(config, cite) if results.contrasts else []),
        *(_motifs(results, config, cite) if results.contrasts else []),
        *(_variants(config, cite) if results.variants is not None else []),
        f"All steps were run with Cisnake {cisnake.__version__} in Snakemake{cite('snakemake')}.",
    ]
    return " ".join(sentences), works


def _model(results: Results, config: Mapping[str, Any], cite: Any) -> list[str]:
    unit, windows, main = unit_name(results), config["windows"], results.evaluations[0]
    n, given = len(results.trainings), any(training.history is None for training in results.trainings)
    around = "the summit or middle" if unit == "region" else "the TSS"
    upstream, downstream = windows["upstream"], windows["downstream"]
    window = f"{upstream + downstream:,} bp ({upstream:,} bp upstream and {downstream:,} bp downstream of {around})"
    n_of = {split: count(int(n)) for split, n in results.genes["split"].value_counts().items()}
    networks = f"{n} neural network{'' if n == 1 else 's'}"
    scale = f", as {label_unit(config)}," if label_unit(config) else ""
    sentences = []
    if given:
        sentences.append(
            f"Trained networks ({n}) predicted {count(main.summary['n_tasks'])} tasks from {window} around each {unit}."
        )
    else:
        folds = config["splits"].get("folds")
        held_out = (
            f"in {folds} folds, each of which was held out once"
            if folds
            else f"on {n_of.get('train', 0)} {unit}s; {n_of.get('val', 0)} {unit}s for validation and "
            f"{n_of.get('test', 0)} for testing were held out"
        )
        sentences.append(
            f"{networks[0].upper()}{networks[1:]}{cite('basenji')} {'was' if n == 1 else 'were'} trained with TensorFlow"
            f"{cite('tensorflow')} to predict {count(main.summary['n_tasks'])} tasks{scale} from the sequence of {window}, "
            f"{held_out}."
        )
        if heads := [head["name"].removeprefix("head").strip("_") for head in config["train"]["heads"]]:
            several = len(heads) > 1
            sentences.append(
                f"In the same training, {'further heads' if several else 'a further head'} of the networks learned "
                f"{'other data sets' if several else 'another data set'} ({', '.join(heads)}), whose batches were mixed "
                "with those of the run in random order."
            )
        if main.summary.get("parts"):
            sentences.append(
                "Each prediction is the weighted sum of that of a network and that of a ridge regression on counts of k-mers "
                f"in the window, with weights chosen on validation {unit}s."
            )
        if n > 1:
            sentences.append("Predictions are means over networks that differ in their random seed only.")
    if main.measured:
        sentences.append(
            f"Pearson correlations with measurements over held-out {unit}s were compared with those of a ridge regression"
            f"{cite('ridge')} on counts of k-mers alone."
        )
        if main.summary.get("intervals"):
            sentences.append(f"Intervals (95%) are from bootstrap samples of groups of neighbouring {unit}s.")
    return sentences


def _attribution(config: Mapping[str, Any], cite: Any) -> list[str]:
    chosen = config["attribution"]
    method, peaks = chosen["method"], config["peaks"]["method"]
    centred = method in _CENTRED and chosen["correct_mean"]
    what, source = _PEAKS[peaks]
    sentences = [
        f"The contribution of each base to contrasts between tasks was computed by {_METHODS[method]}{cite(method)}"
        + (f", less the mean over the four bases at each position{cite('correct_mean')}" if centred else "")
        + ".",
        f"Peaks are {what}{cite(*source) if source else ''}.",
    ]
    if chosen["null_windows"]:
        sentences.append(
            f"Their q-values are from peaks in {count(chosen['null_windows'])} windows whose sequence was shuffled with "
            f"dinucleotide frequencies kept{cite('shuffle')}."
        )
    return sentences


def _motifs(results: Results, config: Mapping[str, Any], cite: Any) -> list[str]:
    chosen, sentences = config["motifs"], []
    if any(contrast.enrichment is not None for contrast in results.contrasts):
        sentences.append(
            f"Motifs ({_source(chosen['source'])}) were scanned at p ≤ {chosen['p_threshold']:g}. Their enrichment in peaks "
            "over windows of the same genes outside peaks was tested with the hypergeometric distribution, with "
            f"false-discovery rates{cite('fdr')}."
        )
    if any(contrast.effects is not None for contrast in results.contrasts):
        sentences.append(
            "The effect of a motif was measured by replacing its sites and by inserting it into shuffled windows, and compared "
            "with that of random words in the same places."
        )
    if any(contrast.patterns is not None for contrast in results.contrasts):
        sentences.append(
            f"Patterns were found by TF-MoDISco{cite('tfmodisco')} and compared with known motifs by TOMTOM{cite('tomtom')}."
        )
    return sentences


def _variants(config: Mapping[str, Any], cite: Any) -> list[str]:
    sentences = ["The effect of a variant is the prediction with the alternative allele minus that with the reference allele."]
    if config["variants"].get("controls"):
        sentences.append(
            "Its p-value is from the same changes in shuffled windows "
            f"({count(config['variants']['controls'])} controls), with false-discovery rates{cite('fdr')}."
        )
    return sentences


def _source(motifs: str) -> str:
    """Return the name of a motif database or file, without its folder."""
    return motifs if motifs.startswith("jaspar:") else file_name(motifs)
