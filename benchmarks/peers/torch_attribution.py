"""Attribution with Captum, task by task, and with plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from captum.attr import GradientShap, InputXGradient, IntegratedGradients, NoiseTunnel, Saliency

from .architecture import TASKS, one_hot, probe, random_data
from .torch_network import build_network, parameter_counts
from .worker import Line, connect, serve


def centred(gradient: torch.Tensor) -> torch.Tensor:
    """Return gradients (..., 4, length) minus their mean over the bases."""
    return gradient - gradient.mean(dim=-2, keepdim=True)


def torch_attribution_worker(line: Line) -> None:
    """Run Captum task by task, as its interface requires, and autograd for all tasks of one forward pass."""
    settings = line.settings
    torch.set_num_threads(settings["threads"])
    network = build_network().eval().requires_grad_(False)
    passes = settings["passes"]

    def tensor(codes: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(one_hot(codes)).transpose(1, 2).contiguous()

    x = tensor(random_data(settings["batch_size"])[0])
    zero = torch.zeros_like(x)

    def retained() -> int:
        inputs = x.clone().requires_grad_()
        scores = network(inputs).sum(dim=0)
        torch.stack([centred(torch.autograd.grad(score, inputs, retain_graph=True)[0]) * x for score in scores])
        return len(x)

    def by_task(attribute: Callable[[int], torch.Tensor]) -> Callable[[], int]:
        def job() -> int:
            torch.stack([attribute(task).detach() for task in range(TASKS)])
            return len(x)

        return job

    gradient = Saliency(network)
    product, path, noisy, shap = (
        InputXGradient(network),
        IntegratedGradients(network),
        NoiseTunnel(Saliency(network)),
        GradientShap(network),
    )
    jobs = {
        "one forward pass": retained,
        "gradient": by_task(lambda task: gradient.attribute(x.clone().requires_grad_(), task, abs=False)),
        "saliency": by_task(lambda task: gradient.attribute(x.clone().requires_grad_(), task)),
        "input_x_gradient": by_task(lambda task: product.attribute(x.clone().requires_grad_(), task)),
        # Internal batches have the same size as all other batches.
        "integrated_gradients": by_task(lambda task: path.attribute(x, zero, task, n_steps=passes, internal_batch_size=len(x))),
        "expected_integrated_gradients": by_task(lambda task: shap.attribute(x, zero, passes, 0.0, task)),
        "smoothgrad": by_task(
            lambda task: noisy.attribute(x, nt_samples=passes, nt_samples_batch_size=1, stdevs=0.1, target=task, abs=False)
        ),
    }
    few = tensor(probe())
    with torch.enable_grad():
        inputs = few.clone().requires_grad_()
        scores = network(inputs)
        gradients = [torch.autograd.grad(score, inputs, retain_graph=True)[0] for score in scores.sum(dim=0)]
    line.answer(
        {
            "versions": {name: version(name) for name in ("torch", "captum")},
            "parameters": parameter_counts(network),
            "predictions": scores.detach().reshape(-1).tolist(),
            "attributions": (centred(torch.stack(gradients)) * few).sum(-2).reshape(-1).tolist(),
        }
    )
    serve(line, jobs)


if __name__ == "__main__":
    torch_attribution_worker(connect())
