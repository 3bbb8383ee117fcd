# What the rules of a coverage run share: its tracks, and functions of them.

DATA_DIR = config["run"].get("data_dir", ".")
# The table that was checked, without a look for thousands of files again.
TRACKS = configuration.known_tracks(config["targets"]["tracks"], DATA_DIR).set_index("identifier")
if not Path(DATA_DIR).is_absolute():
    # As the user gave them: a run that is moved with its data is not made anew.
    TRACKS["file"] = [os.path.relpath(file) for file in TRACKS["file"]]
BIGWIGS = [track.file if track.format == "bigwig" else f"{R}/tracks/{name}.bw" for name, track in TRACKS.iterrows()]
# What decides the labels: another description of a track is no reason to read it again.
LABEL_COLUMNS = ["clip", "clip_soft", "scale", "sum_stat", "strand_pair"]
LABELS = configuration.canonical(TRACKS[LABEL_COLUMNS].to_csv())
EXONS = GTF if config["targets"]["gene_score"]["region"] == "exons" else []


def windows_table(wildcards):
    """The table of a file's windows: tiles to train on, or genes."""
    return f"{R}/tiles.tsv" if wildcards.windows == "dataset" else f"{R}/genes.tsv"


def gene_score(wildcards):
    """What is a gene's own of its window; of a tile nothing is."""
    return configuration.canonical(config["targets"]["gene_score"]) if wildcards.windows == "genes" else ""


def gene_bins(wildcards, output):
    """The option that asks for a gene's own bins."""
    return "--gene-bins" if wildcards.windows == "genes" else ""


def exons(wildcards):
    """The annotation, where exons are a gene's own."""
    return EXONS if wildcards.windows == "genes" else []


def track_file(wildcards):
    """The file that a BigWig is made from."""
    return TRACKS.loc[wildcards.track, "file"]


def track_settings(wildcards):
    """What that file is, and what is counted of it: another description of the track is no reason to count again."""
    track = TRACKS.loc[wildcards.track]
    return configuration.canonical([track["format"], configuration.counting(track, config["targets"]["count"])])


def track_memory(wildcards, input, attempt):
    """Memory of a job that counts reads: places of their ends, sorted."""
    return attempt * (3000 + int(0.3 * megabytes(input.track)))


def coverage_time(wildcards, input, attempt):
    """Minutes of a job that reads tracks once or twice, a week at most."""
    return attempt * min(60 + int(sum(map(megabytes, input)) / 100), 10080)


def coverage_memory(wildcards, threads, attempt):
    """Memory of a job that reads tracks in bounded pieces, one in each process."""
    return attempt * (2000 + 1000 * threads)
