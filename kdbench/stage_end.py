"""How a stage ends: its map before and after the last ReLU, and the batch norm from which that map comes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class EndsInReLU(nn.Module):
    """A block whose last operation is a ReLU, and that can stop before it.

    A plugin's blocks that end in a ReLU of their own derive from it as well, or their maps pass for linear ones. Blocks
    that end in an `nn.ReLU` module, alone or in an `nn.Sequential`, need not.
    """

    def preactivation(self, x: Tensor) -> Tensor:
        """The map that the ReLU makes the block's result of, [B, C, H, W]; overwrites neither `x` nor itself."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H', W'], after the ReLU."""
        return F.relu(self.preactivation(x), inplace=True)


def before_and_after_relu(stage: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The map before the ReLU that `stage` ends with, and the stage's result; twice the result where it ends without
    one.
    """
    if isinstance(stage, nn.Sequential) and len(stage):
        *rest, last = stage
        for module in rest:
            x = module(x)
        return before_and_after_relu(last, x)
    if isinstance(stage, nn.ReLU):
        return x, F.relu(x)
    if isinstance(stage, EndsInReLU):
        before = stage.preactivation(x)
        return before, F.relu(before)
    end = stage(x)
    return end, end


def last_norm(stage: nn.Module) -> nn.BatchNorm2d | None:
    """The batch norm that gives the map before the last ReLU, up to a sum with a shortcut: a block's `last_norm`.

    None where there is none that gives all of its channels.
    """
    if isinstance(stage, nn.Sequential):
        ends = [module for module in stage if not isinstance(module, nn.ReLU)]
        return last_norm(ends[-1]) if ends else None
    norm = stage if isinstance(stage, nn.BatchNorm2d) else getattr(stage, "last_norm", None)
    return norm if isinstance(norm, nn.BatchNorm2d) else None


def normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """What a batch norm makes of `x` [B, C, H, W], in training without learning of it: its running statistics stay."""
    if not isinstance(norm, nn.BatchNorm2d) or not norm.training:
        result: Tensor = norm(x)
        return result
    return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
