"""Tracing a network for its shapes alone, in a fraction of a forward pass's time.

fvcore counts on a traced graph, and tracing computes every value, nine tenths of it in convolutions. Here convolutions
are recorded as always and answered with zeros. Two steps are needed: tracing records the operator `_convolution`, and a
mode that answers `convolution`, which calls it, would hide it from the graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mnv4bench.io.errors import Mnv4benchError


@contextmanager
def shapes_only() -> Iterator[None]:
    """Within it, two-dimensional convolutions return zeros, and no gradient is kept.

    Raises:
        Mnv4benchError: within it, a convolution of another kind is called, which would be lost to the graph.
    """
    zeros = _Zeros()  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(), torch.no_grad(), zeros, _Recorded():
        warnings.simplefilter("ignore")  # tracing warns of shapes that are constants here
        yield


class _Recorded(TorchFunctionMode):
    """Calls convolutions by the operator that tracing records."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        called = _conv2d if func is torch.conv2d else func
        return called(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = (1, 1),
    padding: Any = (0, 0),  # "same" and "valid" too
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str):
        input, padding = _padded(input, weight, padding, dilation)
    backend = (False, False, True, True)  # benchmark, deterministic, cuDNN, TF32: they change no shape
    stride, padding, dilation = (
        side if isinstance(side, tuple | list) else (side,) * 2 for side in (stride, padding, dilation)
    )
    result: Tensor = torch._convolution(input, weight, bias, stride, padding, dilation, False, (0, 0), groups, *backend)
    return result


def _padded(input: Tensor, weight: Tensor, padding: str, dilation: Any) -> tuple[Tensor, tuple[int, int]]:
    """Return the input and how far each side is padded; an even kernel pads one cell more behind, as PyTorch does."""
    if padding == "valid":
        return input, (0, 0)
    dilation = dilation if isinstance(dilation, tuple | list) else (dilation,) * 2
    across = [step * (int(size) - 1) for step, size in zip(dilation, weight.shape[2:], strict=True)]
    return nn.functional.pad(input, (0, across[1] % 2, 0, across[0] % 2)), (across[0] // 2, across[1] // 2)


class _Zeros(TorchDispatchMode):
    """Answers recorded convolutions with zeros of the right shape."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first call would import the compiler, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution.default:
            shape = tuple(int(side) for side in args[1].shape)
            raise Mnv4benchError(f"a convolution with weights of shape {shape} cannot be counted: write it as conv2d")
        if func is not torch.ops.aten._convolution.default:
            return func(*args, **(kwargs or {}))
        x, weight, _, *geometry = args
        sides = [
            (int(size) + 2 * padding - dilation * (int(kernel) - 1) - 1) // stride + 1
            for size, kernel, stride, padding, dilation in zip(
                x.shape[2:], weight.shape[2:], *geometry[:3], strict=True
            )
        ]
        return x.new_zeros((int(x.shape[0]), int(weight.shape[0]), *sides))
