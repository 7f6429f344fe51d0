"""The order in which a feature map lies in memory: what lets maps be read straight through whatever their layout."""

from dataclasses import dataclass

from torch import Size, Tensor


@dataclass(frozen=True)
class Layout:
    """Dimensions of a map [B, ...] from the outermost in memory to the innermost, the batch always first."""

    shape: Size
    order: tuple[int, ...]

    @classmethod
    def of(cls, x: Tensor) -> "Layout":
        return cls(x.shape, (0, *sorted(range(1, x.dim()), key=x.stride, reverse=True)))

    def flat(self, x: Tensor) -> Tensor:
        """`x` as [B, N] in this order: a view where `x` lies so in memory, a copy otherwise."""
        return x.permute(self.order).flatten(1)

    def shaped(self, flat: Tensor) -> Tensor:
        """The view of a contiguous [B, N] in the map's own shape."""
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        return flat.view([self.shape[dim] for dim in self.order]).permute(inverse)
