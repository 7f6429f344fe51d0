"""The conformance suite: which checks there are, in what order, and what they find."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from kdbench.checks import (
    compiling,
    declarations,
    deployment,
    diagnosis,
    gpu,
    precision,
    repetition,
    single_image,
    soft_labels,
    surroundings,
    terms,
)
from kdbench.checks.bench import CPU, Bench
from kdbench.checks.case import Case
from kdbench.checks.findings import Exempt, Fault, Finding
from kdbench.grid import Pair
from kdbench.inputs.places import describe, exits_refused, homes
from kdbench.inputs.validation import validated
from kdbench.meta import without_data
from kdbench.registry import Registry
from kdbench.selection import Selection, load_grid
from kdbench.training.numerics import numerics

#: The grid whose first table gives the pairs.
GRID = "cifar100"


@dataclass(frozen=True)
class Check:
    """A check, the checks that must have passed before it, and where it is made.

    `thorough` checks train anew several times or trace the method. What they judge lies in the method's code rather
    than in the sizes it meets, so one pair is enough: the cheapest. `pre_stage` checks also judge what is trained
    before the method.
    """

    judge: Callable[[Case], None]
    after: tuple[str, ...] = ()
    thorough: bool = False
    pre_stage: bool = True


def _step(case: Case) -> None:
    """It can be built, and makes a step the way the harness makes it: see `Case.trouble`."""


#: By their names, in the order in which they are made.
CHECKS = {
    "decline": Check(declarations.decline, pre_stage=False),
    "teacher_free": Check(declarations.teacher_free, pre_stage=False),
    "step": Check(_step),
    "needs": Check(declarations.needs),
    "terms": Check(terms.terms),
    "batch": Check(terms.batch, after=("terms",)),
    "gradients": Check(terms.gradients, after=("batch",)),
    "teacher": Check(surroundings.teacher),
    "host_sync": Check(surroundings.host_sync),
    "gpu": Check(gpu.gpu, after=("terms", "batch", "host_sync"), thorough=True),
    "deployment": Check(deployment.deployment, after=("terms",), pre_stage=False),
    "diagnose": Check(diagnosis.diagnose, after=("terms",)),
    "extreme_logits": Check(precision.extreme_logits, after=("terms",), thorough=True, pre_stage=False),
    "bf16": Check(precision.bf16, after=("terms",), thorough=True),
    "single_image": Check(single_image.single_image, after=("terms",)),
    "soft_labels": Check(soft_labels.soft_labels, after=("terms", "batch"), thorough=True),
    "seed": Check(repetition.seed, after=("batch",)),
    "state": Check(repetition.state, after=("batch", "gradients"), thorough=True),
    "compile": Check(compiling.compiled, after=("terms", "host_sync"), thorough=True),
}


def paper_pairs(registry: Registry, only: Sequence[str] = ()) -> tuple[Pair, ...]:
    """The pairs of the paper's grid, or those given as `teacher:student`. Raises `UserError` for unknown networks."""
    selection = validated(Selection, {"pairs": tuple(only)}, "--pairs")
    return load_grid(GRID, registry, selection).tables[0].pairs


class Conformance:
    """The suite on one registry, a choice of pairs and a device."""

    def __init__(self, registry: Registry, pairs: Sequence[Pair], device: torch.device = CPU):
        self._registry = registry
        self._bench = Bench(registry, device)
        self._pairs = tuple(pairs)
        self._by_cost = sorted(pairs, key=self._cost)

    def _cost(self, pair: Pair) -> int:
        """Of a student's step: each module is some calls, and each parameter is copied, saved and compared."""
        with without_data():
            network = self._registry.architecture(pair.student).build(1)
        return sum(1 for _ in network.modules()) * sum(p.numel() for p in network.parameters())

    def verify(self, name: str) -> list[Finding]:
        """All findings on a method, pair by pair. Raises `UserError` for an unknown one."""
        method = self._registry.method(name)
        refusals = {pair: _refusal(Case(self._bench, method, pair, thorough=False)) for pair in self._by_cost}
        taken = [pair for pair, refusal in refusals.items() if not refusal]
        if not taken:
            pair, refusal = next(iter(refusals.items()))
            return [
                Finding(
                    method.name,
                    "decline",
                    str(pair),
                    "failed",
                    f"it declines every pair, so nothing is judged: {refusal}",
                    "name a pair that it takes: kdbench verify --pairs TEACHER:STUDENT",
                )
            ]
        found = []
        # Where bits are compared, no algorithm may be chosen by its speed.
        with _one_thread(), numerics("fp32", deterministic=self._bench.device.type == "cuda"):
            for pair in self._pairs:
                found += _findings(Case(self._bench, method, pair, thorough=pair == taken[0]))
        return found


def _refusal(case: Case) -> str | None:
    with contextlib.suppress(Exception):  # what is wrong with `decline` is for its check to say
        return case.declined
    return None


def _findings(case: Case) -> list[Finding]:
    """What all checks say of a case, and of its pre-stage."""
    found: dict[str, Finding] = {}
    for name, check in CHECKS.items():
        if (check.pre_stage or not case.is_pre_stage) and (case.thorough or not check.thorough):
            found[name] = _finding(case, name, found)
    declined = found.get("decline")
    works = declined is None or (declined.status == "passed" and not case.declined)
    return [*found.values(), *(_findings(case.pre_stage) if works and case.pre_stage else ())]


def _finding(case: Case, name: str, found: dict[str, Finding]) -> Finding:
    make = partial(Finding, case.name, name, str(case.pair))
    try:
        _ask(case, name, found)
    except Exempt as exempt:
        return make(exempt.status, exempt.reason)
    except Fault as fault:
        return make("failed", fault.reason, fault.advice)
    except Exception as error:
        return make("failed", describe(error, homes(case.judged)), f"mend what raises while `{name}` is checked")
    return make("passed")


@exits_refused()
def _ask(case: Case, name: str, found: dict[str, Finding]) -> None:
    """Make one check, unless one before it leaves nothing to judge."""
    check = CHECKS[name]
    if name != "decline":
        if "decline" in found and found["decline"].status == "failed":
            raise Exempt("not reached", "see decline")
        if not case.is_pre_stage and case.declined:
            raise Exempt("declined", case.declined)
        if case.trouble and case.trouble.check == name:
            raise case.trouble
        if case.trouble:
            raise Exempt("not reached", f"see {case.trouble.check}")
    if failed := [other for other in check.after if other in found and found[other].status != "passed"]:
        raise Exempt("not reached", f"see {failed[0]}")
    check.judge(case)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small are faster on one thread, and the bits then do not depend on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
