"""Typed configuration, with errors in one sentence."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kdbench.inputs.documents import written
from kdbench.inputs.errors import UserError, lacking

#: What is wanted, by how pydantic calls what is wrong.
_WANTED = {
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping such as {key: value}"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "text",
}
M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], values: dict[str, Any], what: str, listing: str | None = None) -> M:
    """`values` as a `model`; wrong ones become a `UserError` that names `what`, the key and the reason."""
    try:
        read = model.model_validate(values)
    except ValidationError as error:
        # A misspelt key explains the missing one.
        problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        if problem["type"] == "extra_forbidden":
            raise unknown_key(model, problem["loc"], what, listing) from None
        hint = f"; `{listing}` lists what is allowed" if listing else ""
        place = [what, *([_dotted(problem["loc"])] if problem["loc"] else [])]
        raise UserError(f"{': '.join(place)}: {_reason(problem)}{hint}.") from None
    _refuse_booleans(read, values, what)
    return read


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
    if kind == "missing":
        return "it must be given"
    if kind == "too_short":
        return "it is empty; give at least one entry"
    message = f"input should be {_WANTED[kind]}{_hint(kind, value)}" if kind in _WANTED else problem["msg"]
    given = "and none is given" if value is None else f"not {written(value):.200}"
    return f"{message[0].lower()}{message[1:]}, {given}"


def _hint(kind: str, value: Any) -> str:
    """How the value would be written that was probably meant."""
    if _WANTED[kind] == "a list":
        if isinstance(value, dict):
            return ", whose entries begin with `- `"
        return f" such as [{value!s:.40}]" if isinstance(value, str | int | float) else ""
    if kind == "string_type":
        if isinstance(value, bool):
            return " (yes, no, on and off are true and false to YAML unless they stand in quotes)"
        return f', in quotes: "{value}"' if isinstance(value, int | float | date) else ""
    return ""


def _refuse_booleans(read: Any, given: Any, place: str) -> None:
    """To Python, true is the number 1; to whoever writes it, it is not."""
    if isinstance(given, bool) and not isinstance(read, bool):
        raise UserError(f"{place}: input should be a number, not {written(given)}.")
    if isinstance(given, Mapping):
        dot = "." if ": " in place else ": "
        for key, value in given.items():
            inner = read.get(key, value) if isinstance(read, Mapping) else getattr(read, f"{key}", value)
            _refuse_booleans(inner, value, f"{place}{dot}{key}")
    elif isinstance(given, list | tuple) and isinstance(read, list | tuple):
        for position, (inner, value) in enumerate(zip(read, given, strict=False)):
            _refuse_booleans(inner, value, f"{place}.{position}")


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`, mappings merged key by key."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
