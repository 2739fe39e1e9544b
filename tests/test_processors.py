"""A reference is rebuilt to the same numbers by other vector units: another BLAS kernel, NumPy without AVX."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mnv4bench.reference.contents import COMPUTED, LATENCY
from mnv4bench.reference.values import changes

ROOT = Path(__file__).parent.parent
REFERENCE = "scenes"
"""The smallest one."""
KERNELS = {
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "Prescott": {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3"},
}

REBUILD = """
import shutil, sys
from dataclasses import replace
from pathlib import Path
from threadpoolctl import threadpool_info
from mnv4bench.reference.plans import plan_of
from mnv4bench.reference.rebuild import restore
from mnv4bench.report.tables.write import write_tables
from mnv4bench.results.reference import FOLDER
from mnv4bench.statistics.compare import compare

name, results = sys.argv[1], Path(sys.argv[2])
plan = plan_of(name)
plan = replace(plan, preset=plan.preset.model_copy(update={"bootstrap": 60}))
restore(plan, FOLDER / name, results)
shutil.copy(FOLDER / name / "cost.json", results)
compare(plan, results)
write_tables(plan, results, detections=False)
print(*sorted({library["architecture"] for library in threadpool_info() if library["internal_api"] == "openblas"}))
"""
"""What the workflow does with a reference, without images and with fewer resamples of them."""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the kernels are those of x86")
def test_a_reference_is_rebuilt_to_the_same_numbers_by_every_kernel(tmp_path: Path) -> None:
    processes = {
        kernel: subprocess.Popen(
            [sys.executable, "-c", REBUILD, REFERENCE, str(tmp_path / kernel)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for kernel, settings in KERNELS.items()
    }
    said = {kernel: process.communicate() for kernel, process in processes.items()}
    for kernel, process in processes.items():
        assert process.returncode == 0, f"{kernel}: {said[kernel][1]}"
    assert len({output for output, _ in said.values()}) == len(KERNELS), "the same kernel twice proves nothing"
    first, second = (tmp_path / kernel for kernel in KERNELS)
    files = [file for file in (*COMPUTED, LATENCY) if (first / file).exists()]
    assert len(files) == 9
    assert [change for file in files for change in changes(first, second, file)] == []
