"""Check of what is evaluated and shipped."""

from __future__ import annotations

import copy

import torch

from kdbench.checks.bench import NUM_CLASSES, SIZE
from kdbench.checks.case import Case
from kdbench.checks.findings import Fault
from kdbench.training.evaluation import forward
from kdbench.training.flops import forward_flops


def deployment(case: Case) -> None:
    """`deploy` gives the student and what `kept` names, nothing else, and logits [B, K] in eval mode."""
    member = case.main.member
    kept = case.judged.kept
    submodules = dict(member.method.named_modules())
    if missing := [name for name in kept if name not in submodules]:
        raise Fault(f"`kept` names {missing}, which the method has not", "name submodules made in `setup`")
    deployed = {id(p): name for name, p in member.deployed.named_parameters()}
    of_student = {id(p) for p in member.network.parameters()}
    of_kept = {name: {id(p) for p in submodules[name].parameters()} for name in kept}
    allowed = of_student.union(*of_kept.values())
    if stray := [name for key, name in deployed.items() if key not in allowed]:
        raise Fault(
            f"`deploy` ships '{stray[0]}', which is neither the student's nor in a submodule that `kept` names",
            "name the submodule in `kept`; deploy the modules themselves, not copies, because they are still trained",
        )
    if idle := [name for name, keys in of_kept.items() if keys and not keys & deployed.keys()]:
        raise Fault(f"`kept` names {idle}, but `deploy` ships none of it", "take it out of `kept`")
    # A copy, because a forward pass in another mode must not leave anything behind in a network that is trained on.
    shipped = copy.deepcopy(member.deployed).eval()
    images, _ = case.bench.batch(epoch=1, step=0)
    with torch.no_grad():
        logits = forward(shipped, images, torch.float32)
    if logits.shape != (len(images), NUM_CLASSES) or not logits.isfinite().all():
        raise Fault(
            f"the deployed network gives {list(logits.shape)}, not finite logits {[len(images), NUM_CLASSES]}",
            "`deploy` must give a module that maps images [B, 3, H, W] to logits [B, K]",
        )
    forward_flops(shipped, SIZE)
