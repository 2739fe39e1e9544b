"""The processes that share one training: which of them this one is, and what they add up.

Every rank holds the whole network and the same values in it. It computes its share of a batch; sums over the batch that
the loss divides by, and then the gradients, are added up over the ranks, so that all of them take the same step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Ranks:
    """One of `count` processes, numbered from 0."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, items: list[Kind]) -> list[Kind]:
        """Return this rank's part of a batch; the parts in the order of the ranks are the batch."""
        start, end = (len(items) * rank // self.count for rank in (self.rank, self.rank + 1))
        return items[start:end]

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all ranks, through which no gradient flows; alone, the value itself."""
        if self.count == 1:
            return value
        value = value.detach().clone()
        distributed.all_reduce(value)
        return value

    def images(self, batch: Tensor) -> int:
        """Return the number of images in all shares of a batch."""
        return len(batch) if self.count == 1 else int(self.total(torch.tensor(len(batch), device=batch.device)))

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every parameter the sum of its gradients, which the same parameters have on every rank.

        All in one tensor: DistributedDataParallel arranges its buckets anew after the first step, so the first step
        after a resume would add in another order.
        """
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def from_first(self, value: Any) -> Any:
        """Return what the first rank gave, which all wait for."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]


ALONE = Ranks()


def current() -> Ranks:
    """Return this process's place among those that torchrun started; alone where there are no others."""
    if not distributed.is_initialized():
        return ALONE
    return Ranks(distributed.get_rank(), distributed.get_world_size())
