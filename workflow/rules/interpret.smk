# Attributions, peaks, and motifs: scanning, enrichment, in-silico probing, pairs and patterns.


if GENE_LIST:

    # Priority 1: a wrong list is reported before training. Training does not depend on the list.
    rule check_genes:
        input:
            genes=f"{R}/genes.tsv",
            dropped=f"{R}/genes_dropped.tsv",
            listed=GENE_LIST,
        output:
            CHECKED_GENES,
        log:
            f"{R}/logs/check_genes.log",
        benchmark:
            f"{R}/benchmarks/check_genes.tsv"
        priority: 1
        conda:
            "../../envs/genomics.yaml"
        resources:
            mem_mb=table_memory,
            runtime=table_time,
        params:
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/check_genes.py --list {input.listed:q} --genes {input.genes} --dropped {input.dropped} "
            "--output {output} --log {log}"


rule attribute_genes:
    input:
        dataset=GENES_H5,
        tasks=f"{R}/tasks.tsv",
        models=MODELS,
        genes=CHECKED_GENES,
    output:
        [f"{R}/attributions/{contrast}/{{shard}}.h5" for contrast in CONTRASTS],
    log:
        f"{R}/logs/attribute_genes/{{shard}}.log",
    benchmark:
        f"{R}/benchmarks/attribute_genes/{{shard}}.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: THREADS
    resources:
        mem_mb=network_memory,
        runtime=network_time,
        gpu=min(GPUS, 1),
    params:
        settings=settings("attribute_genes"),
        genes=optional("--gene-list", "genes"),
        folder=subpath(output[0], ancestor=2),
        models=models_folder,
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/attribute_genes.py --config {params.config} --dataset {input.dataset} --models {params.models} "
        "--tasks {input.tasks} {params.genes} --shard {wildcards.shard} --threads {threads} --output {params.folder} --log {log}"


rule collect_attributions:
    input:
        shards=[f"{R}/attributions/{{contrast}}/{shard}.h5" for shard in SHARDS],
        genome=GENOME,
    output:
        attributions=f"{R}/attributions/{{contrast}}.h5",
        bigwig=f"{R}/attributions/{{contrast}}.bw",
        quality=f"{R}/attributions/{{contrast}}.quality.tsv",
    log:
        f"{R}/logs/collect_attributions/{{contrast}}.log",
    benchmark:
        f"{R}/benchmarks/collect_attributions/{{contrast}}.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        shards=subpath(input[0], parent=True),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/collect_attributions.py --config {params.config} --shards {params.shards} --genome {input.genome:q} "
        "--output {output.attributions} --output-bigwig {output.bigwig} --output-quality {output.quality} --log {log}"


rule call_peaks:
    input:
        f"{R}/attributions/{{contrast}}.h5",
    output:
        tsv=f"{R}/peaks/{{contrast}}.tsv",
        bed=f"{R}/peaks/{{contrast}}.bed",
    log:
        f"{R}/logs/call_peaks/{{contrast}}.log",
    benchmark:
        f"{R}/benchmarks/call_peaks/{{contrast}}.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("call_peaks"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/call_peaks.py --config {params.config} --attributions {input} "
        "--output-tsv {output.tsv} --output-bed {output.bed} --log {log}"


# Requires no trained model: it can run in parallel with training, once for all contrasts.
rule scan_motifs:
    input:
        dataset=GENES_H5,
        motifs=MOTIFS,
        genes=CHECKED_GENES,
    output:
        f"{R}/motifs/hits.h5",
    log:
        f"{R}/logs/scan_motifs.log",
    benchmark:
        f"{R}/benchmarks/scan_motifs.tsv"
    conda:
        "../../envs/motifs.yaml"
    threads: THREADS
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("scan_motifs"),
        genes=optional("--gene-list", "genes"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/scan_motifs.py --config {params.config} --dataset {input.dataset} --motifs {input.motifs} "
        "{params.genes} --processes {threads} --output {output} --log {log}"


rule enrich_motifs:
    input:
        hits=f"{R}/motifs/hits.h5",
        attributions=f"{R}/attributions/{{contrast}}.h5",
        peaks=f"{R}/peaks/{{contrast}}.tsv",
        motifs=MOTIFS,
    output:
        hits=f"{R}/motifs/{{contrast}}/hits.tsv",
        bed=f"{R}/motifs/{{contrast}}/hits.bed",
        tests=f"{R}/motifs/{{contrast}}/tests.tsv",
    log:
        f"{R}/logs/enrich_motifs/{{contrast}}.log",
    benchmark:
        f"{R}/benchmarks/enrich_motifs/{{contrast}}.tsv"
    conda:
        "../../envs/motifs.yaml"
    threads: THREADS
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("enrich_motifs"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/enrich_motifs.py --config {params.config} --hits {input.hits} "
        "--attributions {input.attributions} --peaks {input.peaks} --motifs {input.motifs} --processes {threads} "
        "--output-hits {output.hits} --output-bed {output.bed} --output-tests {output.tests} --log {log}"


# One job for all contrasts, so that each cluster has one name in the run.
rule cluster_motifs:
    input:
        tests=expand(f"{R}/motifs/{{contrast}}/tests.tsv", contrast=CONTRASTS),
        motifs=MOTIFS,
    output:
        clusters=f"{R}/motifs/clusters.tsv",
        enrichment=expand(f"{R}/motifs/{{contrast}}/enrichment.tsv", contrast=CONTRASTS),
    log:
        f"{R}/logs/cluster_motifs.log",
    benchmark:
        f"{R}/benchmarks/cluster_motifs.tsv"
    conda:
        "../../envs/motifs.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        folder=subpath(output.clusters, parent=True),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/cluster_motifs.py --config {params.config} --motifs {input.motifs} --folder {params.folder} "
        "--output {output.clusters} --log {log}"


rule probe_motifs:
    input:
        attributions=f"{R}/attributions/{{contrast}}.h5",
        peaks=f"{R}/peaks/{{contrast}}.tsv",
        hits=f"{R}/motifs/{{contrast}}/hits.tsv",
        enrichment=f"{R}/motifs/{{contrast}}/enrichment.tsv",
        motifs=MOTIFS,
        dataset=GENES_H5,
        models=MODELS,
    output:
        motifs=f"{R}/motifs/{{contrast}}/effects.tsv",
        sites=f"{R}/motifs/{{contrast}}/site_effects.tsv",
    log:
        f"{R}/logs/probe_motifs/{{contrast}}.log",
    benchmark:
        f"{R}/benchmarks/probe_motifs/{{contrast}}.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: THREADS
    resources:
        mem_mb=network_memory,
        runtime=network_time,
        gpu=min(GPUS, 1),
    params:
        settings=settings("probe_motifs"),
        models=models_folder,
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/probe_motifs.py --config {params.config} --attributions {input.attributions} "
        "--peaks {input.peaks} --hits {input.hits} --enrichment {input.enrichment} --motifs {input.motifs} "
        "--dataset {input.dataset} --models {params.models} --threads {threads} --output {output.motifs} "
        "--output-sites {output.sites} --log {log}"


if FACTORS:

    rule match_factors:
        input:
            expand(f"{R}/motifs/{{contrast}}/{{name}}.tsv", contrast=CONTRASTS, name=["enrichment", "effects"]),
            dataset=GENES_H5,
            tasks=f"{R}/tasks.tsv",
            genes=f"{R}/genes.tsv",
        output:
            FACTORS,
        log:
            f"{R}/logs/match_factors.log",
        benchmark:
            f"{R}/benchmarks/match_factors.tsv"
        conda:
            "../../envs/genomics.yaml"
        resources:
            mem_mb=table_memory,
            runtime=table_time,
        params:
            settings=settings("match_factors"),
            folder=subpath(output[0], parent=True),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/match_factors.py --config {params.config} --dataset {input.dataset} --tasks {input.tasks} "
            "--genes {input.genes} --motifs {params.folder} --output {output} --log {log}"


rule pair_motifs:
    input:
        hits=f"{R}/motifs/{{contrast}}/hits.tsv",
        enrichment=f"{R}/motifs/{{contrast}}/enrichment.tsv",
    output:
        f"{R}/motifs/{{contrast}}/pairs.tsv",
    log:
        f"{R}/logs/pair_motifs/{{contrast}}.log",
    benchmark:
        f"{R}/benchmarks/pair_motifs/{{contrast}}.tsv"
    conda:
        "../../envs/motifs.yaml"
    threads: THREADS
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("pair_motifs"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/pair_motifs.py --config {params.config} --hits {input.hits} --enrichment {input.enrichment} "
        "--processes {threads} --output {output} --log {log}"


if PATTERNS:

    rule discover_patterns:
        input:
            attributions=f"{R}/attributions/{{contrast}}.h5",
            motifs=MOTIFS,
        output:
            meme=f"{R}/patterns/{{contrast}}/patterns.meme",
            patterns=f"{R}/patterns/{{contrast}}/patterns.tsv",
            seqlets=f"{R}/patterns/{{contrast}}/seqlets.tsv",
            matches=f"{R}/patterns/{{contrast}}/matches.tsv",
        log:
            f"{R}/logs/discover_patterns/{{contrast}}.log",
        benchmark:
            f"{R}/benchmarks/discover_patterns/{{contrast}}.tsv"
        conda:
            "../../envs/modisco.yaml"
        threads: THREADS
        resources:
            mem_mb=pattern_memory,
            runtime=network_time,
        params:
            settings=settings("discover_patterns"),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/discover_patterns.py --config {params.config} --attributions {input.attributions} "
            "--motifs {input.motifs} --threads {threads} "
            "--output-meme {output.meme} --output-patterns {output.patterns} --output-seqlets {output.seqlets} "
            "--output-matches {output.matches} --log {log}"
