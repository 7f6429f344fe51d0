"""A method on a pair: built once, its first steps made once, and judged by many checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import get_args

from kdbench.checks.bench import Bench
from kdbench.checks.findings import Fault
from kdbench.checks.observation import Observation, observe
from kdbench.checks.trainee import Change, Terms, Trainee
from kdbench.declared import method_params
from kdbench.grid import Pair
from kdbench.inputs.places import describe, exits_refused, homes
from kdbench.method import BatchField, Method, MethodParams, Needs
from kdbench.model import FEATURES, Shapes, UndeclaredNeedError
from kdbench.recipe import Precision
from kdbench.trial import why_declined


class Case:
    """A method with its default parameters on one pair.

    `thorough` cases also see the costly checks. What is asked for first is made first: a method that cannot even be
    built leaves its fault in `trouble`, and no check runs into it again.
    """

    def __init__(self, bench: Bench, method: type[Method], pair: Pair, *, thorough: bool):
        self.bench = bench
        self.method = method
        self.pair = pair
        self.thorough = thorough
        self.run_of = bench.run

    #: Whether this is what a method has trained before it.
    is_pre_stage = False

    @property
    def judged(self) -> type[Method]:
        """The class under judgement."""
        return self.method

    @property
    def name(self) -> str:
        """How tables call it."""
        return self.method.name

    @cached_property
    def params(self) -> MethodParams:
        """Default parameters."""
        return method_params(self.judged, {})

    @property
    def needs(self) -> Needs:
        """What the method declares."""
        return self.judged.needs_for(self.params)

    @property
    def shapes(self) -> tuple[Shapes, Shapes | None]:
        """Feature sizes of the student and, for methods that need one, of the teacher."""
        teacher = self.bench.shapes(self.pair.teacher) if self.needs.teacher else None
        return self.bench.shapes(self.pair.student), teacher

    @cached_property
    @exits_refused()
    def declined(self) -> str | None:
        """The sentence with which the method declines the pair."""
        teacher = self.pair.teacher if self.needs.teacher else None
        return why_declined(
            self.method, self.params, self.bench.side(self.pair.student), self.bench.side(teacher) if teacher else None
        )

    @cached_property
    def pre_stage(self) -> PreStageCase | None:
        """What the method declares to be trained before it, on this pair's teacher."""
        if not self.needs.teacher or self.method.pre_stage(self.params) is None:
            return None
        return PreStageCase(self.bench, self.method, self.pair, thorough=self.thorough)

    def trainee(
        self,
        precision: Precision = "fp32",
        *,
        salt: int = 0,
        wrap: Callable[[Terms], Terms] | None = None,
        change: Mapping[str, Change] | None = None,
    ) -> Trainee:
        """A new training of the method, each time from the same seeds."""
        trained = self.pre_stage.trained if self.pre_stage else None
        run = self.run_of(self.method, self.pair, precision)
        return Trainee(self.bench, run, trained, salt=salt, wrap=wrap, change=change)

    @cached_property
    def main(self) -> Trainee:
        """The training that most checks look at."""
        return self.trainee()

    @cached_property
    @exits_refused()
    def first(self) -> Observation:
        """The first step of `main`: a full batch."""
        return observe(self.main, epoch=1, step=0)

    @cached_property
    def second(self) -> Observation:
        """The second: a short batch."""
        _ = self.first
        return observe(self.main, epoch=1, step=1)

    @cached_property
    def trouble(self) -> Fault | None:
        """What keeps the method from being built and from making its first step."""
        try:
            if strange := _unknown(self.needs):
                return strange
            if self.pre_stage and self.pre_stage.trouble:
                return Fault("the pre-stage cannot be trained", "mend it first", f"{self.name}/pre-stage")
            _ = self.main
        except Exception as error:
            return self._fault(error, "it cannot be built")
        try:
            _ = self.first
        except Exception as error:
            return self._fault(error, "its first step fails")
        return None

    def _fault(self, error: Exception, what: str) -> Fault:
        if isinstance(error, Fault):
            return error
        reason = describe(error, homes(self.judged))
        if not isinstance(error, UndeclaredNeedError):
            return Fault(f"{what}: {reason}", "mend the line named; `setup` may build on `build` alone", "step")
        if "declares no teacher" in reason and not self.needs.teacher:
            return Fault(reason, "declare in `needs.teacher` what it reads, or do without the teacher", "teacher_free")
        return Fault(reason, "declare it: `needs`, or `pre_stage` for what `build.pre_stage` gives", "needs")


def _unknown(needs: Needs) -> Fault | None:
    for owner, known in (("student", FEATURES), ("teacher", FEATURES), ("batch", get_args(BatchField))):
        if strange := [field for field in getattr(needs, owner) if field not in known]:
            return Fault(f"`needs.{owner}` names {strange}", f"it may name {', '.join(known)}", "needs")
    return None


class PreStageCase(Case):
    """What a method declares as its pre-stage, trained on the pair's teacher as the harness does."""

    is_pre_stage = True

    def __init__(self, bench: Bench, method: type[Method], pair: Pair, *, thorough: bool):
        super().__init__(bench, method, pair, thorough=thorough)
        self.run_of = bench.pre_stage_run

        declared = method.pre_stage(method_params(method, {}))
        assert declared is not None
        self._class, self._params = declared

    @property
    def judged(self) -> type[Method]:
        return self._class

    @property
    def name(self) -> str:
        return f"{self.method.name}/pre-stage"

    @cached_property
    def params(self) -> MethodParams:
        return self._params

    @cached_property
    def pre_stage(self) -> PreStageCase | None:
        return None

    @cached_property
    def trained(self) -> Method:
        """Its modules after a step, frozen."""
        trainee = self.trainee()
        trainee.step(epoch=1, step=0)
        return trainee.released_method()
