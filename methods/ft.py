"""Factor transfer."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss, normalize

from kdbench.method import Batch, Build, Method, MethodParams, Needs, param
from kdbench.model import Outputs, Shapes
from kdbench_methods.at import attention
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.modules import Frozen
from kdbench_methods.regressors import shrink_larger


class Paraphraser(Method):
    """The pre-stage: an autoencoder of the frozen teacher's last stage, which this method sees as its student.

    L = mean (D(E(F)) − F)², F [B, C, H, W], E(F) [B, k·C, H, W]. It trains by the teachers' recipe, which is our
    choice: RepDistiller gives it 30 epochs at a constant rate (0.01 for ResNet and WRN students, else the student's).
    """

    name = "ft_paraphraser"
    formula = {"reconstruction": "mean (D(E(F)) − F)², F the last stage's map"}
    needs = Needs(student=("stages",))

    class Params(MethodParams):
        rate: float = param(0.5, "channels of the factor over those of the map", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"reconstruction": 1.0}

    def setup(self, build: Build) -> None:
        channels = build.student_shapes.stages[-1][0]
        factors = factor_channels(channels, self.params.rate)
        self.encoder = layers(nn.Conv2d, (channels, channels, factors, factors))
        self.decoder = layers(nn.ConvTranspose2d, (factors, factors, channels, channels))

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        original = student.stages[-1]
        return {"reconstruction": mse_loss(self.run(self.decoder, self.run(self.encoder, original)), original)}


class FT(WithKDTerm):
    """The student's last stage, translated, attends like a paraphrase of the teacher's.

    E is the trained and frozen encoder of an autoencoder of F_T (its pre-stage), G the translator, of the same form
    with batch norms; both give maps of k·C_T channels, the larger of which is pooled to the smaller:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·mean |Q(G(F_S)) − Q(E(F_T))|.
    Q(f) = mean_c f² at unit length over places, as in AT: RepDistiller's form, whose row has no KD term (α = 0). The
    paper's Q is the whole factor at unit length. F is the last stage's end, in a WRN the raw sum.
    """

    name = "ft"
    citation = "Kim, Park, Kwak: Paraphrasing Complex Network: Network Compression via Factor Transfer, NeurIPS 2018"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "factor": "mean |Q(G(F_S)) − Q(E(F_T))|, factors of {rate}·C_T channels, Q: {factor}",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller)", ge=0)
        beta: float = param(
            200.0,
            "weight β of the factors' distance",
            alternatives="500 (the authors' code, whose factors are whole)",
            ge=0,
        )
        rate: float = param(0.5, "paraphrase rate k: channels of the factors over those of F_T", gt=0)
        factor: Literal["attention", "whole"] = param(
            "attention",
            "what of a factor is compared: its mean square over channels, at unit length (RepDistiller)",
            paper="whole: F/‖F‖₂ of all its elements, as in the authors' code",
            alternatives="whole",
        )

    params: Params

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return params.remark

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"factor": params.beta}

    @classmethod
    def pre_stage(cls, params: Params) -> tuple[type[Method], MethodParams] | None:
        return Paraphraser, Paraphraser.Params(rate=params.rate)

    @classmethod
    def decline(cls, params: Params, student: Shapes, teacher: Shapes | None) -> str | None:
        if teacher is None:
            return None
        channels, *theirs = teacher.stages[-1]
        if not factor_channels(channels, params.rate):
            return f"rate {params.rate} leaves none of the {channels} channels of the teacher's last stage"
        if params.factor == "attention" and all(
            1 in sizes for sizes in zip(theirs, student.stages[-1][1:], strict=True)
        ):
            return "attention at unit length tells nothing of a last stage of 1×1; factor 'whole' does"
        return None

    def setup(self, build: Build) -> None:
        channels = build.student_shapes.stages[-1][0]
        factors = factor_channels(build.teacher_shapes.stages[-1][0], self.params.rate)
        self.translator = layers(nn.Conv2d, (channels, channels, factors, factors), norm=True)
        self.paraphraser = Frozen(build.pre_stage.encoder)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours = self.run(self.translator, student.stages[-1])
        theirs = self.run(self.paraphraser.module, teacher.stages[-1])
        compared = {"attention": attention, "whole": whole}[self.params.factor]
        return {
            **self.kd_terms(student, teacher, batch),
            "factor": l1_loss(*map(compared, shrink_larger(ours, theirs))),
        }


def whole(factor: Tensor) -> Tensor:
    """A factor [B, C, H, W] as a vector of unit length for each sample, [B, C·H·W]."""
    return normalize(factor.flatten(1), dim=1)


def factor_channels(channels: int, rate: float) -> int:
    """Channels k·C of a factor, rounded down."""
    return int(channels * rate)


def layers(
    convolution: type[nn.Conv2d] | type[nn.ConvTranspose2d], channels: Sequence[int], *, norm: bool = False
) -> nn.Sequential:
    """3×3 (from each number of channels to the next) - BN if `norm` - LeakyReLU(0.1); size unchanged."""
    modules: list[nn.Module] = []
    for before, after in pairwise(channels):
        modules.append(convolution(before, after, 3, padding=1))
        modules += [nn.BatchNorm2d(after)] if norm else []
        modules.append(nn.LeakyReLU(0.1, inplace=True))
    return nn.Sequential(*modules)
