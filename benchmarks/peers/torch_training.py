"""A plain PyTorch training loop: one epoch per request."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from .architecture import OPTIMIZER, one_hot, probe, random_data
from .torch_network import build_network, parameter_counts
from .worker import Line, connect, serve


def torch_training_worker(line: Line) -> None:
    """Train eagerly on sequences in memory, one-hot encoded batch by batch."""
    settings = line.settings
    torch.set_num_threads(settings["threads"])
    network = build_network()
    with torch.no_grad():
        predictions = network.eval()(torch.from_numpy(one_hot(probe())).transpose(1, 2)).numpy()
    codes, labels = random_data(settings["batch_size"] * settings["steps"])
    data = DataLoader(
        TensorDataset(torch.from_numpy(codes), torch.from_numpy(labels)), batch_size=settings["batch_size"], shuffle=True
    )
    loss_function = nn.PoissonNLLLoss(log_input=False, eps=1e-7)
    optimizer = torch.optim.SGD(network.parameters(), lr=OPTIMIZER["learning_rate"], momentum=OPTIMIZER["momentum"])
    network.train()

    def epoch() -> int:
        total = 0.0
        for batch_codes, batch_labels in data:
            x = nn.functional.one_hot(batch_codes.long(), 4).float().transpose(1, 2).contiguous()
            optimizer.zero_grad()
            loss = loss_function(network(x), batch_labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        if not np.isfinite(total):
            raise ValueError(f"the loss is {total}")
        return len(codes)

    line.answer(
        {
            "versions": {"torch": torch.__version__},
            "parameters": parameter_counts(network),
            "predictions": predictions.reshape(-1).tolist(),
        }
    )
    serve(line, {"train": epoch})


if __name__ == "__main__":
    torch_training_worker(connect())
