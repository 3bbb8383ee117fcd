"""What TensorFlow computes on."""

from __future__ import annotations

import tensorflow as tf

from cisnake.errors import InputError


def configure(threads: int, require_gpu: bool = False) -> str:
    """Set the number of threads and repeatable arithmetic, before any computation, and return the device's name.

    Parameters
    ----------
    threads: int
        CPU threads.
    require_gpu: bool
        Whether to fail where TensorFlow sees no GPU. Default False.

    Raises
    ------
    InputError
        A GPU is required and none is seen.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name))
    if require_gpu:
        raise InputError(
            "resources.gpus asks for a GPU, but TensorFlow sees none: install requirements/cuda.lock and check nvidia-smi, "
            "or set resources.gpus: 0."
        )
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
