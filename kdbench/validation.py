"""Typed configuration from files and command lines, with errors in one sentence."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from kdbench.errors import UserError, unknown

M = TypeVar("M", bound=BaseModel)
#: Larger than any grid; a bomb stops here.
MAX_YAML_BYTES = 1_000_000
MAX_YAML_DEPTH = 20


def validated(model: type[M], values: dict[str, Any], what: str, listing: str | None = None) -> M:
    """`model(**values)`; wrong values become a `UserError` that names `what`, the key and the reason."""
    try:
        return model(**values)
    except ValidationError as error:
        # A misspelt key explains the missing one.
        problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise unknown(f"key of {what}", key, model.model_fields, listing) from None
        given = "" if problem["type"] == "missing" else f", not {problem['input']!r}"
        message = problem["msg"][0].lower() + problem["msg"][1:]
        hint = f"; `{listing}` lists what is allowed" if listing else ""
        raise UserError(f"{what}: {key or 'value'}: {message}{given}{hint}.") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, read without running anything; `UserError` says what is wrong with it."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of a YAML file.") from None
    if len(text) > MAX_YAML_BYTES:
        raise UserError(f"{path} has {len(text):,} bytes; at most {MAX_YAML_BYTES:,} are read.")
    try:
        _refuse_aliases_and_depth(text, path)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}; mend the file.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values, not {type(content).__name__}.")
    return content


def _refuse_aliases_and_depth(text: bytes, path: Path) -> None:
    """Aliases can multiply a small file into gigabytes, and deep nesting exhausts the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"{path} uses a YAML alias, which is not read; write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise UserError(f"{path} nests deeper than {MAX_YAML_DEPTH} levels.")


def read_value(text: str, what: str) -> Any:
    """A value typed on the command line, read as YAML: `3`, `0.5`, `true`, `[1, 2]`, `null`, a word."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(
            f"{what}: cannot read the value '{text}'; write it as in YAML, such as 3, true or [1, 2]."
        ) from None


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`, mappings merged key by key."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
