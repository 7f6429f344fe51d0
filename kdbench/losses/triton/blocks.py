"""Every choice of a block size, by rule, and what launches share. `docs/gpu.md` has what they come to on a GPU."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import triton  # type: ignore[import-untyped, unused-ignore]
from torch import Tensor

#: Columns that a program holds at once. A row that fits is read once and stays in registers; a longer one is read again
#: from the caches.
WIDEST = 4096
#: Elements of a tile: 8 for each thread, so that the tiles of teacher and heads fit the registers.
TILE, WARPS = 2048, 8
#: A batch of logits no larger than this goes to one program, which makes the means too: at such sizes a second launch
#: costs more than the other multiprocessors save.
SINGLE, SINGLE_WARPS = 8192, 32
#: Elements of a map in one step of a sample's program: two 16-byte loads a thread and map.
MAP_BLOCK, MAP_WARPS = 4096, 16
#: Elements of all maps that a program holds in registers at once: three of the paper's size, 96 registers a thread.
HELD = 3 * 2**14
#: Elements of a program that scales gradients or adds up losses.
FLAT_BLOCK, FLAT_WARPS = 8192, 16
#: Most programs along an axis of a backward pass's launch, which then take several blocks each: mostly there is nothing
#: to do, and only starting and ending programs takes time.
MOST_PROGRAMS = 1024


class Tile(NamedTuple):
    """Rows and columns that a program holds at once, how many programs there are, and their warps."""

    rows: int
    columns: int
    programs: int
    warps: int


def logits_tile(batch: int, classes: int) -> Tile:
    """The tile for logits [batch, classes]."""
    columns = min(triton.next_power_of_2(classes), WIDEST)
    rows = triton.next_power_of_2(batch)
    if rows * columns <= SINGLE and classes <= WIDEST:
        return Tile(rows, columns, 1, SINGLE_WARPS)
    rows = max(1, TILE // columns)
    return Tile(rows, columns, triton.cdiv(batch, rows), WARPS)


def turns(blocks: int) -> tuple[int, int]:
    """Programs for so many blocks of a backward pass, and how many of them each takes."""
    programs = min(blocks, MOST_PROGRAMS)
    return programs, triton.cdiv(blocks, programs)


def held_block(size: int) -> int:
    """Elements of a block that holds a whole map of `size` elements."""
    return int(triton.next_power_of_2(size))


def holds(size: int, heads: int) -> bool:
    """Whether a program can hold the shallow heads' maps, and one more that it reads, in registers."""
    return heads * held_block(size) <= HELD


def map_block(size: int) -> int:
    """Elements of a map of `size` elements that a program holds at once."""
    return min(int(triton.next_power_of_2(size)), MAP_BLOCK)


def rows_of(x: Tensor) -> Tensor:
    """`x` [B, N] with its rows contiguous, however far apart; copied where they are not."""
    return x if x.stride(1) == 1 else x.contiguous()


def row_strides(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """How far apart the rows are. Kernels take strides as constants: only of a number that it knows does the compiler
    see that rows begin at 16-byte boundaries, without which it loads element by element.
    """
    return tuple(x.stride(0) for x in tensors)


@contextmanager
def device_of(x: Tensor) -> Iterator[None]:
    """Launches go to the device of `x` rather than to the current one."""
    if x.is_cuda:
        with torch.cuda.device(x.device):
            yield
    else:
        yield
