"""YAML from files and command lines, read within limits and without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kdbench.inputs.errors import UserError

#: Larger than any grid; a bomb stops here.
MAX_YAML_BYTES = 1_000_000
MAX_YAML_DEPTH = 20


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; `UserError` says what is wrong with it."""
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


def written(value: Any) -> str:
    """A value as a YAML file would have it, on one line."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return repr(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _parsed(text: bytes, what: str) -> Any:
    """YAML within limits; `UserError` names `what` and says where it breaks them or is no YAML."""
    if len(text) > MAX_YAML_BYTES:
        raise UserError(f"{what} has more than {MAX_YAML_BYTES:,} bytes, which are not read; make it smaller.")
    try:
        loader = _Loader(text, what)
        root = loader.get_single_node()
        _refuse_keys_given_twice(root, what)
        return loader.construct_document(root) if root else None
    except UserError:
        raise
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{what} is not valid YAML: {_problem(error)}.") from None
    except yaml.reader.ReaderError as error:
        raise UserError(f"{what} is no text in UTF-8 ({error.reason}); save it as UTF-8.") from None
    # Values of the wrong form under a tag, such as `!!bool maybe`, end in whatever PyYAML runs into.
    except Exception as error:
        reason = " ".join(str(error).split()) if isinstance(error, yaml.YAMLError | ValueError) else "a wrong value"
        raise UserError(f"{what} is not valid YAML: {reason}; mend it (values: 3, true, [1, 2], {{key: 1}}).") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, in which line, and what mends the commonest mistakes."""
    problem = " ".join(f"{error.problem or error.context}".split())
    mark = error.problem_mark or error.context_mark
    advice = "mend it (values: 3, true, [1, 2], {key: 1})"
    if "'\\t'" in problem:
        advice = "YAML is indented with spaces, not tabs"
    elif "mapping values are not allowed" in problem:
        advice = 'a text that holds ": " stands in quotes or is written without the space; keys stand in one column'
    return f"line {mark.line + 1}: {problem}; {advice}" if mark else f"{problem}; {advice}"


class _Loader(yaml.SafeLoader):
    """Refuses aliases, which can multiply a small file into gigabytes, and deep nesting, which exhausts the stack."""

    def __init__(self, text: bytes, what: str):
        super().__init__(text)
        self._what = what
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise UserError(f"{self._what} uses a YAML alias, which is not read; write the value out.")
        nests = self.check_event(yaml.CollectionStartEvent)
        self._depth += nests
        if self._depth > MAX_YAML_DEPTH:
            raise UserError(f"{self._what} nests deeper than {MAX_YAML_DEPTH} levels; make it flatter.")
        node = super().compose_node(parent, index)
        self._depth -= nests
        return node


def _refuse_keys_given_twice(root: yaml.Node | None, what: str) -> None:
    """Of two values for one key YAML keeps the last, without a word on the other."""
    for mapping in _mappings(root):
        lines: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in mapping.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if first := lines.get((key.tag, key.value)):
                raise UserError(
                    f"{what} gives the key '{key.value}' twice, in lines {first} and {line}; leave one of them."
                    if line > first
                    else f"{what} gives the key '{key.value}' twice in line {line}; leave one of them."
                )
            lines[key.tag, key.value] = line


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every mapping in a document, the keys' own included."""
    if isinstance(node, yaml.MappingNode):
        yield node
        for pair in node.value:
            for part in pair:
                yield from _mappings(part)
    elif isinstance(node, yaml.SequenceNode):
        for part in node.value:
            yield from _mappings(part)
