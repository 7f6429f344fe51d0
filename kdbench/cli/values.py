"""How the values of options are read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import typer

from kdbench.cli import completion
from kdbench.inputs import paths
from kdbench.inputs.documents import MAX_YAML_DEPTH, read_value
from kdbench.inputs.errors import UserError
from kdbench.inputs.seeds import parse_seeds
from kdbench.inputs.validation import merged
from kdbench.plugins import known_plugins
from kdbench.registry import Registry

#: Rows that `--vary` may add to one of the grid's.
MAX_CANDIDATES = 1000


def registry_with(plugins: list[Path] | None) -> Registry:
    """All plugins; what is wrong with one is said on standard error."""
    registry = known_plugins(tuple(plugins or ()))
    for problem in registry.problems:
        typer.echo(f"kdbench: warning: {problem}", err=True)
    if not plugins:
        completion.keep(registry)
    return registry


def words(text: str) -> tuple[str, ...]:
    """The words of a comma-separated option."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def seeds_of(text: str) -> tuple[int, ...]:
    """The numbers of a `--seeds` option; none if it is not given."""
    try:
        return parse_seeds(text) if text else ()
    except ValueError as error:
        raise UserError(f"--seeds: {error}.") from None


class Settings(NamedTuple):
    """What `--set` options say, of a network by its name `scheme:name`."""

    recipe: dict[str, Any]
    methods: dict[str, dict[str, Any]]
    networks: dict[str, dict[str, Any]]


def parse_settings(settings: list[str]) -> Settings:
    """The values of `--set` options."""
    values: dict[str, dict[str, Any]] = {}
    given: set[str] = set()
    for setting in settings:
        owner, key, text = _assignment(
            setting, "--set takes recipe.KEY=VALUE, METHOD.PARAMETER=VALUE or SCHEME:NAME.ARGUMENT=VALUE"
        )
        path = f"{owner}.{key}"
        if twice := [other for other in given if f"{path}.".startswith(f"{other}.") or other.startswith(f"{path}.")]:
            raise UserError(f"--set names {max(path, *twice, key=len)} twice; leave one of them.")
        given.add(path)
        nested: Any = read_value(text, f"--set {owner}.{key}")
        for part in reversed(key.split(".", MAX_YAML_DEPTH)):
            nested = {part: nested}
        values[owner] = merged(values.get(owner, {}), nested)
    recipe = values.pop("recipe", {})
    networks = {owner: values.pop(owner) for owner in [*values] if ":" in owner}
    return Settings(recipe, values, networks)


def parse_candidates(settings: list[str]) -> dict[str, dict[str, list[Any]]]:
    """Values by method and parameter of `--vary` options."""
    found: dict[str, dict[str, list[Any]]] = {}
    for setting in settings:
        owner, key, text = _assignment(setting, "--vary takes METHOD.PARAMETER=VALUE,VALUE")
        if owner == "recipe":
            raise UserError(f"--vary takes a method's parameter, not '{setting}': a recipe is a whole grid's.")
        values = read_value(f"[{text}]", f"--vary {owner}.{key}")
        if not values or any(values.count(value) > 1 for value in values):
            raise UserError(f"--vary {owner}.{key} takes distinct values, at least one, not '{text}'.")
        if key in found.setdefault(owner, {}):
            raise UserError(f"--vary names {owner}.{key} twice; give all its values at once.")
        found[owner][key] = values
    for owner, params in found.items():
        if (count := math.prod(map(len, params.values()))) > MAX_CANDIDATES:
            raise UserError(f"--vary makes {count:,} rows of {owner}, and at most {MAX_CANDIDATES:,} are planned.")
    return found


def _assignment(setting: str, form: str) -> tuple[str, str, str]:
    """(owner, key, value's text) of `owner.key=value`; `form` says in the error what the option takes."""
    path, equals, text = setting.partition("=")
    owner, dot, key = path.strip().partition(".")
    if not (equals and dot and owner and key):
        raise UserError(f"{form}, not '{setting}'.")
    return owner, key, text


def by_method(values: dict[str, dict[str, Any]], registry: Registry) -> dict[str, dict[str, Any]]:
    """The same by each method's own name, which may have been written in several ways."""
    found: dict[str, dict[str, Any]] = {}
    for name, of_one in values.items():
        of_method = found.setdefault(registry.name("method", name), {})
        if twice := sorted(of_method.keys() & of_one.keys()):
            raise UserError(f"{name}.{twice[0]} is given twice, under two spellings of one method; leave one of them.")
        of_method.update(of_one)
    return found


def _network_and_rest(text: str) -> tuple[str, str]:
    """(network, rest) of `NETWORK=REST`: each setting in a network's name has a `+` and a `=`."""
    name, equals, rest = text.partition("=")
    while equals and name.count("+") > name.count("="):
        more, equals, rest = rest.partition("=")
        name += f"={more}"
    return name, rest


def parse_concurrency(text: str) -> int:
    """The number of a `--concurrency` option; 0 for `auto`."""
    if text == "auto":
        return 0
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UserError(f"--concurrency takes auto or a number from 1, not '{text}'.")
    return int(text)


def imported_teachers(teachers: list[str], registry: Registry) -> dict[str, tuple[str, Path]]:
    """Architecture → (sha256 of its tensors, file) of `--teacher` options."""
    if not teachers:
        return {}
    from kdbench.store.weights import read_metadata

    found: dict[str, tuple[str, Path]] = {}
    for text in teachers:
        name, given = _network_and_rest(text)
        if not (name and given):
            raise UserError(f"--teacher takes ARCH=FILE, such as resnet20=resnet20.safetensors, not '{text}'.")
        name = registry.name("architecture", name)
        if name in found:
            raise UserError(f"--teacher names {name} twice; a grid has one teacher of a network.")
        file = paths.file(given)
        found[name] = (read_metadata(file)["sha256"], file)
    return found
