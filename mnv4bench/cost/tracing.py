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

CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
TRANSPOSED = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Within it, convolutions return zeros, and no gradient is kept.

    Raises:
        Mnv4benchError: a convolution is called by another function than PyTorch's own layers call, and would be lost.
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
        called = _convolution if func in CONVOLUTIONS else _transposed if func in TRANSPOSED else func
        return called(*args, **(kwargs or {}))


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,  # "same" and "valid" too
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str):
        input, padding = _padded(input, weight, padding, dilation)
    return _recorded(input, weight, bias, stride, padding, dilation, False, 0, groups)


def _transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    return _recorded(input, weight, bias, stride, padding, dilation, True, output_padding, groups)


def _recorded(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Tensor:
    stride, padding, dilation, output_padding = (
        _each(given, weight) for given in (stride, padding, dilation, output_padding)
    )
    backend = (False, False, True, True)  # benchmark, deterministic, cuDNN, TF32: they change no shape
    geometry = (stride, padding, dilation, transposed, output_padding, groups)
    result: Tensor = torch._convolution(input, weight, bias, *geometry, *backend)
    return result


def _each(given: Any, weight: Tensor) -> tuple[int, ...]:
    """Return what is given for each axis of the kernel, or once for all of them."""
    axes = weight.dim() - 2
    return tuple(given) * (axes // len(given)) if isinstance(given, tuple | list) else (given,) * axes


def _padded(input: Tensor, weight: Tensor, padding: str, dilation: Any) -> tuple[Tensor, tuple[int, ...]]:
    """Return the input and how far each side is padded; an even kernel pads one cell more behind, as PyTorch does."""
    across = [step * (int(size) - 1) for step, size in zip(_each(dilation, weight), weight.shape[2:], strict=True)]
    if padding == "valid":
        return input, (0,) * len(across)
    behind = [cells for side in reversed(across) for cells in (0, side % 2)]
    return nn.functional.pad(input, behind), tuple(side // 2 for side in across)


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
            raise Mnv4benchError(
                f"a convolution with weights of shape {shape} cannot be counted: write it as one of nn.Conv2d's kind"
            )
        if func is not torch.ops.aten._convolution.default:
            return func(*args, **(kwargs or {}))
        x, weight, _, stride, padding, dilation, transposed, output_padding, groups = args[:9]
        # One cell less than a kernel reaches over, with its padding: what its first place takes, or its last one adds.
        over = [d * (int(k) - 1) - 2 * p for d, k, p in zip(dilation, weight.shape[2:], padding, strict=True)]
        sizes = [int(size) for size in x.shape[2:]]
        if transposed:
            sides = [(n - 1) * s + o + e + 1 for n, s, o, e in zip(sizes, stride, over, output_padding, strict=True)]
            return x.new_zeros((int(x.shape[0]), int(weight.shape[1]) * groups, *sides))
        sides = [(n - o - 1) // s + 1 for n, s, o in zip(sizes, stride, over, strict=True)]
        return x.new_zeros((int(x.shape[0]), int(weight.shape[0]), *sides))
