"""RT-DETR with a ResNet-18 (arXiv 2304.08069), from transformers' parts: the end-to-end peer of YOLOv10's Table 1.

Its published 60 GFLOPs are 2 × multiply-accumulates of convolutions and linear layers, fused and without the products
of queries, keys and values; convolutions alone are a sixth less, and with the products it would print 61.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mnv4bench.data.letterbox import Fit
from mnv4bench.data.weights import Missing
from mnv4bench.io.errors import Mnv4benchError, SpecError
from mnv4bench.models import torchvision_ops
from mnv4bench.models.yolo import Detector, check_read
from mnv4bench.spec.model import Read
from mnv4bench.spec.run import LossSpec

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


OUTSIDE = re.compile(r"^(?=(class|bbox)_embed\.)")
"""Before the names of the decoder's last layers, which earlier versions of transformers have outside of it."""

COUNTER = "num_batches_tracked"
"""Ends the name of a tensor that only training uses."""


class RTDetr(Detector):
    """Maps images (B, 3, H, W) in 0–1 to one output, (B, 300, 6) rows of x1, y1, x2, y2, score, class in pixels.

    Args:
        network: transformers' RTDetrForObjectDetection.
    """

    parts = ("network",)
    assignment = "one_to_one"
    fit: Fit = "stretch"

    def __init__(self, network: nn.Module, classes: int) -> None:
        nn.Module.__init__(self)
        self.model = nn.Sequential(network)
        self.names = {index: str(index) for index in range(classes)}

    @property
    def network(self) -> Any:
        return self.model[0]

    @property
    def read(self) -> Read:
        return "nms_free"

    @read.setter
    def read(self, value: Read) -> None:
        check_read(self.assignment, value)

    @property
    def end2end(self) -> bool:
        return True

    @end2end.setter
    def end2end(self, value: bool) -> None:
        """Ignore what ultralytics asks for, as every detector does."""

    def forward(self, images: Tensor) -> tuple[Tensor]:
        boxes, scores = self._queries(images)
        queries, classes = scores.shape[1:]
        best, index = scores.flatten(1).topk(queries, dim=1)
        boxes = boxes.gather(1, (index // classes)[..., None].expand(-1, -1, 4))
        return (torch.cat([boxes, best[..., None], (index % classes)[..., None].to(boxes.dtype)], dim=-1),)

    def decode(self, images: Tensor) -> dict[Read, tuple[Tensor, Tensor]]:
        return {"nms_free": self._queries(images)}

    def _queries(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, 300, 4) as corners in pixels, and class probabilities (B, 300, classes)."""
        output = self.network(images)
        centre, size = output.pred_boxes.split(2, dim=-1)
        height, width = images.shape[-2:]
        scale = centre.new_tensor([width, height, width, height])
        return torch.cat([centre - size / 2, centre + size / 2], dim=-1) * scale, output.logits.sigmoid()

    def init_criterion(self, spec: LossSpec | None = None, epochs: int | None = None) -> Any:
        """It is not trained here.

        Raises:
            SpecError: always.
        """
        raise SpecError("RT-DETR is not trained here; name another peer to train its network")

    def fuse(self, verbose: bool = False, imgsz: int = 640) -> RTDetr:
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
        Missing: transformers is not installed.
    """
    torchvision_ops.declare()  # transformers imports torchvision
    try:
        from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig
    except ImportError as error:
        raise Missing(
            "RT-DETR is built from the parts of transformers, which is missing: pip install '.[peers]' in this "
            "project's folder"
        ) from error
    settings = {**NETWORK, "backbone_config": RTDetrResNetConfig(**BACKBONE), "num_labels": classes}
    network = RTDetrForObjectDetection(RTDetrConfig(**settings))
    _carry_the_signal(network)
    return RTDetr(network, classes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing progress bars and listing tensors, which errors name here."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def load(path: Path, names: Sequence[str]) -> RTDetr:
    """Return the detector with the tensors of its authors' release, in eval mode.

    Their names are those of transformers, whichever of its versions wrote them.

    Raises:
        Missing: transformers is not installed.
        Mnv4benchError: the file is damaged, or its tensors are another network's; names the first of them.
    """
    model = build(len(names))
    try:
        tensors = {OUTSIDE.sub("model.decoder.", name): value for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise Mnv4benchError(f"{path}: damaged, or no safetensors file ({error}); fetch it again") from error
    kind, config = type(model.network), model.network.config
    with _quiet():
        network, found = kind.from_pretrained(
            None, config=config, state_dict=tensors, output_loading_info=True, ignore_mismatched_sizes=True
        )
    wrong = {*found["missing_keys"], *found["unexpected_keys"], *(name for name, *_ in found["mismatched_keys"])}
    for name in sorted(name for name in wrong if not name.endswith(COUNTER)):
        raise Mnv4benchError(f"{path}: {name}: missing, unknown or of another shape; give RT-DETR-R18's own file")
    model.model = nn.Sequential(network)
    model.names = dict(enumerate(names))
    model.float().eval()
    return model
