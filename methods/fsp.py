"""Flow of the solution procedure."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from kdbench.method import Needs, param
from kdbench.model import Outputs, Shapes
from kdbench_methods.initialised import Initialised
from kdbench_methods.regressors import shrink_larger


class FSP(Initialised):
    """The student is first taught how the teacher's maps lead from one stage to the next, and then to classify.

    F_0 is the stem's map and F_l [B, C_l, H, W] a stage's, of which the larger of two neighbours is average-pooled to
    the smaller. G_l = F_l·F_{l−1}ᵀ/(H·W) [B, C_l, C_{l−1}] holds the mean products of their channels over places:
    L_feature = Σ_{l≥1} mean (G_l^S − G_l^T)². For the first E₀ epochs L = β·L_feature, from then on
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ); E₀ is an eighth of the run's epochs. No modules, so the channels of stem
    and stages must be equal. In a WRN F is the raw sum.

    RepDistiller gives the first part 30 epochs before the run's 240, at the first learning rate and without the
    classifier in its optimizer, and its row has no KD term (α = 0). Here they are 30 of the 240, so that all methods
    train equally long.
    """

    name = "fsp"
    citation = (
        "Yim, Joo, Bae, Kim: A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer "
        "Learning, CVPR 2017"
    )
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "feature": "Σ_l mean (G_l^S − G_l^T)², G_l = F_l·F_(l−1)ᵀ/(H·W)",
    }
    needs = Needs(student=("logits", "stem", "stages"), teacher=("logits", "stem", "stages"), batch=("epoch",))

    class Params(Initialised.Params):
        beta: float = param(
            1.0,
            "weight β of the features' loss in the first part",
            paper="RepDistiller's command says 50, but its first part is not weighted",
            ge=0,
        )

    params: Params

    @classmethod
    def decline(cls, params: Params, student: Shapes, teacher: Shapes | None) -> str | None:
        if teacher is None:
            return None
        ours, theirs = ([channels for channels, *_ in (s.stem, *s.stages)] for s in (student, teacher))
        if ours != theirs:
            return f"flow matrices compare equal numbers of channels; stem and stages have {ours} and {theirs}"
        return None

    def feature(self, student: Outputs, teacher: Outputs) -> Tensor:
        ours, theirs = (pairwise((outputs.stem, *outputs.stages)) for outputs in (student, teacher))
        return torch.stack([mse_loss(flow(*s), flow(*t)) for s, t in zip(ours, theirs, strict=True)]).sum()


def flow(before: Tensor, after: Tensor) -> Tensor:
    """Mean products of two maps' channels over places, [B, C, H, W] and [B, C', H', W'] → [B, C', C]."""
    before, after = (f.flatten(2) for f in shrink_larger(before, after))
    return torch.bmm(after, before.mT) / before.shape[2]
