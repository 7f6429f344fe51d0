"""Class attention transfer."""

from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.modules import resized


class CATKD(WithKDTerm):
    """The student finds each class at the places where the teacher finds it.

    A [B, K, H, W] are the class activation maps, the classifier at each place of the map that enters pooling. φ
    averages them to s × s places and brings each class's map to unit length:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·mean (φ(A_S) − φ(A_T))². No modules.

    As in the authors' code, A_T is without the classifier's bias. Their students' classifiers have none; ours do, and
    A_S, whose mean is z_S, is with it. They have no KD term (α = 0).
    """

    name = "cat_kd"
    citation = "Guo et al.: Class Attention Transfer Based Knowledge Distillation, CVPR 2023"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "cat": "mean (φ(A_S) − φ(A_T))², φ: class maps at {size} × {size} places, at unit length: {normalise}",
    }
    needs = Needs(student=("logits", "class_maps"), teacher=("logits", "class_maps"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (the authors' code)", ge=0)
        beta: float = param(
            400.0,
            "weight β of the class maps' distance (the authors' default)",
            alternatives="the authors' values: normalised 600 ResNet32x4→ShuffleNets, 80 WRN-40-2→ShuffleNetV1, "
            "40 ResNet50→MobileNetV2, 15 VGG13→MobileNetV2; not normalised 15 ResNet32x4→8x4, 12 WRN-40-2→16-2, "
            "1.5 WRN-40-2→40-1, 4.5 VGG13→8, 0.7 ResNet56→20, 1.8 ResNet110→32",
            ge=0,
        )
        size: int = param(2, "side s of the maps that are compared", alternatives="4 for ShuffleNet students", ge=1)
        normalise: bool = param(
            True,
            "whether each class's map is brought to unit length",
            alternatives="false: what the authors have for students of the teacher's family",
        )

    params: Params

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return params.remark

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"cat": params.beta}

    def setup(self, build: Build) -> None:
        self.register_buffer("bias", build.teacher.head.classifier.bias.detach().clone(), persistent=False)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        theirs = teacher.class_maps - self.bias[:, None, None]
        return {
            **self.kd_terms(student, teacher, batch),
            "cat": mse_loss(self.attention(student.class_maps), self.attention(theirs)),
        }

    def attention(self, maps: Tensor) -> Tensor:
        """φ of class maps, [B, K, H, W] → [B, K, s·s]."""
        pooled = resized(maps, (self.params.size, self.params.size)).flatten(2)
        return normalize(pooled, dim=2) if self.params.normalise else pooled
