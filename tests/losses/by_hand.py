"""Every loss once more, one number at a time, after the papers' formulas and in no one's tensors."""

import math
from collections.abc import Sequence

Row = Sequence[float]


def softmax(row: Row, tau: float) -> list[float]:
    top = max(row)
    exponentials = [math.exp((z - top) / tau) for z in row]
    return [e / sum(exponentials) for e in exponentials]


def kl(teacher: Row, student: Row, tau: float, tau_squared: bool) -> float:
    pairs = zip(softmax(teacher, tau), softmax(student, tau), strict=True)
    return (tau**2 if tau_squared else 1) * sum(p * (math.log(p) - math.log(q)) for p, q in pairs)


def squared_error(target: Row, projected: Row) -> float:
    return sum((f - t) ** 2 for f, t in zip(projected, target, strict=True)) / len(target)


def cross_entropy(row: Row, label: int) -> float:
    return -math.log(softmax(row, 1.0)[label])


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def deep(losses: Sequence[Sequence[float]], adaptive: bool, per_sample: bool) -> tuple[float, float]:
    """(last, shallow) of losses[head][sample], the last head's last."""
    *shallow, last = losses
    total = 0.0
    for i in range(len(last)):
        for head in shallow:
            if not adaptive:
                weight = 1 / len(shallow)
            elif per_sample:
                weight = head[i] / sum(other[i] for other in shallow)
            else:
                weight = mean(head) / sum(mean(other) for other in shallow)
            total += weight * head[i]
    return mean(last), total / len(last)
