"""Triton's kernels run on CUDA where there is a device, and in Triton's interpreter elsewhere."""

import os

import torch

# Before anything imports the kernels: Triton decides when a kernel is defined.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
