"""Losses with the closed form of their gradient, made in the forward pass by plain PyTorch operators on any device."""

from kdbench.losses.analytic.ce_kd import ce_kd
from kdbench.losses.analytic.deep_kd import deep_kd
from kdbench.losses.analytic.deep_mse import deep_mse
from kdbench.losses.analytic.kd import kd

__all__ = ["ce_kd", "deep_kd", "deep_mse", "kd"]
