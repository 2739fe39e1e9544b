"""What is said of times: every code of a record has its words, with the record's numbers and names in them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast, get_args

import fake_results as fake
import pytest

from mnv4bench.io.files import read_json
from mnv4bench.report import text
from mnv4bench.report.tables import latency
from mnv4bench.report.timed_models import describe
from mnv4bench.results.latency import (
    Absence,
    CoarseResolution,
    Disturbance,
    FewBlocks,
    FewRounds,
    Latency,
    LatencyRow,
    LatencyVerdict,
    Note,
    Reason,
    WideSpread,
)

DRIFTED = Disturbance(code="canary_drift", value=0.071)
DIFFERING = Disturbance(code="copies_differ", value=-0.034, runtime="openvino", stage="post")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Latency:
    root = tmp_path_factory.mktemp("record")
    plan = fake.make_plan(root)
    fake.write_results(plan, root)
    return Latency.model_validate(read_json(root / "latency/latency.json"))


def spaced(lines: str | list[str]) -> str:
    return "\n".join([lines] if isinstance(lines, str) else lines).replace("\N{NO-BREAK SPACE}", " ")


def judged(record: Latency, **fields: object) -> LatencyRow:
    row = next(row for row in record.rows if row.baseline and row.stage == "end_to_end")
    return row.model_copy(update=fields)


@pytest.mark.parametrize(
    ("reason", "facts"),
    [
        (Reason(code="no_copy"), ["second copy"]),
        (Reason(code="no_quiet_session", disturbances=(DRIFTED, DIFFERING)), ["7.1 %", "−3.4 %", "openvino post"]),
        (Reason(code="arm_spread", value=0.31), ["its times", "31 %"]),
        (Reason(code="baseline_spread", value=0.28), ["its baseline's times", "28 %"]),
        (Reason(code="ratio_scatter", value=0.128), ["ratio", "13 %"]),
    ],
)
def test_a_reason_has_its_numbers(record: Latency, reason: Reason, facts: list[str]) -> None:
    said = spaced(text.time_reason(judged(record, verdict="unstable", reason=reason)))
    assert [fact for fact in facts if fact not in said] == []
    assert "\n" not in said
    assert not said.endswith(".")


def test_a_reason_stands_in_the_csv_as_it_does_on_the_page(record: Latency) -> None:
    (column,) = (
        column
        for column in latency.columns(cast(Any, SimpleNamespace(latency=record, arms=())))
        if column.name == "reason"
    )
    row = judged(record, verdict="unstable", reason=Reason(code="arm_spread", value=0.31))
    assert column.value(row) == text.time_reason(row)
    assert column.value(judged(record, reason=None)) is None


def test_a_model_whose_baseline_was_not_timed_is_no_baseline(record: Latency) -> None:
    alone = judged(record, ratio=None, ratio_low=None, ratio_high=None, verdict=None)
    told = describe(record.model_copy(update={"rows": (alone,)}))
    assert alone.arm in told
    assert "(baseline)" not in told


def test_every_code_of_a_reason_has_words_of_its_own(record: Latency) -> None:
    codes = get_args(Reason.model_fields["code"].annotation)
    said = {text.time_reason(judged(record, reason=Reason(code=code, value=0.3))) for code in codes}
    assert len(said) == len(codes)
    assert "" not in said


@pytest.mark.parametrize(
    ("note", "facts"),
    [
        (FewRounds(runtime="torch", threads=2, rounds=6, comparisons=3, p=0.094), ["6 rounds", "3 arms", "0.094"]),
        (
            WideSpread(runtime="torch", threads=2, value=0.21, arm="a/b", stage="post", rows=4),
            ["21 %", "a/b", "4 rows"],
        ),
        (CoarseResolution(runtime="torch", threads=2, value=0.033, stage="post"), ["3.3 %", "post", "2 %"]),
        (CoarseResolution(runtime="torch", threads=2, value=7.4, stage="post"), ["no change of post can be told"]),
        (FewBlocks(rows=1, blocks=36), ["1 row ", "36 timed blocks"]),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_a_note_has_its_numbers_and_says_where(record: Latency, note: Note, facts: list[str]) -> None:
    quiet = tuple(session.model_copy(update={"contaminated": ()}) for session in record.sessions)
    (said,) = map(spaced, text.timing_notes(record.model_copy(update={"sessions": quiet, "notes": (note,)})))
    assert [fact for fact in facts if fact not in said] == []
    assert hasattr(note, "runtime") == ("torch with 2 threads" in said)
    assert said.endswith(".")


@pytest.mark.parametrize(
    "note", [FewBlocks(rows=1, blocks=36), CoarseResolution(runtime="torch", threads=1, value=0.1, stage="post")]
)
def test_a_note_names_what_can_be_set_where_it_is_printed(record: Latency, note: Note) -> None:
    noted = record.model_copy(update={"notes": (note,)})
    preset, command = text.timing_notes(noted)[-1], text.timing_notes(noted, direct=True)[-1]
    assert "latency.sessions" in preset
    assert "--sessions" in command
    assert "latency." not in command
    assert "latency." not in describe(noted)


def test_a_drift_that_rounds_to_its_limit_has_more_digits(record: Latency) -> None:
    barely = Disturbance(code="canary_drift", value=0.05003)
    reason = Reason(code="no_quiet_session", disturbances=(barely,))
    said = spaced(text.time_reason(judged(record, reason=reason)))
    assert "drifted by 5.003 % between thirds of the session, more than the 5 % that is allowed" in said


def test_disturbed_sessions_are_named(record: Latency) -> None:
    both = [session.number for session in record.sessions[:2]]
    sessions = [
        session.model_copy(update={"contaminated": (DRIFTED, DIFFERING) if session.number in both else ()})
        for session in record.sessions
    ]
    drifted, differing = map(
        spaced, text.timing_notes(record.model_copy(update={"sessions": tuple(sessions), "notes": ()}))
    )
    assert all(f"session {number} (7.1 %)" in drifted for number in both)
    assert all(f"session {number} in openvino post (−3.4 %)" in differing for number in both)
    assert drifted.count("%)") == differing.count("%)") == len(both)


@pytest.mark.parametrize(
    ("absence", "name", "facts"),
    [
        (Absence(arm="a/b", run="r1"), "a/b", ["r1", "unfinished"]),
        (
            Absence(arm="a/b", run="r1", state="diverged", error="loss is nan."),
            "a/b",
            ["r1", "diverged", "loss is nan"],
        ),
        (Absence(arm="a/b", run="r1", state="failed"), "a/b", ["r1", "failed"]),
        (Absence(runtime="openvino", error="not installed"), "openvino", ["not installed"]),
        (Absence(arm="a/b", runtime="openvino", error="unknown operator"), "a/b in openvino", ["unknown operator"]),
    ],
)
def test_an_absence_is_named_with_what_is_known(record: Latency, absence: Absence, name: str, facts: list[str]) -> None:
    (said,) = text.absences(record.model_copy(update={"absent": (absence,)})).items()
    assert said[0] == name
    assert [fact for fact in facts if fact not in said[1]] == []


@pytest.mark.parametrize("verdict", get_args(LatencyVerdict))
def test_the_command_says_every_verdict(record: Latency, verdict: LatencyVerdict) -> None:
    reason = Reason(code="arm_spread", value=0.31) if verdict in ("unstable", "suppressed") else None
    row = judged(record, verdict=verdict, reason=reason)
    printed = spaced(describe(record.model_copy(update={"rows": (row,), "comparable": False})))
    table, _, *sentences = printed.splitlines()[1:]
    assert f"  {verdict}" in table
    assert sentences[0].startswith(f"{row.runtime}: {row.arm} ")
    assert str(row.baseline) in sentences[0]
    assert ("31 %" in sentences[0]) == (reason is not None)
    assert "do not compare" in sentences[1]


def test_unresolved_names_every_condition_that_may_be_unmet() -> None:
    """Those of mnv4bench.latency.analyse.verdict.direction."""
    legend = text.time_legend()
    for condition in ("MDE", "sessions", "test"):
        assert condition in legend["unresolved"]
        assert condition in legend["faster, slower"]
