# The tracks of a coverage run, and helper functions for its rules.

DATA_DIR = config["run"].get("data_dir", ".")
# Cached from the check of the configuration, to avoid another search for thousands of files.
TRACKS = configuration.known_tracks(config["targets"]["tracks"], DATA_DIR).set_index("identifier")
if not Path(DATA_DIR).is_absolute():
    # Relative paths, as in the table: a run that is moved together with its data is not repeated.
    TRACKS["file"] = [os.path.relpath(file) for file in TRACKS["file"]]
BIGWIGS = [track.file if track.format == "bigwig" else f"{R}/tracks/{name}.bw" for name, track in TRACKS.iterrows()]
# Columns that affect the labels. A change in other columns, such as the description, does not trigger a rerun.
LABEL_COLUMNS = ["clip", "clip_soft", "scale", "sum_stat", "strand_pair"]
LABELS = configuration.canonical(TRACKS[LABEL_COLUMNS].to_csv())
EXONS = GTF if config["targets"]["gene_score"]["region"] == "exons" else []


def windows_table(wildcards):
    """Return the table of windows of a file: tiles for training, or genes."""
    return f"{R}/tiles.tsv" if wildcards.windows == "dataset" else f"{R}/genes.tsv"


def gene_score(wildcards):
    """Return which bins score a gene, as text; empty for tiles."""
    return configuration.canonical(config["targets"]["gene_score"]) if wildcards.windows == "genes" else ""


def gene_bins(wildcards, output):
    """Return the option that stores the bins of each gene; empty for tiles."""
    return "--gene-bins" if wildcards.windows == "genes" else ""


def exons(wildcards):
    """Return the annotation if genes are scored over their exons; empty otherwise."""
    return EXONS if wildcards.windows == "genes" else []


def track_file(wildcards):
    """Return the file from which a BigWig is made."""
    return TRACKS.loc[wildcards.track, "file"]


def track_settings(wildcards):
    """Return the format of a track and its count settings; a change in its description does not trigger a rerun."""
    track = TRACKS.loc[wildcards.track]
    return configuration.canonical([track["format"], configuration.counting(track, config["targets"]["count"])])


def track_memory(wildcards, input, attempt):
    """Return the memory of a job that counts reads and sorts the positions of their ends."""
    return attempt * (3000 + int(0.3 * megabytes(input.track)))


def coverage_time(wildcards, input, attempt):
    """Return the time limit in minutes of a job that reads tracks once or twice; at most a week."""
    return attempt * min(60 + int(sum(map(megabytes, input)) / 100), 10080)


def coverage_memory(wildcards, threads, attempt):
    """Return the memory of a job that reads tracks in pieces of limited size, one per process."""
    return attempt * (2000 + 1000 * threads)
