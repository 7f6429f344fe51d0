"""Scale decoupled distillation."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs
from kdbench_methods.modules import resized


class RegionParams(MethodParams):
    """Parameters of methods that compare image regions."""

    finest: Literal[2, 4] = param(
        4,
        "cells on a side of the finest grid; the coarser ones have half as many each, down to the whole image",
        alternatives="2: the authors' for VGG13 → VGG8 and ResNet32×4 → ResNet8×4",
    )
    complementary: float = param(2.0, "weight of complementary regions", ge=0)


class SDD(Method):
    """KD of the logits of image regions: of the whole image and of the cells of finer and finer grids.

    z^r [B, K] = the classifier's logits of the final map's mean over region r, of N regions:
    L = λ_CE·CE(z_S, y) + λ_KD·mean_{r,i} w_r,i·τ²·kl_i(p_T^{r,τ} ‖ p_S^{r,τ}); w is greater than 1 where the teacher is
    right about the region and wrong about the image, or the reverse (complementary), else 1 (consistent). No modules.
    A map smaller than a grid is replicated. The paper's sum over regions is a mean in the authors' code, and here.
    """

    name = "sdd"
    citation = "Wei, Luo, Luo: Scale Decoupled Distillation, CVPR 2024"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "mean_r,i w_r,i·τ²·kl_i(p_T^r ‖ p_S^r), regions r of grids up to {finest}×{finest}, τ = {tau}, "
        "w = {complementary} where the teacher is right about the region alone or about the image alone, else 1",
    }
    needs = Needs(student=("logits", "class_maps"), teacher=("class_maps",), class_indices=True)

    class Params(RegionParams):
        ce_weight: float = param(0.1, "weight λ_CE of the labels' loss", ge=0)
        alpha: float = param(0.9, "weight λ_KD of the KD term", ge=0)
        tau: float = param(4.0, "temperature τ", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": params.ce_weight, "kd": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours, theirs, weights = compared(student, teacher, batch, self.params)
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": (weights * kd(ours, theirs, self.params.tau, reduction="none")).mean(),
        }


def compared(student: Outputs, teacher: Outputs, batch: Batch, params: RegionParams) -> tuple[Tensor, Tensor, Tensor]:
    """Both networks' logits of all regions of all samples, region by region, [N·B, K], and the weights w [N·B]."""
    ours, theirs = (regions(maps, params.finest) for maps in (student.class_maps, teacher.class_maps))
    right = theirs.argmax(dim=2) == batch.labels
    weights = torch.where(right == right[0], 1.0, params.complementary)
    return ours.flatten(0, 1), theirs.flatten(0, 1), weights.flatten()


def regions(class_maps: Tensor, finest: int) -> Tensor:
    """Logits [N, B, K] of the whole image, then of the cells of ever finer grids, from class maps [B, K, H, W]."""
    sides = [side for side in (1, 2, 4) if side <= finest]
    return torch.cat([resized(class_maps, (side, side)).flatten(2) for side in sides], dim=2).permute(2, 0, 1)
