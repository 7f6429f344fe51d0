"""timm's networks, and branches of them, as `StagedModel`: forward passes are timm's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor, nn

from kdbench.model import FEATURES, Feature, Head, NotOfferedError, Outputs, StagedModel
from kdbench_architectures.of_timm.layout import Layout


@dataclass(frozen=True)
class Chain:
    """What follows a stage, where that is one module behind the other and then the head.

    `entry` is how the first of them takes the stage's map; `stages` are names of the modules of each further stage with
    the layout of its end, `tail` those between the last stage and the head.
    """

    entry: Layout
    stages: tuple[tuple[tuple[str, ...], Layout], ...]
    tail: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What a pass through a network showed (`probe.py`).

    `levels` are the places of its stages in timm's `feature_info`; `final` is the layout of what its head is given,
    None where the head sees more than a map; `head` are names of the modules that work in it, `chains` what follows a
    stage (1-based).
    """

    levels: tuple[int, ...]
    final: Layout | None
    embedding: bool
    class_maps: bool
    head: tuple[str, ...]
    chains: dict[int, Chain]

    @property
    def offers(self) -> tuple[Feature, ...]:
        """Features of the network."""
        there = {
            "logits": True,
            "stages": True,
            "final_map": self.final is not None,
            "embedding": self.embedding,
            "class_maps": self.class_maps,
        }
        return tuple(feature for feature in FEATURES if there.get(feature))


class _OfTimm(StagedModel):
    """What a network and its branches share."""

    def __init__(self, net: Any, facts: Facts):
        nn.Module.__init__(self)  # its parts are timm's
        self.net = net
        self.facts = facts
        self.rebuild = None
        self.norms_behind = None

    @property
    def offers(self) -> tuple[Feature, ...]:  # type: ignore[override]
        return self.facts.offers

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {"network": self.net}

    @property
    def stem(self) -> NoReturn:
        raise NotOfferedError("it takes the student or the teacher apart, and a network of timm has no stem of its own")

    @property
    def stages(self) -> NoReturn:
        raise NotOfferedError(
            "it takes the student or the teacher apart, and a network of timm has no stages of its own"
        )

    @property
    def head(self) -> Head:  # type: ignore[override]
        if not self.facts.class_maps:
            raise NotOfferedError(
                "it reads the classifier behind a global pooling, and there is more between these two"
            )
        return Head(nn.Identity(), self.net.get_classifier())

    @property
    def preactivation_norms(self) -> NoReturn:
        raise NotOfferedError("it reads the norms before a stage's last ReLU, which a network of timm does not name")

    def _outputs(self, ends: tuple[Tensor, ...], native: Tensor, asked: Collection[Feature]) -> Outputs:
        """Features, of the maps that its stages end with and of what the head is given."""
        features: dict[str, Tensor] = {}
        with seen_by(self.net.get_classifier()) as seen:
            logits = self.net.forward_head(native)
        if self.facts.embedding:
            features["embedding"] = seen[0].flatten(1)
        if self.facts.final is not None:
            features["final_map"] = self.facts.final.as_map(native, (ends[-1].shape[2], ends[-1].shape[3]))
        if "class_maps" in asked and self.facts.class_maps:
            features["class_maps"] = self.head.class_maps(features["final_map"])
        return Outputs(logits=logits, stages=ends, **features)


class TimmNetwork(_OfTimm):
    """A network of timm with the stages that it names."""

    def outputs(self, x: Tensor, asked: Collection[Feature] = ()) -> Outputs:
        native, ends = self.net.forward_intermediates(x, indices=[*self.facts.levels], output_fmt="NCHW")
        return self._outputs(tuple(ends), native, asked)

    @property
    def branches(self) -> tuple[int, ...]:
        return tuple(self.facts.chains)

    def branch(self, after: int) -> TimmBranch:
        """A freshly initialised copy of what follows stage `after`. Raises `NotOfferedError` where that is no chain."""
        chain = self.facts.chains.get(after)
        if chain is None:
            raise NotOfferedError(
                f"it grows a branch behind stage {after}, and what follows there is no chain of modules that takes the "
                "stage's map and nothing else"
            )
        if self.rebuild is None:
            raise ValueError("this network was not built through an Architecture, so it cannot grow a branch")
        fresh = self.rebuild()
        return TimmBranch(fresh.net, self.facts, chain)


class TimmBranch(_OfTimm):
    """The modules of a chain and the head, out of a whole network of timm."""

    def __init__(self, net: Any, facts: Facts, chain: Chain):
        super().__init__(net, facts)
        self.chain = chain
        names = [name for stage, _ in chain.stages for name in stage]
        keep_only(net, {net.get_submodule(name) for name in (*names, *chain.tail, *facts.head)})

    def outputs(self, x: Tensor, asked: Collection[Feature] = ()) -> Outputs:
        size, ends = (x.shape[2], x.shape[3]), []
        native = self.chain.entry.as_native(x)
        for names, layout in self.chain.stages:
            native = self._through(names, native)
            if layout.form == "nhwc":
                size = (native.shape[1], native.shape[2])
            elif layout.form == "nchw":
                size = (native.shape[2], native.shape[3])
            ends.append(layout.as_map(native, size))
        return self._outputs(tuple(ends), self._through(self.chain.tail, native), asked)

    @property
    def branches(self) -> tuple[int, ...]:
        return ()

    def branch(self, after: int) -> NoReturn:
        raise NotOfferedError("it grows a branch of a branch, which a network of timm does not have")

    def _through(self, names: tuple[str, ...], x: Tensor) -> Tensor:
        for name in names:
            x = self.net.get_submodule(name)(x)
        return x


def keep_only(module: nn.Module, kept: set[nn.Module]) -> None:
    """Take out of `module` every module that is none of `kept`, holds none and belongs to none, and the parameters of
    those that only hold some.
    """
    for name, child in module.named_children():
        if child in kept:
            continue
        if kept.isdisjoint(child.modules()):
            module._modules[name] = nn.Identity()
        else:
            keep_only(child, kept)
    for tensors in (module._parameters, module._buffers):
        tensors.update(dict.fromkeys(tensors))


@contextmanager
def seen_by(module: object) -> Iterator[list[Tensor]]:
    """Inside the context, a list of what a module is given; of anything else than a module, nothing."""
    seen: list[Tensor] = []
    if not isinstance(module, nn.Module):
        yield seen
        return
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()
