# Names, paths and resources that the rules share.
import os
import shlex
from urllib.parse import urlsplit

from cisnake.data.matrix import matrix_files

R = f"results/{config['run']['name']}"
# Programs read it; jobs depend on the keys that count for them alone (`settings`), and not on the file.
CONFIG_FILE = (configuration.store if workflow.is_main_process else configuration.config_path)(config, f"{R}/config")
SEED = config["run"]["seed"]
SIMULATED = "simulate" in config["genome"]
COVERAGE_RUN = config["targets"]["kind"] == "coverage"
# What is asked per gene is asked of windows around genes; where tiles of the genome are trained on, those are a file of their own.
GENES_H5 = f"{R}/genes.h5" if COVERAGE_RUN else f"{R}/dataset.h5"

FOLDS = range(config["splits"].get("folds", 1))
REPLICATES = range(config["train"]["replicates"])
CONTRASTS = list(config["attribution"]["contrasts"])
SHARDS = [f"{i:04d}" for i in range(config["attribution"]["n_shards"])]

THREADS = config["resources"]["threads"]
GPUS = config["resources"]["gpus"]
NODES = config["resources"]["nodes"]
# One process a node, started by srun inside the job; only then does Snakemake leave the number of tasks to it.
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


def source(section, key, simulated=None):
    """Path of an input: the user's file, where a remote one is put, or the simulated one. Empty list: there is none."""
    value = config[section].get(key)
    if SIMULATED and simulated:
        return f"{R}/inputs/{simulated}"
    if isinstance(value, dict):
        return f"{R}/inputs/{key}/{Path(urlsplit(value['url']).path).name}"
    return value or []


GENOME = source("genome", "fasta", "genome.fa")
GTF = source("annotation", "gtf", "genes.gtf")
TSS_BED = source("annotation", "tss_bed")
CELLS = source("targets", "cells")
CELL_TABLE = source("targets", "cell_table")
MATRIX = f"{R}/inputs/pseudobulks.h5ad" if CELLS else source("targets", "matrix", "expression.tsv")


def name_files(path):
    """Files beside a Matrix Market file that name its rows and columns; none beside another file, or one not here yet."""
    return [str(file) for file in matrix_files(path)[1:]] if path and os.path.isfile(path) else []


MATRIX_NAMES, CELL_NAMES = name_files(MATRIX), name_files(CELLS)
TASKS = source("targets", "tasks", "tasks.tsv")
SPLIT_TABLE = source("splits", "genes")
VCF = source("variants", "vcf", "variants.vcf")
# Predictions go back to where measurements came from, if that has room for layers.
EXPORT = f"{R}/predictions.h5ad" if str(MATRIX).endswith(".h5ad") else []
REMOTE = {key: config[section][key] for section, key in configuration.SOURCES if isinstance(config[section].get(key), dict)}
MOTIFS = f"{R}/inputs/motifs.meme"
MOTIF_FILE = [] if config["motifs"]["source"].startswith(configuration.DATABASE) else config["motifs"]["source"]
PATTERNS = config["motifs"]["patterns"]["discover"]
GENE_LIST = [] if config["attribution"]["genes"] in configuration.GENES else config["attribution"]["genes"]

PRETRAINED = configuration.pretrained(config)
# Of the parameters themselves: where their file lies is no reason to train again.
NETWORK = configuration.network_digest(config)
MODELS = [f"{R}/models/fold_{fold}/replicate_{replicate}/model.keras" for fold in FOLDS for replicate in REPLICATES]
HELD_OUT = "test" if "test" in config["evaluate"]["splits"] else "val"
RECOVERY = f"{R}/recovery.json" if SIMULATED else []
BROWSER = expand(f"{R}/browser/{{name}}", name=["hub.txt", "genomes.txt", "trackDb.txt", "igv_session.xml"])


# What a command needs and its result does not depend on is a function of the output: such params are no reason to run again.
def scripts(wildcards, output):
    """Folder of the programs, wherever the repository lies."""
    return str(SCRIPTS)


def config_file(wildcards, output):
    """The completed configuration."""
    return str(CONFIG_FILE)


def tracks_table(wildcards, output):
    """The table of tracks of a coverage run."""
    return config["targets"].get("tracks", "")


def models_folder(wildcards, input):
    """Folder of the trained networks: one name, however many they are."""
    return str(Path(input.models[0]).parents[2])


def converted_tracks(wildcards, output):
    """Folder of the BigWigs that are made from tracks of other formats."""
    return f"{R}/tracks"


def launcher(wildcards, output):
    """What starts a training on several nodes."""
    return MULTI_NODE.get("mpi", "")


def optional(flag, name):
    """An option of a command for an input that a run may have or not; the inputs themselves are what is compared."""

    def given(wildcards, input, output):
        return f"{flag} {shlex.quote(str(input.get(name)))}" if input.get(name) else ""

    return given


def settings(program):
    """What of the configuration decides the output of a program: a job runs again when this changes, and only then."""
    return configuration.canonical(configuration.deciding(config, program))


def remote_url(wildcards):
    """Address of a remote input."""
    return REMOTE[wildcards.key]["url"]


def remote_sha256(wildcards):
    """Checksum of a remote input."""
    return REMOTE[wildcards.key]["sha256"]


def network_memory(wildcards, input, attempt):
    """Memory of a job that runs a network: a base, and the data set, of which training keeps two gigabytes a split at most."""
    return attempt * (config["resources"]["mem_mb"] + min(int(8 * megabytes(input.dataset)), 6000))


def table_memory(wildcards, input, attempt):
    """Memory of a job that holds tables; genomes, attributions and hits are streamed, and ask for nothing."""
    streamed = (".h5", ".bw", "hits.tsv", "effects.tsv")
    held = [path for path in besides_genome(input) if not str(path).endswith(streamed)]
    return attempt * (2000 + int(5 * sum(map(megabytes, held))))


def besides_genome(input):
    """Inputs but the genome, of which regions are read: whatever its suffix is."""
    return [path for path in input if str(path) != str(input.get("genome", ""))]


def pattern_memory(wildcards, attempt):
    """Memory of a job that looks for patterns, of 40 million bases at most."""
    return attempt * 4000


def cells_memory(wildcards, input, attempt):
    """Memory of a job that streams the counts of cells: their annotations, and the sums."""
    return attempt * (4000 + int(sum(map(megabytes, input)) / 2))


def megabytes(path):
    """Size of a file, 0 where it is not there yet."""
    return os.path.getsize(path) / 1e6 if os.path.exists(path) else 0


def training_time(wildcards, attempt):
    """Minutes of a training."""
    return 720 * attempt


def network_time(wildcards, attempt):
    """Minutes of a job that asks trained networks."""
    return 240 * attempt


def table_time(wildcards, input, attempt):
    """Minutes of a job that reads its input a few times; a motif scan takes a second for some 100 kB of attributions."""
    return attempt * (30 + int(sum(map(megabytes, besides_genome(input))) / 3))
