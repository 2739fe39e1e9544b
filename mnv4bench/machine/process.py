"""Setting up a process that trains or scores: what changes bits, and what changes speed alone."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

import cv2
import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # <malloc.h>


def set_up_process(threads: int) -> None:
    """Fix thread count and deterministic kernels, and keep freed memory."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(0)  # a training job owns as many threads as its spec says
    # The same switch as use_deterministic_algorithms, which first imports a compiler for a second and a half.
    torch.set_deterministic_debug_mode("warn")
    # A debugging aid that comes with it and took a tenth of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    without_tf32()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may add in another order
    keep_freed_memory()


def without_tf32() -> None:
    """Let a GPU compute float32 as float32, not as TF32, which keeps ten bits of the mantissa.

    With it, scores differ from every other device's by more than a runtime is allowed.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def keep_freed_memory() -> bool:
    """Tell glibc to serve large blocks from the heap and keep it; return whether that was possible.

    A training step frees and asks for the same large blocks again and again, and glibc hands them back to the kernel in
    between, which costs page faults. Other C libraries are left alone.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 * 2**20))
    return all(libc.mallopt(option, value) == 1 for option, value in settings)
