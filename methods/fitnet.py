"""FitNets: a hint from one stage of the teacher."""

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs, Shapes
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.regressors import shrink


class FitNet(WithKDTerm):
    """The student's stage h, regressed to the teacher's, matches it while the whole student trains (no pre-training).

    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·MSE(r(f_S^h), f_T^h), MSE the mean over all elements       (Equation 3)
    f_S^h [B, C_S, s, s], f_T^h [B, C_T, t, t]; where s < t and r does not reach t × t, f_T^h is pooled to s × s.
    """

    name = "fitnet"
    citation = "Romero et al.: FitNets: Hints for Thin Deep Nets, ICLR 2015"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "hint": "MSE(r(f_S^h), f_T^h), h = {hint}",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller)", ge=0)
        beta: float = param(100.0, "weight β of the hint", ge=0)
        hint: int = param(
            1,
            "the stage h that gives the hint (1 is the shallowest)",
            paper="DSKD's comparison does not say; SemCKD and SimKD take 1",
            alternatives="2, as in RepDistiller, mdistiller and CA-MKD",
            ge=1,
        )
        relu: bool = param(
            True,
            "whether the regressor ends with a ReLU",
            alternatives="false: a teacher stage that ends before its ReLU (WRN) holds negative values to be matched",
        )

    params: Params

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"hint": params.beta}

    @classmethod
    def decline(cls, params: Params, student: Shapes, teacher: Shapes | None) -> str | None:
        depth = min(len(shapes.stages) for shapes in (student, teacher) if shapes)
        if params.hint > depth:
            return f"hint {params.hint} reaches beyond the {depth} stages that student and teacher both have"
        return None

    def setup(self, build: Build) -> None:
        at = self.params.hint - 1
        self.regressor = regressor(build.student_shapes.stages[at], build.teacher_shapes.stages[at], self.params.relu)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        at = self.params.hint - 1
        regressed = self.run(self.regressor, student.stages[at])
        target = shrink(teacher.stages[at], *regressed.shape[2:])
        return {
            **self.kd_terms(student, teacher, batch),
            "hint": mse_loss(regressed, target),
        }


def regressor(student: tuple[int, int, int], teacher: tuple[int, int, int], relu: bool) -> nn.Sequential:
    """Convolution - BN - ReLU from a student's stage (C, H, W) towards the size of a teacher's (C_T, H_T, W_T)."""
    (channels, *ours), (target, *theirs) = student, teacher
    if ours == [2 * t for t in theirs]:
        convolution: nn.Module = nn.Conv2d(channels, target, 3, stride=2, padding=1)
    elif theirs == [2 * s for s in ours]:
        convolution = nn.ConvTranspose2d(channels, target, 4, stride=2, padding=1)
    elif ours[0] >= theirs[0] and ours[1] >= theirs[1]:
        convolution = nn.Conv2d(channels, target, (1 + ours[0] - theirs[0], 1 + ours[1] - theirs[1]))
    else:
        convolution = nn.Conv2d(channels, target, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(target), nn.ReLU(inplace=True) if relu else nn.Identity())
