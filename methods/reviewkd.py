"""Knowledge review."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.modules import as_map
from kdbench_methods.regressors import average_pool

#: Widest map inside a fusion.
MAX_CHANNELS = 512
#: Sizes that the context loss pools to; each counts half of the one before.
CONTEXTS = (4, 2, 1)


class ReviewKD(WithKDTerm):
    """The student's deep maps are fused into its shallow ones before each is compared with the teacher's map there.

    Levels l = 1..n are the stage ends, counted from the deep end where the networks' numbers of stages differ, and the
    embedding as the last. From deep to shallow, U_l = ABF(F_l^S, U_{l+1}) is a map of the teacher's size:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + w(epoch)·β·Σ_l HCL(U_l, F_l^T), w = min(epoch/warm-up, 1), epoch from 1.

    The authors' F_l^T is the map before the ReLU that ends a stage, in a WRN the one after the batch norm that follows
    the stage and before its ReLU (`tap: preactivations`). By default ours is the stage's end: after that ReLU, in a WRN
    the raw sum before that norm, whose squares are larger (2 to 7 times where trained, more before), so that β = 5 is
    as many times as strong there.
    The authors' rows have no KD term (α = 0).
    """

    name = "reviewkd"
    citation = "Chen, Liu, Zhao, Jia: Distilling Knowledge via Knowledge Review, CVPR 2021"
    caveat = (
        "taps the teacher's stage ends; the authors' code taps before the ReLU, in a WRN after the batch norm there"
    )
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "review": "w·Σ_l HCL(U_l, F_l^T), U_l = ABF(F_l^S, U_(l+1)), F_T: {tap}, "
        "w = min((epoch − 1 + {warmup_from})/{warmup_epochs}, 1)",
    }
    needs = Needs(
        student=("logits", "stages", "embedding"), teacher=("logits", "stages", "embedding"), batch=("epoch",)
    )

    class Params(KDTermParams):
        alpha: float = param(
            1.0, "weight α of the KD term", alternatives="0 (mdistiller and the authors' scripts)", ge=0
        )
        beta: float = param(
            5.0,
            "weight β of the review loss",
            alternatives="the authors' per-pair values: 5 WRN-40-2 and ResNet32x4 pairs, 8 ResNet32x4→ShuffleNetV2, "
            "0.6 ResNet56→20, 1 ResNet110→32",
            ge=0,
        )
        warmup_epochs: int = param(
            20, "epochs over which the review loss grows linearly to full weight", alternatives="1: no warm-up", ge=1
        )
        warmup_from: Literal[0, 1] = param(
            1,
            "number of the first epoch in the warm-up (1: mdistiller)",
            alternatives="0 (the authors' code: no review loss in the first epoch)",
        )
        tap: Literal["stages", "preactivations"] = param(
            "stages",
            "the teacher's maps: its stage ends",
            alternatives="preactivations: the maps before their ReLU, as in the authors' code",
            added_later=True,
        )

    params: Params

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return "; ".join(filter(None, (params.remark, cls.caveat if params.tap == "stages" else "")))

    @classmethod
    def own_needs(cls, params: Params) -> Needs:
        return replace(cls.needs, teacher=("logits", params.tap, "embedding"))

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"review": params.beta}

    def setup(self, build: Build) -> None:
        ours, theirs = build.student_shapes, build.teacher_shapes
        self.depth = min(len(ours.stages), len(theirs.stages))
        shapes = [*theirs.stages[-self.depth :], (theirs.embedding, 1, 1)]
        channels = [*(stage[0] for stage in ours.stages[-self.depth :]), ours.embedding]
        middle = min(MAX_CHANNELS, ours.embedding)
        self.fusions = nn.ModuleList(
            ABF(own, middle, target, (height, width), fuse=level < self.depth)
            for level, (own, (target, height, width)) in enumerate(zip(channels, shapes, strict=True))
        )

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        warmup = ((batch.epoch - 1 + p.warmup_from) / p.warmup_epochs).clamp(max=1)
        ours = self.levels(student.stages, student.embedding)
        theirs = self.levels(getattr(teacher, p.tap), teacher.embedding)
        deeper: list[Tensor] = []
        losses = []
        for fusion, own, target in reversed(list(zip(self.fusions, ours, theirs, strict=True))):
            reviewed, *deeper = self.run(fusion, own, *deeper)
            losses.append(hcl(reviewed, target))
        return {
            **self.kd_terms(student, teacher, batch),
            "review": warmup * torch.stack(losses).sum(),
        }

    def levels(self, maps: tuple[Tensor, ...], embedding: Tensor) -> list[Tensor]:
        """The deepest maps and the embedding as one, shallow to deep."""
        return [*maps[-self.depth :], as_map(embedding)]


class ABF(nn.Module):
    """Attention-based fusion of F_l^S and the deeper level's residual by two attention maps, at the teacher's size."""

    def __init__(self, channels: int, middle: int, target_channels: int, size: tuple[int, int], *, fuse: bool):
        super().__init__()
        self.size = size
        self.reduce = nn.Sequential(nn.Conv2d(channels, middle, 1, bias=False), nn.BatchNorm2d(middle))
        self.attention = nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid()) if fuse else None
        self.expand = nn.Sequential(
            nn.Conv2d(middle, target_channels, 3, padding=1, bias=False), nn.BatchNorm2d(target_channels)
        )
        for projection in (self.reduce, self.expand):
            nn.init.kaiming_uniform_(projection[0].weight, a=1)

    def forward(self, x: Tensor, deeper: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(U_l [B, C_T, H_T, W_T], the residual [B, middle, H_T, W_T] for the next shallower level)."""
        x = self.reduce(x)
        if self.attention is not None and deeper is not None:
            deeper = _nearest(deeper, x.shape[2:])
            attention = self.attention(torch.cat([x, deeper], dim=1))
            x = x * attention[:, :1] + deeper * attention[:, 1:]
        x = _nearest(x, self.size)
        return self.expand(x), x


def hcl(reviewed: Tensor, target: Tensor) -> Tensor:
    """Hierarchical context loss of two maps [B, C, H, W]: their MSE, and that of both pooled to 4², 2² and 1².

    Weights 1, 1/2, 1/4, 1/8 divided by their sum; contexts that are not smaller than the map are left out.
    """
    losses = [mse_loss(reviewed, target)]
    for size in CONTEXTS:
        if size < target.shape[2]:
            losses.append(mse_loss(average_pool(reviewed, size, size), average_pool(target, size, size)))
    weights = [0.5**level for level in range(len(losses))]
    total = torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum()
    return total / sum(weights)


def _nearest(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return x if x.shape[2:] == size else interpolate(x, size, mode="nearest")
