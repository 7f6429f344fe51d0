"""Deeply-supervised nets."""

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kdbench.method import Batch, Build, MethodParams, Needs, param
from kdbench.model import Head, Outputs, StagedModel
from kdbench_methods.deep_supervision import DeeplySupervised


class DSN(DeeplySupervised):
    """The labels supervise every stage of the student through auxiliary classifiers.

    L = CE(z_L, y) + w·Σ_{l<L} CE(z_l, y). Logits [B, K]; no teacher.
    """

    name = "dsn"
    citation = "Lee, Xie, Gallagher, Zhang, Tu: Deeply-Supervised Nets, AISTATS 2015"
    formula = {
        "ce": "CE(z_L, y)",
        "ce_shallow": "{reduction} of CE(z_l, y) over l < L, falling to 0 over epochs: {decay_epochs}",
    }
    needs = Needs(student=("logits", "stages"))

    class Params(MethodParams):
        w: float = param(1.0, "weight w of the auxiliary classifiers' loss", ge=0)
        reduction: Literal["sum", "mean"] = param(
            "sum", "over the auxiliary classifiers", alternatives="mean: each one weighs w/(L-1)"
        )
        decay_epochs: int | None = param(
            None,
            "epochs over which w falls linearly to 0; none: it is constant",
            paper="the weight decays; the released configurations hold it constant and finetune without it",
            alternatives="the recipe's number of epochs",
            ge=1,
        )
        heads: Literal["branch", "linear"] = param(
            "branch",
            "auxiliary classifier: a copy of the main branch that follows, the same as in BYOT, DKS and DSKD",
            paper="a linear classifier directly on the hidden layer; DSKD's comparison does not say",
            alternatives="linear: global average pooling and a linear layer",
        )

    params: Params

    @classmethod
    def needs_for(cls, params: Params) -> Needs:
        return Needs(student=cls.needs.student, batch=("epoch",)) if params.decay_epochs else cls.needs

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "ce_shallow": params.w}

    def setup(self, build: Build) -> None:
        super().setup(build)
        if self.params.heads == "linear":
            channels = [build.student_shapes.stages[block - 1][0] for block in self.supervised]
            self.branches = nn.ModuleList(linear_head(width, build.num_classes) for width in channels)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        shallow = sum(cross_entropy(head.logits, batch.labels) for head in self.shallow(student))
        if p.reduction == "mean":
            shallow = shallow / len(self.branches)
        if p.decay_epochs:
            shallow = shallow * (1 - (batch.epoch - 1) / p.decay_epochs).clamp(min=0)
        return {"ce": cross_entropy(student.logits, batch.labels), "ce_shallow": shallow}


def linear_head(channels: int, num_classes: int) -> StagedModel:
    """Global average pooling and a linear classifier for a stage map [B, C, H, W]."""
    return StagedModel(nn.Identity(), (), Head(nn.Identity(), nn.Linear(channels, num_classes)))
