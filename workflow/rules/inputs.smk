# What a run starts from: simulated, or fetched once and checked.

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
            settings=as_json(config["genome"]["simulate"]),
            folder=subpath(output[0], parent=True),
            seed=SEED,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/simulate_inputs.py --settings {params.settings:q} --seed {params.seed} "
            "--outdir {params.folder} --log {log}"


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
            table=option("--table", CELL_TABLE),
            by=config["targets"]["pseudobulks"]["by"],
            min_cells=config["targets"]["pseudobulks"]["min_cells"],
            matrix=matrix_options(of_cells=True),
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/aggregate_cells.py --cells {input.cells:q} {params.table} --by {params.by:q} {params.matrix} "
            "--min-cells {params.min_cells} --output {output.pseudobulks} --output-dropped {output.dropped} --log {log}"


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
        source=config["motifs"]["source"],
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/fetch_motifs.py --source {params.source:q} --output {output} --log {log}"
