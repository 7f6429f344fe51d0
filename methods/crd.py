"""Contrastive representation distillation."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm

#: Random integers below this are reduced to a range that differs by class; the bias of the remainder is N / 2^62.
RANDOM_RANGE = 2**62


class CRD(WithKDTerm):
    """A sample's embedding in one network is told apart from other classes' samples by its embedding in the other.

    v = g(e)/‖g(e)‖ with a linear g per network, [B, d]; the bank M [N, d] holds earlier v of the N training samples. An
    anchor v_i is to recognise its own row i among m rows j of other classes, h_j = v_i·M_j/τ_c − log Z − log(m/N):
    L_crd = −mean_i [log σ(h_i) + Σ_j log σ(−h_j)], once with v_T against M_S and once with v_S against M_T;
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·(L_crd^S + L_crd^T).
    Z = N·mean exp(v·M/τ_c) is estimated in the first step and kept; then M_i ← μ·M_i + (1 − μ)·v_i at unit length.

    RepDistiller adds 10⁻⁷ to the denominators P + m/N of the σ, which is 3·10⁻⁷ of them; here they are exact. Its CRD
    row has no KD term (α = 0).
    """

    name = "crd"
    citation = "Tian, Krishnan, Isola: Contrastive Representation Distillation, ICLR 2020"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "crd": "−Σ_S,T mean_i [log σ(h_i) + Σ_j log σ(−h_j)], h = v·M/{temperature} − log(Z·m/N), m ≤ {negatives}",
    }
    needs = Needs(
        student=("logits", "embedding"),
        teacher=("logits", "embedding"),
        batch=("index", "generator"),
        class_indices=True,
    )

    class Params(KDTermParams):
        alpha: float = param(
            1.0, "weight α of the KD term", alternatives="0 (RepDistiller's CRD row; its CRD+KD row is 1)", ge=0
        )
        beta: float = param(0.8, "weight β of the contrastive loss", ge=0)
        dim: int = param(128, "dimensions d of the shared space", ge=1)
        negatives: int = param(
            16384,
            "negatives m per sample, but no more than the other classes have samples; drawn with replacement",
            paper="the authors' code draws without replacement, which has the same expectation",
            ge=1,
        )
        temperature: float = param(0.07, "temperature τ_c of the contrast", gt=0)
        momentum: float = param(0.5, "momentum μ of the banks", ge=0, le=1)
        mode: Literal["exact", "relax"] = param(
            "exact", "the positive is the sample itself", alternatives="relax: a random sample of its class"
        )

    params: Params
    bank_student: Tensor
    bank_teacher: Tensor
    normalizers: Tensor
    order: Tensor
    count: Tensor
    first: Tensor

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return params.remark

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"crd": params.beta}

    @classmethod
    def memory_bytes(cls, params: Any, train_size: int) -> int:
        """Bytes of the two banks, which last as long as the run; a step borrows as much again, and [B, N] scores."""
        return 2 * train_size * int(params.dim) * torch.float32.itemsize

    def setup(self, build: Build) -> None:
        p, labels = self.params, build.train_labels.cpu()
        self.size = len(labels)
        self.embed_student = nn.Linear(build.student_shapes.embedding, p.dim)
        self.embed_teacher = nn.Linear(build.teacher_shapes.embedding, p.dim)
        bound = math.sqrt(3 / p.dim)  # makes a row's mean squared length 1
        self.register_buffer("bank_student", torch.empty(self.size, p.dim).uniform_(-bound, bound))
        self.register_buffer("bank_teacher", torch.empty(self.size, p.dim).uniform_(-bound, bound))
        # Z of the contrast with the student's and with the teacher's bank; 0 until the first step.
        self.register_buffer("normalizers", torch.zeros(2))
        # Samples ordered by class: class c owns `order[first[c] : first[c] + count[c]]`. Follows from the labels.
        count = torch.bincount(labels, minlength=build.num_classes)
        self.register_buffer("order", labels.argsort(stable=True), persistent=False)
        self.register_buffer("count", count, persistent=False)
        self.register_buffer("first", count.cumsum(0) - count, persistent=False)
        self.negatives = min(p.negatives, self.size - int(count.max()))
        if self.negatives < 1:
            raise ValueError("crd draws negatives from other classes, but all training samples are of one class")

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        v_s = normalize(self.run(self.embed_student, student.embedding))
        v_t = normalize(self.run(self.embed_teacher, teacher.embedding))
        rows = torch.cat([self.draw_positives(batch), self.draw_negatives(batch)], dim=1)
        terms = {
            **self.kd_terms(student, teacher, batch),
            "crd": self.contrast(v_t, self.bank_student, rows, self.normalizers[0])
            + self.contrast(v_s, self.bank_teacher, rows, self.normalizers[1]),
        }
        self.remember(self.bank_student, v_s, batch.index)
        self.remember(self.bank_teacher, v_t, batch.index)
        return terms

    def draw_positives(self, batch: Batch) -> Tensor:
        """Place of each sample's positive in the training set, [B, 1]."""
        if self.params.mode == "exact":
            return batch.index.unsqueeze(1)
        own = batch.labels.unsqueeze(1)
        return self.order[self.first[own] + self.random(batch, 1) % self.count[own]]

    def draw_negatives(self, batch: Batch) -> Tensor:
        """Places of m uniform samples of other classes, [B, m]: a draw from the order with the own class cut out."""
        own = batch.labels.unsqueeze(1)
        place = self.random(batch, self.negatives) % (self.size - self.count[own])
        return self.order[torch.where(place < self.first[own], place, place + self.count[own])]

    def random(self, batch: Batch, columns: int) -> Tensor:
        """Random integers [B, columns]."""
        size = (len(batch.labels), columns)
        return torch.randint(RANDOM_RANGE, size, generator=batch.generator, device=batch.labels.device)

    def contrast(self, anchors: Tensor, bank: Tensor, rows: Tensor, normalizer: Tensor) -> Tensor:
        """L_crd of anchors [B, d] against `rows` [B, 1 + m] of a bank, positives first; sets the normalizer if unset.

        All scores [B, N] are smaller than the gathered rows [B, m, d] as long as N < m·d: 13 MB instead of 537 MB for
        CIFAR-100. The copy is what the gradient reads, since the bank changes before backward.
        """
        scores = (anchors @ bank.clone().T).gather(1, rows) / self.params.temperature
        with torch.no_grad():
            normalizer.copy_(torch.where(normalizer > 0, normalizer, scores.exp().mean() * self.size))
        h = scores - normalizer.log() - math.log(self.negatives / self.size)
        return -(logsigmoid(h[:, 0]) + logsigmoid(-h[:, 1:]).sum(dim=1)).mean()

    @torch.no_grad()
    def remember(self, bank: Tensor, vectors: Tensor, index: Tensor) -> None:
        """Move the batch's rows of a bank towards `vectors` [B, d]."""
        momentum = self.params.momentum
        bank.index_copy_(0, index, normalize(momentum * bank[index] + (1 - momentum) * vectors))
