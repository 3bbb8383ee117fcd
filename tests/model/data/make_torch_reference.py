"""Create the reference networks of the folder `torch` with the classes of gReLU, Decima and borzoi-pytorch.

The networks have all layers of the originals, but few channels. All weights are drawn at random, including moving statistics,
so that swapped or missing layers change the predictions. `reference.npz` contains sequences and the predictions of the
originals.

Requires PyTorch, gReLU, borzoi-pytorch and safetensors, in an environment apart from Cisnake's:

    python make_torch_reference.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from borzoi_pytorch.pytorch_borzoi_model import Borzoi, ConvBlock
from grelu.model.heads import ConvHead
from grelu.model.models import BorzoiModel
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent / "torch"
LENGTH, GENE_START = 1024, 300
SMALL = {
    "stem_channels": 8, "init_channels": 32, "channels": 32, "n_conv": 3, "kernel_size": 5, "n_transformers": 2, "key_len": 4,
    "value_len": 8, "n_heads": 4, "n_pos_features": 8, "crop_len": 16,
}  # fmt: skip


def randomize(model: nn.Module) -> nn.Module:
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if not value.dtype.is_floating_point:
            continue
        with torch.no_grad():
            if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                value.copy_(torch.rand_like(value) + 0.5)
            elif value.ndim == 1 or "rel_" in name:
                value.copy_(torch.randn_like(value) * 0.2)
            else:
                value.copy_(torch.randn_like(value) * (value.shape[0] / value.numel()) ** 0.5)
    return model.eval()


def decima() -> nn.Module:
    """Return a network put together as in DecimaModel, whose numbers of channels are fixed."""
    model = BorzoiModel(n_tasks=2, norm_kwargs={"eps": 1e-5}, act_func="gelu", **SMALL)
    model.head = ConvHead(n_tasks=3, in_channels=40, pool_func="avg")
    stem = model.embedding.conv_tower.blocks[0].conv
    stem.weight = nn.Parameter(torch.cat([stem.weight, nn.Conv1d(5, 8, 15).weight[:, [-1], :]], dim=1))
    return randomize(model)


def borzoi() -> nn.Module:
    model = Borzoi.from_hparams(
        dim=16, depth=2, heads=4, attn_dim_key=4, attn_dim_value=4, bins_to_return=16, enable_mouse_head=True
    )
    model.conv_dna.conv_layer = nn.Conv1d(4, 8, 15, padding="same")
    for block in range(0, 9, 2):
        model.res_tower[block] = ConvBlock(8, 8, 5)
    model.unet1[1] = ConvBlock(8, 16, 5)
    model.horizontal_conv0 = ConvBlock(8, 16)
    model.final_joined_convs[0] = ConvBlock(16, 20)
    model.human_head, model.mouse_head = nn.Conv1d(20, 3, 1), nn.Conv1d(20, 2, 1)
    return randomize(model)


def main() -> None:
    torch.manual_seed(1)
    FOLDER.mkdir(exist_ok=True)
    sequences = torch.randint(0, 4, (2, LENGTH))
    bases = nn.functional.one_hot(sequences, 4).float().permute(0, 2, 1)
    body = torch.zeros(2, 1, LENGTH)
    body[:, :, GENE_START:] = 1
    predicted = {}
    with torch.no_grad():
        model = decima()
        predicted["decima"] = torch.exp(model(torch.cat([bases, body], dim=1)))[:, :, 0]
        settings = {"name": "v1_tiny", "model_params": {"n_tasks": 3, "mask": True, "borzoi_kwargs": {"crop_len": 16}}}
        metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
        save_file(model.state_dict(), FOLDER / "decima.safetensors", metadata=metadata | {"data_params": "{}"})

        model = randomize(BorzoiModel(n_tasks=3, final_pool_func=None, **SMALL))
        predicted["grelu"] = torch.exp(model(bases)).permute(0, 2, 1)
        optimizer = torch.optim.Adam(model.parameters())
        checkpoint = {
            "epoch": 3,
            "state_dict": {f"model.{name}": value for name, value in model.state_dict().items()},
            "optimizer_states": [optimizer.state_dict()],
            "hyper_parameters": {
                "model_params": {"model_type": "BorzoiModel", "n_tasks": 3, "final_pool_func": None, **SMALL},
                "train_params": {"task": "regression", "loss": "poisson_multinomial"},
                "data_params": {"tasks": {"name": ["liver", "brain", "T cell"]}},
            },
        }
        torch.save(checkpoint, FOLDER / "grelu.ckpt")

        model = borzoi()
        predicted["human"] = model(bases).permute(0, 2, 1)
        predicted["mouse"] = model(bases, is_human=False).permute(0, 2, 1)
        (FOLDER / "borzoi").mkdir(exist_ok=True)
        save_file(model.state_dict(), FOLDER / "borzoi" / "model.safetensors")
        (FOLDER / "borzoi" / "config.json").write_text(json.dumps({"model_type": "borzoi", "bins_to_return": 16}) + "\n")
    arrays = {name: value.numpy() for name, value in predicted.items()}
    np.savez_compressed(FOLDER / "reference.npz", sequences=sequences.numpy().astype(np.int8), **arrays)


if __name__ == "__main__":
    main()
