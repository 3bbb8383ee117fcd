# Training, and evaluation on held-out genes.


if WORDS:

    rule fit_words:
        input:
            dataset=f"{R}/dataset.h5",
        output:
            f"{R}/words/fold_{{fold}}.h5",
        log:
            f"{R}/logs/fit_words/fold_{{fold}}.log",
        benchmark:
            f"{R}/benchmarks/fit_words/fold_{{fold}}.tsv"
        conda:
            "../../envs/genomics.yaml"
        threads: THREADS
        resources:
            mem_mb=ridge_memory,
            runtime=network_time,
        params:
            settings=settings("fit_words"),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "OMP_NUM_THREADS={threads} python {params.scripts:q}/fit_words.py --config {params.config} --dataset {input.dataset} "
            "--fold {wildcards.fold} --output {output} --log {log}"

    rule add_words:
        input:
            expand(f"{NETWORKS}/fold_{{{{fold}}}}/replicate_{{replicate}}/model.keras", replicate=REPLICATES),
            dataset=f"{R}/dataset.h5",
            words=f"{R}/words/fold_{{fold}}.h5",
        output:
            expand(f"{R}/models/fold_{{{{fold}}}}/replicate_{{replicate}}/model.keras", replicate=REPLICATES),
            weights=f"{R}/words/fold_{{fold}}.weights.tsv",
        log:
            f"{R}/logs/add_words/fold_{{fold}}.log",
        benchmark:
            f"{R}/benchmarks/add_words/fold_{{fold}}.tsv"
        conda:
            "../../envs/tensorflow.yaml"
        threads: THREADS
        resources:
            mem_mb=network_memory,
            runtime=network_time,
        params:
            settings=settings("add_words"),
            networks=subpath(input[0], ancestor=2),
            models=subpath(output[0], ancestor=2),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/add_words.py --config {params.config} --dataset {input.dataset} --words {input.words} "
            "--networks {params.networks} --fold {wildcards.fold} --threads {threads} --output {params.models} "
            "--output-weights {output.weights} --log {log}"


if TRAINED:

    rule import_model:
        input:
            network=given_network,
            dataset=f"{R}/dataset.h5",
            checked=f"{R}/network.json" if COVERAGE_RUN else [],
        output:
            model=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/model.keras",
            params=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/params.yaml",
        log:
            f"{R}/logs/import_model/fold_{{fold}}_replicate_{{replicate}}.log",
        benchmark:
            f"{R}/benchmarks/import_model/fold_{{fold}}_replicate_{{replicate}}.tsv"
        conda:
            "../../envs/tensorflow.yaml"
        resources:
            mem_mb=network_memory,
            runtime=table_time,
        params:
            settings=settings("import_model"),
            network=NETWORK,
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "python {params.scripts:q}/import_model.py --config {params.config} --network {input.network:q} --dataset {input.dataset} "
            "--output-model {output.model} --output-params {output.params} --log {log}"

else:

    if FOLDERS:

        rule import_tfrecords:
            input:
                head_files,
            output:
                f"{R}/heads/{{head}}.h5",
            log:
                f"{R}/logs/import_tfrecords/{{head}}.log",
            benchmark:
                f"{R}/benchmarks/import_tfrecords/{{head}}.tsv"
            conda:
                "../../envs/genomics.yaml"
            resources:
                mem_mb=import_memory,
                runtime=import_time,
            params:
                folder=subpath(input[0], parent=True),
                scripts=scripts,
                version=VERSION,
            shell:
                "python {params.scripts:q}/import_tfrecords.py --folder {params.folder:q} --output {output} --log {log}"

    rule train_model:
        input:
            dataset=f"{R}/dataset.h5",
            tasks=f"{R}/tasks.tsv" if LEARNED else [],
            network=f"{R}/network.json" if COVERAGE_RUN else [],
            heads=HEAD_DATASETS,
            pretrained=PRETRAINED,
        output:
            model=f"{NETWORKS}/fold_{{fold}}/replicate_{{replicate}}/model.keras",
            params=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/params.yaml",
            history=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/history.tsv",
            heads=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/heads.keras" if HEADS else [],
        log:
            f"{R}/logs/train_model/fold_{{fold}}_replicate_{{replicate}}.log",
        benchmark:
            f"{R}/benchmarks/train_model/fold_{{fold}}_replicate_{{replicate}}.tsv"
        conda:
            "../../envs/tensorflow.yaml"
        threads: THREADS
        resources:
            **MULTI_NODE,
            mem_mb=network_memory,
            runtime=training_time,
            gpu=GPUS * NODES,
        params:
            settings=settings("train_model"),
            network=NETWORK,
            contrasts=configuration.canonical(LEARNED),
            tasks=optional("--tasks", "tasks"),
            heads=head_options,
            # Checkpoints are not outputs, because Snakemake deletes the outputs of a job before it restarts it.
            checkpoints=f"{R}/checkpoints/fold_{{fold}}/replicate_{{replicate}}",
            tracking=f"{R}/logs/training/fold_{{fold}}/replicate_{{replicate}}",
            launch=launcher,
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "{params.launch} python {params.scripts:q}/train_model.py --config {params.config} --dataset {input.dataset} "
            "{params.tasks} {params.heads} --fold {wildcards.fold} --replicate {wildcards.replicate} --threads {threads} "
            "--checkpoints {params.checkpoints} "
            "--tracking {params.tracking} --output-model {output.model} --output-params {output.params} "
            "--output-history {output.history} --log {log}"


if not UNMEASURED:

    rule fit_baselines:
        input:
            dataset=GENES_H5,
            tasks=f"{R}/tasks.tsv",
        output:
            predictions=f"{R}/baselines/predictions.h5",
            choices=f"{R}/baselines/choices.tsv",
        log:
            f"{R}/logs/fit_baselines.log",
        benchmark:
            f"{R}/benchmarks/fit_baselines.tsv"
        conda:
            "../../envs/genomics.yaml"
        threads: THREADS
        resources:
            mem_mb=ridge_memory,
            runtime=network_time,
        params:
            settings=settings("fit_baselines"),
            config=config_file,
            scripts=scripts,
            version=VERSION,
        shell:
            "OMP_NUM_THREADS={threads} python {params.scripts:q}/fit_baselines.py --config {params.config} --dataset {input.dataset} "
            "--tasks {input.tasks} --output {output.predictions} --output-choices {output.choices} --log {log}"


rule evaluate_model:
    input:
        dataset=GENES_H5,
        tasks=f"{R}/tasks.tsv",
        baselines=[] if UNMEASURED else f"{R}/baselines/predictions.h5",
        choices=[] if UNMEASURED else f"{R}/baselines/choices.tsv",
        models=MODELS,
    output:
        [f"{R}/evaluation/{{split}}/{name}" for name in EVALUATION_FILES],
    log:
        f"{R}/logs/evaluate_model/{{split}}.log",
    benchmark:
        f"{R}/benchmarks/evaluate_model/{{split}}.tsv"
    conda:
        "../../envs/tensorflow.yaml"
    threads: THREADS
    resources:
        mem_mb=network_memory,
        runtime=network_time,
        gpu=min(GPUS, 1),
    params:
        settings=settings("evaluate_model"),
        folder=subpath(output[0], parent=True),
        models=models_folder,
        baselines=optional("--baselines", "baselines"),
        choices=optional("--baseline-choices", "choices"),
        config=config_file,
        scripts=scripts,
        version=VERSION,
    shell:
        "python {params.scripts:q}/evaluate_model.py --config {params.config} --dataset {input.dataset} --models {params.models} "
        "--split {wildcards.split} --tasks {input.tasks} {params.baselines} {params.choices} "
        "--threads {threads} --output {params.folder} --log {log}"
