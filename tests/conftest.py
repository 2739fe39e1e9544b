"""What has to be set before anything is imported: no network, no file of the user's, one thread per process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

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
