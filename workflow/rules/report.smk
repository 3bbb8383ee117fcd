# Report and browser files; for a simulated genome, also the recovery of the known truth.

CONTRAST_FILES = {
    "attributions": expand(f"{R}/attributions/{{contrast}}.h5", contrast=CONTRASTS),
    "peaks": expand(f"{R}/peaks/{{contrast}}.tsv", contrast=CONTRASTS),
    "enrichment": expand(f"{R}/motifs/{{contrast}}/enrichment.tsv", contrast=CONTRASTS),
}
EFFECTS = f"{R}/variants/effects.tsv" if VCF else []
EXPLANATIONS = [f"{R}/variants/explanations.h5", f"{R}/variants/motif_changes.tsv"] if EXPLAINED else []

if SIMULATED:

    rule measure_recovery:
        input:
            f"{R}/inputs/simulation.json",
            f"{R}/inputs/expression_noiseless.tsv",
            **CONTRAST_FILES,
            truth=f"{R}/inputs/truth.tsv",
            genes=f"{R}/genes.tsv",
            evaluation=f"{R}/evaluation/{HELD_OUT}/summary.json",
            variants=EFFECTS,
            vcf=VCF,
        output:
            RECOVERY,
        log:
            f"{R}/logs/measure_recovery.log",
        benchmark:
            f"{R}/benchmarks/measure_recovery.tsv"
        conda:
            "../../envs/genomics.yaml"
        resources:
            mem_mb=table_memory,
            runtime=table_time,
        params:
            folder=subpath(input.truth, parent=True),
            results=subpath(input.genes, parent=True),
            variants=optional("--variants", "variants"),
            vcf=optional("--vcf", "vcf"),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/measure_recovery.py --config {params.config} --truth {input.truth} --simulation {params.folder} "
            "--genes {input.genes} --evaluation {input.evaluation} --results {params.results} {params.variants} {params.vcf} "
            "--output {output} --log {log}"


if EXPORT:

    rule export_predictions:
        input:
            matrix=MATRIX,
            genes=f"{R}/genes.tsv",
            # If a gene is in several files, the first wins.
            predictions=[
                f"{R}/evaluation/{split}/predictions.h5ad"
                for split in ("test", "val")
                if split in config["evaluate"]["splits"]
            ],
        output:
            EXPORT,
        log:
            f"{R}/logs/export_predictions.log",
        benchmark:
            f"{R}/benchmarks/export_predictions.tsv"
        conda:
            "../../envs/genomics.yaml"
        resources:
            mem_mb=table_memory,
            runtime=table_time,
        params:
            settings=settings("export_predictions"),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/export_predictions.py --config {params.config} --matrix {input.matrix:q} --genes {input.genes} "
            "--predictions {input.predictions} --output {output} --log {log}"


# BigBeds of peaks and hits and the genome in 2bit format are written beside these files. They are not outputs, because a
# contrast without peaks has no BigBed.
rule write_browser_files:
    input:
        f"{R}/variants/effects.vcf.gz" if VCF else [],
        expand(f"{R}/attributions/{{contrast}}.bw", contrast=CONTRASTS),
        expand(f"{R}/peaks/{{contrast}}.tsv", contrast=CONTRASTS),
        expand(f"{R}/motifs/{{contrast}}/{{name}}.tsv", contrast=CONTRASTS, name=["hits", "enrichment"]),
        BIGWIGS if COVERAGE_RUN else [],
        tracks=config["targets"]["tracks"] if COVERAGE_RUN else [],
        genome=GENOME,
        annotation=GTF,
        genes=f"{R}/genes.tsv",
    output:
        BROWSER,
    log:
        f"{R}/logs/write_browser_files.log",
    benchmark:
        f"{R}/benchmarks/write_browser_files.tsv"
    conda:
        "../../envs/genomics.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("write_browser_files"),
        folder=subpath(output[0], parent=True),
        results=subpath(input.genes, parent=True),
        annotation=optional("--annotation", "annotation"),
        tracks=optional("--tracks", "tracks"),
        converted=converted_tracks,
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/write_browser_files.py --config {params.config} --results {params.results} --genome {input.genome:q} "
        "{params.annotation} {params.tracks} --converted {params.converted} --output {params.folder} --log {log}"


if config["report"]["all_genes"]:

    rule write_cards:
        input:
            evaluations=expand(
                f"{R}/evaluation/{{split}}/{{name}}",
                split=config["evaluate"]["splits"],
                name=EVALUATION_FILES,
            ),
            attributions=f"{R}/attributions/{{contrast}}.h5",
            peaks=f"{R}/peaks/{{contrast}}.tsv",
            motifs=expand(f"{R}/motifs/{{{{contrast}}}}/{{name}}.tsv", name=["hits", "enrichment"]),
            genes=f"{R}/genes.tsv",
            effects=EFFECTS,
        output:
            directory(f"{R}/report_data/{{contrast}}"),
        log:
            f"{R}/logs/write_cards/{{contrast}}.log",
        benchmark:
            f"{R}/benchmarks/write_cards/{{contrast}}.tsv"
        conda:
            "../../envs/report.yaml"
        resources:
            mem_mb=table_memory,
            runtime=table_time,
        params:
            folder=subpath(input.genes, parent=True),
            effects=optional("--effects", "effects"),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/write_cards.py --config {params.config} --results {params.folder} "
            "--contrast {wildcards.contrast} {params.effects} --output {output} --log {log}"


rule write_report:
    input:
        RECOVERY,
        EFFECTS,
        EXPLANATIONS,
        FACTORS,
        f"{R}/genes_summary.json",
        f"{R}/genes_dropped.tsv",
        [model.replace("model.keras", "params.yaml") for model in MODELS],
        [model.replace("model.keras", "history.tsv") for model in MODELS if not TRAINED],
        expand(
            f"{R}/evaluation/{{split}}/{{name}}",
            split=config["evaluate"]["splits"],
            name=EVALUATION_FILES,
        ),
        expand(f"{R}/motifs/{{contrast}}/{{name}}.tsv", contrast=CONTRASTS, name=["hits", "effects", "pairs"]),
        expand(
            f"{R}/evaluation/{{split}}/{{name}}",
            split=config["evaluate"]["splits"] if COVERAGE_RUN else [],
            name=["bins.json", "bins.tsv", "examples.tsv"],
        ),
        expand(f"{R}/patterns/{{contrast}}/patterns.tsv", contrast=CONTRASTS if PATTERNS else []),
        **CONTRAST_FILES,
        genes=f"{R}/genes.tsv",
        motifs=MOTIFS,
    output:
        # Also included in Snakemake's own report.
        report(f"{R}/report.html"),
    log:
        f"{R}/logs/write_report.log",
    benchmark:
        f"{R}/benchmarks/write_report.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=table_memory,
        runtime=table_time,
    params:
        settings=settings("write_report"),
        folder=subpath(output[0], parent=True),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/write_report.py --config {params.config} --results {params.folder} --motifs {input.motifs} "
        "--output {output} --log {log}"
