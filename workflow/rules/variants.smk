# Effects of variants on nearby genes.

if VCF:

    rule score_variants:
        input:
            vcf=VCF,
            genome=GENOME,
            genes=f"{R}/genes.tsv",
            dataset=GENES_H5,
            models=MODELS,
        output:
            tsv=f"{R}/variants/effects.tsv",
            vcf=f"{R}/variants/effects.vcf.gz",
        log:
            f"{R}/logs/score_variants.log",
        benchmark:
            f"{R}/benchmarks/score_variants.tsv"
        conda:
            "../../envs/tensorflow.yaml"
        threads: THREADS
        resources:
            mem_mb=network_memory,
            runtime=network_time,
            gpu=min(GPUS, 1),
        params:
            settings=settings("score_variants"),
            models=models_folder,
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/score_variants.py --config {params.config} --vcf {input.vcf:q} --genome {input.genome:q} "
            "--genes {input.genes} --dataset {input.dataset} --models {params.models} --threads {threads} "
            "--output-tsv {output.tsv} --output-vcf {output.vcf} --log {log}"


if EXPLAINED:

    rule explain_variants:
        input:
            expand(f"{R}/motifs/{{contrast}}/effects.tsv", contrast=CONTRASTS),
            effects=f"{R}/variants/effects.tsv",
            genome=GENOME,
            genes=f"{R}/genes.tsv",
            tasks=f"{R}/tasks.tsv",
            dataset=GENES_H5,
            motifs=MOTIFS,
            hits=f"{R}/motifs/hits.h5",
            models=MODELS,
        output:
            pictures=f"{R}/variants/explanations.h5",
            motifs=f"{R}/variants/motif_changes.tsv",
        log:
            f"{R}/logs/explain_variants.log",
        benchmark:
            f"{R}/benchmarks/explain_variants.tsv"
        conda:
            "../../envs/tensorflow.yaml"
        threads: THREADS
        resources:
            mem_mb=network_memory,
            runtime=network_time,
            gpu=min(GPUS, 1),
        params:
            settings=settings("explain_variants"),
            probes=subpath(input.hits, parent=True),
            models=models_folder,
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/explain_variants.py --config {params.config} --effects {input.effects} "
            "--genome {input.genome:q} --genes {input.genes} --tasks {input.tasks} --dataset {input.dataset} "
            "--motifs {input.motifs} --hits {input.hits} --probes {params.probes} --models {params.models} --threads {threads} "
            "--output {output.pictures} --output-motifs {output.motifs} --log {log}"
