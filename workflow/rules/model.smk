# Training, and scores on genes that were not trained on.


rule train_model:
    input:
        dataset=f"{R}/dataset.h5",
        params=config["model"]["params"],
        pretrained=PRETRAINED,
    output:
        model=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/model.keras",
        params=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/params.yaml",
        history=f"{R}/models/fold_{{fold}}/replicate_{{replicate}}/history.tsv",
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
        overrides=as_json(config["model"]["overrides"]),
        seed=replicate_seed,
        # Not among the outputs, which Snakemake removes before it starts a job again.
        checkpoints=f"{R}/checkpoints/fold_{{fold}}/replicate_{{replicate}}",
        trackers=config["train"]["trackers"],
        tracking=f"{R}/logs/training/fold_{{fold}}/replicate_{{replicate}}",
        gpus=GPUS,
        launch=MULTI_NODE.get("mpi", ""),
        scripts=scripts,
        version=VERSION,
    shell:
        "{params.launch} python {params.scripts:q}/train_model.py --dataset {input.dataset} --params {input.params:q} "
        "--overrides {params.overrides:q} --fold {wildcards.fold} --seed {params.seed} --threads {threads} --gpus {params.gpus} "
        "--checkpoints {params.checkpoints} --trackers {params.trackers} --tracking {params.tracking} --output-model {output.model} "
        "--output-params {output.params} --output-history {output.history} --log {log}"


rule evaluate_model:
    input:
        dataset=GENES_H5,
        tasks=f"{R}/tasks.tsv",
        models=MODELS,
    output:
        [f"{R}/evaluation/{{split}}/{name}" for name in ("summary.json", "tasks.tsv", "genes.tsv", "predictions.h5ad")],
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
        folder=subpath(output[0], parent=True),
        baseline=as_json(config["evaluate"]["baseline"]),
        anchor=config["windows"]["upstream"],
        scripts=scripts,
        batch_size=BATCH_SIZE,
        version=VERSION,
    shell:
        "python {params.scripts:q}/evaluate_model.py --dataset {input.dataset} --models {input.models} --split {wildcards.split} "
        "--tasks {input.tasks} --baseline {params.baseline:q} --anchor {params.anchor} "
        "--batch-size {params.batch_size} --threads {threads} "
        "--output {params.folder} --log {log}"
