"""What has to be set before anything is imported: no network, no file of the user's, one thread per process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

ENVIRONMENT = {
    "YOLO_OFFLINE": "1",
    "YOLO_AUTOINSTALL": "0",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
}

os.environ.update(ENVIRONMENT)
if "PYTEST_XDIST_WORKER" not in os.environ:
    # One folder for the whole run: workers inherit it from the process that starts and outlives them.
    os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="mnv4bench-tests-")
    atexit.register(shutil.rmtree, os.environ["YOLO_CONFIG_DIR"], ignore_errors=True)


@pytest.fixture
def process_settings() -> Iterator[None]:
    """Put back what training sets for its whole process."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
