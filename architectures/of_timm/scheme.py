"""`timm:NAME`: which networks there are, and which arguments are theirs."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any

from kdbench.inputs.errors import UserError, unknown
from kdbench.model import Architecture, StagedModel
from kdbench.scheme import ArchitectureScheme, Setting

#: What the harness says itself, and what would give another thing than a classifier of colour images.
NOT_ARGUMENTS = frozenset({"num_classes", "in_chans", "features_only", "out_indices"})


class Timm(ArchitectureScheme):
    """Networks of timm by their names there, without the tag of a file of weights."""

    name = "timm"
    about = "any network of timm, such as timm:resnet18; its family is timm's module"

    def with_argument(self, argument: str, settings: Mapping[str, Setting]) -> Architecture:
        timm = _timm()
        name, dot, _ = argument.lower().partition(".")
        if not timm.is_model(name):
            raise unknown("network of timm", argument, timm.list_models())
        if dot:
            raise UserError(
                f"timm:{argument}: a tag names a file of weights, and which weights are taken is said elsewhere; write "
                f"timm:{name}, and turn the file into one for --teacher with `kdbench teachers import FILE --arch "
                f"timm:{name}`."
            )
        _check(name, settings, timm)
        family = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
        return Architecture(name, family, partial(build, name, dict(settings)), zoo_keys=((r"^", "net."),))

    def names(self) -> list[str]:
        names: list[str] = _timm().list_models()
        return names


def build(name: str, settings: Mapping[str, Setting], num_classes: int) -> StagedModel:
    """A freshly initialised network of timm. Raises `UserError` for one whose stages cannot be tapped."""
    from kdbench_architectures.of_timm.network import TimmNetwork
    from kdbench_architectures.of_timm.probe import facts_of

    return TimmNetwork(made(name, settings, num_classes), facts_of(name, tuple(sorted(settings.items()))))


def made(name: str, settings: Mapping[str, Setting], num_classes: int) -> Any:
    """timm's own module."""
    return _timm().create_model(name, pretrained=False, num_classes=num_classes, **settings)


def _timm() -> ModuleType:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise UserError(
            "networks `timm:NAME` need timm, which is not installed; `pip install 'kdbench[timm]'`."
        ) from None


def _check(name: str, settings: Mapping[str, Setting], timm: ModuleType) -> None:
    """Refuse what is no argument of a network, but of the function that makes one, such as a file to load."""
    parameters = inspect.signature(timm.create_model).parameters.values()
    own = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    if strange := [key for key in settings if key in own | NOT_ARGUMENTS]:
        raise UserError(f"timm:{name}: '{strange[0]}' is no argument of the network itself; leave it out.")
