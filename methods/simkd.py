"""Knowledge distillation with the reused teacher classifier."""

import copy
from typing import Self

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from kdbench.method import Batch, Build, Method, MethodParams, Needs, param
from kdbench.model import Outputs, Shapes, StagedModel
from kdbench_methods.regressors import FEATURE_OF, MapTap, last_map, last_map_shape, shrink, shrink_larger


class SimKD(Method):
    """The student's last map is projected onto the teacher's, whose frozen classifier then serves the student.

    L = β·mse(r(F_S), F_T) with F_S [B, C_S, H_S, W_S], F_T [B, C_T, H_T, W_T] the map that enters the teacher's global
    pooling, and r a bottleneck 1×1 (→ C_T/f) - 3×3 - 1×1 (→ C_T), each with BN and ReLU. The larger map is pooled to
    the smaller, the student's before r. No cross-entropy, no KD term. Deployed: student's trunk, r, that classifier.
    """

    name = "simkd"
    citation = "Chen et al.: Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022"
    caveat = "deploys a projector and the teacher's classifier with the student"
    formula = {
        "feat": "MSE(r(F_S), F_T), r a bottleneck of C_T/{factor} channels; logits = teacher's classifier of r(F_S)"
    }
    kept = ("projector", "classifier")

    class Params(MethodParams):
        beta: float = param(1.0, "weight β of the feature loss, the only one", ge=0)
        factor: int = param(
            2, "reduction f of the bottleneck's channels", alternatives="4 or 8: fewer deployed parameters", ge=1
        )
        tap: MapTap = param(
            "last_stage",
            "the student's last map F_S; of a WRN that is the raw sum before its last batch norm and ReLU",
            paper="the feature encoder's last map; what the authors call a WRN is a ResNet, so theirs is after a ReLU",
            alternatives="final_map: after a WRN's batch norm and ReLU; after ShuffleNetV2's and MobileNetV2's neck, "
            "which the authors' code leaves out",
        )

    params: Params

    @classmethod
    def needs_for(cls, params: Params) -> Needs:
        return Needs(student=(FEATURE_OF[params.tap],), teacher=("final_map",))

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"feat": params.beta}

    @classmethod
    def decline(cls, params: Params, student: Shapes, teacher: Shapes | None) -> str | None:
        if teacher is not None and params.factor > teacher.final_map[0]:
            return f"factor {params.factor} leaves none of the teacher's {teacher.final_map[0]} channels"
        return None

    def setup(self, build: Build) -> None:
        channels, height, width = build.teacher_shapes.final_map
        self.size = (height, width)
        self.projector = _projector(
            last_map_shape(build.student_shapes, self.params.tap)[0], channels // self.params.factor, channels
        )
        self.classifier = copy.deepcopy(build.teacher.head.classifier).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Training mode for the projector alone: the reused classifier stays as it is."""
        super().train(mode)
        self.classifier.eval()
        return self

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours, theirs = shrink_larger(last_map(student, self.params.tap), teacher.final_map)
        return {"feat": mse_loss(self.run(self.projector, ours), theirs)}

    def deploy(self, student: StagedModel) -> nn.Module:
        """The student up to its last map, the projector and the teacher's classifier; its own classifier is dropped."""
        trunk = nn.Sequential(student.stem, *student.stages)
        if self.params.tap == "final_map":
            trunk.append(student.head.neck)
        return ReusedClassifier(trunk, self.projector, self.classifier, self.size)


class ReusedClassifier(nn.Module):
    """Student trunk → projector → global average pooling → teacher's classifier."""

    def __init__(self, trunk: nn.Module, projector: nn.Module, classifier: nn.Module, size: tuple[int, int]):
        super().__init__()
        self.trunk = trunk
        self.projector = projector
        self.classifier = classifier
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, 3, H, W] → logits [B, K]; a student map larger than the teacher's is pooled, as in training."""
        projected: Tensor = self.projector(shrink(self.trunk(x), *self.size))
        logits: Tensor = self.classifier(projected.mean(dim=(2, 3)))
        return logits


def _projector(channels: int, middle: int, target_channels: int) -> nn.Sequential:
    """1×1 (C_S → C_T/f) - 3×3 - 1×1 (→ C_T), no bias, BN and ReLU after each."""
    return nn.Sequential(*_block(channels, middle, 1), *_block(middle, middle, 3), *_block(middle, target_channels, 1))


def _block(channels: int, out_channels: int, kernel: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
