"""Scale decoupled distillation with DKD's terms."""

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch
from kdbench.model import Outputs
from kdbench_methods.dkd import DKD, decouple
from kdbench_methods.sdd import SDD, RegionParams, compared


class SDDDKD(DKD):
    """DKD's two divergences of the logits of image regions, weighted as in SDD.

    L = CE(z_S, y) + w(epoch)·mean_{r,i} w_r,i·[α·τ²·kl_i(b_T^r ‖ b_S^r) + β·τ²·kl_i(p̂_T^r ‖ p̂_S^r)], r and w_r,i as in
    SDD; b, p̂ and the warm-up w(epoch) as in DKD. No modules.
    """

    name = "sdd_dkd"
    citation = SDD.citation
    formula = {
        "ce": "CE(z_S, y)",
        "tckd": "w·mean_r,i w_r,i·τ²·kl_i(b_T^r ‖ b_S^r), b = (p_y, 1 − p_y), τ = {tau}, "
        "w = min(epoch/{warmup_epochs}, 1), regions r of grids up to {finest}×{finest}, "
        "w_r,i = {complementary} where the teacher is right about the region alone or about the image alone, else 1",
        "nckd": "w·mean_r,i w_r,i·τ²·kl_i(p̂_T^r ‖ p̂_S^r), p̂ = softmax over the other classes, all else as in tckd",
    }
    needs = replace(SDD.needs, batch=DKD.needs.batch)

    class Params(DKD.Params, RegionParams):
        """DKD's, and which regions."""

    params: Params

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        ours, theirs, weights = compared(student, teacher, batch, p)
        labels = batch.labels.repeat(len(weights) // len(batch.labels))
        (binary_s, others_s), (binary_t, others_t) = (decouple(z, labels, p.tau) for z in (ours, theirs))
        warmup = (batch.epoch / p.warmup_epochs).clamp(max=1)
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "tckd": warmup * (weights * kd(binary_s, binary_t, p.tau, reduction="none")).mean(),
            "nckd": warmup * (weights * kd(others_s, others_t, p.tau, reduction="none")).mean(),
        }
