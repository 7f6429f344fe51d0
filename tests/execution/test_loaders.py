"""Processes that read images know what a plugin's file defines."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdbench.data.reading import Reader, Stream, Wanted
from kdbench.data.streamed import StreamedDataset
from kdbench.execution.loaders import loaders
from kdbench.plugins import load_plugins
from tests.data.streams import SEEN

PLUGIN = """
import kdbench
import torch
from tests.data.streams import picture

class Made(kdbench.ImageSplit):
    labels = torch.tensor([0, 1, 1])
    def read(self, index):
        return picture(index, 0, 20, 20)
    def name(self, index):
        return f"number {index}"

class Source(kdbench.DatasetSource):
    name = "made_elsewhere"
    def info(self, data_dir):
        return kdbench.DatasetInfo(self.name, 2, None, 3, 3, "0" * 64)
    def load(self, data_dir):
        return kdbench.make_streamed_dataset(self.info(data_dir), ("a", "b"), Made(), Made())
    def locations(self, data_dir):
        return "made"

@kdbench.hookimpl
def kdbench_datasets():
    return [Source()]
"""


@pytest.mark.long
def test_a_split_of_a_plugins_file_is_read_by_other_processes(tmp_path: Path) -> None:
    file = tmp_path / "made_elsewhere.py"
    file.write_text(PLUGIN)
    registry = load_plugins((file,))
    dataset = registry.dataset("made_elsewhere").load(None)
    assert isinstance(dataset, StreamedDataset)
    reader, wanted = Reader(dataset, SEEN), Wanted("test", (2, 0))
    there = loaders(torch.device("cpu"), registry)
    assert loaders(torch.device("cpu"), load_plugins()).before is None
    stream = Stream(reader, lambda _: wanted, 1, replace(there, number=1))
    try:
        assert torch.equal(stream.batch(0), reader.images(wanted))
    finally:
        stream.close()
