"""The built-in networks, one family a file; they reach the harness through the hook that anybody's plugin uses."""

from kdbench.hookspecs import hookimpl
from kdbench.model import Architecture
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


@hookimpl
def kdbench_architectures() -> list[Architecture]:
    families = (resnet, resnet50, wrn, vgg, mobilenetv2, shufflenetv1, shufflenetv2, imagenet, mobilenetv1)
    return [architecture for family in families for architecture in family.ARCHITECTURES]
