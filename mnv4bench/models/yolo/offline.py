"""What ultralytics must find before it is imported: no network, a private configuration folder, a font.

Importing ultralytics writes a settings file, and drawing looks for a font on the network; both are kept from happening.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from mnv4bench.io.files import NODE, remove_abandoned

FONT = "Arial.ttf"
"""What ultralytics draws labels with, and looks for on the network where it finds none of that name."""

PREFIX = f"mnv4bench-{NODE}-"
"""Of temporary folders; their owner's process number follows."""


def _private_folder() -> Path:
    remove_abandoned(Path(tempfile.gettempdir()), PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def link_font(folder: Path) -> Path | None:
    """Offer matplotlib's own sans-serif font under the name that ultralytics looks for; None without matplotlib."""
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib is None or matplotlib.origin is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FONT).symlink_to(Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")
    return folder / FONT


def configure() -> None:
    """Set ultralytics' environment, but for what the user has set; call it before the first import."""
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = str(_private_folder())
        link_font(Path(os.environ["YOLO_CONFIG_DIR"]) / "Ultralytics")
    os.environ.setdefault("YOLO_OFFLINE", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "0")
    os.environ.setdefault("YOLO_VERBOSE", "False")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # exporting imports ONNX Runtime, which sends statistics


@cache
def register_font() -> None:
    """Make ultralytics find a font without writing to a configuration folder that is not ours."""
    from matplotlib import font_manager

    if link := link_font(_private_folder()):
        font_manager.fontManager.addfont(link)
