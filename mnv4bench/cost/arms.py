"""What an arm costs where it is deployed: fused, with the one head that is read."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from mnv4bench.cost.counting import Macs, activations, deployed, macs, parameters
from mnv4bench.data.coco_classes import COCO
from mnv4bench.data.weights import Missing
from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.io.files import write_json
from mnv4bench.models import detector, peers
from mnv4bench.models.peers import PeerDetector
from mnv4bench.models.published import rtdetr
from mnv4bench.models.published.stored import RTDETR
from mnv4bench.models.yolo import Detector
from mnv4bench.results.cost import Cost, CostRow, PartCost
from mnv4bench.spec.arms import Arm
from mnv4bench.spec.plan import Plan

__all__ = ["count", "deployed", "parameters", "write_cost"]

PACKAGE = Path(__file__).parent.parent


def count(model: Detector, imgsz: int) -> CostRow:
    """Count one image of `imgsz` × `imgsz` pixels; FLOPs are 2 × multiply-accumulates, as both papers print them."""
    fused = deployed(model)
    image = torch.zeros(1, 3, imgsz, imgsz)
    counted = macs(fused, image)
    whole = counted[""]
    return CostRow(
        params=parameters(fused),
        flops=2 * whole.total,
        conv_flops=2 * whole.conv,
        activations=activations(fused, image),
        train_params=parameters(model),
        parts=_parts(fused, counted),
    )


def _parts(fused: Detector, counted: Mapping[str, Macs]) -> dict[str, PartCost]:
    """Return the cost of every part that has weights; nothing for a network that is one part."""
    if len(fused.parts) == 1:
        return {}
    costs: dict[str, PartCost] = {}
    for index, (name, layer) in enumerate(zip(_names(fused), fused.model, strict=True)):
        layer_macs, cost = counted[f"model.{index}"], costs.get(name, PartCost(params=0, flops=0))
        costs[name] = PartCost(params=cost.params + parameters(layer), flops=cost.flops + 2 * layer_macs.total)
    return {name: cost for name, cost in costs.items() if cost.params}


def _names(model: Detector) -> list[str]:
    """Return the part that each layer counts to: our detector's own, or a peer's backbone, neck or head by place."""
    if not isinstance(model, PeerDetector):
        return list(model.parts)
    backbone = len(model.yaml["backbone"])
    return ["backbone"] * backbone + ["neck"] * (len(model.parts) - backbone - 1) + ["head"]


def _network(arm: Arm, classes: int) -> Detector:
    """Return an arm's network; a published one's by its definition, which costs the same and needs no file.

    Raises:
        Missing: a package that it is built from is not installed.
    """
    if arm.model.weights == RTDETR:
        return rtdetr.build(len(COCO))
    if arm.model.weights:
        return peers.build(arm.model.weights, len(COCO), read=arm.read)
    return detector.build(arm.model, classes, read=arm.read)


def write_cost(plan: Plan, classes: int, path: Path) -> None:
    """Count every arm of a plan once and write cost.json; one whose network cannot be built here is left out.

    Raises:
        Mnv4benchError: networks that cannot be computed or counted, a line each with ablation, arm and reason.
    """
    counted = _counted(plan, plan.arms, classes)
    write_json(path, Cost(imgsz=plan.preset.data.imgsz, classes=classes, arms=counted))


def check_networks(plan: Plan, runs: Path) -> None:
    """Refuse networks that cannot be computed, before hours are spent on others.

    Args:
        runs: folder of the plan's runs; what an arm has finished is taken for proof.

    Raises:
        Mnv4benchError: as for `write_cost`.
    """
    left = [arm for arm in plan.arms if not all((runs / run / "metrics.json").exists() for run in arm.runs.values())]
    _counted(plan, [arm for arm in left if not arm.published], len(COCO))


def _counted(plan: Plan, wanted: Sequence[Arm], classes: int) -> dict[str, CostRow]:
    """Return arm → what its network costs; arms with equal ones are counted once."""
    counted: dict[str, CostRow] = {}
    arms: dict[str, CostRow] = {}
    problems: dict[str, str] = {}
    for arm in wanted:
        imgsz = plan.spec(arm).data.imgsz
        same = f"{arm.model.model_dump_json()} {arm.read} {imgsz}"
        if same not in counted and same not in problems:
            try:
                counted[same] = count(_network(arm, classes), imgsz)
            except Missing:
                continue
            except Exception as error:  # of a part that someone wrote
                problems[same] = f"ablations/{arm.ablation}.yaml: arms.{arm.name}: {_reason(error)}"
        if same in counted:
            arms[arm.label] = counted[same]
    if problems:
        raise Mnv4benchError("\n".join(problems.values()))
    return arms


def _reason(error: Exception) -> str:
    """Return why a network was not counted: what was raised, in which part, and where in our files."""
    if isinstance(error, Mnv4benchError):
        return str(error)
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if str(PACKAGE / "models") in frame.filename]
    where = f", at mnv4bench/{Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}" if ours else ""
    part = _part(error)
    return f"cannot be computed{f' in the part {part}' if part else ''}{where}: {type(error).__name__}: {error}"


def _part(error: Exception) -> str | None:
    """Return the part that an image had come to; None where the network failed while it was made."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        model, layer = frame.f_locals.get("self"), frame.f_locals.get("m")  # of ultralytics' loop over layers
        if isinstance(model, Detector) and isinstance(layer, nn.Module):
            return _names(model)[list(model.model).index(layer)]
    return None
