"""The KD term of methods that add terms of their own to one: KD's, another method's, or none.

Any method that reads logits alone and has a term `ce` can be another's KD term: its own `ce` is left out, and nothing
has to be declared for that. It is found by its name among the methods that are loaded, those of plugins included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, model_serializer, model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.formula import filled
from kdbench.inputs.errors import unknown
from kdbench.inputs.validation import validated
from kdbench.method import Batch, Build, Method, MethodParams, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd import kd_terms


class MethodOnLogits(BaseModel):
    """A method whose terms are taken, and all of its parameters; written as its name or {name: {parameter: value}}."""

    model_config = ConfigDict(frozen=True)

    name: str
    params: SerializeAsAny[MethodParams]

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {self.name: self.params.of_run()}

    @property
    def method(self) -> type[Method]:
        """Its class."""
        return methods_on_logits()[self.name]


def _read(value: Any) -> Any:
    if value in ("kd", "none") or isinstance(value, MethodOnLogits):
        return value
    written = {value: {}} if isinstance(value, str) else value
    if not isinstance(written, Mapping) or len(written) != 1:
        raise ValueError(f"it takes kd, none, a method's name or {{NAME: {{PARAMETER: VALUE}}}}, not {value}")
    ((name, values),) = written.items()
    if name in ("kd", "none"):
        raise ValueError(f"{name} is written without parameters; kd's are the method's own `alpha` and `tau`")
    known = methods_on_logits()
    if name not in known:
        raise unknown("KD term", str(name), [*known, "kd", "none"])
    return MethodOnLogits(name=name, params=validated(known[name].Params, dict(values or {}), f"KD term {name}"))


def methods_on_logits() -> dict[str, type[Method]]:
    """Methods by name, of all that are loaded, whose terms beside `ce` follow from both networks' logits alone."""
    found: dict[str, type[Method]] = {}
    for method in _below(Method):
        if "name" in vars(method) and method.name not in ("kd", *found) and _is_on_logits(method):
            found[method.name] = method
    return found


def _below(method: type[Method]) -> Iterator[type[Method]]:
    for subclass in method.__subclasses__():
        yield subclass
        yield from _below(subclass)


def _is_on_logits(method: type[Method]) -> bool:
    try:
        params = method.Params()
        needs, weights = method.needs_for(params), method.weights(params)
        reads = needs.student == needs.teacher == ("logits",)
        return reads and "ce" in weights and method.pre_stage(params) is None and not method.kept
    except (Exception, SystemExit):  # what is wrong with it is for its own checks to say
        return False


class KDTermParams(MethodParams):
    """Parameters of a method with a KD term."""

    alpha: float = param(1.0, "weight α of the KD term", ge=0)
    tau: float = param(4.0, "temperature τ", gt=0)
    kd_term: Annotated[Literal["kd", "none"] | MethodOnLogits, BeforeValidator(_read)] = param(
        "kd",
        "the KD term: kd, none, or what a method on logits has beside `ce`, each term weighted with α × its own weight",
        alternatives="ka_dtd, dkd, lskd, …; with its parameters as {dkd: {beta: 6}}",
        added_later=True,
    )

    @model_validator(mode="after")
    def _told_of_the_term(self) -> Self:
        """What would be without effect is refused."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        if self.kd_term != "kd" and self.tau != defaults["tau"]:
            raise ValueError(
                "`tau` is KD's; another kd_term has its own parameters: kd_term: {NAME: {PARAMETER: VALUE}}"
            )
        if self.kd_term == "none" and self.alpha != defaults["alpha"]:
            raise ValueError("`alpha` weighs the KD term, and kd_term is none; leave one of them")
        return self

    @property
    def other(self) -> MethodOnLogits | None:
        """The method whose terms are the KD term; None for KD itself and for none."""
        return self.kd_term if isinstance(self.kd_term, MethodOnLogits) else None

    @property
    def remark(self) -> str:
        """What a row whose original has no KD term must say of one."""
        if self.kd_term == "none" or not self.alpha:
            return ""
        return f"+ {self.other.name if self.other else 'KD'}"


class WithKDTerm(Method):
    """A method with a KD term that `kd_term` chooses.

    Its `needs` and `formula` are written for KD. `own_weights` has the weights of its own terms, and `terms` takes the
    label's term and the KD term from `kd_terms`; what it reads itself may follow from parameters in `own_needs`.
    """

    #: Whether its own terms read the teacher's logits as well.
    reads_teacher_logits: ClassVar[bool] = False

    class Params(KDTermParams):
        """Those of the KD term."""

    params: KDTermParams

    def __init__(self, params: KDTermParams, build: Build):
        super().__init__(params, build)
        self.other = params.other.method(params.other.params, build) if params.other else None

    @classmethod
    def own_needs(cls, params: Any) -> Needs:
        """What the method reads under these parameters where its KD term is KD."""
        return cls.needs

    @classmethod
    def own_weights(cls, params: Any) -> dict[str, float]:
        """Weights of the terms other than the label's and the KD term's."""
        raise NotImplementedError

    @classmethod
    def needs_for(cls, params: KDTermParams) -> Needs:
        needs = cls.own_needs(params)
        if params.kd_term == "none" and not cls.reads_teacher_logits:
            return replace(needs, teacher=tuple(feature for feature in needs.teacher if feature != "logits"))
        if not params.other:
            return needs
        theirs = params.other.method.needs_for(params.other.params)
        batch = tuple(dict.fromkeys((*needs.batch, *theirs.batch)))
        return replace(
            needs,
            batch=batch,
            full_batches=needs.full_batches or theirs.full_batches,
            class_indices=needs.class_indices or theirs.class_indices,
        )

    @classmethod
    def weights(cls, params: KDTermParams) -> dict[str, float]:
        theirs = {} if params.kd_term == "none" else {"kd": 1.0}
        if params.other:
            theirs = params.other.method.weights(params.other.params)
        scaled = {name: params.alpha * weight for name, weight in theirs.items() if name != "ce"}
        return {"ce": 1.0, **scaled, **cls.own_weights(params)}

    @classmethod
    def formula_for(cls, params: KDTermParams) -> Mapping[str, str]:
        if not params.other:
            return cls.formula
        values = params.other.params.model_dump(mode="json")
        texts = params.other.method.formula_for(params.other.params)
        theirs = {name: filled(text, values) for name, text in texts.items() if name != "ce"}
        return {**{name: text for name, text in cls.formula.items() if name != "kd"}, **theirs}

    def kd_terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """`ce` and the KD term."""
        if self.params.kd_term == "none":
            return {"ce": cross_entropy(student.logits, batch.labels)}
        if self.other is None:
            return kd_terms(student, teacher, batch, self.params.tau)
        self.other.precision = self.precision
        return self.other.terms(student, teacher, batch)
