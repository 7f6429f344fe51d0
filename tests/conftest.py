"""One thread, for the tests' tensors are small; Triton's interpreter where there is no GPU; what cuBLAS reads once."""

import os

import torch

from kdbench.training.numerics import CUBLAS_WORKSPACE

torch.set_num_threads(1)
# A test that multiplies without any numerics may come before one that must be deterministic.
os.environ.setdefault(*CUBLAS_WORKSPACE)

# Before any test module is imported: Triton decides when it is, and PyTorch's own modules import it.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
