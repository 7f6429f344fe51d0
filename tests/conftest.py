"""One thread, for the tests' tensors are small; and Triton's interpreter where there is no GPU."""

import os

import torch

torch.set_num_threads(1)

# Before any test module is imported: Triton decides when it is, and PyTorch's own modules import it.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
