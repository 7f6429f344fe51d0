"""A batch in blocks of rows, so that what a pass makes on the way is bounded whatever the batch."""

import torch

#: Bytes of the tensors of a block in the type of accumulation. On a CPU operators go over them several times, and find
#: them in the caches; measured (docs/journal.md): the operators' number costs more below, the memory above.
CPU_BYTES = 2**22
#: Elsewhere launches cost more than memory: only a bound.
DEVICE_BYTES = 2**26


def blocks(batch: int, row_bytes: int, device: torch.device) -> list[slice]:
    """`batch` rows as slices of as many as make a block, one at least; `row_bytes` is what a row takes.

    There is one slice of no rows, too. Inside `torch.compile` they are one slice: Inductor makes a loop of its own.
    """
    if torch.compiler.is_compiling():
        return [slice(None)]
    rows = max(1, (CPU_BYTES if device.type == "cpu" else DEVICE_BYTES) // max(1, row_bytes))
    return [slice(first, first + rows) for first in range(0, max(1, batch), rows)]
