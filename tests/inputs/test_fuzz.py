"""Random damage and random contents: a reader reads them or refuses them in a sentence; nothing else happens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.store.progress import Progress
from kdbench.store.records import dump_record
from kdbench.store.weights import save_weights
from kdbench.training.checkpoint import save_checkpoint
from tests.cli.support import TINY_GRID
from tests.data.support import random_split, write_split
from tests.inputs.support import CLASSES, READERS, listing, member, network, read_setting, run_of_records, tiny_grid
from tests.report.fabricate import record
from tests.support import STUDENT

#: Random inputs tried of each kind.
DAMAGED = {"grid": 150, "baseline": 60, "record": 150, "checkpoint": 80, "weights": 150, "zoo": 150, "parquet": 60}
GRIDS, SETTINGS = 150, 150


def quickly(examples: int) -> Callable[[Any], Any]:
    """The same examples every time, so that a test that passed passes."""
    return settings(max_examples=examples, derandomize=True)


def harmless(read: Callable[[], object]) -> None:
    """It succeeds, or is refused in one sentence."""
    try:
        read()
    except UserError as error:
        assert f"{error}" and "\n" not in f"{error}"


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Some bytes of a sound file changed, cut out, repeated or put in, or its end missing."""
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        # Headers and footers are where the structure is.
        near = st.integers(0, min(400, len(content)))
        start = draw(near | near.map(lambda distance: max(0, len(content) - distance)) | st.integers(0, len(content)))
        length = draw(st.integers(0, 16))
        piece = draw(st.binary(max_size=16) | st.just(bytes(content[start : start + length]) * 2))
        content[start : start + length] = piece
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 4)) == 0 else content)


def write_sound(kind: str, folder: Path) -> tuple[Path, Path]:
    """A sound input of a kind: the file, and the path that its reader is given."""
    path = folder / f"{run_of_records().id}.file"
    if kind == "grid":
        path = path.with_suffix(".yaml")
        path.write_text(TINY_GRID)
    elif kind == "baseline":
        path = folder / "quick.json"
        path.write_bytes((Path(__file__).parents[2] / "results/reference/baselines/quick.json").read_bytes())
    elif kind == "record":
        path = path.with_suffix(".json")
        path.write_bytes(dump_record(record(run_of_records(), load_plugins())))
    elif kind == "checkpoint":
        save_checkpoint(path, member(), Progress(run_id=run_of_records().id))
    elif kind == "weights":
        save_weights(network(), path, STUDENT.name, CLASSES, {"source": "a test", "top1 noise": "50.0"})
    elif kind == "zoo":
        torch.save({"model": network().state_dict(), "epoch": 240}, path, _use_new_zipfile_serialization=False)
    else:
        for name in ("train.parquet", "test.parquet"):
            write_split(folder / name, random_split(5, 6))
        return folder / "train.parquet", folder
    return path, path


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_found_or_harmless(tmp_path: Path, kind: str) -> None:
    file, path = write_sound(kind, tmp_path)
    READERS[kind](path)
    sound, names = file.read_bytes(), set(listing(tmp_path))

    @quickly(DAMAGED[kind])
    @given(damaged(sound))
    def tried(content: bytes) -> None:
        file.write_bytes(content)
        harmless(lambda: READERS[kind](path))
        assert set(listing(tmp_path)) == names

    tried()


WORDS = st.sampled_from([
    "name", "dataset", "recipe", "teacher_recipe", "seeds", "teacher_seed", "tables", "title", "layout", "paper",
    "pairs", "rows", "method", "variant", "params", "label", "marks", "base", "epochs", "lr", "lr_by_family",
    "milestones", "digits", "quick", "crd60", "resnet8", "resnet14:resnet8", "student", "kd", "temperature",
    "ablation", "first",
])  # fmt: skip
SCALARS = (
    WORDS
    | st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.binary(max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | SCALARS, inner, max_size=3),
    max_leaves=8,
)


def _replaced(sound: Any, path: list[Any], value: Any) -> Any:
    """`sound` with another value at a path of keys and indices."""
    if not path:
        return value
    changed = dict(sound) if isinstance(sound, dict) else list(sound)
    changed[path[0]] = _replaced(sound[path[0]], path[1:], value)
    return changed


@st.composite
def grids(draw: st.DrawFn) -> dict[Any, Any]:
    """A sound grid in which one value, wherever it stands, is another one and some keys are new."""
    sound = yaml.safe_load(TINY_GRID)
    path: list[Any] = []
    found = sound
    while isinstance(found, dict | list) and draw(st.integers(0, 5)):
        path.append(draw(st.sampled_from(sorted(found) if isinstance(found, dict) else range(len(found)))))
        found = found[path[-1]]
    changed = _replaced(sound, path, draw(VALUES))
    return {**(changed if isinstance(changed, dict) else {}), **draw(st.dictionaries(WORDS, VALUES, max_size=1))}


@quickly(GRIDS)
@given(grids())
def test_a_grid_of_anything_is_read_or_refused(content: dict[Any, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
        harmless(lambda: READERS["grid"](path))
        assert list(listing(Path(folder))) == ["grid.yaml"]


OWNERS = st.sampled_from(["recipe", "kd", "student", "KD"]) | st.text(max_size=6)
KEYS = WORDS | st.sampled_from(["augmentation.flip", "lr_by_family.x", "precision"]) | st.text(max_size=6)
TEXTS = st.text(max_size=12) | VALUES.map(lambda value: yaml.safe_dump(value, default_flow_style=True))


@quickly(SETTINGS)
@given(st.builds("{}.{}={}".format, OWNERS, KEYS, TEXTS) | st.text(max_size=20))
def test_a_setting_of_anything_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        grid = tiny_grid(Path(folder))
        harmless(lambda: read_setting(text, grid))
        assert list(listing(Path(folder))) == [grid.name]
