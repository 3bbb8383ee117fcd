"""CPU, GPU and multi-node set-up of TensorFlow."""

from __future__ import annotations

import os

import tensorflow as tf

from cisnake.errors import InputError


def configure_devices(threads: int, gpus: int = 0) -> str:
    """Set the devices, the number of threads and deterministic arithmetic, and return the device's name.

    Call it before any computation.

    Parameters
    ----------
    threads: int
        CPU threads.
    gpus: int
        Number of GPUs to use; at least this many are required. Default 0: no GPU is required, and one is used if available.

    Raises
    ------
    InputError
        TensorFlow sees fewer GPUs than requested.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    available = tf.config.list_physical_devices("GPU")
    if len(available) < gpus:
        raise InputError(
            f"resources.gpus is {gpus}, but TensorFlow sees {len(available)}: install requirements/cuda.lock and check "
            "nvidia-smi, or set resources.gpus: 0."
        )
    used = available[: max(gpus, 1)]
    tf.config.set_visible_devices(used, "GPU")
    for gpu in used:
        tf.config.experimental.set_memory_growth(gpu, True)
    if used:
        name = str(tf.config.experimental.get_device_details(used[0]).get("device_name", used[0].name))
        return f"{len(used)} x {name}" if len(used) > 1 else name
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def distribution_strategy() -> tf.distribute.Strategy:
    """Return the strategy that distributes training over nodes or over the GPUs of this machine, or the default strategy.

    The nodes come from `TF_CONFIG` if it is set, or else from a SLURM step with more than one task. Call this function before
    any computation, because the collective operations between nodes must be set up first.
    """
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return tf.distribute.MultiWorkerMirroredStrategy(_slurm_cluster())
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def _slurm_cluster() -> tf.distribute.cluster_resolver.ClusterResolver:
    """Return the tasks of this SLURM step as workers, with ports that depend on the job id and the task."""
    tasks, first_port = int(os.environ["SLURM_STEP_NUM_TASKS"]), 12000 + int(os.environ["SLURM_JOB_ID"]) * 16 % 20000
    # SLURM assigns the GPUs. By default, TensorFlow counts them with nvidia-smi, which CPU nodes lack.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False)
    hosts = [address.rsplit(":", 1)[0] for address in resolver.cluster_spec().as_dict()["worker"]]
    cluster = tf.train.ClusterSpec({"worker": [f"{host}:{first_port + i}" for i, host in enumerate(hosts)]})
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type="worker", task_id=int(os.environ["SLURM_PROCID"]), rpc_layer="grpc"
    )


def describe_devices(device: str, strategy: tf.distribute.Strategy) -> str:
    """Return a description of the training hardware: the device of one node, and the number of nodes."""
    nodes = strategy.num_replicas_in_sync // len(local_shares(strategy))
    return f"{device}, on each of {nodes} nodes" if nodes > 1 else device


def is_chief_worker(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process writes the output files."""
    return local_shares(strategy)[0] == 0


def local_shares(strategy: tf.distribute.Strategy) -> range:
    """Return the cluster-wide indices of the replicas that this process runs."""
    replicas, resolver = strategy.num_replicas_in_sync, strategy.cluster_resolver
    workers = resolver.cluster_spec().as_dict().get("worker", []) if resolver else []
    if len(workers) < 2:
        return range(replicas)
    local = replicas // len(workers)
    return range(resolver.task_id * local, (resolver.task_id + 1) * local)
