"""YAML of strangers: every mistake, malice included, is one error that names file and line, and never a traceback."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import yaml

from mnv4bench.io.errors import SpecError
from mnv4bench.spec.plan import load
from mnv4bench.spec.yamlfile import DEEPEST, LARGEST, YamlFile

PRESET = """\
title: tiny
data: {name: scenes, imgsz: 64, train: 8, val: 4}
train: {epochs: 2, lr: 1.0e-3}
trunk: {train: {epochs: 5}}
teacher: {from_trunk: true, train: {epochs: 3}}
seeds: [0, 1]
ablations: [block]
latency: {threads: [1, all], sessions: 2}
"""
ABLATION = """\
title: C2fCIB vs C2f
question: Does it pay?
common: {train.batch: 8}
baseline: c2f
arms:
  c2f: {model.block: c2f}
  taught: {distill.logits: 1.0, read: nms}
smallest_effect: 0.005
fresh: [p5_out]
"""
ARMS = ABLATION[ABLATION.index("arms:") : ABLATION.index("smallest_effect")]
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def project(folder: Path, preset: str = PRESET, ablation: str = ABLATION) -> Path:
    for name, text in (("config/tiny.yaml", preset), ("ablations/block.yaml", ablation)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


TEXTS = {
    "NUL": ("a: 1\nb: x\0y\n", r":2: not valid YAML: the character '\\x00' is not allowed"),
    "control character": ("a: \x07\n", ":1: not valid YAML: the character"),
    "impossible date": ("a: 1\nb: 2024-13-45\n", r":2: not valid YAML: month must be in 1\.\.12 \(quote it"),
    "text tagged as a number": ("a: !!int x\n", ":1: not valid YAML: invalid literal"),
    "text tagged as a truth value": ("a: !!bool x\n", ":1: not valid YAML: 'x'"),
    "bad base64": ("a: !!binary é\n", ":1: not valid YAML: "),
    "a Python object": ("a: 1\nb: !!python/name:os.system x\n", ":2: not valid YAML: "),
    "a whole number without end": (f"a: 0x{'f' * 9000}\n", ":1: not valid YAML: a whole number of more than 64 bits"),
    "more digits than Python reads": (f"a: {'9' * 9000}\n", ":1: not valid YAML: Exceeds the limit"),
    "aliases that multiply": (BOMB, r":\d: not valid YAML: more than 100,000 values"),
    "an alias inside itself": ("a: &a [1, *a]\n", ":1: not valid YAML: an alias inside itself"),
    "a mapping inside itself": ("a: &a\n  b: *a\n", ":1: not valid YAML: an alias inside itself"),
    "an alias of nothing": ("a: *b\n", ":1: not valid YAML: found undefined alias"),
    "deep nesting": ("a: 1\nb: " + "[" * 5000 + "]" * 5000, f":2: not valid YAML: nested deeper than {DEEPEST}"),
    "deep mappings": ("".join(f"{' ' * depth}a:\n" for depth in range(900)), f"nested deeper than {DEEPEST}"),
    "a list as a key": ("? [a, b]\n: 1\n", ":1: not valid YAML: a key is one word"),
    "two documents": ("a: 1\n---\nb: 2\n", ":2: not valid YAML: but found another document"),
    "a tab": ("a:\n\t- 1\n", ":2: not valid YAML: found character '.t' that cannot start any token; indent by blanks"),
    "a colon in a text": ("title: Kernel: large\n", ":1: .*not allowed here; quote text that holds a colon"),
    "a sign that YAML keeps": ("a: @x\n", ":1: .*'@' that cannot start any token; quote text that begins with it"),
    "a key further left": ("a:\n  b: 1\n c: 2\n", ":3: .*<block mapping start>'; indent the keys of one mapping alike"),
    "a mapping without end": ("a: 1\nb: {c: 1\nd: 2\n", ":3: .*; the { of line 2 is not closed, or a comma is missing"),
    "a list without end": ("a: 1\nb: [c, 1\nd: 2\n", r":3: .*; the \[ of line 2 is not closed, or a comma is missing"),
    "a quotation without end": ("a: 1\nb: 'c\nd: 2\n", ":4: .*; the quotation mark of line 2 is not closed"),
    "an unknown escape": ('a: "\\q"\n', ":1: .*found unknown escape character 'q'$"),
    "a large file": ("a: " + "x" * LARGEST, "is larger than 1,048,576 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_not_valid_is_one_error_with_its_line(text: str, tmp_path: Path) -> None:
    content, message = TEXTS[text]
    path = tmp_path / "a.yaml"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(SpecError) as caught:
        YamlFile(path)
    assert re.search(re.escape(str(path)) + ".*" + message, str(caught.value)), caught.value
    assert len(str(caught.value)) < 400


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"title: \xff\xfe")
    (tmp_path / "b.yaml").mkdir()
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        with pytest.raises(SpecError, match=rf"{name}: (cannot be read|is not a regular file)"):
            YamlFile(tmp_path / name)


def test_aliases_are_allowed_within_limits(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &x {k: 1}\nb: [*x, *x]\n")
    assert YamlFile(tmp_path / "a.yaml").content == {"a": {"k": 1}, "b": [{"k": 1}, {"k": 1}]}


VALUES = [
    ("lr: 1.0e-3", "lr: .inf", "tiny.yaml:3: train.lr: Input should be"),
    ("lr: 1.0e-3", "lr: .nan", "tiny.yaml:3: train.lr: Input should be"),
    ("lr: 1.0e-3", "lr: 1.0e+39", "tiny.yaml:3: train.lr: Input should be less than or equal to"),
    ("lr: 1.0e-3", "lr: yes", "tiny.yaml:3: train.lr: Input should be a number .got True"),
    ("epochs: 2", "epochs: 99999999999", "tiny.yaml:3: train.epochs: Input should be less than or equal to 100000"),
    ("epochs: 2", "epochs: 2024-01-01", "tiny.yaml:3: train.epochs: Input should be"),
    ("imgsz: 64", "imgsz: 3200000", "tiny.yaml:2: data.imgsz: Input should be less than or equal to 4096"),
    ("train: 8", "train: 100000000000", "tiny.yaml:2: data.train: Input should be less than or equal to 10000000"),
    ("seeds: [0, 1]", "seeds: [0, -1]", "tiny.yaml:6: seeds.1: Input should be greater than or equal to 0"),
    ("seeds: [0, 1]", "seeds: [0, 5000000000]", "seeds.1: Input should be less than or equal to 2147483647"),
    ("seeds: [0, 1]", "seeds: [yes, no]", "tiny.yaml:6: seeds: Input should be a number"),
    ("seeds: [0, 1]", f"seeds: {list(range(41))}", "tiny.yaml:6: seeds: List should have at most 40 items"),
    ("seeds: [0, 1]", "seeds: {a: [b]}", "tiny.yaml:6: seeds: Input should be a list$"),
    ("sessions: 2", "sessions: 1000000", "tiny.yaml:8: latency.sessions: Input should be less than or equal to 1000"),
    ("sessions: 2", "block_ms: .inf", "tiny.yaml:8: latency.block_ms: Input should be"),
    ("[1, all]", "[]", "tiny.yaml:8: latency.threads: List should have at least 1 item"),
    ("title: tiny", "bootstrap: 100000000000\ntitle: x", "tiny.yaml:1: bootstrap: Input should be less than"),
    ("title: tiny", "title: [x]", "tiny.yaml:1: title: Input should be text .got"),
    ("[block]", "[../block]", "tiny.yaml:7: ablations.0: ablation '../block': a name is"),
    ("[block]", "[[block]]", "tiny.yaml:7: ablations.0: Input should be text .got"),
    ("smallest_effect: 0.005", "smallest_effect: .inf", "block.yaml:8: smallest_effect: Input should be"),
    ("smallest_effect: 0.005", "smallest_effect: 5", "block.yaml:8: smallest_effect: 5 is 500 points of AP"),
    ("train.batch: 8", "train.batch: .nan", "block.yaml:3: common.train.batch: Input should be"),
    ("train.batch: 8", "mixture.shares.mild: 2", "block.yaml:3: common.mixture.shares.mild: unknown field"),
    ("train.batch: 8", "mixture.sets: [[mild]]", "yaml:3: common.mixture.sets.0: did you mean .mild"),
    ("train.batch: 8", "train.augment: {mosaik: 1}", "block.yaml:3: common.train.augment.mosaik: unknown key"),
    ("train.batch: 8", "model.block_stages: [[p5_out]]", "yaml:3: common.model.block_stages.0: did you mean"),
    ("train.batch: 8", '"": 8', "block.yaml:3: common.: unknown field"),
    ("read: nms}", "read: {nms: 1}}", "block.yaml:7: arms.taught.read: a dual head cannot be read"),
    ("c2f: {model.block: c2f}", "c2f:", "arms.c2f: Input should be a mapping, .*, or {} for none .got nothing"),
    ("epochs: 2", "epochs: 2.5", "tiny.yaml:3: train.epochs: Input should be a whole number .got 2.5"),
    ("lr: 1.0e-3", "lr: fast", "tiny.yaml:3: train.lr: Input should be a number .got 'fast'"),
    ("lr: 1.0e-3", "half_weights: 3", "tiny.yaml:3: train.half_weights: Input should be true or false .got 3"),
    ("lr: 1.0e-3", "augment: 5", "train.augment: Input should be a mapping, such as {field: value} .got 5"),
    ("[1, all]", "[1, x]", "tiny.yaml:8: latency.threads.1: Input should be a whole number .got 'x'"),
    ("title: tiny", "title: 5", "tiny.yaml:1: title: Input should be text, such as '5' .got 5"),
    ("[p5_out]", "p5_out", r"block.yaml:9: fresh: Input should be a list, such as \[p5_out\] .got 'p5_out'"),
    (ARMS, "arms: [c2f, taught]\n", "block.yaml:5: arms: Input should be a mapping, such as name: {field: value} .got"),
    ("baseline: c2f", "primary: AP", "block.yaml:1: baseline: is required; name one of arms: c2f, taught"),
    ("question: Does it pay?", "", "block.yaml:1: question: is required; add `question: …`"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), VALUES, ids=[f"{new[:40]}" for _, new, _ in VALUES])
def test_a_value_out_of_bounds_is_named_before_anything_runs(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert (PRESET + ABLATION).count(old) == 1
    with pytest.raises(SpecError) as caught:
        load("tiny", root=project(tmp_path, PRESET.replace(old, new), ABLATION.replace(old, new)))
    lines = str(caught.value).splitlines()
    assert any(re.search(message, line) for line in lines), caught.value
    assert all(re.match(r".*\.yaml:\d+: .{,2000}$", line) for line in lines), caught.value


@pytest.mark.parametrize(
    "asked",
    [
        {"preset": "../config/tiny"}, {"preset": ["tiny"]}, {"preset": 1}, {"preset": True}, {"preset": "$(touch x)"},
        {"only": "../ablations/block"}, {"only": ["block"]}, {"only": True}, {"only": 3.5}, {"only": "block;ls"},
        {"seeds": "two"}, {"seeds": 1.5}, {"seeds": True}, {"seeds": -1}, {"seeds": [1]}, {"seeds": 10**30},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_type_or_name_from_the_command_line_is_one_error(asked: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(**{"preset": "tiny", "root": project(tmp_path), **asked})  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


ODD = (
    "~", "''", "[]", "{}", "[[[]]]", "{a: {b: c}}", "-1", "0", "1e9", "1.0e+999", ".inf", "-.inf", ".nan", "yes", "off",
    "2024-01-01", "0x10", "0b2", "1_000", "12:30:45", "!!int ''", "!!float x", "!!set {a}", "!!omap [a: b]", "*x",
    "&x y", "<<", "|", ">", "'", "?", "- ", "é\u2028", "\ufeff", "💥", "x" * 500, "!t v", "%", "@", "`",
    "999999999999999999999",
    "{? [a] : b}", "[1, 2", "null", "=", "!!null x", "!!timestamp x", "!!binary x", "!!merge x", "!!str {a: b}",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_mutated_files_load_or_are_refused_with_file_and_line(seed: int, tmp_path: Path) -> None:
    """A value in ODD's place, a line twice, dropped or swapped, or characters changed: whatever, no traceback."""
    chance = random.Random(seed)
    texts = [PRESET, ABLATION]
    for _ in range(chance.randint(1, 3)):
        which = chance.randrange(2)
        texts[which] = mutated(texts[which], chance)
    try:
        load("tiny", root=project(tmp_path, *texts))
    except SpecError as error:
        for line in str(error).splitlines():
            assert re.match(r".*\.yaml(:\d+)?: \S", line), error  # noqa: PT017


def mutated(text: str, chance: random.Random) -> str:
    kind = chance.randrange(4)
    if kind == 0:  # a value
        places = [match.span(1) for match in re.finditer(r"[:\[,] ?([\w.]+)", text)]
        first, last = chance.choice(places)
        return text[:first] + chance.choice(ODD) + text[last:]
    if kind == 1:  # characters
        position = chance.randrange(len(text))
        return (
            text[:position] + chance.choice(["", *ODD, "\0", "\t", "\n", "}"]) + text[position + chance.randrange(3) :]
        )
    lines = text.splitlines(keepends=True)
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    if kind == 2:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines[first : first + 1] = lines[second : second + 1] * chance.randrange(3)
    return "".join(lines)


def test_the_unchanged_files_are_valid(tmp_path: Path) -> None:
    assert len(load("tiny", root=project(tmp_path)).arms) == 2
    assert yaml.safe_load(ABLATION)["baseline"] == "c2f"
