"""Requirements of the Snakemake workflow catalogue for repositories with usage instructions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
USAGE: dict[str, Any] = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]


def test_the_catalogue_finds_the_workflow() -> None:
    # If a folder `workflow` exists, the catalogue searches for the Snakefile only there.
    included = re.findall(r'^include: "(.*)"$', (ROOT / "workflow" / "Snakefile").read_text(), flags=re.MULTILINE)
    assert [(ROOT / "workflow" / path).resolve() for path in included] == [ROOT / "Snakefile"]
    assert list((ROOT / "workflow" / "rules").glob("*.smk"))
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert "config/README.md" in USAGE["mandatory-flags"]["desc"] and (ROOT / "config" / "README.md").is_file()


def test_the_catalogue_states_the_software_deployment() -> None:
    assert set(USAGE) == {"mandatory-flags", "software-stack-deployment", "report"}
    # There is no container.
    assert USAGE["software-stack-deployment"] == {"conda": True}
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert rules.count("conda:") == rules.count("shell:") > 10
    assert USAGE["report"] is True and "report(" in rules


def test_the_catalogue_names_a_configuration_as_the_documentation_does() -> None:
    flags = USAGE["mandatory-flags"]["flags"]
    assert flags in (ROOT / "config" / "README.md").read_text() and flags in (ROOT / "README.md").read_text()
