"""What a network of timm is, found by a pass through it: where its stages end, what its head sees, and whether what
follows a stage is a chain.

Nothing is taken for granted that can be tried: a chain counts if it gives the network's own logits, a map if the head
makes the same of it, and scores of places if their mean is the logits.
"""

from __future__ import annotations

import copy
import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from kdbench.data.seeds import seeded
from kdbench.inputs.errors import UserError
from kdbench.model import Head, spatial_mean
from kdbench.scheme import Setting
from kdbench_architectures.of_timm.layout import Layout, final_layout, layout_of
from kdbench_architectures.of_timm.network import Chain, Facts, TimmBranch, TimmNetwork, seen_by

#: Stages of a network whose blocks all give maps of one size.
STAGES = 4
#: Stages end where the map is no larger than a fourth of the image: before, it is the stem's.
QUARTER = 4
CLASSES = 10
#: Standard deviation of what is added to each weight, for some begin at 0 and would hide what they weigh.
NOISE = 0.05
#: Of the largest of the numbers compared.
TOLERANCE = 1e-4


@functools.cache
def facts_of(name: str, settings: tuple[tuple[str, Setting], ...]) -> Facts:
    """What a pass on the CPU shows. Raises `UserError` where the stages of the network cannot be tapped."""
    # In a thread of its own, for the pass needs numbers, and who asks may be making networks without data.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_probed, name, settings).result()


@torch.no_grad()
def _probed(name: str, settings: tuple[tuple[str, Setting], ...]) -> Facts:
    from kdbench_architectures.of_timm.scheme import made

    with seeded("probe", name):
        net = made(name, dict(settings), CLASSES).eval()
        for parameter in net.parameters():
            parameter.add_(NOISE * torch.randn_like(parameter))
        images = torch.randn(1, 3, *_size(net, dict(settings)))
    try:
        facts = _facts(net, images)
    except Exception as error:
        text = " ".join(str(error).split())
        raise UserError(
            f"network 'timm:{name}' cannot be taken: its stages cannot be tapped ({type(error).__name__}: {text})."
        ) from error
    return replace(facts, chains=_chains(net, facts, images))


def _size(net: Any, settings: dict[str, Setting]) -> tuple[int, int]:
    """Height and width of the images that the network is made for."""
    given = settings.get("img_size")
    _, height, width = net.default_cfg["input_size"]
    return (int(given), int(given)) if isinstance(given, int) else (height, width)


def levels(net: Any) -> tuple[int, ...]:
    """Where the map gets smaller next, and at the end; a few even parts of a network whose maps have all one size."""
    reductions = [info["reduction"] for info in net.feature_info]
    count = len(reductions)
    last = [place for place in range(count) if place == count - 1 or reductions[place + 1] != reductions[place]]
    if len(last) == 1:
        parts = min(STAGES, count)
        return tuple(round(count * part / parts) - 1 for part in range(1, parts + 1))
    return tuple(place for place in last if reductions[place] >= QUARTER) or tuple(last)


def _facts(net: Any, images: Tensor) -> Facts:
    """All but the chains."""
    at = levels(net)
    native, ends = net.forward_intermediates(images, indices=[*at], output_fmt="NCHW")
    if len(ends) != len(at) or any(end.ndim != 4 for end in ends):
        raise ValueError(f"timm names {len(at)} of them and gives {len(ends)}")
    logits, size = net(images), (ends[-1].shape[2], ends[-1].shape[3])
    classifier = net.get_classifier()
    with seen_by(classifier) as seen:
        calls = _calls(net, lambda: net.forward_head(native))
        if not _same(calls.result, logits):
            raise ValueError("the pass that gives them ends in other logits")
    final = final_layout(native, size, getattr(net, "output_fmt", "NCHW") == "NHWC")
    if final and not _same(net.forward_head(final.as_native(final.as_map(native, size))), logits):
        final = None
    embedding = len(seen) == 1 and seen[0][0].numel() == seen[0].shape[1]
    class_maps = embedding and final is not None and isinstance(classifier, nn.Linear)
    if class_maps and final:
        maps = final.as_map(native, size)
        class_maps = maps.shape[1] == classifier.in_features
        class_maps = class_maps and _same(spatial_mean(Head(nn.Identity(), classifier).class_maps(maps)), logits)
    head = tuple(dict.fromkeys(call.name for call in _outermost(calls.found)))
    return Facts(at, final, embedding, class_maps, head, {})


@dataclass(frozen=True)
class _Call:
    """A module's call, by its number when it began and when it ended."""

    name: str
    begin: int
    end: int
    result: Any


@dataclass(frozen=True)
class _Calls:
    found: list[_Call]
    result: Any


def _calls(net: nn.Module, work: Any) -> _Calls:
    """The calls of a network's modules in a piece of work, in the order in which they end."""
    clock, open_, found, handles = itertools.count(), [], [], []
    for name, module in net.named_modules():
        if name:
            handles.append(module.register_forward_pre_hook(lambda *_: open_.append(next(clock))))
            handles.append(
                module.register_forward_hook(
                    lambda _, __, result, name=name: found.append(_Call(name, open_.pop(), next(clock), result))
                )
            )
    try:
        return _Calls(found, work())
    finally:
        for handle in handles:
            handle.remove()


def _outermost(calls: list[_Call]) -> list[_Call]:
    """Calls that are made in none of the others, in the order in which they begin."""
    outermost: list[_Call] = []
    for call in sorted(calls, key=lambda call: call.begin):
        if not outermost or call.begin > outermost[-1].end:
            outermost.append(call)
    return outermost


def _chains(net: Any, facts: Facts, images: Tensor) -> dict[int, Chain]:
    """What follows each stage but the last, where it can be found by modules' calls and gives the network's logits."""
    calls = _calls(net, lambda: net.forward_features(images)).found
    ends = TimmNetwork(net, facts).outputs(images).stages
    names = [net.feature_info[level]["module"] for level in facts.levels]
    last = [
        max((call for call in calls if call.name == name), key=lambda call: call.end, default=None) for name in names
    ]
    layouts = [layout_of(call.result, end) if call else None for call, end in zip(last, ends, strict=True)]
    chains: dict[int, Chain] = {}
    for after in range(1, len(ends)):
        if None in last[after - 1 :] or None in layouts[after - 1 :]:
            continue
        chain = _chain(calls, last[after - 1 :], layouts[after - 1 :])  # type: ignore[arg-type]
        if _holds(net, facts, chain, ends[after - 1], net(images)):
            chains[after] = chain
    return chains


def _chain(calls: list[_Call], last: list[_Call], layouts: list[Layout]) -> Chain:
    """The modules that are called behind the first of some stages' ends, by the stage that they belong to."""
    marks = [call.end for call in last]
    behind = [
        call for call in calls if call.begin > marks[0] and not any(call.begin < mark < call.end for mark in marks)
    ]
    parts: list[list[str]] = [[] for _ in marks]
    for call in _outermost(behind):
        parts[sum(call.begin > mark for mark in marks) - 1].append(call.name)
    *stages, tail = (tuple(part) for part in parts)
    return Chain(layouts[0], tuple(zip(stages, layouts[1:], strict=True)), tail)


def _holds(net: Any, facts: Facts, chain: Chain, entry: Tensor, logits: Tensor) -> bool:
    """Whether a branch with the network's weights makes the network's logits of a stage's map."""
    try:
        return _same(TimmBranch(copy.deepcopy(net), facts, chain).outputs(entry).logits, logits)
    # Whatever comes of it: these modules are then no chain.
    except Exception:
        return False


def _same(ours: Tensor, theirs: Tensor) -> bool:
    """Whether numbers agree that are not all alike."""
    if ours.shape != theirs.shape or not theirs.isfinite().all():
        return False
    most = theirs.abs().max()
    return bool((ours - theirs).abs().max() <= TOLERANCE * most) and bool(theirs.std() > TOLERANCE * most)
