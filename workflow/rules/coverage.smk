# Coverage runs: tiles of the genome for training, and windows of genes for everything that is computed per gene.


include: "tracks.smk"


rule make_tiles:
    input:
        genome=GENOME,
        gaps=source("tiles", "gaps"),
        limit=source("tiles", "limit"),
        unmappable=source("targets", "unmappable"),
        regions=SPLIT_REGIONS,
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
        settings=settings("make_tiles"),
        gaps=optional("--gaps", "gaps"),
        limit=optional("--limit", "limit"),
        unmappable=optional("--unmappable", "unmappable"),
        regions=optional("--regions", "regions"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/make_tiles.py --config {params.config} --genome {input.genome:q} {params.gaps} {params.limit} "
        "{params.unmappable} {params.regions} --output {output.tiles} --output-summary {output.summary} --log {log}"


# Priority 1: a network that does not fit is reported before tracks are read for hours.
rule check_network:
    input:
        TRAINED,
    output:
        f"{R}/network.json",
    log:
        f"{R}/logs/check_network.log",
    benchmark:
        f"{R}/benchmarks/check_network.tsv"
    priority: 1
    conda:
        "../../envs/tensorflow.yaml"
    resources:
        mem_mb=config["resources"]["mem_mb"],
        runtime=30,
    params:
        settings=settings("check_network"),
        network=NETWORK,
        tasks=len(TRACKS),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/check_network.py --config {params.config} --tasks {params.tasks} --output {output} --log {log}"


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
        settings=settings("select_covered_genes"),
        tss_bed=optional("--tss-bed", "tss_bed"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/select_covered_genes.py --config {params.config} --genome {input.genome:q} --gtf {input.gtf:q} "
        "{params.tss_bed} --tiles {input.tiles} --tracks {input.tracks:q} --output-genes {output.genes} "
        "--output-dropped {output.dropped} --output-summary {output.summary} --output-tasks {output.tasks} --log {log}"


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
        settings=track_settings,
        table=tracks_table,
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/make_track.py --config {params.config} --tracks {params.table:q} --track {wildcards.track:q} "
        "--genome {input.genome:q} --output {output:q} --log {log:q}"


rule write_coverage:
    input:
        BIGWIGS,
        windows=windows_table,
        blacklist=source("targets", "blacklist"),
        unmappable=source("targets", "unmappable"),
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
        settings=settings("write_coverage"),
        labels=LABELS,
        gene_score=gene_score,
        gene_bins=gene_bins,
        table=tracks_table,
        converted=converted_tracks,
        blacklist=optional("--blacklist", "blacklist"),
        unmappable=optional("--unmappable", "unmappable"),
        exons=optional("--gtf", "gtf"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/write_coverage.py --config {params.config} --windows {input.windows} --genome {input.genome:q} "
        "--tracks {params.table:q} --converted {params.converted} {params.blacklist} {params.unmappable} {params.gene_bins} "
        "{params.exons} --processes {threads} --output {output} --log {log}"


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
        settings=settings("evaluate_coverage"),
        models=models_folder,
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/evaluate_coverage.py --config {params.config} --dataset {input.dataset} --models {params.models} "
        "--split {wildcards.split} --gene-windows {input.gene_windows} --genes {input.genes} --tasks {input.tasks} "
        "--threads {threads} --output-summary {output.summary} --output-tasks {output.tasks} "
        "--output-examples {output.examples} --log {log}"
