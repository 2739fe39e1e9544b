"""Precision over recall, and F1 over confidence, by class: each arm of an ablation beside its baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnv4bench.report.figures.style import BASELINE, COLOURS, FAINT, WIDTH, figure, saying
from mnv4bench.report.formatting import number, points
from mnv4bench.report.operating import ALL
from mnv4bench.report.rendering import render
from mnv4bench.report.results import Results
from mnv4bench.report.tables.csv import read_csv

HEIGHT, LEGEND = 2.7, 0.3
"""Inches of a row of panels, and of the classes' names."""
OURS, THEIRS = "-", (0, (3, 2))
"""Lines of the arm, and of its baseline."""

Values = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Drawn:
    """One arm: class, or the mean of all, → the curve's places and values."""

    name: str
    precision: Mapping[str, Values]
    f1: Mapping[str, Values]

    @property
    def ap50(self) -> float:
        values = self.precision[ALL][1]
        return sum(values) / len(values)

    @property
    def best(self) -> tuple[float, float]:
        """Return the confidence of the highest mean F1, and that F1."""
        f1, confidence = max(zip(self.f1[ALL][1], (-at for at in self.f1[ALL][0]), strict=True))
        return -confidence, f1


def read(tables: Path) -> dict[str, dict[str, Drawn]]:
    """Return ablation → arm → its curves, from precision_recall.csv and f1_confidence.csv.

    Raises:
        FileError: one of them is missing or damaged.
    """
    precision = _curves(tables / "precision_recall.csv", "recall", "precision")
    f1 = _curves(tables / "f1_confidence.csv", "confidence", "F1")
    return {
        ablation: {arm: Drawn(arm, curves, f1[ablation][arm]) for arm, curves in arms.items()}
        for ablation, arms in precision.items()
    }


def _curves(path: Path, place: str, value: str) -> dict[str, dict[str, dict[str, Values]]]:
    found: dict[str, dict[str, dict[str, Values]]] = {}
    for row in read_csv(path, ("ablation", "arm", "class", place, value)):
        arm = found.setdefault(row["ablation"], {}).setdefault(row["arm"], {})
        places, values = arm.setdefault(row["class"], ([], []))
        places.append(float(row[place]))
        values.append(float(row[value]))
    return found


def precision(results: Results, ablation: str, arms: Mapping[str, Drawn]) -> Figure:
    """Return a row of two panels for each arm beside the baseline; the mean over the classes is black and thick."""
    spec = results.plan.ablations[ablation]
    names, baseline = [arm.arm.name for arm in results.ablations[ablation]], spec.baseline
    pairs = [name for name in names if name != baseline and name in arms]
    if not pairs and baseline in arms:
        pairs = [baseline]
    if not pairs:
        return saying(render("text/not_scored.j2", ablation=ablation))
    made = figure(WIDTH, HEIGHT * len(pairs) + LEGEND)
    colours = class_colours(results.data.record.classes)
    for row, name in enumerate(pairs):
        shown = [arms[name], *([arms[baseline]] if name != baseline and baseline in arms else [])]
        left, right = (made.add_subplot(len(pairs), 2, 2 * row + side) for side in (1, 2))
        titled = [(spec.title_of(arm.name), arm) for arm in shown]
        _panel(left, [(arm.precision, f"{title}: AP50 {points(arm.ap50, 1)}") for title, arm in titled], colours)
        labels = [f"{title}: F1 {number(arm.best[1], 3)} at {number(arm.best[0], 2)}" for title, arm in titled]
        _panel(right, [(arm.f1, label) for arm, label in zip(shown, labels, strict=True)], colours)
        for arm in shown:
            right.plot(*arm.best, "o", color=BASELINE, markersize=3.5, markerfacecolor="white", zorder=5)
        left.set(xlabel="recall", ylabel="precision")
        right.set(xlabel="confidence", ylabel="F1")
    if len(set(colours.values())) > 1:
        handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
        made.legend(handles=handles, loc="outside upper center", ncols=min(8, len(handles)), handlelength=1.2)
    return made


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Return one colour for each class; grey for all where they are more than there are colours."""
    if len(classes) > len(COLOURS):
        return dict.fromkeys(classes, FAINT)
    return dict(zip(classes, COLOURS, strict=False))


def _panel(axis: Axes, shown: Sequence[tuple[Mapping[str, Values], str]], colours: Mapping[str, str]) -> None:
    thin = 0.9 if len(colours) <= len(COLOURS) else 0.35
    for (curves, label), style in zip(shown, (OURS, THEIRS), strict=False):
        for name in (name for name in colours if name in curves):
            axis.plot(*curves[name], color=colours[name], linewidth=thin, linestyle=style)
        axis.plot(*curves[ALL], color=BASELINE, linewidth=1.8, linestyle=style, label=label, zorder=4)
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), handlelength=2.4, borderaxespad=0.2)  # where no curve goes
