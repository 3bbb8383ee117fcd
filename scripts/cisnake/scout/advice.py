"""What follows from scouting: the lines on the terminal, and advice.yaml, a second configuration file."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
import yaml

from cisnake.report import count, number
from cisnake.scout.coverage import CLIP_PCT, CoverageFindings
from cisnake.scout.expression import ExpressionFindings
from cisnake.scout.ridge_scores import NOTHING, TOLERANCE
from cisnake.sections import BaselineSection

_WIDTH = 110
_NO_ADVICE = "# No key needs to change.\n{}\n"


def expression_lines(found: ExpressionFindings) -> list[str]:
    """Return the recommendation for an expression run, a sentence or two a line."""
    best, chosen = found.best, found.chosen
    if found.predicts_nothing:
        return [
            f"No window predicts these labels: the best r over validation genes is {number(best['score'], 2)}. Check labels, "
            "gene ids and TSSs before you train.",
            "No window is recommended.",
        ]
    lines = [f"Recommended window: {_window(found.upstream, found.downstream)}. {_reason(found)}"]
    if found.length != chosen["length"]:
        lines.append(
            f"The network pools {found.divisor} bases into one position, so the window was lengthened to {found.length:,} bp."
        )
    lines += _smallest(found)
    if found.composition:
        parts = [f"{number(r, 2)} from words of {k}" for k, r in found.composition.items()]
        lines.append(f"The score in this window is {', '.join(parts)} {'bases' if max(found.composition) > 1 else 'base'}.")
    if found.tss is not None:
        lines.append(compare_tss(found))
    return lines


def _window(upstream: int, downstream: int) -> str:
    return f"{upstream:,} bp upstream and {downstream:,} bp downstream of the anchor"


def _reason(found: ExpressionFindings) -> str:
    chosen, kinds = found.chosen, "levels and contrasts" if np.isfinite(found.windows["contrasts"]).any() else "levels"
    best = found.windows.loc[found.windows["levels"].fillna(-np.inf).idxmax()]
    return (
        f"It is the smallest that contains every window whose r for {kinds} is at most {TOLERANCE} below the best. For levels, "
        f"its r is {number(chosen['levels'])}; the best is {number(best['levels'])}, with {_sides(best)}."
    )


def _smallest(found: ExpressionFindings) -> list[str]:
    """Return what the smallest useful window is, if it is not the recommended one."""
    smallest, best = found.smallest, found.best
    if smallest["recommended"]:
        return []
    return [
        f"At the least, windows need {_sides(smallest)}: the smallest whose score, {number(smallest['score'])}, is at most "
        f"{TOLERANCE} or a standard error below the best, {number(best['score'])}."
    ]


def _sides(row: pd.Series) -> str:
    return f"{row['upstream']:,} and {row['downstream']:,} bp"


def compare_tss(found: ExpressionFindings) -> str:
    """Return which source of TSSs predicts better."""
    assert found.tss is not None
    measured, annotated, error = found.tss.measured, found.tss.annotated, found.tss.error
    text = f"Around measured TSSs the score is {number(measured)}, around annotated 5' ends {number(annotated)}"
    genes = f" ({count(found.tss.n_train)} training and {count(found.tss.n_val)} validation genes that have both)"
    if abs(measured - annotated) <= max(error, TOLERANCE):
        return f"{text}{genes}: it makes no difference."
    return f"{text}{genes}: use windows.anchor {'tss' if measured > annotated else 'start'}."


def coverage_lines(found: CoverageFindings) -> list[str]:
    """Return the recommendation for a coverage run, a sentence or two a line."""
    best = found.windows["score"].max()
    lines = [f"A window of {found.length:,} bp has {found.bins:,} bins of {found.bin_size} bp."]
    if np.isnan(best) or best < NOTHING:
        lines.append(
            f"Words around bins do not predict coverage (best r {number(best, 2)}): check the tracks and their assembly."
        )
    else:
        needed = max((found.context - found.bin_size) // 2, 0)
        text = f"Bins need {found.context:,} bp of sequence around them (best r = {number(best, 2)})"
        lines.append(
            f"{text}: targets.crop {found.crop} gives the outermost bins enough."
            if found.crop >= needed
            else f"{text}, but the outermost ones have only {found.crop} bp beyond them: raise targets.crop to {needed}."
        )
    if not found.hints:
        lines.append("Nothing about the tracks is unusual.")
    return lines


def write_expression_advice(found: ExpressionFindings, baseline: BaselineSection, seq_length: int | None) -> str:
    """Return advice.yaml for an expression run.

    Parameters
    ----------
    found: ExpressionFindings
    baseline: BaselineSection
        Its window is shortened where it would exceed the recommended one.
    seq_length: int, optional
        Window length in the parameter file, which is overridden if it differs.
    """
    lines = [*expression_lines(found), *found.labels.hints]
    if found.predicts_nothing:
        return _commented(lines) + _NO_ADVICE
    advice: dict[str, object] = {"windows": {"upstream": found.upstream, "downstream": found.downstream}}
    ends = {"upstream": found.upstream, "downstream": found.downstream}
    shortened = {side: end for side, end in ends.items() if (getattr(baseline, side) or 0) > end}
    if shortened:
        advice["evaluate"] = {"baseline": shortened}
    if seq_length is not None and seq_length != found.length:
        advice["model"] = {"overrides": {"model.seq_length": found.length}}
    return _commented(lines) + yaml.safe_dump(advice, sort_keys=False)


def write_coverage_advice(found: CoverageFindings) -> str:
    """Return advice.yaml for a coverage run; only comments if there is nothing to advise."""
    advice = yaml.safe_dump({"targets": {"clip_pct": CLIP_PCT}}) if found.is_extreme else _NO_ADVICE
    return _commented([*coverage_lines(found), *found.hints]) + advice


def _commented(lines: list[str]) -> str:
    head = "Written by scout. Use it after your own configuration: snakemake --configfile config/mine.yaml <this file>"
    return "".join(textwrap.indent(textwrap.fill(line, _WIDTH), "# ") + "\n" for line in (head, *lines))
