"""Cross-layer distillation with semantic calibration."""

from dataclasses import replace
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.modules import AlignHead
from kdbench_methods.regressors import shrink_larger
from kdbench_methods.relations import gram

#: The batch size over this is the dimension of queries and keys.
FACTOR = 4


class SemCKD(WithKDTerm):
    """Each stage of the student learns from every stage of the teacher, as much as their similarities attract.

    For student stage s, teacher stage t and sample i: query Q_s,i and key K_t,i are embedded rows of the similarity
    matrices F·Fᵀ [B, B]; attention a_i,s,t = softmax_t(Q_s,i·K_t,i); r_st is 1×1-3×3-1×1 to the teacher's channels:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·1/(B·S)·Σ_i Σ_s Σ_t a_i,s,t·mse_i(r_st(F_s), F_t).
    The larger map is pooled to the smaller, the student's before r_st. All S × T pairs of stages are there.
    """

    name = "semckd"
    citation = "Chen et al.: Cross-Layer Distillation with Semantic Calibration, AAAI 2021"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "semckd": "mean over samples and student stages s of Σ_t a_s,t·mse(r_st(F_s), F_t), "
        "a = softmax_t(Q_s·K_t / {attention_temperature})",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        beta: float = param(400.0, "weight β of the cross-layer loss", ge=0)
        attention_temperature: float = param(
            1.0,
            "divisor of Q·K before the softmax",
            paper="none",
            alternatives="SimKD's code has it as an option",
            gt=0,
        )
        short_batch: Literal["train", "skip"] = param(
            "train",
            "an epoch's last batch, if it is short: its rows of the similarity matrices are filled up with zeros",
            alternatives="skip: no step is made with it, as in the authors' code",
            added_later=True,
        )

    params: Params

    @classmethod
    def own_needs(cls, params: Params) -> Needs:
        return replace(cls.needs, full_batches=params.short_batch == "skip")

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"semckd": params.beta}

    def setup(self, build: Build) -> None:
        ours, theirs = build.student_shapes.stages, build.teacher_shapes.stages
        self.batch_size = build.batch_size
        self.queries = nn.ModuleList(_embedding(self.batch_size) for _ in ours)
        self.keys = nn.ModuleList(_embedding(self.batch_size) for _ in theirs)
        self.regressors = nn.ModuleList(AlignHead(s[0], t[0]) for s, t in product(ours, theirs))

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        attention = self.attention(student.stages, teacher.stages)
        pairs = [shrink_larger(ours, theirs) for ours, theirs in product(student.stages, teacher.stages)]
        errors = [
            (self.run(regressor, ours) - theirs).square().flatten(1).mean(dim=1)
            for regressor, (ours, theirs) in zip(self.regressors, pairs, strict=True)
        ]
        return {
            **self.kd_terms(student, teacher, batch),
            "semckd": (attention * torch.stack(errors, dim=1).view_as(attention)).sum(dim=2).mean(),
        }

    def attention(self, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> Tensor:
        """Weights [B, S, T] of the teacher's stages for each sample and student stage; they sum to 1 over T.

        Not through `run`: inner products of whole maps exceed float16's range.
        """
        queries = torch.stack([embed(self.rows(f)) for embed, f in zip(self.queries, ours, strict=True)], dim=1)
        keys = torch.stack([embed(self.rows(f)) for embed, f in zip(self.keys, theirs, strict=True)], dim=2)
        energy = normalize(queries, dim=2) @ normalize(keys, dim=1)
        return (energy / self.params.attention_temperature).softmax(dim=2)

    def rows(self, features: Tensor) -> Tensor:
        """The similarity matrix of a batch's maps, [B, batch_size]; a short batch's rows are filled up with zeros."""
        return pad(gram(features), (0, self.batch_size - len(features)))


def _embedding(batch_size: int) -> nn.Sequential:
    """Two linear layers from a row of the similarity matrix to a query or key."""
    dim = max(batch_size // FACTOR, 1)
    return nn.Sequential(nn.Linear(batch_size, 2 * dim), nn.ReLU(inplace=True), nn.Linear(2 * dim, dim))
