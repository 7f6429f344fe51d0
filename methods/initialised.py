"""What methods share whose feature loss only initialises the student."""

import math
from collections.abc import Mapping

from torch import Tensor

from kdbench.method import Batch, Build, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm


class Initialised(WithKDTerm):
    """A method that trains the student's features first, and only then the student.

    For the first E₀ epochs L = β·L_feature, from then on L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ), E₀ the share
    `initial` of the run's epochs, rounded up. All terms are computed in every epoch, since a step is captured once.

    RepDistiller has an optimizer of its own for the first part, and no classifier in it. Here the second part begins
    with the first one's momenta, and with a classifier that has decayed.
    """

    caveat = "initialises within the run, RepDistiller in 30 epochs before it"

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term in the second part", alternatives="0 (RepDistiller)", ge=0)
        beta: float = param(1.0, "weight β of the features' loss in the first part", ge=0)
        initial: float = param(
            0.125, "share of the epochs, rounded up to whole ones, that are the first part", gt=0, lt=1
        )

    params: Params

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return "; ".join(filter(None, (params.remark, cls.caveat)))

    @classmethod
    def formula_for(cls, params: KDTermParams) -> Mapping[str, str]:
        when = {True: "in the first {initial} of the epochs", False: "after the first {initial} of the epochs"}
        return {name: f"{text}, {when[name == 'feature']}" for name, text in super().formula_for(params).items()}

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"feature": params.beta}

    def setup(self, build: Build) -> None:
        self.initial_epochs = math.ceil(self.params.initial * build.epochs)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        first = (batch.epoch <= self.initial_epochs).to(batch.epoch.dtype)
        later = {name: (1 - first) * term for name, term in self.kd_terms(student, teacher, batch).items()}
        return later | {"feature": first * self.feature(student, teacher)}

    def feature(self, student: Outputs, teacher: Outputs) -> Tensor:
        """L_feature of a batch, a scalar."""
        raise NotImplementedError
