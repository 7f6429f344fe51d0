"""The benchmark of reading: images decoded a second, and students an hour, by kdbench's readers and the field's loader.

Networks cost next to nothing here, so that reading decides. Both ways read the same files by as many processes and
change them by the same transforms; the field's is torchvision's ImageFolder in a DataLoader, as torchdistill and
mdistiller have it, one for each run.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from kdbench.bench.timing import Timing, processor_seconds, seconds_of
from kdbench.data.augment import Augmentation
from kdbench.data.dataset import DatasetInfo
from kdbench.data.delivery import Delivery, delivery
from kdbench.data.files import ImageFiles, add_file
from kdbench.data.streamed import IMAGENET_STATISTICS, StreamedDataset, make_streamed_dataset
from kdbench.data.views import RATIOS
from kdbench.execution.allocator import freed_memory_kept
from kdbench.execution.loaders import loaders
from kdbench.plugins import load_plugins
from kdbench.recipe import Recipe

#: Width and height of made photographs, as many of ImageNet's are, and what JPEG makes of them.
SIZES = ((500, 375), (500, 333), (375, 500), (333, 500), (400, 300), (640, 480))
QUALITY = 95
CLASSES = 10
#: What the field does to ImageNet's training images.
SIDE, AREA = 224, (0.08, 1.0)
AUGMENTATION = Augmentation(crop_padding=0, size=SIDE, random_resized_crop=AREA)
#: A way and its number of students.
Key = tuple[str, int]
Times = dict[Key, list[float]]


@dataclass(frozen=True)
class Row:
    """One way of reading all images for each of `students`, 0 where nothing is trained: `wall`, `busy` (processor time
    of all processes) and `reading` (of those alone that read, if there are any) are seconds of a pass.

    `of_field` relates the images that students are given a second to those of the field's loop, or loader, for one;
    `busy_of_field` and `reading_of_field` those that they are given in a second of a processor.
    """

    name: str
    students: int
    wall: Timing
    busy: Timing
    reading: Timing
    of_field: float
    busy_of_field: float
    reading_of_field: float


@dataclass(frozen=True)
class Result:
    """Rows, and what they are of: `images` of `megabytes` in all, read by `readers` processes."""

    rows: list[Row]
    images: int
    megabytes: float
    readers: int
    batch_size: int


def run_loader(
    folder: Path | None,
    device: torch.device,
    *,
    members: Sequence[int],
    readers: int,
    images: int,
    batch_size: int,
    rounds: int,
    progress: Callable[[str], None] = lambda line: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Result:
    """Times whole passes over the images below `folder`, by class, or over as many made photographs.

    Every round times each way once. After a stop the present round, or the first, is the last one.
    """
    with freed_memory_kept(), contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            make_photographs(folder, images)
        pictures = ImageFolder(str(folder), _transforms())
        data = _listed(folder, pictures)
        recipe = Recipe(epochs=1, batch_size=min(batch_size, len(pictures) // 2), augmentation=AUGMENTATION)
        field = _field_loader(pictures, recipe.batch_size, readers, device)
        ours = delivery(data, recipe, 0, device, replace(loaders(device, load_plugins()), number=readers), tested=False)
        stack.enter_context(contextlib.closing(ours))
        ways: dict[Key, Callable[[], None]] = {}
        for count in (0, *members):
            if count < 2:
                ways["field", count] = partial(_train, partial(_of_field, field, device), count, device)
            ways["kdbench", count] = partial(_train, partial(_of_kdbench, ours), count, device)
        times = _in_turns(ways, device, rounds, readers > 0, progress, stop_requested)
    megabytes = sum(data.train.sizes.tolist()) / 1e6  # type: ignore[attr-defined]
    return Result(_rows(*times), len(pictures), megabytes, readers, recipe.batch_size)


def make_photographs(folder: Path, count: int) -> None:
    """JPEGs cut out of scikit-learn's two photographs, in folders by class."""
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    rng = np.random.default_rng(0)
    for number in range(count):
        photograph, size = photographs[number % len(photographs)], SIZES[number % len(SIZES)]
        left, top = (int(rng.integers(whole // 4)) for whole in photograph.size)
        box = (left, top, left + photograph.width * 3 // 4, top + photograph.height * 3 // 4)
        place = folder / f"{number % CLASSES}" / f"{number}.jpg"
        place.parent.mkdir(exist_ok=True)
        photograph.resize(size, Image.Resampling.BICUBIC, box).save(place, quality=QUALITY)


def _listed(folder: Path, pictures: ImageFolder) -> StreamedDataset:
    files = ImageFiles(str(folder))
    for path, label in pictures.samples:
        add_file(files, str(Path(path).relative_to(folder)), label)
    split = files.split()
    info = DatasetInfo("benchmark", len(pictures.classes), None, len(split), len(split), "benchmark")
    return make_streamed_dataset(info, tuple(pictures.classes), split, split)


def _transforms() -> Callable[[Image.Image], Tensor]:
    """`AUGMENTATION` as torchvision's classic transforms on Pillow's images, as the field has them."""
    composed: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIDE, AREA, RATIOS),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(*IMAGENET_STATISTICS),
        ]
    )
    return composed


def _field_loader(pictures: ImageFolder, batch_size: int, readers: int, device: torch.device) -> DataLoader[Tensor]:
    return DataLoader(
        pictures,
        batch_size=batch_size,
        shuffle=True,
        num_workers=readers,
        pin_memory=device.type == "cuda",
        persistent_workers=readers > 0,
    )


def _of_field(loader: DataLoader[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _of_kdbench(batches: Delivery) -> Iterator[tuple[Tensor, Tensor]]:
    batches.epoch(1)
    for step in range(batches.steps):
        images, labels, _ = batches.gather(batches.drawn(step))
        yield images, labels


class _Student(nn.Module):
    """Sees one pixel of many, and costs next to nothing."""

    STEP = SIDE // 4

    def __init__(self) -> None:
        super().__init__()
        self._last = nn.Linear(3 * 4 * 4, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self._last(images[:, :, :: self.STEP, :: self.STEP].flatten(1))
        return logits


def _train(batches: Callable[[], Iterator[tuple[Tensor, Tensor]]], count: int, device: torch.device) -> None:
    """A pass over all images, on which so many students train."""
    students = [_Student().to(device) for _ in range(count)]
    optimizers = [torch.optim.SGD(student.parameters(), lr=0.1) for student in students]
    for images, labels in batches():
        # Every pixel is looked at once, as a first layer would: to be in memory that is shared is not to have arrived.
        images.sum()
        for student, optimizer in zip(students, optimizers, strict=True):
            optimizer.zero_grad()
            cross_entropy(student(images), labels % CLASSES).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _in_turns(
    ways: dict[Key, Callable[[], None]],
    device: torch.device,
    rounds: int,
    apart: bool,
    progress: Callable[[str], None],
    stop_requested: Callable[[], bool],
) -> tuple[Times, Times, Times]:
    """Seconds of each way by round: as they pass, of processors, and of those that read."""
    wall, busy, reading = ({key: list[float]() for key in ways} for _ in range(3))
    # The first round starts the processes that read, and finds no file in memory.
    for number in range(-1, rounds):
        if number > 0 and stop_requested():
            break
        progress(f"round {number + 1} of {rounds}" if number >= 0 else "warm-up")
        for key, way in ways.items():
            began, own = processor_seconds(), time.process_time()
            seconds = seconds_of(way, device)
            taken = processor_seconds() - began
            if number >= 0:
                wall[key].append(seconds)
                busy[key].append(taken)
                reading[key].append(taken - (time.process_time() - own) * apart)
    return wall, busy, reading


def _rows(wall: Times, busy: Times, reading: Times) -> list[Row]:
    names = {("field", 0): "the field's loader", ("field", 1): "the field's loop", ("kdbench", 0): "kdbench's readers"}
    rows = []
    for key in wall:
        way, count = key
        # One student after the other, each with a loader of its own.
        of_field, busy_of_field, reading_of_field = (
            Timing.of([max(count, 1) * a / b for a, b in zip(times["field", min(count, 1)], times[key], strict=True)])
            for times in (wall, busy, reading)
        )
        rows.append(
            Row(
                names.get((way, count), f"kdbench, a cohort of {count}"),
                count,
                Timing.of(wall[key]),
                Timing.of(busy[key]),
                Timing.of(reading[key]),
                of_field.median,
                busy_of_field.median,
                reading_of_field.median,
            )
        )
    return rows
