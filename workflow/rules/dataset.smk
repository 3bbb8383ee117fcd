# Gene selection, and the data set of windows and labels.


rule select_genes:
    input:
        genome=GENOME,
        gtf=GTF,
        matrix=MATRIX,
        names=MATRIX_NAMES,
        tss_bed=TSS_BED,
        tasks=TASKS,
        splits=SPLIT_TABLE,
        regions=SPLIT_REGIONS,
    output:
        genes=f"{R}/genes.tsv",
        dropped=f"{R}/genes_dropped.tsv",
        summary=f"{R}/genes_summary.json",
        tasks=f"{R}/tasks.tsv",
        tasks_dropped=f"{R}/tasks_dropped.tsv",
    log:
        f"{R}/logs/select_genes.log",
    benchmark:
        f"{R}/benchmarks/select_genes.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("select_genes"),
        tss_bed=optional("--tss-bed", "tss_bed"),
        matrix=optional("--matrix", "matrix"),
        tasks=optional("--tasks", "tasks"),
        splits=optional("--splits", "splits"),
        regions=optional("--regions", "regions"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/select_genes.py --config {params.config} --genome {input.genome:q} --gtf {input.gtf:q} "
        "{params.matrix} {params.tss_bed} {params.tasks} {params.splits} {params.regions} "
        "--output-genes {output.genes} --output-dropped {output.dropped} --output-summary {output.summary} "
        "--output-tasks {output.tasks} --output-tasks-dropped {output.tasks_dropped} --log {log}"


rule write_dataset:
    input:
        genes=f"{R}/genes.tsv",
        dropped=f"{R}/genes_dropped.tsv",
        tasks=f"{R}/tasks.tsv",
        genome=GENOME,
        matrix=MATRIX,
        names=MATRIX_NAMES,
    output:
        f"{R}/dataset.h5",
    log:
        f"{R}/logs/write_dataset.log",
    benchmark:
        f"{R}/benchmarks/write_dataset.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("write_dataset"),
        matrix=optional("--matrix", "matrix"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/write_dataset.py --config {params.config} --genes {input.genes} --genome {input.genome:q} "
        "{params.matrix} --tasks {input.tasks} --dropped {input.dropped} --output {output} --log {log}"
