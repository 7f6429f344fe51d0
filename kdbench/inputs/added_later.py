"""Fields that typed configuration gained when there were results already, and by whose default all is as it was."""

from __future__ import annotations

import functools
from typing import Any, cast

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

#: Marks such a field, in its `json_schema_extra`.
ADDED_LATER = "added_later"
MARK: Any = {ADDED_LATER: True}


def unsaid(values: BaseModel) -> set[str]:
    """Names of the fields that are marked so and at their defaults."""
    return {name for name, default in _marked(type(values)).items() if getattr(values, name) == default}


@functools.cache
def _marked(kind: type[BaseModel]) -> dict[str, Any]:
    """Defaults of the fields that are marked so, by name: a record has hundreds of epochs of one kind."""
    fields = kind.model_fields.items()
    return {name: field.default for name, field in fields if ADDED_LATER in cast(Any, field.json_schema_extra or {})}


class Growing(BaseModel):
    """Configuration that ids are hashed from: as JSON it does not say what `unsaid` names, so ids stay as they were."""

    @model_serializer(mode="wrap", when_used="json")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        left_out = unsaid(self)
        return {name: value for name, value in write(self).items() if name not in left_out}
