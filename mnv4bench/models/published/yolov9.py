"""YOLOv9 (arXiv 2402.13616) in its inference form, with the head that the published counts belong to.

ultralytics' definitions end in YOLOv8's head; the release groups the last two convolutions of the box branch. The
auxiliary branch of programmable gradient information, which only training uses, is in neither. The release's code
gives the classification branch of the smallest scale more channels than its published counts allow; ultralytics'
width, kept here, agrees with them.
"""

from __future__ import annotations

from torch import nn

from mnv4bench.models.yolo import Conv, DetectionModel, initialize_weights, network, released

GROUPS = 4


def build(scale: str, classes: int) -> DetectionModel:
    """Return YOLOv9-T, S, M, C or E with random weights."""
    model = network(released(f"v9/yolov9{scale}.yaml", ""), classes)
    for branch in model.model[-1].cv2:
        channels, bins = branch[2].in_channels, branch[2].out_channels
        branch[1] = Conv(channels, channels, 3, g=GROUPS)
        branch[2] = nn.Conv2d(channels, bins, 1, groups=GROUPS)
    model.model[-1].bias_init()
    initialize_weights(model)  # batch norms' constants
    return model
