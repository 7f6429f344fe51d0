"""Curriculum temperature for knowledge distillation."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Build, Method, MethodParams, Needs, param
from kdbench.model import Outputs


class CTKD(Method):
    """KD with a temperature that is learned against the student: it ascends the loss that the student descends.

    L = λ_CE·CE(z_S, y) + λ_KD·τ²·KL(p_T^τ ‖ p_S^τ), τ = τ_0 + τ_1·σ(θ); θ, a number of the method's own that starts at
    1, trains with the student's optimizer, weight decay included. Its gradient is multiplied by −λ(epoch),
    λ = λ_max·sin²(π/2·min(epoch/E, 1)), epoch from 1. Logits [B, K].
    Of the paper's two temperatures this is the global one: the published code has no network of the instance-wise one.
    """

    name = "ctkd"
    citation = "Li et al.: Curriculum Temperature for Knowledge Distillation, AAAI 2023"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau_start} + {tau_range}·σ(θ), θ learned with its gradient times −λ, "
        "λ = {lam}·sin²(π/2·min(epoch/{curriculum_epochs}, 1))",
    }
    needs = Needs(student=("logits",), teacher=("logits",), batch=("epoch",))

    class Params(MethodParams):
        ce_weight: float = param(0.1, "weight λ_CE of the labels' loss", ge=0)
        alpha: float = param(0.9, "weight λ_KD of the KD term", ge=0)
        tau_start: float = param(1.0, "least temperature τ_0, which is never quite reached", gt=0)
        tau_range: float = param(20.0, "range τ_1 of temperatures above the least", ge=0)
        lam: float = param(1.0, "greatest weight λ_max of the reversed gradient", ge=0)
        curriculum_epochs: int = param(10, "epochs E over which λ grows", ge=1)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": params.ce_weight, "kd": params.alpha}

    def setup(self, build: Build) -> None:
        self.theta = nn.Parameter(torch.ones(()))

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        tau = self.temperature(batch.epoch).expand(len(batch.labels))
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": kd(student.logits, teacher.logits, tau),
        }

    def temperature(self, epoch: Tensor) -> Tensor:
        """τ, a scalar, whose gradient is reversed on its way to θ."""
        p = self.params
        strength = p.lam * torch.sin(math.pi / 2 * (epoch / p.curriculum_epochs).clamp(max=1)) ** 2
        fixed = self.theta.detach()
        return p.tau_start + p.tau_range * (fixed - strength * (self.theta - fixed)).sigmoid()
