"""What a network costs, counted: parameters, and the multiply-accumulates of one forward pass (fvcore)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar, cast

from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from fvcore.nn.jit_handles import generic_activation_jit, get_shape
from torch import Tensor, nn

from mnv4bench.cost.tracing import shapes_only
from mnv4bench.io.errors import Mnv4benchError

CONV = ("conv",)
LINEAR = ("linear", "addmm")
PRODUCTS = {"matmul": 0, "bmm": 0, "mm": 0, "mv": 0, "dot": 0, "baddbmm": 1}
"""Products of two inputs, with the place of the left one among what the operator is given."""
MATMUL = (*PRODUCTS, "einsum")
ARITHMETIC = (*CONV, *LINEAR, *MATMUL)
"""Operators that multiply and accumulate, as fvcore names them; normalisation is folded into them by fusing."""
UPSAMPLE = ("upsample_nearest2d",)

UNCOUNTED = ("scaled_dot_product_attention", "tensordot", "inner", "addbmm", "addmv", "bilinear", "linalg_multi_dot")
"""Other operators of matrix products, which fvcore takes for free."""


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
        Mnv4benchError: it multiplies matrices by an operator that is not counted.
    """
    with shapes_only():
        analysis = _quiet(FlopCountAnalysis(module, image))
        analysis.set_op_handle(**{f"aten::{name}": _product(left) for name, left in PRODUCTS.items()})
        counted = analysis.by_module_and_operator()
    uncounted = [name for name in UNCOUNTED if f"aten::{name}" in analysis.unsupported_ops()]
    if uncounted:
        raise Mnv4benchError(
            f"{type(module).__name__} multiplies by aten::{uncounted[0]}, which is not counted: write it as matmul"
        )
    return {name: _macs(operators) for name, operators in counted.items()}


def activations(module: nn.Module, image: Tensor) -> int:
    """Trace `module` on `image` and return the number of elements that its arithmetic operators put out."""
    with shapes_only():
        analysis = _quiet(ActivationCountAnalysis(module, image))
        analysis.set_op_handle(**{f"aten::{name}": generic_activation_jit() for name in PRODUCTS})
        counted = analysis.by_operator()
    return sum(int(counted.get(name, 0)) for name in ARITHMETIC)


def _product(left: int) -> Callable[[list[Any], list[Any]], int]:
    """Return what counts a product: for each element put out, one for each that is summed over.

    fvcore's own handle multiplies out the left input, and so misses the copies that broadcasting makes of it.
    """
    return lambda inputs, outputs: prod(get_shape(outputs[0])) * get_shape(inputs[left])[-1]


def _macs(operators: Mapping[str, float]) -> Macs:
    groups = (CONV, LINEAR, MATMUL, UPSAMPLE)
    conv, linear, matmul, upsampled = (sum(int(operators.get(name, 0)) for name in group) for group in groups)
    return Macs(conv, linear, matmul, upsampled)


def _quiet(analysis: FlopCountAnalysis) -> FlopCountAnalysis:
    """Silence the list of elementwise operators that fvcore counts as free."""
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    return analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
