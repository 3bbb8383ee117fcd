"""Pictures and sentences of explained variants: which motifs are named, and what the page shows."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from cisnake.files import write_table
from cisnake.report import results as module
from cisnake.report.page import document, explained_variants
from cisnake.variants import Explanations, write_explanations

from .test_document import CONFIG, Structure

VARIANT = {
    "variant_id": "v<0>", "chrom": "chr1", "start": 1233, "end": 1234, "ref": "A", "alt": "G", "gene_id": "Y0000W",
    "status": "ok", "from_tss": -50, "task": "liver", "effect_mean": -0.41, "effect_sd": 0.1, "q_value": 0.01, "strand": "-",
}  # fmt: skip


def change(name, kind, verdict="", p=(1e-6, 1e-2), columns=(4, 10), variant=VARIANT):
    named = ("variant_id", "chrom", "start", "end", "ref", "alt", "gene_id", "task", "effect_mean")
    return {
        **{key: variant[key] for key in named},
        "q_value": 0.01, "motif_id": name, "motif_name": name, "change": kind, "ref_score": 9.0, "alt_score": 2.0,
        "score_difference": -7.0, "threshold": 8.0, "ref_p_value": p[0], "alt_p_value": p[1],
        "allele": "ref" if kind in ("lost", "weakened") else "alt", "site_start": 1230, "site_end": 1236, "strand": "-",
        "matched_seq": "GATAAG", "first_column": columns[0], "last_column": columns[1], "verdict": verdict,
    }  # fmt: skip


def named(*changes):
    return explained_variants.choose_named(explained_variants.rank_motif_changes(pd.DataFrame(changes)))


def test_motifs_that_explain_the_direction_come_first_then_better_matches():
    changes = [
        change("best", "lost", p=(1e-9, 1)),
        change("inert", "lost", "c: inert; d: sites_only", p=(1e-8, 1)),
        change("against", "lost", "c: lowers", p=(1e-8, 1)),
        change("with_gain", "gained", "c: inert; d: lowers", p=(1, 1e-4)),
        change("with_loss", "weakened", "c: raises", p=(1e-5, 1e-4)),
    ]
    ranked = explained_variants.rank_motif_changes(pd.DataFrame(changes))
    assert ranked["motif_name"].tolist() == ["with_loss", "with_gain", "against", "best", "inert"]
    risen = [{**row, "effect_mean": 0.41} for row in changes]
    assert explained_variants.rank_motif_changes(pd.DataFrame(risen))["motif_name"].tolist()[0] == "against"


def test_one_name_stands_for_motifs_at_the_same_place_and_acting_motifs_for_all():
    family = [change("a", "lost"), change("b", "lost", p=(1e-7, 1), columns=(6, 12)), change("c", "lost", columns=(9, 15))]
    assert named(*family)["motif_name"].tolist() == ["b"], "a and c share half of the bases of b"
    assert named(*family, change("d", "gained", columns=(6, 12)))["motif_name"].tolist() == ["b", "d"], "in the other allele"
    apart = [change(f"m{i}", "lost", columns=(10 * i, 10 * i + 6)) for i in range(5)]
    assert named(*apart)["motif_name"].tolist() == ["m0", "m1", "m2"]
    assert named(*apart, change("acts", "lost", "liver: raises", p=(1e-4, 1)))["motif_name"].tolist() == ["acts"]


def test_sentences_name_what_is_destroyed_and_created():
    def sentence(*changes, **told):
        rows = named(*changes) if changes else named(change("a", "lost")).iloc[:0]
        return explained_variants.describe_variant({**VARIANT, **told}, "HBB", rows)

    start = "chr1:1234 A>G lowers liver by 0.41 in HBB (q = 0.010)"
    assert sentence(change("GATA1", "lost")) == f"{start}: it destroys a site of GATA1."
    both = sentence(change("GATA1", "weakened", "any: raises; liver: raises"), change("TAL1", "gained", "any: lowers"))
    assert both == (
        f"{start}: it weakens a site of GATA1 (probes: raises any, raises liver) and creates a site of TAL1 "
        "(probes: lowers any)."
    )
    assert sentence() == f"{start}. It changes no match of a known motif."
    assert sentence(effect_mean=0.5, q_value=np.nan).startswith("chr1:1234 A>G raises liver by 0.50 in HBB. It")
    assert "A>TTTTTTTTTTTTTTTTTTT… " in sentence(alt="T" * 30)


def explanations(n_columns=21, **told):
    """Return an insertion of two bases at columns 10 and 11, with one unused column at the end."""
    rng = np.random.default_rng(0)
    codes = np.tile(rng.integers(0, 4, n_columns).astype(np.int8), (1, 2, 1))
    codes[..., -1] = codes[0, 0, 10:12] = -1
    genome = np.concatenate([np.arange(1250, 1240, -1), [-1, -1], np.arange(1240, 1232, -1), [-1]])[None]
    mutagenesis = np.full((1, 2, n_columns, 4), np.nan, np.float32)
    mutagenesis[:, :, 5:15] = rng.normal(0, 0.1, (1, 2, 10, 4))
    attributions = np.where(codes >= 0, rng.normal(0, 0.1, codes.shape), np.nan).astype(np.float32)
    table = pd.DataFrame([{**VARIANT, **told}])
    return Explanations(table, genome, np.array([[10, 12]]), codes, attributions, mutagenesis)


def genes():
    return pd.DataFrame({"gene_id": ["Y0000W"], "gene_name": ["HBB"]})


def test_both_logos_are_on_one_scale_and_the_axis_skips_inserted_bases():
    (shown,) = explained_variants.show_explained(explanations(), pd.DataFrame([change("GATA1", "lost")]), genes())
    ref, alt = shown["logos"]
    zero = [re.search(r'<line x1="0" x2="\d+" y1="([\d.]+)"', logo)[1] for logo in (ref, alt)]
    assert float(zero[0]) - float(zero[1]) == 13, "only the names above REF take space"
    assert "GATA1 lost" in ref and "GATA1" not in alt
    assert ref.count(">-</text>") == 2 and alt.count(">-</text>") == 0
    assert len({re.search(r'viewBox="(\S+ \S+ \S+)', picture)[1] for picture in (*shown["logos"], *shown["heat"])}) == 1
    ticks = re.findall(r'<text x="([\d.]+)" y="55" text-anchor="middle">([\d,]+)</text>', shown["heat"][1])
    assert ticks == [(str(12.5 * 9), "1,240")]
    assert "1,240" not in shown["heat"][0] and shown["alleles"] == ["A", "G"] and not shown["unsure"]


@pytest.fixture
def explained(results):
    variant = {**VARIANT, "q_value": 0.5}
    write_explanations(explanations(q_value=0.5), results / "variants/explanations.h5")
    changes = pd.DataFrame([change(f"<m{i}>", "lost", variant=variant) for i in range(15)])
    write_table(changes, results / "variants/motif_changes.tsv")
    return results


def test_the_page_shows_pictures_and_says_what_may_be_chance(explained):
    text = document.write_report(explained, explained / "inputs/motifs.meme", "A run", n_genes=2)
    assert not Structure(text).errors
    assert "Why do they act?" in text and "no more than chance: q &gt; 0.1" in text
    assert "it destroys a site of &lt;m0&gt;." in text and "<m0>" not in text
    assert "15 changed matches of motifs" in text and "The first 12; all are in" in text
    assert text.count("Attribution logo with REF of v&lt;0&gt;") == 1


def test_explanations_that_are_not_configured_are_left_out(explained):
    for setting, shown in ((20, True), (0, False)):
        config = CONFIG | {"variants": {"vcf": "v.vcf", "explained": setting}, "evaluate": {"splits": ["test"]}}
        read = module.read_results(explained, config).variants
        assert (read.explanations is not None) == (read.motif_changes is not None) == shown
    (explained / "variants/explanations.h5").unlink()
    text = document.write_report(explained, explained / "inputs/motifs.meme", "A run", n_genes=2)
    assert "Why do they act?" not in text and not Structure(text).errors
