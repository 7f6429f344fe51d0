"""What grids take, remembered."""

import pytest

from kdbench.execution import costs
from kdbench.plugins import load_plugins
from kdbench.selection import load_grid
from kdbench.store import kept


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    return load_grid("quick", load_plugins())


def test_a_grid_that_was_estimated_and_none_but_it(grid):
    assert costs.known(grid) is None
    costs.remember(grid, 7199.6, "a CPU, 2 cores")
    assert costs.known(grid) == "2 hours on a CPU, 2 cores"
    assert costs.known(grid.model_copy(update={"seeds": (7,)})) is None
    costs.remember(grid, 30.2, "a GPU")
    assert costs.known(grid) == "30 s on a GPU", "the last time counts"


def test_what_is_no_estimate(grid, tmp_path):
    costs.remember(grid, 1.0, "a CPU")
    path = tmp_path / costs.NAME
    path.write_text(path.read_text().replace("1.0", '"soon"'))
    assert costs.known(grid) is None
