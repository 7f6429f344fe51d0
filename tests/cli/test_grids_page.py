"""The page docs/grids.md, done: files written, commands run, outputs and tables of keys compared."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from kdbench.data.parquet import Parquet
from kdbench.grid import Grid, Row, Table
from kdbench.recipe import Recipe
from tests.cli.support import kdbench
from tests.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "grids.md"
FILES = {block.about: block.text for block in blocks(PAGE) if block.about}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with the page's files, and in it."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def done(line):
    """What a command line of the page prints."""
    program, *words = shlex.split(line)
    if program == "python":
        runpy.run_path(words[0], run_name="__main__")
        return ""
    assert program == "kdbench"
    result = kdbench(*words)
    assert result.code == 0, result
    return result.out


def test_the_page_works_from_top_to_bottom(files):
    printed, compared = "", 0
    for block in blocks(PAGE):
        if block.language == "sh":
            printed = "".join(done(line) for line in block.text.splitlines())
        elif block.language == "text":
            assert [line for line in block.text.splitlines() if line not in printed.splitlines()] == []
            compared += 1
        else:
            assert block.about in FILES
    assert compared == 5


def test_the_images_that_the_page_writes_load_as_it_says(files):
    runpy.run_path("write_images.py", run_name="__main__")
    dataset = Parquet().with_argument("my_images").load(None)
    info = dataset.info
    assert (info.name, info.num_classes, info.input_size) == ("my_images@2d9e8158", 5, 32)
    assert (info.train_size, info.test_size) == (200, 50)
    assert dataset.classes == ("0", "1", "2", "3", "4") and dataset.train.labels[:6].tolist() == [0, 1, 2, 3, 4, 0]


@pytest.mark.parametrize("fmt", ["JPEG", "WebP", "BMP"])
def test_every_format_that_the_page_names_is_read(files, fmt):
    source = FILES["write_images.py"].replace('"PNG"', repr(fmt))
    assert source != FILES["write_images.py"]
    (files / "write_images.py").write_text(source, encoding="utf-8")
    runpy.run_path("write_images.py", run_name="__main__")
    assert Parquet().with_argument("my_images").load(None).info.train_size == 200


def test_set_leaves_a_rows_own_parameter(files):
    told = kdbench("run", "--grid", "my_grid.yaml", "--dry-run", "--json", "--set", "kd.tau=3", "--tables", "main")
    taus = {run["params"]["tau"] for run in json.loads(told.out)["runs"] if run["method"] == "kd"}
    assert taus == {2, 3}


def keys(heading):
    """Key → default, of the table under a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"### {heading}\n")[1].split("\n#")[0]
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \| ", section, flags=re.M))
    return {key: re.sub("^`(.*)`$", r"\1", default) for key, default in rows.items()}


def declared(model, prefix=""):
    """The same from a model; nested models are their keys, and mappings as JSON has them."""
    found = {}
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            found |= declared(type(field.default), f"{prefix}{name}.")
        else:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            found[prefix + name] = "required" if field.is_required() else default
    return found


@pytest.mark.parametrize(
    ("heading", "model", "other"),
    [
        ("The grid", Grid, {"name": "the file's name", "teacher_recipe": "as `recipe`"}),
        ("A table", Table, {}),
        ("A row", Row, {}),
        ("A recipe", Recipe, {"base": "none"}),
    ],
)
def test_the_page_names_every_key_with_its_default(heading, model, other):
    written = keys(heading)
    assert {key: value if key in other else yaml.safe_load(value) for key, value in written.items()} == (
        declared(model) | other
    )
