"""kdbench: a benchmark harness for knowledge distillation in which every method is a plugin."""

import importlib

# `python -m kdbench` comes here while Python still imports from the working folder, so nothing more is imported first.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, data_root, make_dataset
    from kdbench.data.split import Split
    from kdbench.data.streamed import ImageSplit, StreamedDataset, make_streamed_dataset
    from kdbench.factory import create_model, list_models
    from kdbench.hookspecs import hookimpl
    from kdbench.inputs.errors import UserError
    from kdbench.method import Batch, Build, Method, MethodParams, Needs, param
    from kdbench.model import Architecture, Head, NotOfferedError, Outputs, Shapes, StagedModel
    from kdbench.scheme import ArchitectureScheme
    from kdbench.stage_end import EndsInReLU

__all__ = [
    "Architecture",
    "ArchitectureScheme",
    "Batch",
    "Build",
    "Dataset",
    "DatasetInfo",
    "DatasetSource",
    "EndsInReLU",
    "Head",
    "ImageSplit",
    "Method",
    "MethodParams",
    "Needs",
    "NotOfferedError",
    "Outputs",
    "Shapes",
    "Split",
    "StagedModel",
    "StreamedDataset",
    "UserError",
    "create_model",
    "data_root",
    "hookimpl",
    "list_models",
    "make_dataset",
    "make_streamed_dataset",
    "param",
]

_HOMES = {
    "kdbench.data.dataset": ("Dataset", "DatasetInfo", "DatasetSource", "data_root", "make_dataset"),
    "kdbench.data.split": ("Split",),
    "kdbench.data.streamed": ("ImageSplit", "StreamedDataset", "make_streamed_dataset"),
    "kdbench.inputs.errors": ("UserError",),
    "kdbench.factory": ("create_model", "list_models"),
    "kdbench.hookspecs": ("hookimpl",),
    "kdbench.method": ("Batch", "Build", "Method", "MethodParams", "Needs", "param"),
    "kdbench.model": ("Architecture", "Head", "NotOfferedError", "Outputs", "Shapes", "StagedModel"),
    "kdbench.scheme": ("ArchitectureScheme",),
    "kdbench.stage_end": ("EndsInReLU",),
}


def __getattr__(name: str) -> "Any":
    # Names are looked up when they are used: the pytest plugin, which every pytest run loads, must not import torch.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'kdbench' has no attribute '{name}'")
