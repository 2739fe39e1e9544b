"""Batch norm by the statistics of a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable


def synchronise(model: nn.Module, device: str) -> nn.Module:
    """Return the model, its batch norms replaced by ones over all processes; names and values stay.

    On GPUs they are PyTorch's own, which it has for GPUs alone.
    """
    if device == "cuda":
        whole: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return whole
    for parent in list(model.modules()):
        for name, norm in list(parent.named_children()):
            if type(norm) is nn.BatchNorm2d:
                setattr(parent, name, SharedBatchNorm.like(norm))
    return model


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose training statistics are those of all processes' images together."""

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> SharedBatchNorm:
        """Return one with another's settings and tensors."""
        new = cls(norm.num_features, norm.eps, norm.momentum)
        vars(new).update(vars(norm))
        return new

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        y: Tensor
        y, mean, variance, count = _Normalise.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        return y


class _Normalise(torch.autograd.Function):
    """Ioffe and Szegedy's transform and its gradient (arXiv 1502.03167, section 3), its sums taken over processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size = x.new_tensor([x.numel() / x.shape[1]])
        sums = torch.cat([x.sum((0, 2, 3)), size])
        distributed.all_reduce(sums)
        count = sums[-1]
        mean = sums[:-1] / count
        squares = (x - mean.view(1, -1, 1, 1)).square().sum((0, 2, 3))  # from the mean, which loses no digits
        distributed.all_reduce(squares)
        variance = squares / count
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), count)
        y = torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, False)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale, count = ctx.saved_tensors

        def wide(value: Tensor) -> Tensor:
            return value.view(1, -1, 1, 1)

        normalised = (x - wide(mean)) * wide(scale)
        bias, slope = dy.sum((0, 2, 3)), (dy * normalised).sum((0, 2, 3))
        sums = torch.cat([bias, slope])
        distributed.all_reduce(sums)
        over_all, along = (sums / count).chunk(2)
        dx = (dy - wide(over_all) - normalised * wide(along)) * wide(scale * weight)
        return dx, slope, bias, None
