"""RT-DETR with a ResNet-18 (arXiv 2304.08069), from transformers' parts: the end-to-end peer of YOLOv10's Table 1.

Its published 60 GFLOPs are 2 × multiply-accumulates of convolutions and linear layers, fused and without the products
of queries, keys and values; convolutions alone are a sixth less, and with the products it would print 61.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.models import torchvision_ops
from mnv4bench.spec.model import Read

BACKBONE: dict[str, Any] = {
    "embedding_size": 64,
    "hidden_sizes": [64, 128, 256, 512],
    "depths": [2, 2, 2, 2],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}

NETWORK: dict[str, Any] = {
    "encoder_in_channels": [128, 256, 512],
    "hidden_expansion": 0.5,
    "decoder_layers": 3,
    "num_queries": 300,
    "freeze_backbone_batch_norms": False,
    "attn_implementation": "eager",  # matrix products that can be counted and exported
}
"""What the small variant has otherwise than transformers' defaults, which are the ResNet-50 variant's."""

Pair = tuple[str, str]
PAIRS: tuple[Pair, ...] = (("conv", "norm"), ("convolution", "normalization"), ("0", "1"))
"""The names under which a convolution stands beside its batch norm."""


class RTDetr(nn.Module):
    """Maps images (B, 3, H, W) in 0–1 to one output, (B, 300, 6) rows of x1, y1, x2, y2, score, class in pixels.

    Args:
        network: transformers' RTDetrForObjectDetection.
    """

    read: Read = "nms_free"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor]:
        output = self.network(images)
        scores = output.logits.sigmoid()
        queries, classes = scores.shape[1:]
        best, index = scores.flatten(1).topk(queries, dim=1)
        boxes = output.pred_boxes.gather(1, (index // classes)[..., None].expand(-1, -1, 4))
        centre, size = boxes.split(2, dim=-1)
        height, width = images.shape[-2:]
        scale = boxes.new_tensor([width, height, width, height])
        corners = torch.cat([centre - size / 2, centre + size / 2], dim=-1) * scale
        return (torch.cat([corners, best[..., None], (index % classes)[..., None].to(boxes.dtype)], dim=-1),)

    def fuse(self, verbose: bool = False) -> RTDetr:
        """Fold batch norms, merge parallel convolutions and drop what only training uses, in place."""
        for module in list(self.modules()):
            for conv, norm in PAIRS:
                _fold(module, conv, norm)
        for module in list(self.modules()):
            if type(module).__name__ == "RTDetrRepVggBlock" and not isinstance(module.conv2, _Nothing):
                _merge(module)
        core: Any = self.network.model
        core.denoising_class_embed = None
        return self


class _Nothing(nn.Module):
    """A branch that was merged into the one beside it."""

    def forward(self, x: Tensor) -> float:
        return 0.0


def _fold(module: nn.Module, conv_name: str, norm_name: str) -> None:
    conv: Any = getattr(module, conv_name, None)
    norm: Any = getattr(module, norm_name, None)
    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(module, conv_name, fuse_conv_bn_eval(conv.eval(), norm.eval()))
        setattr(module, norm_name, nn.Identity())


def _merge(block: Any) -> None:
    """Add a RepVGG block's 1×1 branch, its norm already folded, into the middle of its 3×3 branch."""
    large, small = block.conv1.conv, block.conv2.conv
    with torch.no_grad():
        large.weight += nn.functional.pad(small.weight, [1, 1, 1, 1])
        large.bias += small.bias
    block.conv2 = _Nothing()


def _carry_the_signal(network: nn.Module) -> None:
    """Draw the convolutions by their fan-out (He et al. 2015) and let the batch norms pass on what they get, in place.

    transformers draws both near 0, for weights that are replaced. A signal then fades within a few layers, every place
    of the image scores the same, and which 300 become queries is chance: two runtimes choose differently.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def build(classes: int) -> RTDetr:
    """Return the detector with random weights.

    Raises:
        Mnv4benchError: transformers is not installed.
    """
    torchvision_ops.declare()  # transformers imports torchvision
    try:
        from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig
    except ImportError as error:
        raise Mnv4benchError(
            "RT-DETR is built from the parts of transformers, which is missing: pip install mnv4bench[peers]"
        ) from error
    settings = {**NETWORK, "backbone_config": RTDetrResNetConfig(**BACKBONE), "num_labels": classes}
    network = RTDetrForObjectDetection(RTDetrConfig(**settings))
    _carry_the_signal(network)
    return RTDetr(network)
