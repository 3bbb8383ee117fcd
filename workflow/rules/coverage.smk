# Tracks along the genome: tiles to train on, and windows of genes for everything that is asked per gene.

DATA_DIR = config["run"].get("data_dir", ".")
TRACKS = read_tracks(config["targets"]["tracks"], DATA_DIR).set_index("identifier")
if not Path(DATA_DIR).is_absolute():
    # As the user gave them: a run that is moved with its data is not made anew.
    TRACKS["file"] = [os.path.relpath(file) for file in TRACKS["file"]]
BIGWIGS = [track.file if track.format == "bigwig" else f"{R}/tracks/{name}.bw" for name, track in TRACKS.iterrows()]
# What decides the labels: another description of a track is no reason to read it again.
LABEL_COLUMNS = ["file", "format", "clip", "clip_soft", "scale", "sum_stat", "strand_pair", "count", "strand"]
LABELS = TRACKS[LABEL_COLUMNS].to_csv()
EXONS = GTF if config["targets"]["gene_score"]["region"] == "exons" else []


COVERAGE_SETTINGS = {
    "order": config["targets"]["transform_order"],
    "blacklist": source("targets", "blacklist") or None,
    "unmappable": source("targets", "unmappable") or None,
} | {key: config["targets"][key] for key in ("interpolate_nan", "blacklist_quantile", "umap_clip", "missing_chromosome")}


def windows_table(wildcards):
    """The table of a file's windows: tiles to train on, or genes."""
    return f"{R}/tiles.tsv" if wildcards.windows == "dataset" else f"{R}/genes.tsv"


def gene_score(wildcards):
    """What is a gene's own of its window; of a tile nothing is."""
    return as_json(config["targets"]["gene_score"] if wildcards.windows == "genes" else None)


def exons(wildcards):
    """The annotation, where exons are a gene's own."""
    return EXONS if wildcards.windows == "genes" else []


def exons_option(wildcards):
    """The same as an option of the program."""
    return option("--gtf", exons(wildcards))


def tracks_table(wildcards, output):
    """The table of tracks. A function of the output: what counts of it is in `labels`."""
    return config["targets"]["tracks"]


def track_file(wildcards):
    """The file that a BigWig is made from."""
    return TRACKS.loc[wildcards.track, "file"]


def track_format(wildcards):
    """What that file is."""
    return TRACKS.loc[wildcards.track, "format"]


def counting(wildcards):
    """What is counted of that file."""
    return as_json(configuration.counting(TRACKS.loc[wildcards.track], config["targets"]["count"]))


def track_memory(wildcards, input, attempt):
    """Memory of a job that counts reads: places of their ends, sorted."""
    return attempt * (3000 + int(0.3 * megabytes(input.track)))


def coverage_time(wildcards, input, attempt):
    """Minutes of a job that reads tracks once or twice, a week at most."""
    return attempt * min(60 + int(sum(map(megabytes, input)) / 100), 10080)


def coverage_memory(wildcards, threads, attempt):
    """Memory of a job that reads tracks in bounded pieces, one in each process."""
    return attempt * (2000 + 1000 * threads)


rule make_tiles:
    input:
        genome=GENOME,
        gaps=source("tiles", "gaps"),
        limit=source("tiles", "limit"),
        unmappable=source("targets", "unmappable"),
    output:
        tiles=f"{R}/tiles.tsv",
        summary=f"{R}/tiles_summary.json",
    log:
        f"{R}/logs/make_tiles.log",
    benchmark:
        f"{R}/benchmarks/make_tiles.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        gaps=option("--gaps", source("tiles", "gaps")),
        limit=option("--limit", source("tiles", "limit")),
        unmappable=option("--unmappable", source("targets", "unmappable")),
        tiles=as_json({key: value for key, value in config["tiles"].items() if key not in ("gaps", "limit")}),
        splits=as_json(splits_section()),
        seq_len=config["windows"]["upstream"] + config["windows"]["downstream"],
        bin_size=config["targets"]["bin_size"],
        crop=config["targets"]["crop"],
        max_shift=config["windows"]["max_shift"],
        seed=SEED,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/make_tiles.py --genome {input.genome:q} {params.gaps} {params.limit} {params.unmappable} "
        "--tiles {params.tiles:q} --splits {params.splits:q} --seq-len {params.seq_len} --bin-size {params.bin_size} "
        "--crop {params.crop} --max-shift {params.max_shift} --seed {params.seed} "
        "--output {output.tiles} --output-summary {output.summary} --log {log}"


rule check_network:
    input:
        params=config["model"]["params"],
    output:
        f"{R}/network.json",
    log:
        f"{R}/logs/check_network.log",
    benchmark:
        f"{R}/benchmarks/check_network.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    resources:
        mem_mb=config["resources"]["mem_mb"],
        runtime=30,
    params:
        overrides=as_json(config["model"]["overrides"]),
        seq_len=config["windows"]["upstream"] + config["windows"]["downstream"],
        bin_size=config["targets"]["bin_size"],
        crop=config["targets"]["crop"],
        tasks=len(TRACKS),
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/check_network.py --params {input.params:q} --overrides {params.overrides:q} "
        "--seq-len {params.seq_len} --bin-size {params.bin_size} --crop {params.crop} --tasks {params.tasks} "
        "--output {output} --log {log}"


rule select_covered_genes:
    input:
        genome=GENOME,
        gtf=GTF,
        tss_bed=TSS_BED,
        tiles=f"{R}/tiles.tsv",
        tracks=config["targets"]["tracks"],
    output:
        genes=f"{R}/genes.tsv",
        dropped=f"{R}/genes_dropped.tsv",
        summary=f"{R}/genes_summary.json",
        tasks=f"{R}/tasks.tsv",
    log:
        f"{R}/logs/select_covered_genes.log",
    benchmark:
        f"{R}/benchmarks/select_covered_genes.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        tss_bed=option("--tss-bed", TSS_BED),
        data_dir=DATA_DIR,
        gene_score=as_json(config["targets"]["gene_score"]),
        bin_size=config["targets"]["bin_size"],
        crop=config["targets"]["crop"],
        annotation=as_json({key: value for key, value in config["annotation"].items() if key not in ("gtf", "tss_bed")}),
        windows=as_json(config["windows"]),
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/select_covered_genes.py --genome {input.genome:q} --gtf {input.gtf:q} {params.tss_bed} "
        "--tiles {input.tiles} --tracks {input.tracks:q} --data-dir {params.data_dir:q} "
        "--gene-score {params.gene_score:q} --bin-size {params.bin_size} --crop {params.crop} "
        "--annotation {params.annotation:q} --windows {params.windows:q} "
        "--output-genes {output.genes} --output-dropped {output.dropped} --output-summary {output.summary} "
        "--output-tasks {output.tasks} --log {log}"


rule make_track:
    input:
        genome=GENOME,
        track=track_file,
    output:
        f"{R}/tracks/{{track}}.bw",
    log:
        f"{R}/logs/make_track/{{track}}.log",
    benchmark:
        f"{R}/benchmarks/make_track/{{track}}.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=track_memory,
        runtime=coverage_time,
    params:
        format=track_format,
        counting=counting,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/make_track.py --input {input.track:q} --format {params.format} --genome {input.genome:q} "
        "--count {params.counting:q} --output {output:q} --log {log:q}"


rule write_coverage:
    input:
        BIGWIGS,
        source("targets", "blacklist"),
        source("targets", "unmappable"),
        # Before hours of reading, but another network is no reason to read again.
        network=ancient(f"{R}/network.json"),
        windows=windows_table,
        genome=GENOME,
        gtf=exons,
    output:
        f"{R}/{{windows}}.h5",
    log:
        f"{R}/logs/write_coverage/{{windows}}.log",
    benchmark:
        f"{R}/benchmarks/write_coverage/{{windows}}.tsv"
    wildcard_constraints:
        windows="dataset|genes",
    conda:
        "../../envs/genomics.yaml"
    threads: THREADS
    resources:
        mem_mb=coverage_memory,
        runtime=coverage_time,
    params:
        settings=as_json(COVERAGE_SETTINGS),
        data_dir=DATA_DIR,
        table=tracks_table,
        labels=LABELS,
        exons=exons_option,
        converted=f"{R}/tracks",
        bin_size=config["targets"]["bin_size"],
        crop=config["targets"]["crop"],
        clip_pct=config["targets"]["clip_pct"],
        max_shift=config["windows"]["max_shift"],
        folds=len(FOLDS),
        gene_score=gene_score,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/write_coverage.py --windows {input.windows} --genome {input.genome:q} {params.exons} "
        "--tracks {params.table:q} --data-dir {params.data_dir:q} --converted {params.converted} "
        "--settings {params.settings:q} --bin-size {params.bin_size} --crop {params.crop} --clip-pct {params.clip_pct} "
        "--max-shift {params.max_shift} --folds {params.folds} --gene-score {params.gene_score:q} --processes {threads} "
        "--output {output} --log {log}"


rule evaluate_coverage:
    input:
        dataset=f"{R}/dataset.h5",
        gene_windows=GENES_H5,
        genes=f"{R}/genes.tsv",
        tasks=f"{R}/tasks.tsv",
        models=MODELS,
    output:
        summary=f"{R}/evaluation/{{split}}/bins.json",
        tasks=f"{R}/evaluation/{{split}}/bins.tsv",
        examples=f"{R}/evaluation/{{split}}/examples.tsv",
    log:
        f"{R}/logs/evaluate_coverage/{{split}}.log",
    benchmark:
        f"{R}/benchmarks/evaluate_coverage/{{split}}.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: THREADS
    resources:
        mem_mb=network_memory,
        runtime=network_time,
        gpu=min(GPUS, 1),
    params:
        baseline=as_json({key: config["evaluate"]["baseline"][key] for key in ("k", "counts", "alpha")}),
        scripts=scripts,
        batch_size=BATCH_SIZE,
        version=VERSION,
    shell:
        "python {params.scripts:q}/evaluate_coverage.py --dataset {input.dataset} --models {input.models} "
        "--split {wildcards.split} --gene-windows {input.gene_windows} --genes {input.genes} --tasks {input.tasks} --baseline {params.baseline:q} "
        "--batch-size {params.batch_size} --threads {threads} --output-summary {output.summary} "
        "--output-tasks {output.tasks} --output-examples {output.examples} --log {log}"
