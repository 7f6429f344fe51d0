"""What a method declares under a row's parameters and of a pair, as plain data: questions for `Registry.ask`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from kdbench.inputs.errors import UserError
from kdbench.inputs.places import asking
from kdbench.inputs.validation import validated

if TYPE_CHECKING:
    from kdbench.method import Method, MethodParams
    from kdbench.registry import Registry

#: Why a method declines a recipe.
NEEDS_INDICES = (
    "it reads labels as class indices, and the recipe makes class probabilities of them (label_smoothing, mixup or "
    "cutmix)"
)


class Declared(TypedDict):
    """`params` are all parameters as a run is told them; `class_indices` says whether the method reads labels so, and
    `pre_stage_class_indices` whether what it has trained before it does.
    """

    params: dict[str, Any]
    needs_teacher: bool
    caveat: str
    class_indices: bool
    pre_stage_class_indices: bool


def declared(registry: Registry, name: str, values: Mapping[str, object]) -> Declared:
    """What a method says of the parameters `values`, its defaults filled in. Raises `UserError` for wrong ones."""
    method = registry.method(name)
    params = method_params(method, values)
    with asking(method, "needs_for"):
        needs = method.needs_for(params)
    with asking(method, "caveat_for"):
        caveat = method.caveat_for(params)
    with asking(method, "pre_stage"):
        before = method.pre_stage(params)
        indices_before = before is not None and before[0].needs_for(before[1]).class_indices
    return {
        "params": params.of_run(),
        "needs_teacher": bool(needs.teacher),
        "caveat": caveat,
        "class_indices": needs.class_indices,
        "pre_stage_class_indices": indices_before,
    }


def declined(
    registry: Registry,
    name: str,
    values: Mapping[str, object],
    student: str,
    teacher: str | None,
    num_classes: int,
    input_size: int,
) -> str | None:
    """The sentence with which a method declines a pair on data of that many classes and pixels; None if it does not.

    Raises `UserError` where one of the networks does not take such data.
    """
    from kdbench.shapes import shapes_of
    from kdbench.trial import Side, why_declined

    method = registry.method(name)
    params = method_params(method, values)

    def side(network: str) -> Side:
        return Side(registry.architecture(network), shapes_of(registry, network, num_classes, input_size), input_size)

    return why_declined(method, params, side(student), side(teacher) if teacher else None)


def pre_stage(registry: Registry, name: str, values: Mapping[str, object]) -> dict[str, Any] | None:
    """The parameters, as a run is told them, of the pre-stage that a method declares; None if it declares none."""
    method = registry.method(name)
    with asking(method, "pre_stage"):
        found, by_default = method.pre_stage(method_params(method, values)), method.pre_stage(method.Params())
    if found is None:
        return None
    if by_default is None or by_default[0] is not found[0]:
        # A pre-stage's run says whose it is; by the defaults it is told what to train.
        raise UserError(
            f"method '{method.name}' declares the pre-stage {found[0].__name__} for some parameters and "
            f"{by_default[0].__name__ if by_default else 'none'} for its defaults; declare one class for both, and "
            "put what differs into its Params."
        )
    return found[1].of_run()


def method_params(method: type[Method], values: Mapping[str, object]) -> MethodParams:
    """All parameters of a method, defaults filled in; `UserError` for an unknown name or a wrong value."""
    return validated(method.Params, dict(values), f"method '{method.name}'", f"kdbench show {method.name}")
