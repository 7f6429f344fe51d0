"""Deeply-supervised knowledge distillation."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from kdbench.losses import deep_kd, deep_mse, kd, loss_based_weights
from kdbench.method import Batch, Build, MethodParams, Needs, param
from kdbench.model import Outputs, Shapes
from kdbench_methods.deep_supervision import DeeplySupervised
from kdbench_methods.modules import AlignHead, ConvAlign, as_map, resized
from kdbench_methods.regressors import shrink, shrink_larger

PROJECTORS = {"align": AlignHead, "conv1x1": ConvAlign, "identity": lambda channels, target: nn.Identity()}


class DSKD(DeeplySupervised):
    """The teacher's class predictions and last feature map supervise every stage of the student through branches.

    D_l,i = τ²·kl_i(p_T^τ ‖ p_l^τ) and M_l,i = mse_i(F_T, r_l(F_l)) for sample i and head l; L is the student's own.
    L = CE(z_L, y) + α·[mean D_L + mean Σ_{l<L} W^KD_l·D_l] + β·[mean M_L + mean Σ_{l<L} W^F_l·M_l]   (Equations 1-6, 9)
    W_l,i = loss_l,i / Σ_{j<L} loss_j,i                                                              (Equations 7, 8)
    Logits [B, K]; F_T [B, C_T, H_T, W_T]; F_l is resized to H_T × W_T before its own projection r_l. The sums over l
    and over j run over `blocks` alone; the auxiliary classifiers do not see the labels.
    """

    name = "dskd"
    citation = "Luo, Chen, Wang: Deeply-Supervised Knowledge Distillation, arXiv 2202.07846"
    formula = {
        "ce": "CE(z_L, y)",
        "kd_last": "τ²·KL(p_T^τ ‖ p_L^τ), τ = {tau}, with τ²: {tau_squared}",
        "kd_shallow": "Σ_l W^KD_l·τ²·KL(p_T^τ ‖ p_l^τ), l in {blocks}, with τ²: {tau_squared}, W adaptive: {adaptive}",
        "fea_last": "MSE(F_T, r_L(F_L)), from epoch {fea_from_epoch}",
        "fea_shallow": "Σ_l W^F_l·MSE(F_T, r_l(F_l)), l in {blocks}, from epoch {fea_from_epoch}, "
        "W adaptive: {adaptive}",
    }

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of the class predictions' loss", ge=0)
        beta: float = param(30.0, "weight β of the feature maps' loss", ge=0)
        tau: float = param(4.0, "temperature τ", gt=0)
        blocks: tuple[int, ...] | Literal["all"] = param(
            "all",
            "stages that carry an auxiliary classifier (1 is the shallowest)",
            alternatives="any subset (Table 2)",
        )
        fea: bool = param(True, "whether the feature maps' loss is there at all", alternatives="false (Table 3)")
        adaptive: bool = param(
            True, "loss-based weights; otherwise `equal_weight` for each head", alternatives="false (Table 3)"
        )
        equal_weight: Literal["mean", "one"] = param(
            "mean",
            "a head's weight where weights are not adaptive: 1/(L-1), which keeps their sum at 1",
            paper="'an average weight'",
            alternatives="one: 1 each",
        )
        tau_squared: bool = param(
            True,
            "multiply the divergence by τ²",
            paper="absent from Equations 1, 2 and 7",
            alternatives="false: 16 times weaker at τ = 4",
        )
        detach_weights: bool = param(
            True,
            "weights are constants to the gradient",
            paper="silent",
            alternatives="false: the gradient may raise the smaller loss",
        )
        weights_per: Literal["sample", "batch"] = param(
            "sample", "what one set of weights is for", paper="'on each sample'", alternatives="batch"
        )
        projector: Literal["align", "conv1x1", "identity"] = param(
            "align",
            "the projection r: 1×1-3×3-1×1 with BN and ReLU",
            paper="'a projection function'",
            alternatives="conv1x1 (1×1-BN-ReLU, much cheaper); identity (equal channels only)",
        )
        shared_projection: bool = param(
            False, "one projection r for all heads, not one each", paper="silent", alternatives="true"
        )
        fea_from_epoch: int = param(
            1,
            "first epoch of the feature maps' loss",
            paper="silent",
            alternatives="2: CA-MKD leaves its feature loss out of the first epoch",
            ge=1,
        )
        feature_tap: Literal["final_map", "last_stage", "embedding"] = param(
            "final_map",
            "the feature map F: what enters global pooling",
            paper="'before the fully-connected layer'",
            alternatives="last_stage (before a neck, if the family has one); embedding (the pooled vector)",
        )
        resize: Literal["teacher", "bilinear", "smaller"] = param(
            "teacher",
            "how sizes meet: the student's map is pooled, or replicated where it is smaller, to the teacher's",
            paper="silent",
            alternatives="bilinear: interpolate where it is smaller; smaller: pool the larger of the two",
        )

    params: Params

    @classmethod
    def needs_for(cls, params: Params) -> Needs:
        tap = {"last_stage": "stages"}.get(params.feature_tap, params.feature_tap)
        features = (tap,) if params.fea else ()
        stages = ("stages",) if params.blocks else ()
        return Needs(
            student=tuple(dict.fromkeys(("logits", *stages, *features))),
            teacher=("logits", *features),
            batch=("epoch",) if params.fea and params.fea_from_epoch > 1 else (),
        )

    @classmethod
    def blocks(cls, params: Params, depth: int) -> tuple[int, ...]:
        return super().blocks(params, depth) if params.blocks == "all" else tuple(sorted(set(params.blocks)))

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        weights = {"ce": 1.0, "kd_last": params.alpha, "kd_shallow": params.alpha}
        return weights | ({"fea_last": params.beta, "fea_shallow": params.beta} if params.fea else {})

    @classmethod
    def decline(cls, params: Params, student: Shapes, teacher: Shapes | None) -> str | None:
        if params.blocks == "all" and (reason := super().decline(params, student, teacher)):
            return reason
        depth = len(student.stages)
        if beyond := [block for block in cls.blocks(params, depth) if not 1 <= block < depth]:
            return f"blocks {beyond} are none of the shallow stages 1 to {depth - 1} of this student"
        if params.fea and params.projector == "identity" and teacher is not None:
            ours, theirs = (_tap_shape(s, params.feature_tap)[0] for s in (student, teacher))
            if ours != theirs:
                return f"projector 'identity' needs equal channels, not {ours} (student) and {theirs} (teacher)"
        return None

    def setup(self, build: Build) -> None:
        super().setup(build)
        self.projections = nn.ModuleList()
        if self.params.fea:
            channels = _tap_shape(build.student_shapes, self.params.feature_tap)[0]
            target = _tap_shape(build.teacher_shapes, self.params.feature_tap)[0]
            project = PROJECTORS[self.params.projector]
            count = 1 if self.params.shared_projection else len(self.branches) + 1
            self.projections.extend(project(channels, target) for _ in range(count))

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        shallow = self.shallow(student)
        weighting = {"adaptive": p.adaptive, "detach": p.detach_weights, "per_sample": p.weights_per == "sample"}
        kd_last, kd_shallow = deep_kd(
            teacher.logits, [s.logits for s in shallow], student.logits, p.tau, tau_squared=p.tau_squared, **weighting
        )
        scale = self.scale(len(shallow))
        terms = {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd_last": kd_last,
            "kd_shallow": scale * kd_shallow,
        }
        if p.fea:
            target, *maps, last = self.maps(teacher, [*shallow, student])
            fea_last, fea_shallow = deep_mse(target, maps, last, **weighting)
            on = (batch.epoch >= p.fea_from_epoch).to(fea_last) if p.fea_from_epoch > 1 else 1
            terms |= {"fea_last": on * fea_last, "fea_shallow": on * scale * fea_shallow}
        return terms

    def scale(self, heads: int) -> int:
        """Factor of the shallow losses and their weights, which come with 1/heads each where they are not adaptive."""
        return heads if not self.params.adaptive and self.params.equal_weight == "one" else 1

    def maps(self, teacher: Outputs, heads: list[Outputs]) -> list[Tensor]:
        """F_T and each head's r_l(F_l), all of one shape."""
        theirs = as_map(_tap(teacher, self.params.feature_tap))
        meet = RESIZE[self.params.resize]
        pairs = [meet(as_map(_tap(head, self.params.feature_tap)), theirs) for head in heads]
        target = pairs[-1][1]  # the same for all heads: each ends like the student itself
        count = len(self.projections)  # 1 if all heads share it
        return [target, *(self.run(self.projections[i % count], ours) for i, (ours, _) in enumerate(pairs))]

    def diagnose(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """W^KD_l and W^F_l of each sample (Equations 7, 8; Figure 2), l in `blocks`."""
        if not self.supervised:
            return {}
        p, shallow = self.params, self.shallow(student)
        losses = {"KD": [kd(head.logits, teacher.logits, p.tau, reduction="none") for head in shallow]}
        if p.fea:
            target, *maps, _ = self.maps(teacher, [*shallow, student])
            losses["F"] = [(ours - target).square().flatten(1).mean(dim=1) for ours in maps]
        return {
            f"W^{kind}_{block}": self.scale(len(shallow)) * weight
            for kind, found in losses.items()
            for block, weight in zip(
                self.supervised,
                loss_based_weights(torch.stack(found), adaptive=p.adaptive, per_sample=p.weights_per == "sample"),
                strict=True,
            )
        }


def _tap(outputs: Outputs, tap: str) -> Tensor:
    return outputs.stages[-1] if tap == "last_stage" else getattr(outputs, tap)


def _tap_shape(shapes: Shapes, tap: str) -> tuple[int, ...]:
    return {"last_stage": shapes.stages[-1], "final_map": shapes.final_map, "embedding": (shapes.embedding,)}[tap]


def to_teacher(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """The student's map averaged or replicated to the size of the teacher's."""
    return resized(ours, theirs.shape[2:]), theirs


def bilinear(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """The student's map averaged where it is larger, interpolated where it is smaller than the teacher's."""
    height, width = theirs.shape[2:]
    return interpolate(shrink(ours, height, width), (height, width), mode="bilinear", align_corners=False), theirs


RESIZE = {"teacher": to_teacher, "bilinear": bilinear, "smaller": shrink_larger}
