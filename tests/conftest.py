"""One thread, for the tests' tensors are small and processes share the machine; and Triton's interpreter without a GPU."""

import os

import torch

torch.set_num_threads(1)

# Here, before any test module is imported: Triton decides when it and a kernel are defined, and PyTorch's own modules import it.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
