"""Scores of several models on batches that are made once."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from kdbench.training.evaluation import evaluate, tally
from tests.training.support import CPU

CLASSES = 30


def batches(sizes=(70, 70, 30), classes=CLASSES):
    generator = torch.Generator().manual_seed(3)
    for size in sizes:
        yield torch.randn(size, 3, 4, 4, generator=generator), torch.randint(classes, (size,), generator=generator)


def model(seed, classes=CLASSES):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(48, classes))


def test_scores_by_counting():
    asked = model(0)
    score = tally(asked, batches(), torch.float32, CPU).score()
    asked.eval()
    images, labels = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    logits = asked(images)
    ranks = [int((row > row[label]).sum()) for row, label in zip(logits, labels, strict=True)]
    assert score.top1 == pytest.approx(100 * sum(rank == 0 for rank in ranks) / 170)
    assert score.top5 == pytest.approx(100 * sum(rank < 5 for rank in ranks) / 170)
    assert 0 < score.top1 < score.top5 < 100
    assert score.loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-6)


@pytest.mark.parametrize(("classes", "told"), [(20, False), (21, True)])
def test_top5_is_told_of_more_than_20_classes(classes, told):
    score = tally(model(0, classes), batches(classes=classes), torch.float32, CPU).score()
    assert (score.top5 is not None) == told


def test_together_as_alone_and_each_batch_is_made_once():
    made = []

    def counted():
        for batch in batches():
            made.append(len(batch[1]))
            yield batch

    models = {str(seed): model(seed) for seed in range(3)}
    models["1"].eval()
    scores, faults = evaluate(models, counted(), torch.float32, CPU, lambda: None)
    assert made == [70, 70, 30] and not faults
    assert scores == {name: tally(alone, batches(), torch.float32, CPU).score() for name, alone in models.items()}
    assert [asked.training for asked in models.values()] == [True, False, True]


class Raises(nn.Module):
    def forward(self, images):
        if len(images) < 70:
            raise ValueError("a short batch")
        return torch.zeros(len(images), CLASSES)


def test_one_that_raises_leaves_the_others_as_they_are():
    models = {"sound": model(0), "broken": Raises()}
    scores, faults = evaluate(models, batches(), torch.float32, CPU, lambda: None)
    assert scores == {"sound": tally(model(0), batches(), torch.float32, CPU).score()}
    assert [str(fault) for fault in faults.values()] == ["a short batch"] and faults.keys() == {"broken"}


def test_nobody_to_evaluate_reads_nothing():
    def unread():
        raise AssertionError
        yield

    assert evaluate({}, unread(), torch.float32, CPU, lambda: None) == ({}, {})
