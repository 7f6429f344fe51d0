"""Knowledge distillation by singular vectors of feature maps."""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import normalize

from kdbench.method import Batch, Needs, param
from kdbench.model import Outputs, Shapes
from kdbench_methods.kd_term import KDTermParams, WithKDTerm

#: Singular vectors of the student beyond k that may stand for one of the teacher's.
SPARE = 3
#: Squarings of a matrix until only its first eigenvector is left; tells apart eigenvalues that differ by 0.5 %.
SQUARINGS = 12
#: A map's share of energy (its sum of squares) below which what is left of it is rounding and has no vectors.
NOTHING = 1e-5


class KDSVD(WithKDTerm):
    """The channels' relation from one stage to the next, by each map's leading singular vectors, is the teacher's.

    V_l [B, C_l, k] are the right singular vectors of a stage's map as a matrix [H·W, C_l], weighted by the teacher's k
    singular values at unit length. For each of the teacher's the student's is the one of its k + 3 with the largest
    |cosine|, its sign turned to fit. With R_l = exp(−(V_l,c − V_{l−1},c')²/8), [B, C_l, C_{l−1}, k]:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·1/B·Σ_{l>1} Σ (R_l^S − R_l^T)².
    Pairs the stages from the shallow end; both networks need equally many channels there. No modules.

    This is RepDistiller's form (its and mdistiller's rows have no KD term, α = 0). The decomposition is ours, by
    repeated squaring: for `torch.linalg.svd` a GPU would have to wait, and where singular values coincide or are 0 its
    gradient is NaN, ours finite. A vector's sign, which an SVD leaves open, is that of its sum, in both networks.
    """

    name = "kdsvd"
    citation = (
        "Lee, Kim, Song: Self-supervised Knowledge Distillation Using Singular Value Decomposition, ECCV 2018; form of "
        "RepDistiller's code"
    )
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "svd": "1/B·Σ_(l>1) Σ (R_l^S − R_l^T)², R_l = exp(−(V_l − V_(l−1))²/8) of {k} singular vectors",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller, mdistiller)", ge=0)
        beta: float = param(1.0, "weight β of the relations' distance (mdistiller's)", ge=0)
        k: int = param(1, "singular vectors k of the teacher that are compared", ge=1)

    params: Params

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return params.remark

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"svd": params.beta}

    @classmethod
    def decline(cls, params: Params, student: Shapes, teacher: Shapes | None) -> str | None:
        if teacher is None:
            return None
        depth = min(len(student.stages), len(teacher.stages))
        ours, theirs = ([channels for channels, *_ in shapes.stages[:depth]] for shapes in (student, teacher))
        if ours != theirs:
            return f"singular vectors over channels compare equal numbers of them; there are {ours} and {theirs}"
        if depth < 2:
            return "a relation from stage to stage needs two stages"
        return None

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        k = self.params.k
        ours, theirs = [], []
        for f_s, f_t in zip(student.stages, teacher.stages, strict=False):
            target, strengths = singular_vectors(f_t, k)
            weights = normalize(strengths, dim=1).unsqueeze(1)
            ours.append(aligned(singular_vectors(f_s, k + SPARE)[0], target) * weights)
            theirs.append(target * weights)
        distances = [
            (relation(*pair_s) - relation(*pair_t)).square().sum() / len(batch.labels)
            for pair_s, pair_t in zip(pairwise(ours), pairwise(theirs), strict=True)
        ]
        return {
            **self.kd_terms(student, teacher, batch),
            "svd": torch.stack(distances).sum(),
        }


def relation(before: Tensor, after: Tensor) -> Tensor:
    """exp(−(a_c − b_c')²/8) of vectors b [B, C', k] and a [B, C, k], as [B, C, C', k]."""
    return (-(after.unsqueeze(2) - before.unsqueeze(1)).square() / 8).exp()


def aligned(candidates: Tensor, target: Tensor) -> Tensor:
    """Of candidates [B, C, m] for each target [B, C, k] the one with the largest |cosine|, its sign turned to fit."""
    cosines = candidates.mT @ target
    best = cosines.abs().argmax(dim=1, keepdim=True)
    chosen = candidates.gather(2, best.expand(-1, candidates.shape[1], -1))
    return chosen * cosines.gather(1, best).sign()


def singular_vectors(f: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first right singular vectors of maps [B, C, H, W] as matrices [H·W, C] and their singular values relative to
    the map's length: [B, C, m] and [B, m], m = min(count, H·W, C); zeros where a map has fewer.
    """
    matrix = f.flatten(2).mT
    matrix = matrix / torch.linalg.matrix_norm(matrix, keepdim=True).clamp_min(torch.finfo(f.dtype).tiny)
    tall = matrix.shape[1] >= matrix.shape[2]
    vectors, values = eigenvectors(matrix.mT @ matrix if tall else matrix @ matrix.mT, count)
    if not tall:
        vectors = normalize(matrix.mT @ vectors, dim=1)
    sign = torch.where(vectors.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    return vectors * sign, values.sqrt()


def eigenvectors(symmetric: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first eigenvectors [B, n, m] and eigenvalues [B, m] of positive semidefinite matrices [B, n, n] of trace 1,
    m = min(count, n), by squaring and deflation; both are 0 where less than `NOTHING` of the trace is left.
    """
    vectors, values = [], []
    unit = torch.zeros_like(symmetric)
    unit[:, 0, 0] = 1
    for _ in range(min(count, symmetric.shape[1])):
        there = trace(symmetric) > NOTHING
        power = torch.where(there, symmetric, unit)
        for _ in range(SQUARINGS):
            power = power / trace(power)
            power = power @ power
        diagonal = power.diagonal(dim1=1, dim2=2)
        column = diagonal.argmax(dim=1)[:, None, None].expand(-1, symmetric.shape[1], -1)
        vector = torch.where(there, normalize(power.gather(2, column), dim=1), 0)
        value = vector.mT @ symmetric @ vector
        symmetric = symmetric - value * (vector @ vector.mT)
        vectors.append(vector)
        values.append(value.flatten(1))
    return torch.cat(vectors, dim=2), torch.cat(values, dim=1)


def trace(matrices: Tensor) -> Tensor:
    """Sum of the diagonals of [B, n, n], as [B, 1, 1]."""
    return matrices.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
