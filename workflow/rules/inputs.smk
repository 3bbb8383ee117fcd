# Inputs that are not local files: simulated inputs, downloads with a checksum, pseudobulks, and motifs.

if SIMULATED:

    rule simulate_inputs:
        output:
            [
                f"{R}/inputs/{name}"
                for name in (
                    "genome.fa",
                    "genome.fa.fai",
                    "genes.gtf",
                    "expression.tsv",
                    "expression_noiseless.tsv",
                    "tasks.tsv",
                    "variants.vcf",
                    "truth.tsv",
                    "simulation.json",
                )
            ],
        log:
            f"{R}/logs/simulate_inputs.log",
        benchmark:
            f"{R}/benchmarks/simulate_inputs.tsv"
        conda:
            "../../envs/motifs.yaml"
        resources:
            mem_mb=table_memory,
            runtime=table_time,
        params:
            settings=settings("simulate_inputs"),
            folder=subpath(output[0], parent=True),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/simulate_inputs.py --config {params.config} --outdir {params.folder} --log {log}"


if REMOTE:

    rule fetch_input:
        output:
            f"{R}/inputs/{{key}}/{{name}}",
        log:
            f"{R}/logs/fetch_input/{{key}}/{{name}}.log",
        benchmark:
            f"{R}/benchmarks/fetch_input/{{key}}/{{name}}.tsv"
        localrule: True
        conda:
            "../../envs/genomics.yaml"
        params:
            url=remote_url,
            sha256=remote_sha256,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/fetch_input.py --url {params.url:q} --sha256 {params.sha256} --output {output:q} --log {log:q}"


if CELLS:

    rule aggregate_cells:
        input:
            cells=CELLS,
            names=CELL_NAMES,
            table=CELL_TABLE,
        output:
            pseudobulks=MATRIX,
            dropped=f"{R}/inputs/pseudobulks_dropped.tsv",
        log:
            f"{R}/logs/aggregate_cells.log",
        benchmark:
            f"{R}/benchmarks/aggregate_cells.tsv"
        conda:
            "../../envs/genomics.yaml"
        resources:
            mem_mb=cells_memory,
            runtime=table_time,
        params:
            settings=settings("aggregate_cells"),
            table=optional("--table", "table"),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/aggregate_cells.py --config {params.config} --cells {input.cells:q} {params.table} "
            "--output {output.pseudobulks} --output-dropped {output.dropped} --log {log}"


rule fetch_motifs:
    input:
        MOTIF_FILE,
    output:
        MOTIFS,
    log:
        f"{R}/logs/fetch_motifs.log",
    benchmark:
        f"{R}/benchmarks/fetch_motifs.tsv"
    conda:
        "../../envs/motifs.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("fetch_motifs"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/fetch_motifs.py --config {params.config} --output {output} --log {log}"
