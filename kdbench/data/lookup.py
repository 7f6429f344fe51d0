"""How the name of a data set is looked up."""

from collections.abc import Mapping
from pathlib import Path

from kdbench.data.around import AroundSource
from kdbench.data.dataset import DatasetSource
from kdbench.data.local import LocalFolder
from kdbench.inputs.errors import unknown


def resolve_dataset(spec: str, sources: Mapping[str, DatasetSource]) -> DatasetSource:
    """The source that `spec` means: a registered name, upper and lower case alike, or `name:argument`.

    The argument of `holdout` and of what else is around another data set is another such spec.
    """
    name, colon, argument = spec.partition(":")
    source = _found(name, sources)
    if source is None:
        raise unknown("dataset", name, sources, "kdbench list datasets")
    if isinstance(source, AroundSource) and argument:
        return source.of(resolve_dataset(argument, sources))
    return source.with_argument(argument) if colon else source


def beside(spec: str, folder: Path, sources: Mapping[str, DatasetSource]) -> str:
    """`spec` as a file in `folder` means it: the relative folder of images that it names lies there as well."""
    name, colon, argument = spec.partition(":")
    source = _found(name, sources)
    if isinstance(source, AroundSource):
        return f"{name}{colon}{beside(argument, folder, sources)}"
    if isinstance(source, LocalFolder) and argument and not argument.startswith("~"):
        return f"{name}:{folder / argument}"
    return spec


def _found(name: str, sources: Mapping[str, DatasetSource]) -> DatasetSource | None:
    """The source of that name. No other is looked at: to make one may take a plugin's code."""
    return next((sources[known] for known in sources if known.lower() == name.lower()), None)
