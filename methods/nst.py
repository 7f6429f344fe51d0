"""Neuron selectivity transfer."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from kdbench.method import Batch, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.regressors import shrink_larger


class NST(WithKDTerm):
    """The channels' activation patterns are alike distributed in both networks, by maximum mean discrepancy (MMD).

    f_c is channel c of a stage's map, flattened over H·W and at unit length; k(a, b) = (a·b)². Per stage pair
    MMD² = mean_{c,c'} k(t_c, t_c') + mean k(s_c, s_c') − 2·mean k(s_c, t_c'), means over batch and channels:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·Σ_l MMD²(F_T^l, F_S^l).
    The larger map is pooled to the smaller first. Stages pair from the shallow end and surplus ones are left out, as in
    the sources. No modules. The authors' rows have no KD term (α = 0).
    """

    name = "nst"
    citation = "Huang, Wang: Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, 2017"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "nst": "Σ_l MMD²(channels of F_T^l, channels of F_S^l), kernel (a·b)² of unit vectors",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller, mdistiller)", ge=0)
        beta: float = param(50.0, "weight β of the discrepancy", ge=0)

    params: Params

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return params.remark

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"nst": params.beta}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        pairs = zip(student.stages, teacher.stages, strict=False)
        return {
            **self.kd_terms(student, teacher, batch),
            "nst": torch.stack([discrepancy(*shrink_larger(ours, theirs)) for ours, theirs in pairs]).sum(),
        }


def discrepancy(ours: Tensor, theirs: Tensor) -> Tensor:
    """MMD² of two maps [B, C, H, W] that differ in C at most, a scalar."""
    s, t = (normalize(maps.flatten(2), dim=2) for maps in (ours, theirs))
    return _kernel(t, t) + _kernel(s, s) - 2 * _kernel(s, t)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """Mean of (a_c·b_c')² over batch and channels of [B, C, H·W] and [B, C', H·W]."""
    return torch.bmm(a, b.mT).square().mean()
