from hypothesis import given
from hypothesis import strategies as st

from kdbench.data.stratified import stratified


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0, 1))
def test_stratified_divides_every_class_alike(labels: list[int], share: float) -> None:
    train_size = round(share * len(labels))
    train, test = stratified(labels, train_size)
    assert sorted(train + test) == list(range(len(labels)))
    assert len(train) == train_size
    assert train == sorted(train)
    for label in set(labels):
        expected = labels.count(label) * train_size / len(labels)
        assert abs(sum(labels[position] == label for position in train) - expected) <= len(set(labels))
