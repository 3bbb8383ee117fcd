import sys

from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.19")


include: "workflow/rules/checkout.smk"


SCRIPTS = CHECKOUT / "scripts"
sys.path.insert(0, str(SCRIPTS))

import cisnake
from cisnake import configuration, terminal
from cisnake.errors import InputError

VERSION = cisnake.__version__
LIBRARY = Path(cisnake.__file__).resolve().parent

# Python loads a library once: with two copies of the workflow, one would use the library of the other.
if LIBRARY != (SCRIPTS / "cisnake").resolve():
    logger.error(
        f"cisnake is already loaded from {LIBRARY}: all modules of a Snakefile must use the same copy of this workflow"
    )
    sys.exit(1)

# Only without any configuration: Snakemake would merge the values of the demo into those of the user.
if not config and not workflow.overwrite_configfiles:

    configfile: CHECKOUT / "config" / "demo.yaml"


try:
    config = configuration.prepare(config)
except InputError as error:
    # For an exception Snakemake would also print Python frames.
    logger.error(f"configuration: {error}")
    sys.exit(1)


include: "workflow/rules/common.smk"


rule all:
    input:
        f"{R}/report.html",
        CARDS,
        BROWSER,
        RECOVERY,
        EXPORT,
    localrule: True


include: "workflow/rules/inputs.smk"
include: f"workflow/rules/{'coverage' if COVERAGE_RUN else 'dataset'}.smk"
include: "workflow/rules/scout.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/interpret.smk"
include: "workflow/rules/variants.smk"
include: "workflow/rules/report.smk"


# A workflow that takes these rules as a module prints its own lines: Snakemake calls no hook of a module.
STEPS = terminal.follow(workflow, logger, [R], show_scores) if workflow.modifier.is_main_snakefile() else None


onsuccess:
    show_scores()


onerror:
    for line in terminal.failure_lines(STEPS.failures if STEPS else []):
        logger.error(line)
