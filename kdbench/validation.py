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
    """`values` as a `model`; wrong ones become a `UserError` that names `what`, the key and the reason."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # A misspelt key explains the missing one.
        problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise unknown(f"key of {what}", key, model.model_fields, listing) from None
        given = "" if problem["type"] == "missing" else f", not {problem['input']!r:.200}"
        message = problem["msg"][0].lower() + problem["msg"][1:]
        hint = f"; `{listing}` lists what is allowed" if listing else ""
        raise UserError(f"{what}: {key or 'value'}: {message}{given}{hint}.") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, read without running anything; `UserError` says what is wrong with it."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1)
    # ValueError: a path with a NUL.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read ({reason}); give the path of a YAML file.") from None
    content = _parsed(text, f"{path}")
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of keys to values, not {type(content).__name__}.")
    return content


def read_value(text: str, what: str) -> Any:
    """A value typed on the command line, read as YAML: `3`, `0.5`, `true`, `[1, 2]`, `null`, a word."""
    return _parsed(text.encode(errors="surrogateescape"), what)


def _parsed(text: bytes, what: str) -> Any:
    """YAML within limits; `UserError` names `what` and says where it breaks them or is no YAML."""
    if len(text) > MAX_YAML_BYTES:
        raise UserError(f"{what} has more than {MAX_YAML_BYTES:,} bytes, which are not read; make it smaller.")
    try:
        _refuse_aliases_and_depth(text, what)
        return yaml.safe_load(text)
    except UserError:
        raise
    # Values of the wrong form under a tag, such as `!!bool maybe`, end in whatever PyYAML runs into.
    except Exception as error:
        reason = " ".join(str(error).split()) if isinstance(error, yaml.YAMLError | ValueError) else "a wrong value"
        raise UserError(f"{what} is not valid YAML: {reason}; write it as in 3, true, [1, 2] or {{key: 1}}.") from None


def _refuse_aliases_and_depth(text: bytes, what: str) -> None:
    """Aliases can multiply a small file into gigabytes, and deep nesting exhausts the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"{what} uses a YAML alias, which is not read; write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise UserError(f"{what} nests deeper than {MAX_YAML_DEPTH} levels; make it flatter.")


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`, mappings merged key by key."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
