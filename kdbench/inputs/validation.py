"""Typed configuration from files and command lines, with errors in one sentence."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kdbench.inputs.errors import UserError, lacking

#: What pydantic calls a value that should be a list, or a mapping.
_SEQUENCES = ("tuple_type", "list_type")
_MAPPINGS = ("dict_type", "model_type", "model_attributes_type")
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
        if problem["type"] == "extra_forbidden":
            raise unknown_key(model, problem["loc"], what, listing) from None
        hint = f"; `{listing}` lists what is allowed" if listing else ""
        raise UserError(f"{what}: {_dotted(problem['loc']) or 'value'}: {_reason(problem)}{hint}.") from None


def unknown_key(model: type[BaseModel], place: tuple[Any, ...], what: str, listing: str | None = None) -> UserError:
    """The error for a key that is not allowed at its place in a `model`: names the nearest of those that are."""
    *within, key = place
    for part in within:
        if part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    owner = f"{what}: {_dotted(within)}" if within else what
    return lacking(owner, "key", f"{key}", model.model_fields, listing)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is, or holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _dotted(place: Iterable[Any]) -> str:
    return ".".join(str(part) for part in place)


def _reason(problem: ErrorDetails) -> str:
    """What is wrong with a value, in words that need no Python."""
    kind, value = problem["type"], problem["input"]
    if kind == "value_error":
        # Our own validators quote the value themselves.
        return str(problem["ctx"]["error"])
    if kind in _SEQUENCES:
        example = f" such as [{value!s:.40}]" if isinstance(value, str | int | float) else ""
        message = f"input should be a list{example}"
    elif kind in _MAPPINGS:
        message = "input should be a mapping such as {key: value}"
    else:
        message = problem["msg"][0].lower() + problem["msg"][1:]
    return message if kind == "missing" else f"{message}, not {value!r:.200}"


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
        found = "is empty" if content is None else f"holds a {'list' if isinstance(content, list) else 'single value'}"
        raise UserError(f"{path} {found}; write keys with their values into it, one `key: value` a line.")
    return content


def read_value(text: str, what: str) -> Any:
    """A value typed on the command line, read as YAML: `3`, `0.5`, `true`, `[1, 2]`, `null`, a word."""
    return _parsed(text.encode(errors="surrogatepass"), what)


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
        raise UserError(f"{what} is not valid YAML: {reason}; mend it (values: 3, true, [1, 2], {{key: 1}}).") from None


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
