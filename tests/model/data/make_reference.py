"""Create the reference models of this folder with Basenji and Baskerville.

Each folder next to this file contains the usual files (`params.json`, and the `.h5` files that their trainers and their
`SeqNN.save` write), and `reference.npz`: sequences and the predictions of the original model. The networks are small and
together use nearly all their blocks that Cisnake supports. After building, all weights are drawn at random, including moving
statistics of batch normalisation and weights initialised with zeros, so that swapped or missing layers change the
predictions.

Requires Python 3.11 with TensorFlow 2.15 and the dependencies of both (h5py, natsort, pandas, scipy, pysam, pyBigWig,
intervaltree, networkx, tqdm, google-cloud-storage). Run it with their source trees:

    python make_reference.py BASENJI BASKERVILLE/src [model ...]
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

CONV_TOWER = {"name": "conv_tower", "filters_init": 8, "filters_mult": 1.25, "kernel_size": 5, "pool_size": 2, "repeat": 2}
TRANSFORMER = {"name": "transformer_tower", "key_size": 4, "heads": 2, "num_position_features": 6, "dropout": 0.2, "repeat": 2}

# Baskerville inserts adapters that cannot be merged when it builds this network.
ADAPTED = {
    "seq_length": 128,
    "augment_rc": True,
    "augment_shift": 3,
    "strand_pair": [[1, 0, 2]],
    "activation": "gelu",
    "norm_type": "batch",
    "trunk": [
        {"name": "conv_dna", "filters": 6, "kernel_size": 7, "norm_type": None, "activation": "linear", "pool_size": 2},
        {
            "name": "res_tower",
            "filters_init": 6,
            "filters_end": 10,
            "divisible_by": 2,
            "kernel_size": 5,
            "num_convs": 1,
            "pool_size": 2,
            "repeat": 3,
        },
        TRANSFORMER,
        {"name": "unet_conv", "kernel_size": 3, "upsample_conv": True},
        {"name": "Cropping1D", "cropping": 4},
        {"name": "conv_nac", "filters": 12, "dropout": 0.1},
    ],
    "head_human": {"name": "final", "units": 3, "activation": "softplus"},
}

# Name -> (package, model section). The order of the models matters: layer counters continue from one model to the
# next, so that conv1d_9 and conv1d_10 are in wrong order if sorted alphabetically.
MODELS = {
    "basenji2": (
        "basenji",
        {
            "seq_length": 512,
            "augment_rc": True,
            "augment_shift": 3,
            "activation": "gelu",
            "norm_type": "batch",
            "bn_momentum": 0.9,
            "trunk": [
                {"name": "conv_block", "filters": 8, "kernel_size": 15, "pool_size": 2},
                {**CONV_TOWER, "repeat": 3},
                {
                    "name": "dilated_residual",
                    "filters": 6,
                    "rate_mult": 1.5,
                    "round": True,
                    "dropout": 0.3,
                    "repeat": 4,
                },
                {"name": "Cropping1D", "cropping": 4},
                {"name": "conv_block", "filters": 12, "dropout": 0.05},
            ],
            "head": {"name": "final", "units": 3, "activation": "softplus"},
        },
    ),
    "gene": (
        "basenji",
        {
            "seq_length": 256,
            "activation": "relu",
            "norm_type": "batch-sync",
            "trunk": [
                {"name": "conv_dna", "filters": 6, "kernel_size": 11, "pool_size": 4},
                {
                    "name": "conv_tower_nac",
                    "filters_init": 6,
                    "filters_end": 10,
                    "divisible_by": 2,
                    "kernel_size": 5,
                    "pool_size": 4,
                    "repeat": 3,
                },
                {"name": "dense_block", "units": 7, "flatten": True},
                {"name": "dense_nac", "residual": True},
                {"name": "Flatten"},
            ],
            "head": [{"name": "dense_block", "units": 6, "norm_type": None}, {"name": "Dense", "units": 5}],
        },
    ),
    "enformer": (
        "baskerville",
        {
            "seq_length": 512,
            "augment_rc": True,
            "activation": "gelu",
            "norm_type": "batch-sync",
            "bn_momentum": 0.9,
            "kernel_initializer": "lecun_normal",
            "l2_scale": 1e-6,
            "trunk": [
                {"name": "conv_dna", "filters": 8, "kernel_size": 15, "residual": True, "pool_size": 2, "pool_type": "softmax"},
                {
                    "name": "res_tower",
                    "filters_init": 8,
                    "filters_end": 12,
                    "divisible_by": 4,
                    "kernel_size": 5,
                    "num_convs": 2,
                    "pool_size": 2,
                    "pool_type": "softmax",
                    "dropout": 0.1,
                    "repeat": 3,
                },
                {**TRANSFORMER, "mha_initializer": "lecun_normal"},
                {"name": "Cropping1D", "cropping": 4},
                {"name": "conv_nac", "filters": 16, "dropout": 0.1},
            ],
            "head_human": {"name": "final", "units": 4, "activation": "softplus"},
        },
    ),
    "borzoi": (
        "baskerville",
        {
            "seq_length": 1024,
            "augment_rc": True,
            "augment_shift": 3,
            "activation": "gelu",
            "norm_type": "batch",
            "trunk": [
                {
                    "name": "conv_dna",
                    "filters": 8,
                    "kernel_size": 11,
                    "norm_type": None,
                    "activation": "linear",
                    "pool_size": 2,
                },
                {
                    "name": "res_tower",
                    "filters_init": 8,
                    "filters_end": 16,
                    "divisible_by": 4,
                    "kernel_size": 5,
                    "num_convs": 1,
                    "pool_size": 2,
                    "repeat": 4,
                },
                {
                    "name": "transformer_tower",
                    "key_size": 4,
                    "heads": 4,
                    "num_position_features": 8,
                    "dropout": 0.2,
                    "repeat": 2,
                },
                {"name": "unet_conv", "kernel_size": 3},
                {"name": "unet_conv", "kernel_size": 3, "upsample_conv": True},
                {"name": "Cropping1D", "cropping": 16},
                {"name": "conv_nac", "filters": 12, "dropout": 0.1},
            ],
            "head_human": {"name": "final", "units": 3, "activation": "softplus"},
            "head_mouse": [{"name": "conv_nac", "filters": 6}, {"name": "final", "units": 2, "activation": "softplus"}],
        },
    ),
    "convnext": (
        "baskerville",
        {
            "seq_length": 256,
            "activation": "gelu",
            "norm_type": "layer",
            "trunk": [
                {"name": "conv_next", "filters": 6, "kernel_size": 9, "dense_expansion": 2, "pool_size": 2},
                {
                    "name": "convnext_tower",
                    "filters_init": 6,
                    "filters_end": 10,
                    "divisible_by": 2,
                    "kernel_size": 5,
                    "dropout": 0.1,
                    "num_convs": 2,
                    "repeat": 3,
                },
                {"name": "dilated_residual_nac", "filters": 4, "dropout": 0.1, "repeat": 2},
                {"name": "conv_nac", "kernel_size": 3, "conv_type": "separable", "residual": True},
                {"name": "center_slice", "center": 8},
            ],
            "head": [{"name": "final", "units": 2, "activation": "softplus"}],
        },
    ),
    "excite": (
        "basenji",
        {
            "seq_length": 256,
            "activation": "relu",
            "norm_type": "batch",
            "trunk": [
                {"name": "conv_dna", "filters": 16, "kernel_size": 11, "residual": True, "se": True, "pool_size": 4},
                {"name": "squeeze_excite", "bottleneck_ratio": 4, "norm_type": "batch"},
                {"name": "squeeze_excite", "additive": True, "bottleneck_ratio": 4, "activation": "gelu", "norm_type": None},
                {"name": "conv_block", "kernel_size": 5, "filters": 8, "conv_type": "separable", "pool_size": 2},
                {"name": "wheeze_excite", "pool_size": 7},
                {"name": "dilated_dense", "filters": 4, "norm_type": "layer", "repeat": 3},
                {"name": "global_context"},
                {"name": "dilated_residual", "filters": 4, "norm_type": None, "repeat": 2},
                {"name": "concat_position", "power": 2},
                {"name": "center_average", "center": 4},
            ],
            "head": [
                {"name": "dense_block", "units": 6, "activation_end": "sigmoid"},
                {"name": "final", "units": 2, "flatten": True, "activation": "linear"},
            ],
        },
    ),
    "unet": (
        "basenji",
        {
            "seq_length": 256,
            "activation": "relu",
            "norm_type": "batch",
            "trunk": [
                {"name": "conv_dna", "filters": 6, "kernel_size": 7, "norm_type": None, "pool_size": 2},
                {
                    "name": "res_tower",
                    "filters_init": 6,
                    "filters_end": 10,
                    "divisible_by": 2,
                    "kernel_size": 5,
                    "num_convs": 2,
                    "repeat": 3,
                },
                {"name": "fpn_unet", "kernel_size": 3},
                {"name": "upsample_unet", "kernel_size": 3},
                {"name": "tconv_nac", "filters": 5, "kernel_size": 3, "stride": 2},
            ],
            "head": {"name": "final", "units": 2, "activation": "softplus"},
        },
    ),
    "unet_concat": (
        "baskerville",
        {
            "seq_length": 256,
            "activation": "relu",
            "norm_type": "layer",
            "trunk": [
                {
                    "name": "conv_tower",
                    "filters_init": 8,
                    "filters_end": 12,
                    "divisible_by": 4,
                    "kernel_size": 5,
                    "pool_size": 4,
                    "repeat": 2,
                },
                {"name": "conv_nac", "pool_size": 2},
                {"name": "transformer", "key_size": 3, "heads": 2, "qkv_width": 3, "seqlen_train": 16},
                {"name": "transformer", "key_size": 3, "heads": 2, "content_position_bias": False, "dense_expansion": 0},
                {"name": "unet_concat", "kernel_size": 3},
                {"name": "tconv_nac", "filters": 6, "kernel_size": 4, "stride": 2},
                {"name": "Conv1D", "filters": 6, "kernel_size": 3, "padding": "same"},
            ],
            "head": {"name": "final", "units": 2, "activation": "softplus"},
        },
    ),
    "houlsby": ("baskerville", {**ADAPTED, "adapter": "houlsby", "adapter_latent": 2}),
    "houlsby_se": ("baskerville", {**ADAPTED, "adapter": "houlsby_se", "adapter_latent": 3, "conv_select": 4, "se_rank": 2}),
}

N_SEQUENCES = 2


def make_sequences(rng: np.random.Generator, length: int) -> np.ndarray:
    """Draw codes 0 to 3, with a run of N (4, one-hot zeros) in the second sequence."""
    codes = rng.integers(0, 4, (N_SEQUENCES, length)).astype(np.int8)
    codes[1, length // 2 : length // 2 + 9] = 4
    return codes


def randomize(rng: np.random.Generator, weight: tf.Variable) -> None:
    """Draw one weight at random, on a scale that maintains signals through the depth of the network."""
    name, shape = weight.name.split("/")[-1].split(":")[0], tuple(weight.shape)
    inputs = shape[0] if name == "depthwise_kernel" else np.prod(shape[:-1])
    if name == "moving_variance":
        value = rng.uniform(0.5, 2, shape)
    elif name in ("gamma", "scale"):
        value = rng.uniform(0.5, 1.5, shape)
    elif name in ("r_w_bias", "r_r_bias"):
        value = rng.normal(size=shape) * 2
    elif any(part in weight.name for part in ("/q_layer/", "/k_layer/", "/r_k_layer/")):
        value = rng.normal(size=shape) * np.sqrt(4 / inputs)
    elif "kernel" in name:
        value = rng.normal(size=shape) * np.sqrt(2 / inputs)
    elif name == "bias":
        value = rng.uniform(-0.2, 0.8, shape)  # mostly above zero, so that few units are dead
    else:
        value = rng.normal(size=shape) * 0.3
    weight.assign(value)


def save_best(model: tf.keras.Model, path: Path, x: np.ndarray, y: np.ndarray) -> None:
    """Save as their `fit_keras` does: by a callback, including the optimizer state."""
    model.compile(tf.keras.optimizers.SGD(1e-4, momentum=0.9), loss="poisson")
    best = tf.keras.callbacks.ModelCheckpoint(str(path), save_best_only=True, mode="min", monitor="loss", verbose=0)
    model.fit(x, y, epochs=1, batch_size=1, callbacks=[best], verbose=0)


def write_gradients(network: object, codes: np.ndarray, one_hot: np.ndarray, folder: Path) -> None:
    """Write input gradients of the first head: plain, and from `SeqNN.gradients` with two settings.

    `plain` (targets 0 and 1, sequences, length, 4): of the sum over positions. `log_sum` (sequences, length, 4): of the log
    of the sum over positions of two untransformed targets, given by the other entries. `log_sum_gated`: the same minus its
    mean over bases, times the input.
    """
    x = tf.constant(one_hot)
    plain = []
    for target in (0, 1):
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = tf.reduce_sum(network.models[0](x, training=False)[..., target], axis=1)
        plain.append(tape.gradient(score, x).numpy())
    chosen = {
        "target_slice": np.tile([0, 2], (len(codes), 1)),
        "pos_slice": np.array([[1, 2, 3, 4], [5, 6, 0, 0]]),
        "pos_mask": np.array([[1.0, 1, 1, 1], [1, 1, 0, 0]]),
        "track_scale": 0.5,
        "track_transform": 0.75,
        "clip_soft": 2.0,
        "pseudo_count": 0.1,
    }
    log_sum = network.gradients(one_hot, input_gate=False, subtract_avg=False, dtype="float32", **chosen)
    gated = network.gradients(one_hot, dtype="float32", **chosen)
    np.savez_compressed(
        folder / "gradients.npz", codes=codes, plain=np.stack(plain), log_sum=log_sum, log_sum_gated=gated, **chosen
    )


def make(name: str, out: Path) -> None:
    """Write one folder."""
    whose, section = MODELS[name]
    module = importlib.import_module(f"{whose}.seqnn")
    module.gc = gc  # Basenji's forgets to import it
    rng = np.random.default_rng([ord(letter) for letter in name])
    tf.random.set_seed(1)
    network = module.SeqNN({**section, "verbose": False})
    layers = {layer.name: layer for model in network.models for layer in model.layers}
    for layer in layers.values():
        for weight in layer.weights:
            randomize(rng, weight)
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    codes = make_sequences(rng, section["seq_length"])
    one_hot = np.eye(5, dtype=np.float32)[codes][..., :4]
    if name == "basenji2":
        y = rng.poisson(1, network.model(one_hot).shape).astype(np.float32)
        save_best(network.model, folder / "model_best.h5", one_hot, y)
    elif len(network.models) > 1:
        for index, model in enumerate(network.models):
            model.save(str(folder / f"model{index}_best.h5"), include_optimizer=False)
        network.save(str(folder / "trunk.h5"), trunk=True)
        network.models[0].save_weights(str(folder / "weights0.h5"))
    else:
        network.save(str(folder / "model_best.h5"))
    outputs = {f"outputs{index}": model(one_hot, training=False).numpy() for index, model in enumerate(network.models)}
    np.savez_compressed(folder / "reference.npz", codes=codes, **outputs)
    (folder / "params.json").write_text(json.dumps({"model": section}, indent=2) + "\n")
    if name == "borzoi":
        write_gradients(network, codes, one_hot, folder)
    sizes = {key: (value.shape, float(value.std())) for key, value in outputs.items()}
    print(name, whose, sizes, sorted((path.name, path.stat().st_size) for path in folder.iterdir()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("basenji", help="folder that has the package basenji")
    parser.add_argument("baskerville", help="folder that has the package baskerville")
    parser.add_argument("models", nargs="*", default=list(MODELS), help="which to make (all)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    sys.path[:0] = [args.basenji, args.baskerville]
    for name in args.models or MODELS:
        make(name, args.out)


if __name__ == "__main__":
    main()
