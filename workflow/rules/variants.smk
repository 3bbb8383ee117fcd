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
