"""The auxiliary classifiers of the DKS authors' code, made out of copies of the main branch."""

from __future__ import annotations

from torch import nn

from kdbench.model import StagedModel


def half_as_deep(branch: StagedModel) -> None:
    """Leaves the last stage the first half of its blocks, rounded down."""
    blocks = branch.stages[-1]
    if not isinstance(blocks, nn.Sequential) or len(blocks) < 2:
        raise ValueError("dks's authors halve the last stage's blocks, and this student's has not two")
    branch.stages[-1] = blocks[: len(blocks) // 2]


def twice_as_wide(branch: StagedModel, channels: int) -> None:
    """Doubles every width of a branch but that of the map it is given, which has `channels`, and of the logits.

    Convolutions are drawn from N(0, 2/(k²·C_out)), as those of the networks that it can be done to.
    """
    _widen(branch, channels)


def _widen(module: nn.Module, channels: int) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, _convolution(child, channels))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(_width(child.num_features, channels)))
        elif isinstance(child, nn.Linear):
            wide = nn.Linear(2 * child.in_features, child.out_features)
            wide.bias = child.bias
            setattr(module, name, wide)
        else:
            _widen(child, channels)


def _convolution(narrow: nn.Conv2d, channels: int) -> nn.Conv2d:
    dilated = any(step != 1 for step in narrow.dilation)
    if narrow.groups != 1 or narrow.bias is not None or dilated or narrow.padding_mode != "zeros":
        raise ValueError("dks's authors double the width of plain convolutions, and this student has others")
    wide = nn.Conv2d(
        _width(narrow.in_channels, channels),
        _width(narrow.out_channels, channels),
        narrow.kernel_size,  # type: ignore[arg-type]
        narrow.stride,  # type: ignore[arg-type]
        narrow.padding,  # type: ignore[arg-type]
        bias=False,
    )
    nn.init.kaiming_normal_(wide.weight, mode="fan_out", nonlinearity="relu")
    return wide


def _width(width: int, channels: int) -> int:
    """The new width of a layer: in a stage that changes the width, what has `channels` reads the given map."""
    return width if width == channels else 2 * width
