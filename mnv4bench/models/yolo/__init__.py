"""The one door to ultralytics (release 8.4.190): no other folder imports it.

Enters: a ModelSpec's parts, a definition or a checkpoint; leaves: a network, its loss, its augmented images. Nothing is
looked up on the network and nothing is written to the user's configuration.
"""

from __future__ import annotations

from mnv4bench.models import torchvision_ops
from mnv4bench.models.yolo import offline

offline.configure()  # before the first import of ultralytics, below
torchvision_ops.declare()

from ultralytics.nn.modules import C2PSA, PSA, SPPF, C2f, C2fCIB, Concat, Conv, Detect, SCDown
from ultralytics.nn.modules.block import PSABlock, RepVGGDW
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import E2ELoss
from ultralytics.utils.torch_utils import ModelEMA, fuse_conv_and_bn, initialize_weights

from mnv4bench.models.yolo.checkpoints import load_checkpoint
from mnv4bench.models.yolo.dataset import CocoDataset, hyperparameters
from mnv4bench.models.yolo.definitions import network, own_head_form, released
from mnv4bench.models.yolo.detector import Composed, Detector
from mnv4bench.models.yolo.fixed_shapes import fix_shapes, padded
from mnv4bench.models.yolo.head import Head, check_read
from mnv4bench.models.yolo.interface import as_yolo
from mnv4bench.models.yolo.losses import Criterion, DetectionLoss, Term, Total
from mnv4bench.models.yolo.stored import StoredDetector, load_stored, load_tensors

__all__ = [
    "C2PSA",
    "PSA",
    "SPPF",
    "C2f",
    "C2fCIB",
    "CocoDataset",
    "Composed",
    "Concat",
    "Conv",
    "Criterion",
    "Detect",
    "DetectionLoss",
    "DetectionModel",
    "Detector",
    "E2ELoss",
    "Head",
    "ModelEMA",
    "PSABlock",
    "RepVGGDW",
    "SCDown",
    "StoredDetector",
    "Term",
    "Total",
    "as_yolo",
    "check_read",
    "fix_shapes",
    "fuse_conv_and_bn",
    "hyperparameters",
    "initialize_weights",
    "load_checkpoint",
    "load_stored",
    "load_tensors",
    "network",
    "own_head_form",
    "padded",
    "released",
]
