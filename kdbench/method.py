"""The contract of a method: what an author writes, and what the harness hands over.

A method is one class that reads like its paper: parameters with their defaults, what it needs, the modules it builds,
and its loss terms by name. The harness sums them under one convention, total = Σ weight × term.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, field_serializer
from torch import Generator, Tensor, nn

from kdbench.inputs.added_later import MARK, unsaid
from kdbench.model import Feature, Outputs, Shapes, StagedModel, UndeclaredNeedError, in_float32

T = TypeVar("T")
R = TypeVar("R")
BatchField = Literal["index", "epoch", "generator"]


class MethodParams(BaseModel):
    """Base of a method's typed parameters: unknown names and wrong values are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_serializer("*", mode="wrap", when_used="json", check_fields=False)
    def _in_order(self, value: Any, write: SerializerFunctionWrapHandler) -> Any:
        # A set's order is another one in each process, and a run's id is made of its parameters.
        return sorted(write(value), key=repr) if isinstance(value, set | frozenset) else write(value)

    def of_run(self) -> dict[str, Any]:
        """What a run is told, as plain data: all parameters, but those `added_later` only if not at their defaults."""
        return self.model_dump(mode="json", exclude=unsaid(self))


def param(
    default: Any,
    description: str,
    *,
    paper: str | None = None,
    alternatives: str | None = None,
    added_later: bool = False,
    **constraints: Any,
) -> Any:
    """A parameter with its default.

    `paper` says what the paper states where that is less than or other than the default; `alternatives` what else may
    be chosen and why one would. `kdbench show METHOD` prints both. `added_later` marks one that a method gained when
    there were results already, and by whose default it computes what it did before: left out of a run's configuration
    at that default, it leaves their ids as they are. `constraints` are pydantic's (`ge`, `gt`, `le`, …).
    """
    texts = {key: text for key, text in (("paper", paper), ("alternatives", alternatives)) if text}
    extra = texts | (MARK if added_later else {})
    return Field(default, description=description, json_schema_extra=cast(Any, extra), **constraints)


@dataclass(frozen=True)
class Needs:
    """What a method reads: features of the student, of the teacher (none: teacher-free), fields of the batch.

    `full_batches`: an epoch's last batch, if it is short, passes the run by, which makes no step with it.
    `class_indices`: labels must be class indices, so recipes whose labels are class probabilities are declined.
    """

    student: tuple[Feature, ...] = ("logits",)
    teacher: tuple[Feature, ...] = ()
    batch: tuple[BatchField, ...] = ()
    full_batches: bool = False
    class_indices: bool = False


class Batch:
    """One training batch as a method sees it; all but `labels` only where `needs.batch` declares it.

    labels [B] int64 or, under recipes with label smoothing, mixup or cutmix, class probabilities [B, K] float32
    (PyTorch's cross_entropy and kdbench.losses take both); index [B] int64, each sample's place in the training set;
    epoch, a float32 scalar tensor, 1-based; generator, on the loss's device, in the state that (method, seed, epoch,
    step) give.
    """

    __slots__ = ("_values", "labels")

    def __init__(self, labels: Tensor, **values: Tensor | Generator):
        self.labels = labels
        self._values = values

    def _get(self, field: BatchField) -> Tensor | Generator:
        if field not in self._values:
            raise UndeclaredNeedError(f"`{field}` of the batch was read but is not declared in `needs`")
        return self._values[field]

    @property
    def index(self) -> Tensor:
        """Place of each sample in the training set, [B] int64."""
        return cast(Tensor, self._get("index"))

    @property
    def epoch(self) -> Tensor:
        """Current epoch as a float32 scalar tensor, 1-based."""
        return cast(Tensor, self._get("epoch"))

    @property
    def generator(self) -> Generator:
        """Random numbers of the loss itself; drawing from anywhere else breaks resuming."""
        return cast(Generator, self._get("generator"))

    def only(self, fields: tuple[BatchField, ...]) -> Batch:
        """The same batch reduced to `fields`."""
        return Batch(self.labels, **{field: self._get(field) for field in fields})


@dataclass(frozen=True)
class Build:
    """What a method may build its modules from.

    `student` is the run's own network (take branches from it, do not keep it); `train_labels` [N] int64 are the
    training set's labels in index order; batches have `batch_size` samples, the last of an epoch maybe fewer; the run
    has `epochs` of them, which a schedule over `batch.epoch` may end with.
    `teacher` and `teacher_shapes` exist for methods that need a teacher, `pre_stage` for those that declare one.
    """

    student: StagedModel
    student_shapes: Shapes
    train_labels: Tensor
    batch_size: int
    _teacher: StagedModel | None = None
    _teacher_shapes: Shapes | None = None
    _pre_stage: Method | None = None
    epochs: int = field(kw_only=True)

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return self.student_shapes.num_classes

    @property
    def teacher(self) -> StagedModel:
        """The frozen teacher, in eval mode; copy what you keep of it."""
        return _present(self._teacher, "teacher")

    @property
    def teacher_shapes(self) -> Shapes:
        """Feature sizes of the teacher."""
        return _present(self._teacher_shapes, "teacher")

    @property
    def pre_stage(self) -> Method:
        """The trained and frozen pre-stage."""
        return _present(self._pre_stage, "pre-stage")


def _present(value: T | None, what: str) -> T:
    if value is None:
        raise UndeclaredNeedError(f"this method declares no {what}, so none was built for it")
    return value


class Method(nn.Module):
    """A distillation method.

    Class attributes an author sets: `name`, `citation`, `formula` (term → text, `{parameter}` filled in by
    `kdbench show`), `needs`, and the nested `Params`. Methods to write: `weights` and `terms`; `setup` where it has
    modules of its own; `decline` where some pairs are out of reach. Modules made in `setup` train with the student's
    optimizer and are dropped at deployment, except those that `kept` names.

    `terms` is called outside autocast with float32 features; it passes its own modules through `run`, which gives them
    the recipe's precision. It must not synchronise with the host (`.item()`, `bool(tensor)`, shapes that depend on
    values): a training step is captured once and replayed.
    """

    name: ClassVar[str]
    citation: ClassVar[str] = ""
    #: A remark that must stand beside every number of this method.
    caveat: ClassVar[str] = ""
    formula: ClassVar[Mapping[str, str]]
    needs: ClassVar[Needs] = Needs()
    #: Names of own submodules that `deploy` keeps.
    kept: ClassVar[tuple[str, ...]] = ()
    #: False where a step is known not to work under `torch.compile`.
    compiles: ClassVar[bool] = True

    class Params(MethodParams):
        """No parameters."""

    params: MethodParams
    #: What `run` computes in; the harness sets it from the recipe.
    precision: torch.dtype = torch.float32

    def __init__(self, params: MethodParams, build: Build):
        super().__init__()
        self.params = params
        self.setup(build)

    @classmethod
    def needs_for(cls, params: Any) -> Needs:
        """What the method reads under these parameters; `needs` unless a parameter changes it."""
        return cls.needs

    @classmethod
    def formula_for(cls, params: Any) -> Mapping[str, str]:
        """The text of each term under these parameters; `formula` unless one changes which terms there are."""
        return getattr(cls, "formula", {})

    @classmethod
    def caveat_for(cls, params: Any) -> str:
        """The remark that must stand beside every number under these parameters; `caveat` unless one changes it."""
        return cls.caveat

    @classmethod
    def decline(cls, params: Any, student: Shapes, teacher: Shapes | None) -> str | None:
        """A sentence saying why this pair is out of the method's reach, or None."""
        return None

    @classmethod
    def pre_stage(cls, params: Any) -> tuple[type[Method], MethodParams] | None:
        """A method to be trained once on the frozen teacher before the run (it sees the teacher as its student).

        Its class is one and the same wherever there is one, the defaults included; its parameters may follow from
        `params`, and other than default ones may do without.
        """
        return None

    @classmethod
    def memory_bytes(cls, params: Any, train_size: int) -> int:
        """Bytes the method keeps on the device beside its modules, such as a memory bank; said before training."""
        return 0

    @classmethod
    def weights(cls, params: Any) -> dict[str, float]:
        """Weight of each term in the total."""
        raise NotImplementedError

    def setup(self, build: Build) -> None:
        """Create the method's own modules."""

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Loss terms by name, each a scalar: the names are those of `weights`."""
        raise NotImplementedError

    def diagnose(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """What the loss computes of single samples and then sums away, for figures: values [B] by name; none unless
        overridden.

        Called without gradients, in eval mode, with what `terms` gets except the batch's epoch and generator.
        """
        return {}

    def run(self, module: Callable[..., R], *inputs: Tensor) -> R:
        """`module(*inputs)` in the recipe's precision, the result in float32.

        For the method's own modules; `module` may also be a branch's `outputs`.
        """
        mixed = self.precision is not torch.float32
        with torch.autocast(inputs[0].device.type, dtype=self.precision if mixed else None, enabled=mixed):
            result = module(*inputs)
        return cast(R, in_float32(result))

    def deploy(self, student: StagedModel) -> nn.Module:
        """What is evaluated and shipped, images [B, 3, H, W] → logits [B, K]: the student alone, unless overridden."""
        return student
