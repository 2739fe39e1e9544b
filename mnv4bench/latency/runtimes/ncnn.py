"""ncnn on the CPU: a network that PyTorch traces and pnnx, ncnn's companion, converts."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from mnv4bench.io.errors import Mnv4benchError
from mnv4bench.latency.runtimes import imports
from mnv4bench.latency.runtimes.export import AllCandidates, OutputAlone, trace
from mnv4bench.latency.runtimes.outputs import LIMIT, Image, Output, corners
from mnv4bench.latency.runtimes.runtime import Deployment, Precision
from mnv4bench.models.nms import read_top
from mnv4bench.spec.model import Read

NAME = "model.ncnn"
"""Of the two files, .param and .bin, as ultralytics calls them."""


class Ncnn:
    """ncnn on the CPU in float32.

    It has no operator that finds the highest scores. A network read "nms_free" therefore ends before that choice, which
    is made in NumPy and belongs to its time.
    """

    precision: ClassVar[Precision] = "float32"
    graph_nms: ClassVar[bool] = False

    def __init__(self) -> None:
        self.ncnn, self.pnnx = imports.ncnn(), imports.pnnx()

    def load(self, network: Deployment) -> None:
        with tempfile.TemporaryDirectory(prefix="mnv4bench-") as folder:
            self.convert(network, Path(folder))
            self.start(Path(folder), network.threads, network.read)

    def convert(self, network: Deployment, folder: Path) -> None:
        """Write a network into a folder: layers as model.ncnn.param, weights as model.ncnn.bin.

        Raises:
            Mnv4benchError: ncnn lacks an operator of it.
        """
        ending = AllCandidates if network.read == "nms_free" else OutputAlone
        files = [f"ncnn{part}={folder.absolute() / NAME}.{part}" for part in ("param", "bin")]
        with tempfile.TemporaryDirectory(prefix="mnv4bench-") as scratch:
            trace(ending(network.model), network.imgsz).save(f"{scratch}/traced.pt")
            side = f"inputshape=[1,3,{network.imgsz},{network.imgsz}]"
            # fp16=0: by default weights are stored in half precision.
            command = [self.pnnx.EXEC_PATH, "traced.pt", side, "fp16=0", *files]
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Mnv4benchError(f"pnnx stopped with {done.returncode}: {done.stderr.strip()[-200:]}")
        if lacking := unknown_operators((folder / f"{NAME}.param").read_text(encoding="utf-8")):
            raise Mnv4benchError(f"ncnn has no {', '.join(lacking)}")

    def start(self, folder: Path, threads: int, read: Read) -> None:
        """Take over what `convert` wrote."""
        self.read = read
        self.net = self.ncnn.Net()
        options = self.net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        for load, part in ((self.net.load_param, "param"), (self.net.load_model, "bin")):
            if load(str(folder / f"{NAME}.{part}")):
                raise Mnv4benchError(f"{folder / NAME}.{part}: ncnn cannot read it")

    def __call__(self, image: Image) -> Output:
        with self.net.create_extractor() as extractor:
            extractor.input("in0", self.ncnn.Mat(image))
            output: Output = np.array(extractor.extract("out0")[1])
        return read_top(*corners(output), LIMIT) if self.read == "nms_free" else output


def unknown_operators(param: str) -> list[str]:
    """Return the operators of a .param file that pnnx left as PyTorch calls them, such as torch.topk."""
    operators = [line.split()[0] for line in param.splitlines()[2:]]
    return sorted({name for name in operators if "." in name or "::" in name})
