"""The optimiser: which parameters decay, and by which rule they move."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn

from mnv4bench.spec.run import TrainSpec


def make_optimizer(model: nn.Module, spec: TrainSpec, projectors: nn.ModuleList | None = None) -> torch.optim.Optimizer:
    """Return AdamW or Nesterov SGD; weight decay acts on weights, not on biases and normalisation.

    LayerScale's factors count as weights, too; another rule would train hybrids differently and raise `PROTOCOL`.
    """
    norms = tuple(kind for name, kind in vars(nn).items() if "Norm" in name)
    roles: dict[str, list[nn.Parameter]] = {"bias": [], "weight": [], "norm": []}
    for module in chain(model.modules(), projectors.modules() if projectors else ()):
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                role = "bias" if name == "bias" else "norm" if isinstance(module, norms) else "weight"
                roles[role].append(parameter)
    groups = [
        {"params": parameters, "role": role, "weight_decay": spec.weight_decay if role == "weight" else 0.0}
        for role, parameters in roles.items()
    ]
    # One kernel for all parameters, which asks the host for nothing; on a CPU it would give other bits than before.
    fused = next(model.parameters()).is_cuda or None
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.momentum, 0.999), fused=fused)
    return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=True, fused=fused)
