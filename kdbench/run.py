"""A run: one training with everything that changes its result, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from kdbench.recipe import Recipe

#: Changes when the harness computes something differently, so that old results are told apart from new ones.
NUMERIC_VERSION = 2

Role = Literal["student", "teacher", "pre_stage"]


class Teacher(BaseModel):
    """The teacher of a run: its architecture, and either the run that trains it or the digest of imported weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    trained_by: Run | None = None
    imported: str | None = None

    @property
    def key(self) -> str:
        """What tells two teachers apart."""
        return self.trained_by.id if self.trained_by else f"sha256:{self.imported}"


class Run(BaseModel):
    """dataset + teacher + student + method + parameters + recipe + seed.

    `role` is `student` for what tables show; `teacher` trains a teacher on labels alone; `pre_stage` trains what a
    method declares as its pre-stage on the frozen teacher, in which case `student` is the teacher's architecture.
    `pre_stage` is that run, where the method has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role = "student"
    dataset: str
    teacher: Teacher | None
    pre_stage: Run | None = None
    student: str
    method: str
    params: dict[str, Any]
    recipe: Recipe
    seed: int

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits of a hash over the configuration, the teacher's and the pre-stage's included.

        What else a result rests on, code and data, is its record's `basis`: when that changes, the run keeps its id, so
        that its old record is found and called stale.
        """
        content = self.model_dump(mode="json", exclude={"teacher", "pre_stage"})
        content["teacher"] = self.teacher.key if self.teacher else None
        content["pre_stage"] = self.pre_stage.id if self.pre_stage else None
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """How messages call the run."""
        if self.role == "teacher":
            return f"teacher {self.student}"
        if self.role == "pre_stage":
            return f"{self.method}'s pre-stage on {self.student}"
        teacher = f"{self.teacher.architecture}→" if self.teacher else ""
        return f"{self.method} {teacher}{self.student} seed {self.seed}"


Teacher.model_rebuild()
Run.model_rebuild()
