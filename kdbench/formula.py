"""A method's formula as text, with its parameters' values filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kdbench.inputs.errors import UserError
from kdbench.inputs.places import asking

if TYPE_CHECKING:
    from kdbench.method import Method, MethodParams


def formula(method: type[Method], params: MethodParams) -> str:
    """total = Σ weight × term, with the parameters' values. Raises `UserError` if the method has no weights to tell."""
    with asking(method, "weights"):
        weights = {name: f"{weight:g}" for name, weight in method.weights(params).items()}
    values, texts = params.model_dump(mode="json"), term_texts(method, params)
    terms = [
        f"{weight} × {filled(texts[name], values) if name in texts else '(no text in `formula`)'}   [{name}]"
        for name, weight in weights.items()
    ]
    return "total = " + "\n      + ".join(terms)


def term_texts(method: type[Method], params: MethodParams) -> Mapping[str, str]:
    """The text of each term; none where the method has no `formula`. Raises `UserError` if that is no such mapping."""
    with asking(method, "formula_for"):
        texts = method.formula_for(params)
    if not isinstance(texts, Mapping) or not all(isinstance(text, str) for text in texts.values()):
        raise UserError(
            f"method '{method.name}': `formula` is no mapping of terms to texts; write it as {{'ce': 'CE(z_S, y)'}}."
        )
    return texts


def filled(text: str, values: Mapping[str, Any]) -> str:
    """`text` with its parameters filled in; braces around anything else stay as they are."""

    def fill(braces: re.Match[str]) -> str:
        try:
            return braces[0].format(**values)
        except (LookupError, ValueError, AttributeError, TypeError):
            return braces[0]

    return re.sub(r"\{\{|\}\}|\{[^{}]*\}", fill, text)
