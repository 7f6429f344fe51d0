"""What methods with auxiliary classifiers share."""

from typing import Any

from kdbench.method import Build, Method
from kdbench.model import Outputs, Shapes
from kdbench_methods.modules import branches


class DeeplySupervised(Method):
    """A method with an auxiliary classifier behind each shallow stage l < L of the student; L is the student's own.

    Classifier l is a fresh copy of all that follows stage l, so every one of them ends like the student itself. It is
    not detached: through it the loss reaches the shallow stages.
    """

    @classmethod
    def blocks(cls, params: Any, depth: int) -> tuple[int, ...]:
        """Stages (1-based) of a student with `depth` stages that carry an auxiliary classifier: all but the last."""
        return tuple(range(1, depth))

    @classmethod
    def decline(cls, params: Any, student: Shapes, teacher: Shapes | None) -> str | None:
        if len(student.stages) < 2:
            return "a student of one stage has no shallow stage to supervise"
        return None

    def setup(self, build: Build) -> None:
        self.supervised = self.blocks(self.params, len(build.student_shapes.stages))
        self.branches = branches(build.student, self.supervised)

    def shallow(self, student: Outputs) -> list[Outputs]:
        """What the auxiliary classifiers make of the student's stages, shallow to deep."""
        return [
            self.run(branch.outputs, student.stages[block - 1])
            for block, branch in zip(self.supervised, self.branches, strict=True)
        ]
