"""Knowledge distillation with a weight on the labels' loss as well."""

from kdbench.method import param
from kdbench_methods.kd import KD


class WeightedKD(KD):
    """L = γ·CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ): `kd` where γ is 1. No modules.

    The defaults are those of RepDistiller's KD row.
    """

    name = "kd_weighted"

    class Params(KD.Params):
        gamma: float = param(0.1, "weight γ of the labels' loss", alternatives="1: `kd`", ge=0)
        alpha: float = param(0.9, "weight α of the KD term", ge=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": params.gamma, "kd": params.alpha}
