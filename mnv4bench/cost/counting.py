"""What a network costs, counted: parameters, and the multiply-accumulates of one forward pass (fvcore)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import Tensor, nn

from mnv4bench.cost.tracing import shapes_only
from mnv4bench.io.errors import Mnv4benchError

CONV = ("conv",)
LINEAR = ("linear", "addmm")
MATMUL = ("matmul", "bmm", "mm", "einsum")
ARITHMETIC = (*CONV, *LINEAR, *MATMUL)
"""fvcore's operator groups that multiply and accumulate; normalisation is folded into them by fusing."""
UPSAMPLE = ("upsample_nearest2d",)

UNCOUNTED = "aten::scaled_dot_product_attention"
"""The one operator of matrix products that fvcore takes for free."""


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates: of convolutions, of layers with weights over the last axis, of products of two inputs."""

    conv: int
    linear: int
    matmul: int
    upsampled: int
    """Elements that nearest-neighbour upsampling puts out: no arithmetic, but some profilers count them."""

    @property
    def total(self) -> int:
        return self.conv + self.linear + self.matmul


Network = TypeVar("Network", bound=nn.Module)


def deployed(model: Network) -> Network:
    """Return a fused copy in eval mode that holds only the branch that is read; the model has to know `fuse`."""
    fused = copy.deepcopy(model).eval()
    cast(Any, fused).fuse(verbose=False)
    return fused


def parameters(module: nn.Module) -> int:
    """Return the number of elements of all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs(module: nn.Module, image: Tensor) -> dict[str, Macs]:
    """Trace `module` on `image` and count by part: dotted module name → its multiply-accumulates; "" is the whole.

    Raises:
        Mnv4benchError: it computes attention by an operator that fvcore does not count.
    """
    with shapes_only():
        analysis = _quiet(FlopCountAnalysis(module, image))
        counted = analysis.by_module_and_operator()
    if UNCOUNTED in analysis.unsupported_ops():
        raise Mnv4benchError(
            f"{type(module).__name__} computes attention by {UNCOUNTED}, which is not counted: write it as matmul"
        )
    return {name: _macs(operators) for name, operators in counted.items()}


def activations(module: nn.Module, image: Tensor) -> int:
    """Trace `module` on `image` and return the number of elements that its arithmetic operators put out."""
    with shapes_only():
        counted = _quiet(ActivationCountAnalysis(module, image)).by_operator()
    return sum(int(counted.get(name, 0)) for name in ARITHMETIC)


def _macs(operators: Mapping[str, float]) -> Macs:
    groups = (CONV, LINEAR, MATMUL, UPSAMPLE)
    conv, linear, matmul, upsampled = (sum(int(operators.get(name, 0)) for name in group) for group in groups)
    return Macs(conv, linear, matmul, upsampled)


def _quiet(analysis: FlopCountAnalysis) -> FlopCountAnalysis:
    """Silence the list of elementwise operators that fvcore counts as free."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
