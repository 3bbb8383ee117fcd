"""What all pages share: templates, number formats and constants."""

from __future__ import annotations

from pathlib import Path

import jinja2

from cisnake.evaluate import NOT_TO_INTERPRET
from cisnake.report import logos
from cisnake.report.page import programs
from cisnake.report.page.trust import MAX_CONTRASTS
from cisnake.report.thresholds import ENRICHED_Q, SURE_Q
from cisnake.report.words import count, number, share, signed

TEMPLATES = Path(__file__).parent / "templates"


def html_environment() -> jinja2.Environment:
    """Return the environment of the templates of pages, with the filters num, count, share and signed."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=number, count=count, share=share, signed=signed)
    environment.globals.update(
        policy=programs.POLICY,
        embed_programs=programs.embed_programs,
        embed_libraries=programs.embed_libraries,
        embed_igv_style=programs.embed_igv_style,
        definitions=logos.definitions(),
        colours=logos.COLOURS,
        enriched_q=ENRICHED_Q,
        not_to_interpret=NOT_TO_INTERPRET,
        max_contrasts=MAX_CONTRASTS,
        sure_q=SURE_Q,
    )
    return environment
