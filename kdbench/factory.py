"""Networks by name."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from kdbench.model import StagedModel
from kdbench.plugins import load_plugins
from kdbench.registry import Registry
from kdbench.store.weights import load_weights


def create_model(
    name: str,
    num_classes: int = 100,
    checkpoint_path: str | Path | None = None,
    *,
    registry: Registry | None = None,
) -> StagedModel:
    """A network by name (upper and lower case alike; `timm:NAME` for any of timm's), with the weights of a kdbench
    safetensors file if one is given.

    Raises `UserError` for an unknown name and for a file that does not fit the network.
    """
    architecture = (registry or load_plugins()).architecture(name)
    model = architecture.build(num_classes)
    if checkpoint_path is not None:
        load_weights(model, Path(checkpoint_path), architecture.name)
    return model


def list_models(filter: str = "*", *, registry: Registry | None = None) -> list[str]:
    """Names of all networks that match a wildcard, sorted, such as `list_models("wrn_*")`.

    A wildcard that begins with a scheme, such as `timm:resnet*`, is for the networks behind it.
    """
    registry = registry or load_plugins()
    scheme, colon, _ = filter.partition(":")
    names = registry.architectures
    if colon:
        made_by = registry.scheme(scheme)
        names = [f"{made_by.name}:{name}" for name in made_by.names()]
    return sorted((n for n in names if fnmatch(n.lower(), filter.lower())), key=str.lower)
