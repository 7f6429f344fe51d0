"""Losses as their papers write them: plain PyTorch, any floating type, differentiable as often as one likes."""

from kdbench.losses.reference.ce_kd import ce_kd
from kdbench.losses.reference.deep_kd import deep_kd
from kdbench.losses.reference.deep_mse import deep_mse
from kdbench.losses.reference.kd import kd

__all__ = ["ce_kd", "deep_kd", "deep_mse", "kd"]
