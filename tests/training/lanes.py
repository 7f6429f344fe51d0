"""Lanes without a GPU: what is captured is run at every replay, and the order of all of it is written down."""

from collections.abc import Callable, Sequence

import torch

Work = Callable[[], None]


class FakeLanes:
    """`log` holds warm-up, capture, replay, fork and join in order; `on_capture` may raise, as a capture can."""

    def __init__(self, on_capture: Callable[[Work], None] = lambda work: None):
        self.log: list[str] = []
        self.registered: list[Sequence[torch.Generator]] = []
        self._on_capture = on_capture

    def warm_up(self, work: Work) -> None:
        self.log.append("warm-up")
        work()

    def capture(self, work: Work, generators: Sequence[torch.Generator]) -> Work:
        self.log.append("capture")
        self.registered.append(generators)
        self._on_capture(work)

        def replay() -> None:
            self.log.append("replay")
            work()

        return replay

    def side_by_side(self, pieces: Sequence[Work]) -> None:
        self.log.append(f"fork {len(pieces)}")
        for piece in pieces:
            piece()
        self.log.append("join")
