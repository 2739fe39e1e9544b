"""One look for every figure, and files whose bytes depend on the results alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mnv4bench.io.files import write_with
from mnv4bench.report.formatting import wrapped

WIDTH = 6.3
"""Inches: the width of the paper's text."""
DPI = 200

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#882255")
"""Okabe and Ito's palette (2008), told apart with any common colour-vision deficiency; black is the baselines', and
Tol's wine (2021) stands for it."""

BASELINE = "#000000"
FAINT = "#999999"

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "mnv4bench",
    # Names come from files: a $ in them is a dollar, not mathematics.
    "text.parse_math": False,
}


@contextmanager
def look() -> Iterator[None]:
    """Use the suite's style inside the block, whatever the user's own matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)  # type: ignore[arg-type]
        yield


def figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) that no global state and no screen knows of."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def saying(text: str) -> Figure:
    """Return a figure of a sentence alone, where there is nothing to draw."""
    made = figure(WIDTH, 0.7)
    axis = made.add_subplot()
    axis.set_axis_off()
    axis.text(0.5, 0.5, wrapped(text, 90), ha="center", va="center", transform=axis.transAxes)
    return made


def _save_png(made: Figure, path: Path) -> None:
    made.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(made)
    canvas.draw()
    few_colours(Image.fromarray(np.asarray(canvas.buffer_rgba()))).save(path, format="PNG", optimize=True)


def few_colours(image: Image.Image) -> Image.Image:
    """Return the image in 256 colours: a third of the bytes.

    The suite's own colours are kept as they are, because they mean something. The others are chosen so that none is
    far from its own: choosing by how often they occur would give rare ones, of a small object say, another hue.
    """
    kept = [tuple(bytes.fromhex(colour[1:])) for colour in ("#FFFFFF", BASELINE, FAINT, *COLOURS)]
    whole = image.convert("RGB")
    few = whole.quantize(256 - len(kept), Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    chosen = list(few.getpalette() or [])[: 3 * (256 - len(kept))]
    pixels, indices = _packed(np.asarray(whole)), np.array(few)
    for place, colour in enumerate(_packed(np.array(kept)), start=len(chosen) // 3):
        indices[pixels == colour] = place
    made = Image.fromarray(indices, "P")
    made.putpalette([*chosen, *(channel for colour in kept for channel in colour)])
    return made


def _packed(colours: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return one number for each colour (…, 3)."""
    return colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)


def save(made: Figure, folder: Path, name: str, pdf: bool = True) -> None:
    """Write <name>.png and, for the paper, <name>.pdf without dates or versions, so that equal results give equal
    bytes."""
    # Solved once and kept: both formats then show the same places, and the solver is most of the drawing time.
    made.draw_without_rendering()
    made.set_layout_engine("none")
    write_with(folder / f"{name}.png", lambda path: _save_png(made, path))
    if not pdf:
        return
    nothing = {"Creator": None, "Producer": None, "CreationDate": None}
    write_with(folder / f"{name}.pdf", lambda path: made.savefig(path, format="pdf", dpi=DPI, metadata=nothing))


def arm_colours(names: list[str], baseline: str) -> dict[str, str]:
    """Return one colour per arm: black for the baseline, the palette in order for the others."""
    others = [name for name in names if name != baseline]
    return {baseline: BASELINE, **{name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)}}
