# Names, paths and resources that the rules share.
import os
import shlex
from urllib.parse import urlsplit

from cisnake.data.matrix import matrix_files
from cisnake.report import score_lines

R = f"results/{config['run']['name']}"
# Programs read this file. Jobs do not depend on the file, only on the keys that affect their output (`settings`).
CONFIG_FILE = (configuration.store if workflow.is_main_process else configuration.config_path)(config, f"{R}/config")
SEED = config["run"]["seed"]
SIMULATED = "simulate" in config["genome"]
COVERAGE_RUN = config["targets"]["kind"] == "coverage"
# Windows of genes. In coverage runs, which are trained on tiles of the genome, they are in a separate file.
GENES_H5 = f"{R}/genes.h5" if COVERAGE_RUN else f"{R}/dataset.h5"

FOLDS = range(config["splits"].get("folds", 1))
REPLICATES = range(config["train"]["replicates"])
CONTRASTS = list(config["attribution"]["contrasts"])
SHARDS = [f"{i:04d}" for i in range(config["attribution"]["n_shards"])]

THREADS = config["resources"]["threads"]
GPUS = config["resources"]["gpus"]
NODES = config["resources"]["nodes"]
# One process per node, started by srun inside the job. Only with `mpi` set does Snakemake leave the number of tasks to srun.
MULTI_NODE = {"nodes": NODES, "tasks": NODES, "tasks_per_gpu": 0, "mpi": "srun"} if NODES > 1 else {}


wildcard_constraints:
    fold=r"\d+",
    replicate=r"\d+",
    shard=r"\d{4}",
    split="val|test",
    contrast="|".join(CONTRASTS),
    key="|".join(key for _, key in configuration.SOURCES),
    name="[^/]+",
    track="[^/]+",
    head=r"head\w+",


def source(section, key, simulated=None):
    """Return the path of an input: the user's file, a download, or the simulated file; [] if there is none."""
    value = config[section].get(key)
    if SIMULATED and simulated:
        return f"{R}/inputs/{simulated}"
    if isinstance(value, dict):
        return f"{R}/inputs/{key}/{Path(urlsplit(value['url']).path).name}"
    return value or []


GENOME = source("genome", "fasta", "genome.fa")
# Regions are the units of a run in the place of genes.
GTF = source("annotation", "gtf", "genes.gtf") or source("regions", "file")
TSS_BED = source("annotation", "tss_bed")
CELLS = source("targets", "cells")
CELL_TABLE = source("targets", "cell_table")
MATRIX = f"{R}/inputs/pseudobulks.h5ad" if CELLS else source("targets", "matrix", "expression.tsv")


def name_files(path):
    """Return the files with the row and column names of a Matrix Market file; [] for other formats and for missing files."""
    return [str(file) for file in matrix_files(path)[1:]] if path and os.path.isfile(path) else []


MATRIX_NAMES, CELL_NAMES = name_files(MATRIX), name_files(CELLS)
TASKS = source("targets", "tasks", "tasks.tsv")
SPLIT_TABLE = source("splits", "genes")
SPLIT_REGIONS = source("splits", "regions")
VCF = source("variants", "vcf", "variants.vcf")
EXPLAINED = VCF and config["variants"]["explained"] > 0
# Predictions are added as layers to the AnnData file of the measurements, if there is one.
EXPORT = f"{R}/predictions.h5ad" if str(MATRIX).endswith(".h5ad") else []
# Further data sets on which the network is trained; data folders of Basenji are converted first.
HEADS = {head["name"]: head["dataset"] for head in config["train"]["heads"]}
FOLDERS = {head: folder for head, folder in HEADS.items() if os.path.isdir(folder)}
HEAD_DATASETS = [f"{R}/heads/{head}.h5" if head in FOLDERS else path for head, path in HEADS.items()]
REMOTE = {key: config[section][key] for section, key in configuration.SOURCES if isinstance(config[section].get(key), dict)}
MOTIFS = f"{R}/inputs/motifs.meme"
MOTIF_FILE = [] if config["motifs"]["source"].startswith(configuration.DATABASE) else config["motifs"]["source"]
# Only in runs on the expression of genes do measurements tell where a factor is expressed.
ON_EXPRESSION = config["targets"]["kind"] == "expression" and not config["regions"].get("file")
PATTERNS = config["motifs"]["patterns"]["discover"]
GENE_LIST = [] if config["attribution"]["genes"] in configuration.GENES else config["attribution"]["genes"]
CHECKED_GENES = f"{R}/genes_to_attribute.txt" if GENE_LIST else []

TRAINED = configuration.given_networks(config)
UNMEASURED = configuration.unmeasured(config)
PRETRAINED = configuration.pretrained(config)
# Digest of the parameters themselves, so that moving their file does not trigger training.
NETWORK = configuration.network_digest(config)
WORDS = configuration.uses_words(config)
# With words, the models that a run uses are made of all networks of a fold together.
NETWORKS = f"{R}/networks" if WORDS else f"{R}/models"
LEARNED = configuration.learned_contrasts(config)
MODELS = [f"{R}/models/fold_{fold}/replicate_{replicate}/model.keras" for fold in FOLDS for replicate in REPLICATES]
FACTORS = f"{R}/motifs/factors.tsv" if ON_EXPRESSION and not UNMEASURED else []
HELD_OUT = "test" if "test" in config["evaluate"]["splits"] else "val"
EVALUATION_FILES = ("summary.json", "tasks.tsv", "contrasts.tsv", "genes.tsv", "predictions.h5ad")
RECOVERY = f"{R}/recovery.json" if SIMULATED else []
BROWSER = expand(f"{R}/browser/{{name}}", name=["hub.txt", "genomes.txt", "trackDb.txt", "igv_session.xml"])
CARDS = expand(f"{R}/report_data/{{contrast}}", contrast=CONTRASTS if config["report"]["all_genes"] else [])


# Params that do not affect the result are functions of `output`: Snakemake does not rerun jobs when these change.
def scripts(wildcards, output):
    """Return the folder of the programs."""
    return str(SCRIPTS)


def config_file(wildcards, output):
    """Return the path of the completed configuration."""
    return str(CONFIG_FILE)


def tracks_table(wildcards, output):
    """Return the path of the table of tracks of a coverage run."""
    return config["targets"].get("tracks", "")


def models_folder(wildcards, input):
    """Return the folder of the trained networks, instead of a long list of files."""
    return str(Path(input.models[0]).parents[2])


def given_network(wildcards):
    """Return the file of a network that was trained elsewhere: those of fold 0 come first."""
    return TRAINED[int(wildcards.fold) * len(REPLICATES) + int(wildcards.replicate)]


def converted_tracks(wildcards, output):
    """Return the folder of the BigWigs converted from tracks in other formats."""
    return f"{R}/tracks"


def launcher(wildcards, output):
    """Return the command that launches training on several nodes."""
    return MULTI_NODE.get("mpi", "")


def optional(flag, name):
    """Return a function that gives a command-line option for an optional input. Snakemake compares the input itself."""

    def option(wildcards, input, output):
        return f"{flag} {shlex.quote(str(input.get(name)))}" if input.get(name) else ""

    return option


def head_options(wildcards, input, output):
    """Return the command-line options for further data sets, and for the network with all heads."""
    return f"--head-datasets {shlex.join(input.heads)} --output-heads {output.heads}" if HEADS else ""


def head_files(wildcards):
    """Return the files of a data folder that change whenever it is written again."""
    names = ("statistics.json", "sequences.bed", "targets.txt")
    return [path for path in (f"{FOLDERS[wildcards.head]}/{name}" for name in names) if os.path.exists(path)]


def settings(program):
    """Return the settings that determine the output of a program; its jobs rerun only if these change."""
    return configuration.canonical(configuration.deciding(config, program))


def remote_url(wildcards):
    """Return the URL of a remote input."""
    return REMOTE[wildcards.key]["url"]


def remote_sha256(wildcards):
    """Return the SHA-256 of a remote input."""
    return REMOTE[wildcards.key]["sha256"]


def network_memory(wildcards, input, attempt):
    """Return the memory of a job that runs a network: a base plus each data set (training caches up to 2 GB per split)."""
    datasets = [input.dataset, *input.get("heads", [])]
    return attempt * (config["resources"]["mem_mb"] + sum(min(int(8 * megabytes(path)), 6000) for path in datasets))


def ridge_memory(wildcards, input, attempt):
    """Return the memory of a job that fits k-mer ridges: a few matrices of genes by words."""
    return attempt * (4000 + min(int(20 * megabytes(input.dataset)), 12000))


def table_memory(wildcards, input, attempt):
    """Return the memory of a job that loads tables; genomes, attributions and hits are streamed and need none."""
    streamed = (".h5", ".bw", ".bigwig", ".bigWig", "hits.tsv", "effects.tsv")
    held = [path for path in besides_genome(input) if not str(path).endswith(streamed)]
    return attempt * (2000 + int(5 * sum(map(megabytes, held))))


def scout_memory(wildcards, input, attempt):
    """Return the memory of a job that counts words in windows around genes; 2 GB hold 20,000 genes."""
    return table_memory(wildcards, input, attempt) + 2000 * attempt


def besides_genome(input):
    """Return the inputs without the genome, which is read by region."""
    return [path for path in input if str(path) != str(input.get("genome", ""))]


def pattern_memory(wildcards, attempt):
    """Return the memory of a job that discovers patterns, in at most 40 million bases."""
    return attempt * 4000


def cells_memory(wildcards, input, attempt):
    """Return the memory of a job that streams the counts of cells and holds their annotations and the sums."""
    return attempt * (4000 + int(sum(map(megabytes, input)) / 2))


def import_memory(wildcards, attempt):
    """Return the memory of a job that converts a data folder, in pieces of 64 MB."""
    return attempt * 4000


def import_time(wildcards, attempt):
    """Return the time limit in minutes of a job that decompresses all records of a data folder three times."""
    records = Path(FOLDERS[wildcards.head], "tfrecords").glob("*.tfr")
    return attempt * (30 + int(sum(map(megabytes, records)) / 600))


def megabytes(path):
    """Return the size of a file in MB; 0 if it does not exist yet."""
    return os.path.getsize(path) / 1e6 if os.path.exists(path) else 0


def training_time(wildcards, attempt):
    """Return the time limit of training in minutes."""
    return 720 * attempt


def network_time(wildcards, attempt):
    """Return the time limit in minutes of a job that runs trained networks."""
    return 240 * attempt


def table_time(wildcards, input, attempt):
    """Return the time limit in minutes of a job that reads its input a few times; a motif scan takes 1 s per 100 kB."""
    return attempt * (30 + int(sum(map(megabytes, besides_genome(input))) / 3))


def show_scores():
    """Print the path of the report and the main scores."""
    try:
        for line in score_lines(Path(R), HELD_OUT):
            logger.info(line)
    except InputError as error:
        logger.error(error)
