# A look at the data before training. No other rule needs its results: snakemake scout --configfile config/mine.yaml


rule scout:
    input:
        BIGWIGS if COVERAGE_RUN else [],
        genome=GENOME,
        gtf=GTF,
        tss_bed=TSS_BED,
        matrix=[] if COVERAGE_RUN else MATRIX,
        names=[] if COVERAGE_RUN else MATRIX_NAMES,
        tasks=[] if COVERAGE_RUN else TASKS,
        splits=SPLIT_TABLE,
        regions=SPLIT_REGIONS,
        tiles=f"{R}/tiles.tsv" if COVERAGE_RUN else [],
        tracks=config["targets"]["tracks"] if COVERAGE_RUN else [],
        blacklist=source("targets", "blacklist"),
        unmappable=source("targets", "unmappable"),
    output:
        page=f"{R}/scout/scout.html",
        advice=f"{R}/scout/advice.yaml",
        windows=f"{R}/scout/windows.tsv",
    log:
        f"{R}/logs/scout.log",
    benchmark:
        f"{R}/benchmarks/scout.tsv"
    conda:
        "../../envs/report.yaml"
    threads: THREADS
    resources:
        mem_mb=scout_memory,
        runtime=table_time,
    params:
        settings=settings("scout"),
        coverage=settings("write_coverage") if COVERAGE_RUN else "",
        contrasts=configuration.canonical(config["attribution"]["contrasts"]),
        network=NETWORK,
        tss_bed=optional("--tss-bed", "tss_bed"),
        matrix=optional("--matrix", "matrix"),
        tasks=optional("--tasks", "tasks"),
        splits=optional("--splits", "splits"),
        regions=optional("--regions", "regions"),
        tiles=optional("--tiles", "tiles"),
        tracks=optional("--tracks", "tracks"),
        converted=converted_tracks,
        blacklist=optional("--blacklist", "blacklist"),
        unmappable=optional("--unmappable", "unmappable"),
        folder=subpath(output[0], parent=True),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/scout.py --config {params.config} --genome {input.genome:q} --gtf {input.gtf:q} "
        "{params.tss_bed} {params.matrix} {params.tasks} {params.splits} {params.regions} {params.tiles} {params.tracks} "
        "--converted {params.converted} {params.blacklist} {params.unmappable} --output {params.folder} --log {log}"
