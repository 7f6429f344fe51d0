"""`kdbench new-method`: what it writes and refuses. The package at work: tests/checks/test_write_a_method.py."""

import ast
import tomllib

import pytest

from kdbench.checks.suite import CHECKS
from tests.cli.support import kdbench


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_a_package(folder):
    result = kdbench("new-method", "my_hint2")
    package = folder / "kdbench-my-hint2"
    assert result.code == 0 and "Wrote kdbench-my-hint2." in result.out
    assert {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()} == {
        "README.md", "kdbench_my_hint2.py", "pyproject.toml", "tests/conftest.py", "tests/test_my_hint2.py"
    }  # fmt: skip
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["name"] == "kdbench-my-hint2"
    assert project["project"]["entry-points"]["kdbench"] == {"my_hint2": "kdbench_my_hint2"}
    assert (package / "tests" / "conftest.py").read_text().endswith('kdbench_methods = ["my_hint2"]\n')
    source = (package / "kdbench_my_hint2.py").read_text()
    assert "class MyHint2(kdbench.Method):" in source and len(source.splitlines()) < 50
    for path in package.rglob("*.*"):
        assert "$" not in path.read_text() if path.is_file() else True


@pytest.mark.parametrize("name", ["f", "tensor", "x__y_"])
def test_no_name_breaks_the_file(folder, monkeypatch, name):
    """The whole suite judges such a file in test_write_a_method.py; here its code has to run."""
    for check in [check for check, how in CHECKS.items() if how.thorough]:
        monkeypatch.delitem(CHECKS, check)
    assert kdbench("new-method", name, "--directory", "p").code == 0
    source = (folder / "p" / f"kdbench_{name}.py").read_text()
    imported = {alias.asname or alias.name for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}  # fmt: skip
    classes = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)}
    assert not imported & classes
    result = kdbench("verify", name, "--plugin", folder / "p" / f"kdbench_{name}.py", "--pairs", "resnet14:resnet8")
    assert result.code == 0, result.out


@pytest.mark.parametrize("name", ["", "Mine", "2fast", "my-method", "class", "_x", "a b", "é", "../up", "a" * 65])
def test_a_name_that_cannot_be_one_is_refused(folder, name):
    result = kdbench("new-method", name)
    assert result.code == 2 and "cannot be a method's name; take lower-case letters" in result.err
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["none", "true", "false", "none_"])
def test_a_name_whose_class_would_be_a_word_of_python_is_refused(folder, name):
    result = kdbench("new-method", name)
    word = name.strip("_").capitalize()
    assert result.code == 2
    assert result.err == (
        f"kdbench: '{name}' cannot be a method's name: its class would be {word}, a word of Python's own; take another "
        "name.\n"
    )
    assert not list(folder.iterdir())


def test_a_registered_name_is_refused(folder):
    result = kdbench("new-method", "dskd")
    assert result.code == 2 and "method 'dskd' is already there, from methods (kdbench" in result.err


def test_a_module_that_is_there_is_refused(folder):
    result = kdbench("new-method", "architectures")
    assert result.code == 2 and "the module kdbench_architectures" in result.err


def test_an_existing_folder_is_refused(folder):
    (folder / "there").mkdir()
    result = kdbench("new-method", "mine", "--directory", "there")
    assert result.code == 2 and "there is already there" in result.err
    assert not list((folder / "there").iterdir())
