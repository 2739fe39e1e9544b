"""Measurements on models, and the names under which YAML files ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mnv4bench.ledger.checks import ARITHMETIC, COUNTED, INSPECTED, Attention, Check, Context, Measured, PrintedFigure
from mnv4bench.spec.problems import nearest
from mnv4bench.spec.yamlfile import YamlFile


class Detector(Check):
    """A count of a catalogue detector, fused and with the one head that is read; FLOPs are 2 × multiply-accumulates."""

    model: str
    of: Literal["params", "conv_flops", "layer_flops", "profiled_flops", "flops", "train_params"]
    """layer_flops are those of convolutions and linear layers, without products of two activations; profiled_flops adds
    upsampling, as a profiler of layers does."""
    imgsz: int = 640
    unit: float = 1.0
    """What one unit of the figure stands for: 1e6 where it is printed in millions."""

    def measure(self, context: Context) -> Measured:
        return Measured.exact(context.counts.detector(self.model, self.imgsz)[self.of] / self.unit, COUNTED)


class Branch(Check):
    """A count of one branch of a detector's head."""

    model: str
    branch: Literal["classification", "regression"]
    of: Literal["params", "conv_flops"]
    imgsz: int = 640
    unit: float = 1.0

    def measure(self, context: Context) -> Measured:
        counted = context.counts.head(self.model, self.imgsz)
        return Measured.exact(counted[f"{self.branch} {self.of}"] / self.unit, COUNTED)


class Classifier(Check):
    """A count of a MobileNetV4 classifier (costs.classifier_cost)."""

    model: str
    of: Literal["params", "params_folded", "params_keras", "macs", "macs_weights", "convolutions"]
    imgsz: int
    attention: Attention = "mqa"
    kv_downsampling: bool = True
    unit: float = 1.0

    def measure(self, context: Context) -> Measured:
        counted = context.counts.classifier(self.model, self.imgsz, self.attention, self.kv_downsampling)
        return Measured.exact(counted[self.of] / self.unit, COUNTED)


class Downsampling(Check):
    """A coefficient of a down-sampling's cost: multiply-accumulates over H·W·Cᵏ, or weights over Cᵏ.

    Counted on real layers that take C channels to 2C at half the resolution, without batch norm.
    """

    layer: Literal["strided", "pointwise", "depthwise"]
    """The standard 3×3 convolution, or one of SCDown's two."""
    of: Literal["macs", "weights"]

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import downsampling

        return Measured.exact(downsampling(self.layer, self.of), COUNTED)


class TableRow(Check):
    """A row of a MobileNetV4 variant's table in this file's notation (structure.blocks)."""

    variant: str
    index: int
    """From 0; the average pooling, the 1280-channel convolution and the linear layer follow the trunk."""

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import blocks

        rows = blocks(self.variant)
        return Measured.words(rows[self.index] if self.index < len(rows) else "nothing", INSPECTED)


class Stage(Check):
    """The rows of a MobileNetV4 variant's table that put out so many channels, in the notation of structure.blocks."""

    variant: str
    channels: int

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import stage

        return Measured.words(stage(self.variant, self.channels), INSPECTED)


class Trunk(Check):
    """A property of a MobileNetV4 trunk: P2–P5 channels, the number of blocks of a kind, of blocks with a residual, of
    stages that begin with a universal inverted bottleneck with both depthwise convolutions."""

    variant: str
    of: Literal[
        "channels",
        "p5_channels",
        "uib",
        "uib_expansion_4",
        "attention",
        "uib_with_residual",
        "stages_from_extra_dw",
        "activation",
        "layer_scale",
    ]

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import trunk

        value = trunk(self.variant, self.of)
        return Measured.words(value, INSPECTED) if isinstance(value, str) else Measured.exact(float(value), INSPECTED)


class SharedParameters(Check):
    """Per cent of a SuperNet's parameters that every choice of depthwise convolutions uses: the pointwise ones.

    The SuperNet has the universal inverted bottlenecks of a variant; both depthwise convolutions of each may be 3×3 or
    5×5, or absent. Norms and biases are left out.
    """

    variant: str
    kernels: Literal["separate", "nested"]
    """Whether a 3×3 kernel has weights of its own, or is the middle of the 5×5 one."""

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import shared_parameters

        return Measured.exact(shared_parameters(self.variant, self.kernels), COUNTED)


class Stages(Check):
    """The stages 1–8 of a YOLOv10 whose block is of a class: 1–4 in the backbone, 5–8 in the neck."""

    model: str
    block: str

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import stages

        return Measured.words(stages(self.model, self.block), INSPECTED)


class Psa(Check):
    """A property of the partial self-attention that the detectors here use."""

    of: Literal["ffn_expansion", "key_over_value", "blocks", "split"]

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import psa

        return Measured.exact(psa(self.of), INSPECTED)


class InnerBlock(Check):
    """The class of the block inside C2fCIB."""

    def measure(self, context: Context) -> Measured:
        from mnv4bench.ledger.structure import inner_block

        return Measured.words(inner_block(), INSPECTED)


MEASURES: Mapping[str, type[Check]] = {
    **ARITHMETIC,
    "detector": Detector,
    "branch": Branch,
    "classifier": Classifier,
    "downsampling": Downsampling,
    "block": TableRow,
    "stage": Stage,
    "trunk": Trunk,
    "shared_parameters": SharedParameters,
    "stages": Stages,
    "psa": Psa,
    "inner_block": InnerBlock,
}

OPERANDS = ("of", "to")


def parse(file: YamlFile, content: Mapping[str, Any] | str, place: Sequence[str]) -> Check:
    """Return the check that a YAML file asks for: the id of a figure, or a measure with its arguments.

    Raises:
        SpecError: an unknown measure or argument; names file, line and field.
    """
    if isinstance(content, str):
        return PrintedFigure(id=content)
    name = str(content.get("measure"))
    if name not in MEASURES:
        raise file.error((*place, "measure"), f"unknown measure {name!r}; {nearest(name, sorted(MEASURES))}")
    arguments = {key: value for key, value in content.items() if key != "measure"}
    if name in ARITHMETIC:
        for key in OPERANDS:
            if isinstance(arguments.get(key), Mapping | str):
                arguments[key] = parse(file, arguments[key], (*place, key))
    return file.parse(MEASURES[name], arguments, place)
