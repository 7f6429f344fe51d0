"""Global switches hold within a training and are put back after it."""

import os

import pytest
import torch

from kdbench.training.numerics import numerics


def state() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        cudnn.deterministic,
        cudnn.benchmark,
        cudnn.allow_tf32,
    )


def test_fast_by_default_and_tf32_only_where_the_recipe_says_so():
    before = state()
    with numerics("fp32"):
        assert state() == ("highest", False, False, True, False)
    with numerics("tf32"):
        assert state() == ("high", False, False, True, True)
    assert state() == before


def test_deterministic():
    before = state()
    with numerics("bf16", deterministic=True):
        assert state() == ("highest", True, True, False, False)
    assert state() == before


@pytest.mark.parametrize("deterministic", [False, True])
def test_what_is_read_once_is_set_before_a_deterministic_training_needs_it(monkeypatch, deterministic):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with numerics("fp32", deterministic):
        pass
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_put_back_after_an_error():
    before = state()
    try:
        with numerics("tf32", deterministic=True):
            raise ValueError
    except ValueError:
        pass
    assert state() == before
