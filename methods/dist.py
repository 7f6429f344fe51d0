"""Knowledge distillation from a stronger teacher."""

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import cross_entropy

from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs

#: What the authors add to the product of two lengths, so that constant predictions correlate with nothing.
EPSILON = 1e-8


class DIST(Method):
    """Predictions that correlate with the teacher's, over the classes of a sample and over the samples of a class.

    L = CE(z_S, y) + β·τ²·(1 − mean_i ρ(p_S,i, p_T,i)) + γ·τ²·(1 − mean_k ρ(p_S,·k, p_T,·k)),
    p = softmax(z/τ) [B, K], p_i its rows and p_·k its columns, ρ Pearson's correlation. No modules.
    τ² is the authors' code's. The defaults are theirs for CIFAR-100.
    """

    name = "dist"
    citation = "Huang, You, Wang, Qian, Xu: Knowledge Distillation from a Stronger Teacher, NeurIPS 2022"
    formula = {
        "ce": "CE(z_S, y)",
        "inter": "τ²·(1 − mean_i ρ(p_S,i, p_T,i)), ρ over the classes, p at τ = {tau}",
        "intra": "τ²·(1 − mean_k ρ(p_S,·k, p_T,·k)), ρ over the batch, p at τ = {tau}",
    }
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        beta: float = param(2.0, "weight β of the relation between the classes of a sample", ge=0)
        gamma: float = param(2.0, "weight γ of the relation between the samples of a class", ge=0)
        tau: float = param(4.0, "temperature τ", alternatives="1: the authors' for ImageNet", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "inter": params.beta, "intra": params.gamma}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        tau = self.params.tau
        ours, theirs = ((z / tau).softmax(dim=1) for z in (student.logits, teacher.logits))
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "inter": tau**2 * (1 - correlation(ours, theirs, dim=1).mean()),
            "intra": tau**2 * (1 - correlation(ours, theirs, dim=0).mean()),
        }


def correlation(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Pearson's correlation of matrices [B, K] along a dimension, one for each place of the other; 0 for constants."""
    a, b = (x - x.mean(dim=dim, keepdim=True) for x in (a, b))
    return (a * b).sum(dim=dim) / (vector_norm(a, dim=dim) * vector_norm(b, dim=dim) + EPSILON)
