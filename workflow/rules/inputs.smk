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
        params:
            settings=as_json(config["genome"]["simulate"]),
            folder=f"{R}/inputs",
            seed=SEED,
            version=VERSION,
        log:
            f"{R}/logs/simulate_inputs.log",
        benchmark:
            f"{R}/benchmarks/simulate_inputs.tsv"
        conda:
            "../../envs/motifs.yaml"
        resources:
            mem_mb=table_memory,
        shell:
            "python '{SCRIPTS}/simulate_inputs.py' --settings {params.settings:q} --seed {params.seed} "
            "--outdir {params.folder} --log {log}"


for path, remote in REMOTE.items():

    rule:
        name:
            f"fetch_input_{Path(path).name}"
        output:
            path,
        params:
            url=remote["url"],
            sha256=remote["sha256"],
            version=VERSION,
        log:
            f"{R}/logs/fetch_input/{Path(path).name}.log",
        benchmark:
            f"{R}/benchmarks/fetch_input/{Path(path).name}.tsv"
        conda:
            "../../envs/genomics.yaml"
        localrule: True
        shell:
            "python '{SCRIPTS}/fetch_input.py' --url {params.url:q} --sha256 {params.sha256} --output {output:q} --log {log}"


rule fetch_motifs:
    input:
        MOTIF_FILE,
    output:
        MOTIFS,
    params:
        source=config["motifs"]["source"],
        version=VERSION,
    log:
        f"{R}/logs/fetch_motifs.log",
    benchmark:
        f"{R}/benchmarks/fetch_motifs.tsv"
    conda:
        "../../envs/motifs.yaml"
    resources:
        mem_mb=table_memory,
    shell:
        "python '{SCRIPTS}/fetch_motifs.py' --source {params.source:q} --output {output} --log {log}"
