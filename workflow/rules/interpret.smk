# From attributions to peaks, motifs, and what the motifs do.

# Each method takes its own of these.
ATTRIBUTION_OPTIONS = ["correct_mean", "baseline", "n_steps", "n_shuffles", "n_samples", "sample_prob", "seed"]


rule attribute_genes:
    input:
        dataset=GENES_H5,
        tasks=f"{R}/tasks.tsv",
        models=MODELS,
        genes=GENE_LIST,
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
        contrasts=as_json(config["attribution"]["contrasts"]),
        genes=config["attribution"]["genes"],
        method=config["attribution"]["method"],
        options=as_json({option: config["attribution"][option] for option in ATTRIBUTION_OPTIONS}),
        reverse_complement="--reverse-complement" if config["attribution"]["reverse_complement"] else "",
        shifts=config["attribution"]["shifts"],
        n_shards=len(SHARDS),
        scripts=scripts,
        batch_size=BATCH_SIZE,
        version=VERSION,
    shell:
        "python {params.scripts:q}/attribute_genes.py --dataset {input.dataset} --models {input.models} --tasks {input.tasks} "
        "--contrasts {params.contrasts:q} --genes {params.genes:q} --method {params.method} --options {params.options:q} "
        "{params.reverse_complement} --shifts {params.shifts} --shard {wildcards.shard} --n-shards {params.n_shards} "
        "--batch-size {params.batch_size} --threads {threads} --output {output} --log {log}"


rule collect_attributions:
    input:
        shards=[f"{R}/attributions/{{contrast}}/{shard}.h5" for shard in SHARDS],
        genome=GENOME,
    output:
        attributions=f"{R}/attributions/{{contrast}}.h5",
        bigwig=f"{R}/attributions/{{contrast}}.bw",
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
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/collect_attributions.py --shards {input.shards} --genome {input.genome:q} "
        "--output {output.attributions} --output-bigwig {output.bigwig} --log {log}"


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
        **config["peaks"],
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/call_peaks.py --attributions {input} --method {params.method} --threshold {params.threshold} "
        "--min-length {params.min_length} --max-length {params.max_length} --n {params.n} --min-dist {params.min_dist} "
        "--height {params.height} --output-tsv {output.tsv} --output-bed {output.bed} --log {log}"


rule scan_motifs:
    input:
        attributions=f"{R}/attributions/{{contrast}}.h5",
        peaks=f"{R}/peaks/{{contrast}}.tsv",
        motifs=MOTIFS,
    output:
        hits=f"{R}/motifs/{{contrast}}/hits.tsv",
        bed=f"{R}/motifs/{{contrast}}/hits.bed",
        enrichment=f"{R}/motifs/{{contrast}}/enrichment.tsv",
    log:
        f"{R}/logs/scan_motifs/{{contrast}}.log",
    benchmark:
        f"{R}/benchmarks/scan_motifs/{{contrast}}.tsv"
    conda:
        "../../envs/motifs.yaml"
    threads: THREADS
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        p_threshold=config["motifs"]["p_threshold"],
        flank=config["motifs"]["flank"],
        seed=SEED,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/scan_motifs.py --attributions {input.attributions} --peaks {input.peaks} --motifs {input.motifs} "
        "--p-threshold {params.p_threshold} --flank {params.flank} --processes {threads} --seed {params.seed} "
        "--output-hits {output.hits} --output-bed {output.bed} --output-enrichment {output.enrichment} --log {log}"


rule probe_motifs:
    input:
        attributions=f"{R}/attributions/{{contrast}}.h5",
        hits=f"{R}/motifs/{{contrast}}/hits.tsv",
        enrichment=f"{R}/motifs/{{contrast}}/enrichment.tsv",
        motifs=MOTIFS,
        dataset=GENES_H5,
        models=MODELS,
    output:
        f"{R}/motifs/{{contrast}}/effects.tsv",
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
        **config["motifs"]["probe"],
        seed=SEED,
        scripts=scripts,
        batch_size=BATCH_SIZE,
        version=VERSION,
    shell:
        "python {params.scripts:q}/probe_motifs.py --attributions {input.attributions} --hits {input.hits} "
        "--enrichment {input.enrichment} --motifs {input.motifs} --dataset {input.dataset} --models {input.models} "
        "--top {params.top} --sites {params.sites} --draws {params.draws} --backgrounds {params.backgrounds} "
        "--seed {params.seed} --batch-size {params.batch_size} --threads {threads} --output {output} --log {log}"
