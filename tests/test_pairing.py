"""Arms of one seed start alike and see the same images, and a run that does not is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import ROOT, tiny_dataset, tiny_run
from torch import Tensor

from mnv4bench.io.errors import PairingError
from mnv4bench.io.files import read_json, write_json
from mnv4bench.models import detector
from mnv4bench.results.dataset import Dataset
from mnv4bench.results.pairing import Pairing
from mnv4bench.results.record import read_record
from mnv4bench.spec.model import ModelSpec
from mnv4bench.spec.plan import load
from mnv4bench.spec.run import DistillSpec, RunSpec, derive_seed
from mnv4bench.train import pairing
from mnv4bench.train.batches import Batches, training_set
from mnv4bench.train.run import prepare

DATA = "0" * 64
ARMS = {
    "default": ModelSpec(),
    "conv": ModelSpec(downsample="conv"),
    "c2f": ModelSpec(block="c2f"),
    "small_kernel": ModelSpec(kernel=3),
    "no_attention": ModelSpec(attention="none"),
    "one_to_many": ModelSpec(head="one_to_many"),
    "one_to_one": ModelSpec(head="one_to_one"),
    "tap_128": ModelSpec(p5_tap=128),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("pairing"))


def first_batch(data: Path, spec: RunSpec) -> dict[str, Tensor]:
    dataset = Dataset.model_validate(read_json(data / "dataset.json"))
    return next(
        iter(Batches(training_set(dataset, data, spec.data, spec.train), spec.train, derive_seed(spec.seed))(0))
    )


def prints(data: Path, spec: RunSpec) -> dict[str, str]:
    model = detector.build(spec.model, 2, seed=spec.seed)
    return pairing.fingerprint(model.part_state(), first_batch(data, spec), spec)


def test_arms_of_two_kinds_of_gpus_are_refused(data: Path, tmp_path: Path) -> None:
    found = prints(data, tiny_run())
    pairing.prove("one", tiny_run(), DATA, found, tmp_path, "GPU A")
    pairing.prove("other", tiny_run(), DATA, found, tmp_path, "GPU A")
    with pytest.raises(PairingError, match=r"third would be trained on GPU B, and one, .* on GPU A"):
        pairing.prove("third", tiny_run(), DATA, found, tmp_path, "GPU B")
    assert not (tmp_path / "third" / pairing.FILE).exists()


def test_all_arms_of_a_seed_agree(data: Path, tmp_path: Path) -> None:
    found = {}
    for name, model in ARMS.items():
        spec = tiny_run(model=model)
        found[name] = prints(data, spec)
        pairing.prove(name, spec, DATA, found[name], tmp_path)

    def compared(*names: str) -> set[str]:
        """The parts of which something has the same shape, and so was compared, in all of these arms."""
        return {group.split(".")[0] for group in set.intersection(*(set(found[name]) for name in names))}

    contested = {"p5_out", "head"}  # some of their layers are the same in every form
    everywhere = {"first batch", "backbone", "p4_mid", "p3_out", "p4_down", "p4_out"} | contested
    assert compared(*ARMS) == everywhere
    assert compared(*(set(ARMS) - {"tap_128"})) == everywhere | {"sppf"}
    assert compared("c2f", "one_to_many") == everywhere | {"sppf", "attention", "p5_down"}


def test_the_arms_of_every_ablation_can_be_paired(tmp_path: Path) -> None:
    """What each ablation trains in the preset `full`, as its first seed starts, with no batch."""
    plan = load("full", root=ROOT)
    first = {arm.runs[0]: plan.runs[arm.runs[0]] for arm in plan.arms}
    drawn: dict[ModelSpec, dict[str, Tensor]] = {}
    for run, spec in first.items():
        if spec.model not in drawn:
            drawn[spec.model] = detector.build(spec.model, 2, seed=spec.seed).part_state()
        pairing.prove(run, spec, DATA, pairing.fingerprint(drawn[spec.model], {}, spec), tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"backbone": "mnv4_hybrid_medium"}, {"backbone": "mnv4_hybrid_medium", "mobile_attention": "none"}),
        ({"backbone": "mnv4_hybrid_medium", "mobile_attention": "mqa"}, {"backbone": "mnv4_hybrid_medium"}),
        ({"uib": "ib"}, {}),
        ({"uib": "ffn"}, {"uib": "extra_dw"}),
    ],
)
def test_backbones_share_the_blocks_that_they_have_in_common(one: dict[str, str], other: dict[str, str]) -> None:
    """Blocks of equal shapes at one place start alike, those behind a block that differs too."""
    states = [detector.build(ModelSpec.model_validate(fields), 2).part_state() for fields in (one, other)]
    blocks = [{place(name): {} for name in state if name.startswith("backbone")} for state in states]
    for found, state in zip(blocks, states, strict=True):
        for name, value in state.items():
            if name.startswith("backbone"):
                found[place(name)][name] = value
    shapes = [{key: {n: v.shape for n, v in block.items()} for key, block in found.items()} for found in blocks]
    common = [key for key in shapes[0] if shapes[0][key] == shapes[1].get(key)]
    apart = [key for key in shapes[0].keys() | shapes[1].keys() if key not in common]
    assert max(common) > min(apart)
    for key in common:
        assert all(torch.equal(value, blocks[1][key][name]) for name, value in blocks[0][key].items())


def place(name: str) -> int:
    return int(name.split(".")[2])


def test_different_seeds_differ_in_every_random_layer_and_in_the_batch(data: Path) -> None:
    one, other = (prints(data, tiny_run(seed=seed)) for seed in (0, 1))
    assert one.keys() == other.keys()
    same = {name.split(":")[0] for name in one if one[name] == other[name]}
    assert same == {"head.dfl", "p4_down.bn"}  # constants


def test_another_draw_of_a_seed_shares_no_random_number_and_stands_in_a_group_of_its_own(
    data: Path, tmp_path: Path
) -> None:
    one = tiny_run()
    other = one.model_copy(update={"train": one.train.model_copy(update={"draw": 1})})
    found = []
    for name, spec in (("one", one), ("other", other)):
        prepare(name, spec, data, tmp_path)
        found.append(read_record(tmp_path / name / pairing.FILE, Pairing))
    assert found[0].group != found[1].group
    same = {name.split(":")[0] for name, value in found[0].prints.items() if found[1].prints[name] == value}
    assert same == {"head.dfl", "p4_down.bn"}  # constants


def test_seeds_and_schedules_are_groups_of_their_own_and_models_are_not() -> None:
    key = pairing.key(tiny_run(), DATA)
    alike = (tiny_run(model=ARMS["conv"]), tiny_run(distill=DistillSpec(logits=1.0), teacher="teacher"))
    apart = (tiny_run(seed=1), tiny_run(2), tiny_run(start="trunk", fresh=("head",)), tiny_run(train={"lr": 0.1}))
    assert {pairing.key(spec, DATA) for spec in alike} == {key}
    assert len({key, *(pairing.key(spec, DATA) for spec in apart)}) == 5


def test_an_arm_with_other_initial_values_is_stopped_with_the_other_runs_name(data: Path, tmp_path: Path) -> None:
    spec = tiny_run()
    batch = first_batch(data, spec)
    state = detector.build(spec.model, 2).part_state()
    pairing.prove("honest", spec, DATA, pairing.fingerprint(state, batch, spec), tmp_path)
    state["p4_mid.cv1.conv.weight"] = state["p4_mid.cv1.conv.weight"] + 1e-7 * torch.ones(())
    with pytest.raises(PairingError, match=r"tampered and honest share a seed, but their p4_mid\.cv1:.* differs"):
        pairing.prove("tampered", spec, DATA, pairing.fingerprint(state, batch, spec), tmp_path)
    assert not (tmp_path / "tampered" / pairing.FILE).exists()  # it would stop the honest ones


def test_an_arm_with_another_first_batch_is_stopped(data: Path, tmp_path: Path) -> None:
    spec = tiny_run()
    batch = first_batch(data, spec)
    state = detector.build(spec.model, 2).part_state()
    pairing.prove("honest", spec, DATA, pairing.fingerprint(state, batch, spec), tmp_path)
    batch["bboxes"] = batch["bboxes"].flip(0)
    with pytest.raises(PairingError, match="their first batch differs"):
        pairing.prove("tampered", spec, DATA, pairing.fingerprint(state, batch, spec), tmp_path)


def test_a_tampered_record_stops_the_next_run_of_its_group_only(data: Path, tmp_path: Path) -> None:
    spec = tiny_run()
    honest = prints(data, spec)
    pairing.prove("first", spec, DATA, honest, tmp_path)
    record = read_json(tmp_path / "first" / pairing.FILE)
    record["prints"]["first batch"] = "0" * 16
    write_json(tmp_path / "first" / pairing.FILE, record)
    with pytest.raises(PairingError, match="first"):
        pairing.prove("second", spec, DATA, honest, tmp_path)
    pairing.prove("other_seed", tiny_run(seed=1), DATA, honest, tmp_path)


def test_a_run_may_start_again_after_its_own_record_was_written(data: Path, tmp_path: Path) -> None:
    spec = tiny_run()
    for _ in range(2):
        pairing.prove("again", spec, DATA, prints(data, spec), tmp_path)
    assert read_json(tmp_path / "again" / pairing.FILE)["prints"] == prints(data, spec)
