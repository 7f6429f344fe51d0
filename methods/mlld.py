"""Multi-level logit distillation."""

from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from kdbench.losses import kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs
from kdbench_methods.relations import gram

#: The temperatures of "prediction augmentation".
TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)


class MLLD(Method):
    """Predictions at five temperatures agree in each sample, in the relations of samples and in those of classes.

    P = softmax(z/τ) [B, K] at τ = 2, 3, 4, 5, 6, sums over τ, ‖·‖ Frobenius, h_n = ⌈n/2⌉/n:
    L = λ_CE·CE(z_S, y) + λ_KD·[(1 + h_B)·Σ τ²·KL(P_T ‖ P_S) + h_B·Σ ‖P_T·P_Tᵀ − P_S·P_Sᵀ‖²/B
      + h_K·Σ ‖P_Tᵀ·P_T − P_Sᵀ·P_S‖²/K]. No modules.
    This is the authors' code with their first view of an image in the place of their second, which RandAugment and
    Cutout make; λ_CE is their 0.1 for each of the two. h is what their masks amount to, which choose the half of the
    samples or classes that the teacher is less sure of, but multiply a mean over all. ResNets, WRNs and VGGs
    train at a learning rate of 0.025 there, here at the recipe's.
    """

    name = "mlld"
    citation = "Jin, Wang, Lin: Multi-Level Logit Distillation, CVPR 2023"
    caveat = "one view of each image in place of the authors' two"
    formula = {
        "ce": "CE(z_S, y)",
        "instance": "(1 + h)·Σ_τ τ²·KL(P_T ‖ P_S), P at τ = 2, 3, 4, 5, 6, h = ⌈B/2⌉/B",
        "batch": "h·Σ_τ ‖P_T·P_Tᵀ − P_S·P_Sᵀ‖²/B, h = ⌈B/2⌉/B",
        "class": "h·Σ_τ ‖P_Tᵀ·P_T − P_Sᵀ·P_S‖²/K, h = ⌈K/2⌉/K",
    }
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        ce_weight: float = param(0.2, "weight λ_CE of the labels' loss", ge=0)
        alpha: float = param(0.9, "weight λ_KD of the three levels", ge=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": params.ce_weight, "instance": params.alpha, "batch": params.alpha, "class": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        samples, classes = student.logits.shape
        divergences = [kd(student.logits, teacher.logits, tau) for tau in TEMPERATURES]
        pairs = [((student.logits / tau).softmax(dim=1), (teacher.logits / tau).softmax(dim=1)) for tau in TEMPERATURES]
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "instance": (1 + half(samples)) * sum(divergences),
            "batch": half(samples) * sum(distance(ours, theirs) for ours, theirs in pairs),
            "class": half(classes) * sum(distance(ours.T, theirs.T) for ours, theirs in pairs),
        }


def half(n: int) -> float:
    """Share of n things that are not above their median, none being equal."""
    return (n + n % 2) / (2 * n)


def distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """‖X_T·X_Tᵀ − X_S·X_Sᵀ‖²/n of matrices with n rows."""
    return mse_loss(gram(ours), gram(theirs), reduction="sum") / len(ours)
