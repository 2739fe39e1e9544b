"""Several processes train as one: the same steps as a single one with the whole batch, the same bytes after a kill.

Steps are compared in float64 and at a small learning rate: AdamW divides a gradient by its own size, which amplifies
the rounding of sums that are taken in another order.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
import torch
from helpers import CLASSES, spread, tiny_dataset, tiny_run
from pydantic import ValidationError
from torch import Tensor, distributed

from mnv4bench.data.prepared import load
from mnv4bench.io.errors import SpecError
from mnv4bench.models import detector
from mnv4bench.models.synchronised import synchronise
from mnv4bench.models.yolo import hyperparameters
from mnv4bench.results.run import Status, read_status
from mnv4bench.spec.run import RunSpec, TrainSpec, derive_seed
from mnv4bench.train import launch, ranks
from mnv4bench.train.batches import Batches, training_mixture
from mnv4bench.train.distillation import Distillation, make_projectors
from mnv4bench.train.loop import Trainer
from mnv4bench.train.ranks import Ranks

pytestmark = pytest.mark.usefixtures("process_settings")

FORK = multiprocessing.get_context("fork")
SMALL = {
    "backbone": "searched",
    "rows": ("conv 3x3 8 /2",) * 3 + ("conv 3x3 16 /2",) * 2 + ("conv 1x1 960 /1",),
    "attention": "none",
    "block": "c2f",
}
EACH = {"draws": "image", "lr": 1e-4}
Record = dict[str, Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


# Steps


def steps(spec: RunSpec, data: Path, count: int) -> Record:
    """Take steps in float64, and return what each came to: the losses, and a part of weights and average."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    torch.set_default_dtype(torch.float64)
    try:
        me, dataset = ranks.current(), load(data)
        batches = Batches(training_mixture(dataset, data, spec), spec.train, derive_seed("run", spec.seed), me)
        trainer = Trainer(network(spec, 0), spec.train, extra(spec), spec.loss, len(batches), me)
        if me.count > 1:
            synchronise(trainer.model, "cpu")
        trainer.model.train()
        every = chain.from_iterable(batches(epoch) for epoch in range(spec.train.epochs))
        record: Record = {"terms": [], "weights": [], "average": []}
        for _, batch in zip(range(count), every, strict=False):
            trainer._set_rates(len(batches))
            record["terms"].append(trainer.step_on(batch))
            record["weights"].append(part_of(trainer.model))
            record["average"].append(part_of(trainer.ema.ema))
            trainer.step += 1
        return {**record, "images": trainer.images}
    finally:
        torch.set_default_dtype(torch.float32)


def network(spec: RunSpec, seed: int) -> Any:
    model = detector.build(spec.model, len(CLASSES), seed=seed).double()
    model.args = hyperparameters()
    return model


def extra(spec: RunSpec) -> Distillation | None:
    if not spec.distill.wanted:
        return None
    teacher, student = network(spec, 9), network(spec, 0)
    spread(teacher)
    projectors = make_projectors(student.head_channels, teacher.head_channels, spec.seed).double()
    return Distillation(teacher, spec.distill, 0.5, 1.5, projectors=projectors, total=ranks.current().total)


def part_of(model: torch.nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten()[::19].double() for value in model.state_dict().values()])


def together(spec: RunSpec, data: Path, count: int, folder: Path) -> list[Record]:
    """Take the same steps in a process for each device, and return the records of all of them."""
    folder.mkdir()

    def work(rank: int) -> None:
        meeting = f"file://{folder / 'meeting'}"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=spec.train.devices)
        torch.save(steps(spec, data, count), folder / f"{rank}.pt")
        distributed.barrier()
        os._exit(0)  # as a rank does (mnv4bench/rank.py)

    processes = [FORK.Process(target=work, args=(rank,)) for rank in range(spec.train.devices)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(spec.train.devices)]


def check_equal(data: Path, tmp_path: Path, count: int, devices: int = 2, **fields: Any) -> None:
    """Assert that the ranks' steps are those of one process."""
    settings = {**EACH, **fields.pop("train", {})}
    model = fields.pop("model", SMALL)
    one, several = (
        tiny_run(count, model=model, train={**settings, "devices": number}, **fields) for number in (1, devices)
    )
    alone = steps(one, data, count)
    assert len(alone["terms"]) == count
    for record in together(several, data, count, tmp_path / "ranks"):
        assert record["images"] == alone["images"]
        for name in ("terms", "weights", "average"):
            torch.testing.assert_close(torch.stack(record[name]), torch.stack(alone[name]), rtol=1e-5, atol=1e-5)
            moved = (torch.stack(alone[name])[-1] - torch.stack(alone[name])[0]).abs().max()
            assert float(moved) > 1e-4


def test_two_ranks_take_the_twenty_steps_of_one_process(data: Path, tmp_path: Path) -> None:
    check_equal(data, tmp_path, 20)


def test_shares_need_not_be_equal(tmp_path: Path) -> None:
    nine = tiny_dataset(tmp_path / "data", train=9)
    check_equal(nine, tmp_path, 3, devices=2, train={"batch": 7, "optimizer": "sgd"})


def test_distilled_and_unlabelled_images_are_shared_out_too(data: Path, tmp_path: Path) -> None:
    """Some share of a batch holds no labelled image."""
    fields = {
        "mixture": {"sets": ("mild", "unlabelled"), "unlabelled": 8, "shares": {"unlabelled": 3}},
        "distill": {"logits": 1.0, "boxes": 1.0, "features": 1.0},
    }
    check_equal(data, tmp_path, 4, devices=2, **fields)


def test_a_peers_own_loss_is_shared_out(data: Path, tmp_path: Path) -> None:
    check_equal(data, tmp_path, 2, model={"peer": "yolo26n"})


def test_three_ranks_share_a_batch_in_order() -> None:
    batch = list(range(8))
    shares = [Ranks(rank, 3).share(batch) for rank in range(3)]
    assert [*chain.from_iterable(shares)] == batch
    assert sorted(map(len, shares)) == [2, 3, 3]


def test_a_batch_without_an_image_for_some_rank_is_refused(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path, train=5)
    spec = tiny_run(train={**EACH, "devices": 2})
    with pytest.raises(SpecError, match=r"devices: the last of an epoch's 5 images, in batches of 4, are 1, too few"):
        Batches(training_mixture(load(data), data, spec), spec.train, 0, Ranks(0, 2))


def test_images_that_draw_for_themselves_are_the_same_in_any_worker(data: Path) -> None:
    heavy = {"augment": {"mosaic": 1.0, "scale": 0.5, "translate": 0.1, "hsv_h": 0.1}}
    found = []
    for share, workers in ((ranks.ALONE, 0), (Ranks(1, 2), 2)):
        spec = tiny_run(train={**EACH, **heavy, "workers": workers})
        batches = Batches(training_mixture(load(data), data, spec), spec.train, 0, share)
        found.append(next(iter(batches(1)))["img"])
    assert torch.equal(found[0][2:], found[1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"devices": 2}, "devices: several need `draws: image`"),
        ({"devices": 32, "draws": "image"}, "devices: a batch of 16 images has no share for each of 32 devices"),
        ({"batch_norm": "local"}, "batch_norm: means nothing for one device"),
    ],
)
def test_devices_that_cannot_share_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSpec(epochs=1, **fields)


# torchrun


def test_ranks_are_started_on_every_node_of_the_job() -> None:
    assert launch.command(8, 3, 1)[1:] == ["-m", "torch.distributed.run", "--nproc-per-node=8", "--standalone"]
    command = launch.command(8, 3, 2)
    assert command[0] == "srun"
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=12"} <= set(command)
    assert {"--nproc-per-node=4", "--nnodes=2", "--rdzv-backend=c10d"} <= set(command)
    with pytest.raises(SpecError, match="devices: 8 ranks cannot be shared out equally among the job's 3 nodes"):
        launch.command(8, 3, 3)


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program of its own: what the worker's other tests left in its process is not in it."""
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", program, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )


def started(program: str, by: int) -> list[psutil.Process]:
    """Return the processes below the process `by` that run a module."""
    found = []
    for process in psutil.Process(by).children(recursive=True):
        try:
            if program in process.cmdline() and "torch.distributed.run" not in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


TRAIN = """
import sys
from pathlib import Path
from mnv4bench.spec.run import RunSpec
from mnv4bench.train.run import train
train("run", RunSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("batch_norm", ["synchronised", "local"])
def test_a_training_of_two_ranks_of_which_one_is_killed_ends_with_the_same_bytes(
    batch_norm: str, data: Path, tmp_path: Path
) -> None:
    spec = tiny_run(4, model=SMALL, train={**EACH, "devices": 2, "batch_norm": batch_norm})

    def training(runs: Path) -> subprocess.Popen[str]:
        return start(TRAIN, spec.model_dump_json(), data, runs)

    def check_done(runs: Path) -> Status:
        process = training(runs)
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
        return read_status(runs / "run")

    whole = check_done(tmp_path / "whole")
    assert (whole.state, whole.epochs, whole.steps) == ("done", 4, 8)

    folder = tmp_path / "killed" / "run"
    killed = training(folder.parent)
    assert within(300, lambda: (folder / "checkpoint.pt").exists() or killed.poll() is not None)
    started(launch.RANK, killed.pid)[-1].kill()
    assert "Mnv4benchError: run: a rank failed" in killed.communicate()[1]
    assert killed.returncode == 1
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "status.json").exists()

    assert check_done(folder.parent).weights_digest == whole.weights_digest
    for name in ("weights.safetensors", "curve.csv", "pairing.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / "run" / name).read_bytes()


FOR_EVER = """
from mnv4bench.train import launch
launch.RANK = "http.server"
launch.torchrun(2, 1, ["--bind=127.0.0.1", "0"])
"""


def test_no_rank_outlives_a_killed_training() -> None:
    parent = start(FOR_EVER)
    assert within(120, lambda: len(started("http.server", parent.pid)) == 2)
    left = started("http.server", parent.pid)
    parent.kill()
    assert within(60, lambda: not any(process.is_running() for process in left))
    parent.communicate()
