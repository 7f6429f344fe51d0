"""Networks as stem → stages → head, and what a forward pass gives."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.inputs.errors import UserError
from kdbench.meta import pass_norms_by, watching_draws, without_data
from kdbench.stage_end import before_and_after_relu, last_norm, normalised

Feature = Literal["logits", "stem", "stages", "final_map", "embedding", "preactivations", "class_maps"]
FEATURES: tuple[Feature, ...] = get_args(Feature)


class UndeclaredNeedError(AttributeError):
    """A method read something that its `needs` do not declare."""


class NotOfferedError(UserError):
    """A method asked of a network what that network does not have; it declines the pair with this sentence."""


class Outputs:
    """What one forward pass gives: a method sees only the features that its `needs` declare.

    Reading an undeclared one raises `UndeclaredNeedError`, so a declaration can be trusted when a forward pass is
    planned.
    """

    __slots__ = ("_values", "owner")

    def __init__(self, owner: str = "network", **values: Tensor | tuple[Tensor, ...]):
        self.owner = owner
        self._values = values

    @property
    def features(self) -> tuple[Feature, ...]:
        """Names of the features that are there."""
        return cast("tuple[Feature, ...]", tuple(self._values))

    def _get(self, feature: Feature) -> Tensor | tuple[Tensor, ...]:
        if feature not in self._values:
            raise UndeclaredNeedError(f"`{feature}` of the {self.owner} was read but is not declared in `needs`")
        return self._values[feature]

    @property
    def logits(self) -> Tensor:
        """Class scores before the softmax, [B, K]."""
        return cast(Tensor, self._get("logits"))

    @property
    def stem(self) -> Tensor:
        """The map that enters the first stage, [B, C, H, W]; raw where the family's stem ends before its ReLU."""
        return cast(Tensor, self._get("stem"))

    @property
    def stages(self) -> tuple[Tensor, ...]:
        """Maps at the stage ends, shallow to deep, each [B, C, H, W]; raw where the family ends a stage before its
        ReLU.
        """
        return cast("tuple[Tensor, ...]", self._get("stages"))

    @property
    def preactivations(self) -> tuple[Tensor, ...]:
        """Maps before the ReLU that ends each stage, each of the size of its map in `stages` [B, C, H, W].

        In a WRN the ReLU and its batch norm come behind the stage's end, so these are what that norm makes of it; in
        training by the batch's statistics. In a MobileNetV2, whose blocks end without a ReLU, they are `stages` itself.
        """
        return cast("tuple[Tensor, ...]", self._get("preactivations"))

    @property
    def final_map(self) -> Tensor:
        """The map that enters global pooling, after the last activation, [B, C, H, W]."""
        return cast(Tensor, self._get("final_map"))

    @property
    def class_maps(self) -> Tensor:
        """Class scores at each place of `final_map` [B, K, H, W], whose mean over the places is `logits`."""
        return cast(Tensor, self._get("class_maps"))

    @property
    def embedding(self) -> Tensor:
        """The pooled vector that enters the classifier, [B, D]."""
        return cast(Tensor, self._get("embedding"))

    def only(self, features: Iterable[Feature], owner: str) -> Outputs:
        """The same outputs reduced to `features`, in float32 whatever autocast made of them."""
        return Outputs(owner, **{feature: in_float32(self._get(feature)) for feature in features})

    def detach(self) -> Outputs:
        """The same outputs without their graph."""
        return Outputs(self.owner, **{name: _detached(value) for name, value in self._values.items()})


def in_float32(value: Any) -> Any:
    """Half-precision tensors as float32, also inside tuples, lists and `Outputs`; anything else unchanged."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if isinstance(value, tuple | list):
        return type(value)(in_float32(part) for part in value)
    if isinstance(value, Outputs):
        return value.only(value.features, value.owner)
    return value


def _detached(value: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    return tuple(part.detach() for part in value) if isinstance(value, tuple) else value.detach()


@dataclass(frozen=True)
class Shapes:
    """Sizes of one sample's outputs: `stem`, `stages` and `final_map` are (C, H, W).

    What is `absent` in the network has the size 0; the harness lets no method that needs it see the pair. `unbranched`
    are the stages (1-based) after which no branch can start, the last one aside. `draws` says whether the network draws
    random numbers in training, as dropout does.
    """

    num_classes: int
    stem: tuple[int, int, int]
    stages: tuple[tuple[int, int, int], ...]
    final_map: tuple[int, int, int]
    embedding: int
    absent: tuple[Feature, ...] = ()
    unbranched: tuple[int, ...] = ()
    draws: bool = False

    @property
    def whole(self) -> bool:
        """Whether the network offers whatever a method may ask for."""
        return not (self.absent or self.unbranched)


def spatial_mean(maps: Tensor) -> Tensor:
    """Global average pooling, [B, C, H, W] → [B, C].

    The gradient of `mean` itself lies in NCHW, and slows down all that follows it in channels-last.
    """
    return maps.sum(dim=(2, 3)) / maps[0, 0].numel()


class Head(nn.Module):
    """What follows the last stage: neck → global average pooling → linear classifier.

    The neck holds whatever the family computes between its last stage and pooling (a norm and ReLU, a 1×1 convolution);
    its result is `final_map`.
    """

    def __init__(self, neck: nn.Module, classifier: nn.Linear):
        super().__init__()
        self.neck = neck
        self.classifier = classifier

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C, H, W] → final_map [B, C', H', W'], embedding [B, C'], logits [B, K]."""
        final_map = self.neck(x)
        embedding = spatial_mean(final_map)
        return final_map, embedding, self.classifier(embedding)

    def class_maps(self, final_map: Tensor) -> Tensor:
        """The classifier at each place, [B, C', H', W'] → [B, K, H', W']."""
        return F.conv2d(final_map, self.classifier.weight[:, :, None, None], self.classifier.bias)


class StagedModel(nn.Module):
    """A classifier made of a stem, stages and a head.

    `model(x)` gives logits, `model.outputs(x)` every feature a method may tap, and `model.branch(after=l)` a fresh
    auxiliary classifier for the map that stage l ends with (1-based).

    Where a family's stages end before the batch norm and the ReLU that their maps pass next, `norms_behind` gives those
    norms of a network (or of its branch), one a stage.

    A network that is made otherwise derives from it, gives `outputs`, `branch` and `parts`, and says in `offers` and
    `branches` what it has of all this; whatever else it is asked for raises `NotOfferedError`.
    """

    #: Features that `outputs` gives, if asked for.
    offers: tuple[Feature, ...] = FEATURES

    def __init__(
        self,
        stem: nn.Module,
        stages: Iterable[nn.Module],
        head: Head,
        norms_behind: Callable[[StagedModel], Sequence[nn.Module]] | None = None,
    ):
        super().__init__()
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.norms_behind = norms_behind
        self.rebuild: Callable[[], StagedModel] | None = None

    def outputs(self, x: Tensor, asked: Collection[Feature] = ()) -> Outputs:
        """Features of images [B, 3, H, W] (of a stage map where the model is a branch).

        `preactivations` and `class_maps` are among them only where `asked` names them: they alone cost something.
        """
        x = stem = self.stem(x)
        ends, before = [], []
        for stage in self.stages:
            if "preactivations" in asked:
                ahead, x = before_and_after_relu(stage, x)
                before.append(ahead)
            else:
                x = stage(x)
            ends.append(x)
        final_map, embedding, logits = self.head(x)
        features: dict[str, Any] = {}
        if "preactivations" in asked:
            features["preactivations"] = self._normalised(before)
        if "class_maps" in asked:
            features["class_maps"] = self.head.class_maps(final_map)
        return Outputs(
            logits=logits, stem=stem, stages=tuple(ends), final_map=final_map, embedding=embedding, **features
        )

    def _normalised(self, before: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps before a ReLU, from what the stages say is one."""
        if self.norms_behind is None:
            return tuple(before)
        return tuple(normalised(norm, x) for norm, x in zip(self.norms_behind(self), before, strict=True))

    @property
    def preactivation_norms(self) -> tuple[nn.BatchNorm2d | None, ...]:
        """The batch norm that each of `preactivations` comes from, up to a sum with a shortcut.

        None where none gives all of a map's channels, as in ShuffleNetV2, which joins two halves.
        """
        if self.norms_behind is None:
            return tuple(last_norm(stage) for stage in self.stages)
        return tuple(last_norm(norm) for norm in self.norms_behind(self))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of images [B, 3, H, W]."""
        return self.outputs(x).logits

    @property
    def branches(self) -> tuple[int, ...]:
        """Stages (1-based) after which a branch can start."""
        return tuple(range(1, len(self.stages)))

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What comes before the head, by names for messages."""
        return {"stem": self.stem} | {f"stage {n}": stage for n, stage in enumerate(self.stages, 1)}

    def branch(self, after: int) -> StagedModel:
        """A freshly initialised copy of the main branch behind stage `after`: its remaining stages and the head.

        Feed it `stages[after - 1]` through its `outputs`. Its weights are drawn from torch's current random state.
        """
        if not 1 <= after < len(self.stages):
            raise ValueError(
                f"a branch starts after stage 1 to {len(self.stages) - 1} of this network, not after {after}"
            )
        if self.rebuild is None:
            raise ValueError("this network was not built through an Architecture, so it cannot grow a branch")
        fresh = self.rebuild()
        return StagedModel(nn.Identity(), fresh.stages[after:], fresh.head, self.norms_behind)

    def __deepcopy__(self, memo: dict[int, object]) -> StagedModel:
        # Only the modules are copied: `rebuild` is a recipe, not a state.
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        for key, value in self.__dict__.items():
            twin.__dict__[key] = value if key == "rebuild" else copy.deepcopy(value, memo)
        return twin


@dataclass(frozen=True)
class Architecture:
    """A network that a plugin offers.

    `family` is what a recipe's learning rates refer to. `zoo_keys` are (regular expression, replacement) pairs that
    turn the parameter names of RepDistiller's zoo into ours, applied in order, the first match winning.
    """

    name: str
    family: str
    builder: Callable[[int], StagedModel]
    zoo_keys: tuple[tuple[str, str], ...] = ()

    def build(self, num_classes: int) -> StagedModel:
        """A freshly initialised network with `num_classes` outputs. Raises `UserError` where the builder does not."""
        with self._asked(f"be built for {num_classes} classes"):
            model = self.builder(num_classes)
        model.rebuild = lambda: self.build(num_classes)
        return model

    @functools.cache  # noqa: B019 (plugins offer a few architectures, for as long as the process lives)
    def shapes(self, num_classes: int, input_size: int) -> Shapes:
        """Feature sizes for square images of `input_size` pixels, by one forward pass without data or memory.

        Raises `UserError` where the network does not take them.
        """
        with without_data():
            model, images = self.build(num_classes), torch.empty(2, 3, input_size, input_size)
            pass_norms_by(model)
            with self._asked(f"take images of {input_size}×{input_size}"), watching_draws() as draws:
                outputs = model.outputs(images)
        there = outputs.features
        stages = tuple(map(_size, outputs.stages))
        return Shapes(
            num_classes=num_classes,
            stem=_size(outputs.stem) if "stem" in there else (0, 0, 0),
            stages=stages,
            final_map=_size(outputs.final_map) if "final_map" in there else (0, 0, 0),
            embedding=outputs.embedding.shape[1] if "embedding" in there else 0,
            absent=tuple(feature for feature in FEATURES if feature not in model.offers),
            unbranched=tuple(after for after in range(1, len(stages)) if after not in model.branches),
            draws=bool(draws),
        )

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Turns what the network's code raises into a `UserError`."""
        try:
            yield
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            text = " ".join(str(error).split())
            raise UserError(f"network '{self.name}' cannot {what}: {type(error).__name__}: {text}.") from error


def _size(maps: Tensor) -> tuple[int, int, int]:
    """(C, H, W) of maps [B, C, H, W]."""
    _, channels, height, width = maps.shape
    return channels, height, width


M = TypeVar("M", bound=nn.Module)


def place(module: M, device: torch.device) -> M:
    """`module` on a device in channels-last layout, which convolutions are fastest in on CPU and GPU alike."""
    return module.to(device).to(memory_format=torch.channels_last)
