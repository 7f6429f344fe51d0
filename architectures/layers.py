"""What several families share: convolutions, initialisation, and the zoo's names of stages."""

from torch import Tensor, nn
from torch.nn import functional as F

ZooKeys = tuple[tuple[str, str], ...]


def conv(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the map's size, up to its stride."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)


def conv_bn(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch norm."""
    return nn.Sequential(conv(in_channels, out_channels, kernel_size, stride), nn.BatchNorm2d(out_channels))


def conv_bn_relu(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU."""
    return conv_bn(in_channels, out_channels, kernel_size, stride).append(nn.ReLU(inplace=True))


def relu_(x: Tensor) -> Tensor:
    """ReLU that overwrites `x`: only for a fresh result, never for the input of a block, which a method may tap."""
    return F.relu(x, inplace=True)


def init_convolutions(model: nn.Module) -> None:
    """Weights ~ N(0, 2/(k²·C_out)) (He et al. 2015, fan-out mode), biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_classifier(classifier: nn.Linear) -> None:
    """Weights ~ N(0, 0.01²), biases 0."""
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)


def zoo_stages(pattern: str, replacement: str, count: int) -> ZooKeys:
    """Key pairs of `count` stages; `#` stands for a stage's number, which the zoo counts from 1 and we from 0."""
    return tuple((pattern.replace("#", str(n)), replacement.replace("#", str(n - 1))) for n in range(1, count + 1))
