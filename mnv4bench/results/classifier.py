"""classifiers/: what a classifier came to, and the teacher whose labels classifiers learn from."""

from __future__ import annotations

from typing import ClassVar

from mnv4bench.results.environment import Environment
from mnv4bench.results.record import Record
from mnv4bench.results.search import SearchStage
from mnv4bench.spec.classifier import ClassifierRun, LabelSet

FOLDER, TEACHER, RESULT = "classifiers", "teacher.json", "result.json"
TOP1 = "top1.json"
"""The comparison of classifiers, a record as compare.json is."""


class TeacherRecord(Record):
    """teacher.json, written last: the labels beside it are whole."""

    remedy: ClassVar[str] = "delete {folder} and start again"

    classes: tuple[str, ...]
    accuracy: float
    """Top-1 on the test objects (0–1)."""
    images: dict[LabelSet, int]
    digests: dict[LabelSet, str]
    """SHA-256 of each set's images and labels."""
    relevant: dict[str, int]
    """Class → further images whose probability of it exceeds the threshold, of which D3 is drawn."""
    environment: Environment


class ClassifierRecord(Record):
    """result.json of a classifier."""

    remedy: ClassVar[str] = "delete {folder} and start again"

    run: ClassifierRun
    data: str
    """SHA-256 of the images and of what they teach."""
    budget: float
    """Multiply-accumulates that were asked for."""
    stages: tuple[SearchStage, ...]
    """Of its search; empty without one."""
    rows: tuple[str, ...]
    """In the notation of models/mobilenetv4/tables.py."""
    macs: int
    params: int
    accuracy: float
    """Top-1 on the test objects (0–1)."""
    train_accuracy: float
    """Top-1 on the training objects, without augmentation, by their own labels."""
    hits: str
    """For each test object 1 where the network was right, else 0."""
    environment: Environment
