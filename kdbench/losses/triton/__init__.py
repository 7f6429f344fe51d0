"""Losses as Triton kernels that read each input once from device memory and write each gradient once.

For CUDA; with TRITON_INTERPRET=1 in the environment before this package is imported, for tests on a CPU. It is imported
when it is chosen, so that a machine without Triton can use the other implementations.
"""

from kdbench.losses.triton.ce_kd import ce_kd
from kdbench.losses.triton.deep_kd import deep_kd
from kdbench.losses.triton.deep_mse import deep_mse
from kdbench.losses.triton.kd import kd

__all__ = ["ce_kd", "deep_kd", "deep_mse", "kd"]
