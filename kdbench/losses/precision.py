"""The precision losses are computed in."""

import torch
from torch import Tensor


def accumulation(x: Tensor) -> Tensor:
    """`x` in the type that losses accumulate in: float32 for half types, itself otherwise."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def accumulation_type(*tensors: Tensor) -> torch.dtype:
    """The type that a loss of all these tensors accumulates in: float32, or float64 where one of them is."""
    return torch.float64 if torch.float64 in [x.dtype for x in tensors] else torch.float32
