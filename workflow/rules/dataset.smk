# Which genes, and their windows and labels in one file.


rule select_genes:
    input:
        genome=GENOME,
        gtf=GTF,
        matrix=MATRIX,
        names=MATRIX_NAMES,
        tss_bed=TSS_BED,
        tasks=TASKS,
        splits=SPLIT_TABLE,
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
        tss_bed=option("--tss-bed", TSS_BED),
        tasks=option("--tasks", TASKS),
        task_columns=as_json(config["targets"]["task_columns"]),
        matrix=matrix_options(of_cells=False),
        filters=as_json(config["targets"]["filters"]),
        contrasts=contrasts,
        annotation=as_json({key: value for key, value in config["annotation"].items() if key not in ("gtf", "tss_bed")}),
        windows=as_json(config["windows"]),
        splits=as_json(splits_section()),
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/select_genes.py --genome {input.genome:q} --gtf {input.gtf:q} --matrix {input.matrix:q} "
        "{params.matrix} --filters {params.filters:q} --contrasts {params.contrasts:q} {params.tss_bed} {params.tasks} --task-columns {params.task_columns:q} --annotation {params.annotation:q} --windows {params.windows:q} --splits {params.splits:q} "
        "--output-genes {output.genes} --output-dropped {output.dropped} --output-summary {output.summary} "
        "--output-tasks {output.tasks} --output-tasks-dropped {output.tasks_dropped} --log {log}"


rule write_dataset:
    input:
        genes=f"{R}/genes.tsv",
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
        transform=config["targets"]["transform"],
        matrix=matrix_options(of_cells=False),
        max_shift=config["windows"]["max_shift"],
        folds=len(FOLDS),
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/write_dataset.py --genes {input.genes} --genome {input.genome:q} --matrix {input.matrix:q} "
        "{params.matrix} --tasks {input.tasks} --transform {params.transform} --max-shift {params.max_shift} --folds {params.folds} --output {output} --log {log}"
