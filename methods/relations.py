"""Relations between the samples of a batch, which relational methods compare between the networks."""

import torch
from torch import Tensor

#: Samples closer than this coincide: RepDistiller floors distances here, and the direction between them is undefined.
COINCIDENT = 1e-6


def gram(features: Tensor) -> Tensor:
    """Inner products [B, B] of the flattened features [B, ...]."""
    rows = features.flatten(1)
    return rows @ rows.T


def differences(vectors: Tensor) -> Tensor:
    """x_j − x_i of vectors [B, D], as [B, B, D].

    Taken directly: ‖x_i‖² + ‖x_j‖² − 2·x_i·x_j loses small distances between large vectors in float32.
    """
    return vectors[None] - vectors[:, None]


def distances(differences: Tensor) -> Tensor:
    """Euclidean lengths [B, B] of differences [B, B, D], over their mean for i ≠ j; gradient 0 where one is 0."""
    lengths: Tensor = torch.linalg.vector_norm(differences, dim=2)
    pairs = lengths.shape[0] * (lengths.shape[0] - 1)
    return lengths / (lengths.sum() / max(pairs, 1)).clamp_min(COINCIDENT)


def angles(differences: Tensor) -> Tensor:
    """Cosines [B, B, B] of the angles at vertex i between samples j and k; 0 where j or k coincides with i.

    The undefined direction is masked before the division, so that its gradient is 0 instead of 1/ε.
    """
    lengths = torch.linalg.vector_norm(differences, dim=2, keepdim=True)
    apart = lengths > COINCIDENT
    directions = torch.where(apart, differences, 0) / torch.where(apart, lengths, 1)
    return directions @ directions.mT
