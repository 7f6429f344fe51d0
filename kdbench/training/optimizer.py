"""The optimizer that a recipe names, and its state: in place on the device, so that a graph can capture its steps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kdbench.recipe import Recipe

Named = tuple[str, nn.Parameter]
Groups = list[dict[str, object]]
Made = tuple[torch.optim.Optimizer, dict[str, Tensor]]


def make_optimizer(recipe: Recipe, named: Iterable[Named], lr: Tensor) -> Made:
    """An optimizer whose rate is the scalar `lr`, and what it changes beside the parameters, by name.

    The state is there from the start, as zeros: they give the same first step as none, and the same operators as every
    later step, which a graph needs.
    """
    named = list(named)
    groups = _groups(recipe, named)
    optimizer, state = (_adamw if recipe.optimizer == "adamw" else _sgd)(recipe, groups, named, on_cuda=lr.is_cuda)
    for group in optimizer.param_groups:
        # Only now, since the constructor would read its value on the host.
        group["lr"] = lr
    return optimizer, state


def _sgd(recipe: Recipe, groups: Groups, named: list[Named], *, on_cuda: bool) -> Made:
    optimizer = torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)
    state = {}
    if recipe.momentum:
        for number, (_, parameter) in enumerate(named):
            momentum = torch.zeros_like(parameter)
            state[f"momentum.{number}"] = optimizer.state[parameter]["momentum_buffer"] = momentum
    return optimizer, state


def _adamw(recipe: Recipe, groups: Groups, named: list[Named], *, on_cuda: bool) -> Made:
    # A fused step is the same with and without `capturable`, but PyTorch captures none without.
    optimizer = torch.optim.AdamW(
        groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.eps, fused=True, capturable=on_cuda
    )
    state: dict[str, Tensor] = {}
    for number, (_, parameter) in enumerate(named):
        of_one = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        optimizer.state[parameter] |= of_one
        state |= {f"{name}.{number}": tensor for name, tensor in of_one.items()}
    return optimizer, state


def _groups(recipe: Recipe, named: list[Named]) -> Groups:
    """Parameters by their weight decay; one group where all have the same."""
    if recipe.decay_norms:
        return [{"params": [parameter for _, parameter in named], "weight_decay": recipe.weight_decay}]
    decayed = [parameter for name, parameter in named if _decays(name, parameter)]
    spared = [parameter for name, parameter in named if not _decays(name, parameter)]
    groups = [(decayed, recipe.weight_decay), (spared, 0.0)]
    return [{"params": parameters, "weight_decay": decay} for parameters, decay in groups if parameters]


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a weight rather than a bias, a norm's scale or a single number, by timm's rule."""
    return parameter.ndim > 1 and not name.endswith("bias")
