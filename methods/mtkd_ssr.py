"""Multi-target knowledge distillation via student self-reflection."""

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from kdbench.losses import kd
from kdbench.method import Batch, Build, Method, MethodParams, Needs, param
from kdbench.model import Outputs, Shapes, spatial_mean
from kdbench_methods.deep_supervision import DeeplySupervised
from kdbench_methods.modules import Frozen, as_map
from kdbench_methods.regressors import shrink_larger


class TeacherHeads(DeeplySupervised):
    """The pre-stage: auxiliary classifiers on the frozen teacher, which this method sees as its student.

    L = Σ_{l<L} CE(z_l, y). It trains by the teachers' recipe, which is our choice.
    """

    name = "mtkd_ssr_teacher_heads"
    formula = {"ce_shallow": "Σ_l CE(z_l, y), l < L"}
    needs = Needs(student=("stages",))

    @classmethod
    def weights(cls, params: Any) -> dict[str, float]:
        return {"ce_shallow": 1.0}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"ce_shallow": sum(cross_entropy(head.logits, batch.labels) for head in self.shallow(student))}


class MTKDSSR(DeeplySupervised):
    """Each stage learns channels (SCD) and responses (SRD) from the teacher's, and responses from the next stage (CRD).

    L = Σ_l CE(z_l, y) + α·Σ_l τ²·KL(p_T,l^τ ‖ p_S,l^τ) + β·Σ_l mean_{b,c} (GAP r_l(f_S^l) - GAP f_T^l)²
      + γ·Σ_{l<L} τ²·KL(p_S,l+1^τ ‖ p_S,l^τ), the target without gradient
    Logits [B, K]; f^l [B, C, H, W]; r_l a 1×1 convolution. Stages are paired from the deep end where the teacher has
    more or fewer. This reconstruction knows the abstract alone: the formulas and weights are not the paper's.
    """

    name = "mtkd_ssr"
    citation = "Gou, Xiong, Yu: Multi-target Knowledge Distillation via Student Self-reflection, IJCV 2023"
    caveat = "reconstructed from the abstract"
    formula = {
        "ce": "CE(z_L, y)",
        "ce_shallow": "Σ_l CE(z_l, y), l < L",
        "srd": "Σ_l τ²·KL(p_T,l^τ ‖ p_S,l^τ), p_T,l of {teacher_heads} heads, τ = {tau}",
        "scd": "Σ_l {scd} distance of r_l(f_S^l) and f_T^l",
        "crd": "Σ_l τ²·KL(p_S,{crd}^τ ‖ p_S,l^τ), τ = {tau}, the target without gradient",
    }

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of SRD", paper="not known", ge=0)
        beta: float = param(1.0, "weight β of SCD", paper="not known", ge=0)
        gamma: float = param(1.0, "weight γ of CRD", paper="not known", ge=0)
        tau: float = param(4.0, "temperature τ", paper="not known", gt=0)
        srd: bool = param(True, "stage-wise response distillation")
        teacher_heads: Literal["trained", "final"] = param(
            "trained",
            "what gives p_T,l: auxiliary classifiers trained on the frozen teacher before the run",
            alternatives="final: the teacher's own prediction for every stage; needs no pre-stage",
        )
        scd: Literal["pooled", "spatial", "off"] = param(
            "pooled",
            "stage-wise channel distillation: squared error of the globally pooled channels",
            alternatives="spatial: τ²·KL of each channel's softmax over places; off",
        )
        crd: Literal["next", "last", "previous", "off"] = param(
            "next",
            "cross-stage review distillation: who teaches stage l, the next stage",
            paper="not known",
            alternatives="last; previous: stage l teaches l+1, shallow to deep; off",
        )

    params: Params

    @classmethod
    def needs_for(cls, params: Params) -> Needs:
        stages = params.scd != "off" or cls.pre_stage(params) is not None
        reads = {"logits": params.srd, "stages": stages}
        return Needs(student=("logits", "stages"), teacher=tuple(feature for feature, read in reads.items() if read))

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        enabled = {"srd": params.srd, "scd": params.scd != "off", "crd": params.crd != "off"}
        weights = {"srd": params.alpha, "scd": params.beta, "crd": params.gamma}
        return {"ce": 1.0, "ce_shallow": 1.0} | {term: weights[term] for term, on in enabled.items() if on}

    @classmethod
    def pre_stage(cls, params: Params) -> tuple[type[Method], MethodParams] | None:
        return (TeacherHeads, TeacherHeads.Params()) if params.srd and params.teacher_heads == "trained" else None

    @classmethod
    def decline(cls, params: Params, student: Shapes, teacher: Shapes | None) -> str | None:
        if teacher and len(teacher.stages) < 2 and cls.pre_stage(params):
            return "a teacher of one stage has no shallow stage for a trained head; teacher_heads 'final' needs none"
        return super().decline(params, student, teacher)

    def setup(self, build: Build) -> None:
        super().setup(build)
        if self.pre_stage(self.params):
            # A deeper teacher's shallowest heads have no partner.
            self.teacher_heads = Frozen(build.pre_stage.branches[-len(self.branches) :])
        if self.params.scd != "off":
            pairs = from_the_deep(build.student_shapes.stages, build.teacher_shapes.stages)
            self.projections = nn.ModuleList(nn.Conv2d(ours[0], theirs[0], 1) for ours, theirs in pairs)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        *shallow, last = logits = [*(head.logits for head in self.shallow(student)), student.logits]
        terms = {
            "ce": cross_entropy(last, batch.labels),
            "ce_shallow": sum(cross_entropy(z, batch.labels) for z in shallow),
        }
        if p.srd:
            pairs = from_the_deep(logits, self.teacher_logits(teacher))
            terms["srd"] = sum(kd(ours, theirs, p.tau) for ours, theirs in pairs)
        if p.scd != "off":
            pairs = from_the_deep(student.stages, teacher.stages)
            distance = {"pooled": self.pooled, "spatial": self.spatial}[p.scd]
            terms["scd"] = sum(distance(r, *pair) for r, pair in zip(self.projections, pairs, strict=True))
        if p.crd != "off":
            learners = logits[1:] if p.crd == "previous" else shallow
            targets = {"next": logits[1:], "last": [last] * len(shallow), "previous": shallow}[p.crd]
            terms["crd"] = sum(kd(z, target.detach(), p.tau) for z, target in zip(learners, targets, strict=True))
        return terms

    def teacher_logits(self, teacher: Outputs) -> list[Tensor]:
        """Logits of the teacher at its stages, shallow to deep."""
        if self.params.teacher_heads == "final":
            return [teacher.logits] * (len(self.branches) + 1)
        pairs = from_the_deep(self.teacher_heads.module, teacher.stages[:-1])
        return [*(self.run(head.outputs, stage).logits for head, stage in pairs), teacher.logits]

    def pooled(self, projection: nn.Module, ours: Tensor, theirs: Tensor) -> Tensor:
        """mean_{b,c} (GAP r(f_S) - GAP f_T)²; a 1×1 convolution commutes with pooling."""
        mean = self.run(projection, as_map(spatial_mean(ours)))
        return mse_loss(mean.flatten(1), spatial_mean(theirs))

    def spatial(self, projection: nn.Module, ours: Tensor, theirs: Tensor) -> Tensor:
        """mean_{b,c} τ²·KL(softmax_hw(f_T/τ) ‖ softmax_hw(r(f_S)/τ)), the larger map pooled to the smaller."""
        ours, theirs = shrink_larger(ours, theirs)
        ours, theirs = (f.flatten(0, 1).flatten(1) for f in (self.run(projection, ours), theirs))
        return kd(ours, theirs, self.params.tau)


def from_the_deep(ours: Any, theirs: Any) -> list[tuple[Any, Any]]:
    """Pairs of two sequences aligned at their ends, the longer one's beginning left out."""
    length = min(len(ours), len(theirs))
    return list(zip(ours[len(ours) - length :], theirs[len(theirs) - length :], strict=True))
