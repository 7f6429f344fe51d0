"""The built-in networks, one family a file; they reach the harness through the hook that anybody's plugin uses."""

from kdbench.hookspecs import hookimpl
from kdbench.model import Architecture
from kdbench.scheme import ArchitectureScheme
from kdbench_architectures import (
    imagenet,
    mobilenetv1,
    mobilenetv2,
    resnet,
    resnet50,
    shufflenetv1,
    shufflenetv2,
    vgg,
    wrn,
)
from kdbench_architectures.of_timm import Timm

FAMILIES = (resnet, resnet50, wrn, vgg, mobilenetv2, shufflenetv1, shufflenetv2, imagenet, mobilenetv1)
#: The networks that are listed.
NETWORKS: list[Architecture] = [architecture for family in FAMILIES for architecture in family.ARCHITECTURES]


@hookimpl
def kdbench_architectures() -> list[Architecture | ArchitectureScheme]:
    return [*NETWORKS, Timm()]
