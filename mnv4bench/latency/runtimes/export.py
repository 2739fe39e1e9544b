"""A network as a graph that other runtimes load: in ONNX, by itself or with suppression behind it, or traced."""

from __future__ import annotations

import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes.outputs import DEPLOYED, LIMIT, Thresholds

OPSET = 18

KEPT = 8
"""Graphs that a process keeps: more than a preset of published networks has, whose settings share them."""
_kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()


class OutputAlone(nn.Module):
    """A model without the feature maps that it returns beside its output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.model(image)[0]
        return output


class AllCandidates(nn.Module):
    """A model read "nms_free" without its choice of the highest scores; its output is formed as that of "nms".

    Raises:
        Mnv4benchError: its head has no such choice that can be left out.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        heads: list[Any] = [module for module in model.modules() if hasattr(module, "postprocess")]
        if not heads:
            raise Mnv4benchError("how its head chooses the highest scores is not known, and the runtime cannot")
        for head in heads:
            head.postprocess = lambda rows: rows
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        rows: Tensor = self.model(image)[0]  # (1, anchors, 4 + classes), boxes as corners
        low, high, scores = rows.transpose(1, 2).split([2, 2, rows.shape[-1] - 4], 1)
        return torch.cat([(low + high) / 2, high - low, scores], 1)


def trace(model: nn.Module, imgsz: int) -> torch.jit.ScriptModule:
    """Return a model of one output, traced for one image of (3, imgsz, imgsz)."""
    image = torch.zeros(1, 3, imgsz, imgsz)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of shapes that are constants here
        model.eval()(image)  # anchors are made in the first pass and would be traced
        traced: torch.jit.ScriptModule = torch.jit.trace(model, image, strict=False)
    return traced


def export(model: nn.Module, imgsz: int, nms: Thresholds | None = None, key: str | None = None) -> onnx.ModelProto:
    """Return a fused model in eval mode as ONNX (opset 18) for one image of (3, imgsz, imgsz).

    Input "image" (1, 3, imgsz, imgsz); output "output", the model's raw output with its leading 1.

    Args:
        nms: thresholds of suppression to append to a model read "nms", whose output is then that of `append_nms`.
        key: of the deployment.
    """
    if key is None:
        graph = _traced(model, imgsz)
    else:
        if (key, imgsz) not in _kept:
            _kept[key, imgsz] = _traced(model, imgsz).SerializeToString()
        _kept.move_to_end((key, imgsz))
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
        graph = onnx.load_model_from_string(_kept[key, imgsz])
    if nms:
        append_nms(graph, nms)
    return graph


def _traced(model: nn.Module, imgsz: int) -> onnx.ModelProto:
    image = torch.zeros(1, 3, imgsz, imgsz)
    with tempfile.TemporaryDirectory(prefix="mnv4bench-") as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of shapes that are constants here
        model(image)  # anchors are made in the first pass and would be traced
        torch.onnx.export(
            OutputAlone(model).eval(),
            (image,),
            str(Path(folder) / "model.onnx"),
            input_names=["image"],
            output_names=["output"],
            opset_version=OPSET,
            dynamo=False,  # the newer exporter writes the same network in 16 s instead of 1 s
        )
        return onnx.load(Path(folder) / "model.onnx")


def nothing() -> onnx.ModelProto:
    """Return a graph that hands on a number, to see whether a runtime starts."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("image", "output")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["output"])], "nothing", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def append_nms(model: onnx.ModelProto, thresholds: Thresholds = DEPLOYED) -> None:
    """Replace a raw "nms" output (1, 4 + classes, anchors) by "detections", in place: what `outputs.detections` finds.

    Detections are (1, k, 6): rows x1, y1, x2, y2, score, class by falling score, suppressed class by class, every
    anchor once per class that it scores in. Boxes go into the operator as corners, computed as they are outside the
    graph, so that overlaps have the same last digit. Two corners differ: of equal scores another may come first, and so
    survive the limit; and OpenVINO drops a box whose overlap equals the threshold to the last digit.
    """
    graph = model.graph
    (raw,) = graph.output
    classes = raw.type.tensor_type.shape.dim[1].dim_value - 4
    constants: dict[str, NDArray[Any]] = {
        "nms_parts": np.array([2, 2, classes], np.int64),
        "nms_half": np.array(0.5, np.float32),
        "nms_limit": np.array([LIMIT], np.int64),
        "nms_iou": np.array([thresholds.iou], np.float32),
        "nms_confidence": np.array([thresholds.confidence], np.float32),
        "nms_first": np.array(0, np.int64),
        "nms_class": np.array([1], np.int64),
        "nms_anchor": np.array(2, np.int64),
        "nms_column": np.array([1], np.int64),
        "nms_batch": np.array([0], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.node.extend(
        [
            _node("Split", [raw.name, "nms_parts"], ["nms_centre", "nms_size", "nms_scores"], axis=1),
            _node("Mul", ["nms_size", "nms_half"], ["nms_reach"]),
            _node("Sub", ["nms_centre", "nms_reach"], ["nms_low"]),
            _node("Add", ["nms_centre", "nms_reach"], ["nms_high"]),
            _node("Concat", ["nms_low", "nms_high"], ["nms_corners"], axis=1),
            _node("Transpose", ["nms_corners"], ["nms_boxes"], perm=[0, 2, 1]),
            _node(
                "NonMaxSuppression",
                ["nms_boxes", "nms_scores", "nms_limit", "nms_iou", "nms_confidence"],
                ["nms_kept"],  # (k, 3) rows of image, class, anchor, class by class
            ),
            _node("GatherND", ["nms_scores", "nms_kept"], ["nms_score"]),
            _node("Gather", ["nms_kept", "nms_class"], ["nms_label"], axis=1),
            _node("Gather", ["nms_kept", "nms_anchor"], ["nms_place"], axis=1),
            _node("Gather", ["nms_boxes", "nms_first"], ["nms_flat"], axis=0),
            _node("Gather", ["nms_flat", "nms_place"], ["nms_box"], axis=0),
            _node("Unsqueeze", ["nms_score", "nms_column"], ["nms_score_column"]),
            _node("Cast", ["nms_label"], ["nms_label_column"], to=TensorProto.FLOAT),
            _node("Concat", ["nms_box", "nms_score_column", "nms_label_column"], ["nms_rows"], axis=1),
            _node("Shape", ["nms_score"], ["nms_found"]),
            _node("Min", ["nms_found", "nms_limit"], ["nms_count"]),
            _node("TopK", ["nms_score", "nms_count"], ["nms_best", "nms_order"], axis=0),
            _node("Gather", ["nms_rows", "nms_order"], ["nms_sorted"], axis=0),
            _node("Unsqueeze", ["nms_sorted", "nms_batch"], ["detections"]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, "detections", 6]))
    onnx.checker.check_model(model)


def _node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes)
