"""Methods that are each wrong in one way; `expected` is the check that must say so, and `says` what it must mention.

A plugin file: the tests load it with `--plugin`, as an author's own would be.
"""

import random
import sys
import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import kdbench
from kdbench.losses import kd
from kdbench.method import Method, Needs

BROKEN = []


def broken(expected, says):
    """Register a method under the name of its class."""

    def register(method):
        method.name, method.expected, method.says = method.__name__.lower(), expected, says
        BROKEN.append(method)
        return method

    return register


class Good(Method):
    """A method with all that a method may have, and nothing wrong with it."""

    name = "good"
    citation = "nobody: nothing, 2026"
    formula = {"ce": "CE(z_S, y)", "kd": "KL_{S}, τ = {tau}", "hint": "mean (r(e_S) + noise − e_T)²"}
    needs = Needs(student=("logits", "embedding"), teacher=("logits", "embedding"), batch=("generator",))

    class Params(kdbench.MethodParams):
        tau: float = kdbench.param(4.0, "temperature τ", gt=0)

    @classmethod
    def weights(cls, params):
        return {"ce": 1.0, "kd": 1.0, "hint": 1.0}

    def setup(self, build):
        self.r = nn.Linear(build.student_shapes.embedding, build.teacher_shapes.embedding)
        self.register_buffer("steps", torch.zeros(()))

    def terms(self, student, teacher, batch):
        self.steps += 1
        return {
            "ce": self.ce(student, batch),
            "kd": kd(student.logits, teacher.logits, self.params.tau),
            "hint": self.hint(student.embedding, teacher.embedding, batch),
        }

    def ce(self, student, batch):
        return F.cross_entropy(student.logits, batch.labels)

    def hint(self, ours, theirs, batch):
        noise = torch.randn(ours.shape, generator=batch.generator, device=ours.device) / (1 + self.steps)
        return F.mse_loss(self.run(self.r, ours + noise), theirs)

    def diagnose(self, student, teacher, batch):
        return {"error": self.error(student, teacher)}

    def error(self, student, teacher):
        return (self.run(self.r, student.embedding) - teacher.embedding).square().mean(dim=1)


class TeacherFree(Method):
    """Cross-entropy alone."""

    name = "teacher_free"
    formula = {"ce": "CE(z_S, y)"}

    @classmethod
    def weights(cls, params):
        return {"ce": 1.0}

    def terms(self, student, teacher, batch):
        return {"ce": F.cross_entropy(student.logits, batch.labels)}


class WithHeads(Good):
    """A method whose pre-stage trains a classifier on the teacher's embedding."""

    name = "with_heads"

    class Heads(Method):
        name = "heads"
        formula = {"ce": "CE(h(e), y)"}
        needs = Needs(student=("embedding",))

        @classmethod
        def weights(cls, params):
            return {"ce": 1.0}

        def setup(self, build):
            assert build.epochs == 2  # as the recipe of the checks has it
            self.head = nn.Linear(build.student_shapes.embedding, build.num_classes)

        def terms(self, student, teacher, batch):
            return {"ce": F.cross_entropy(self.run(self.head, student.embedding), batch.labels)}

    @classmethod
    def pre_stage(cls, params):
        return cls.Heads, cls.Heads.Params()

    def setup(self, build):
        super().setup(build)
        assert build.epochs == 2
        self.head = build.pre_stage.head


class BeforeReLU(Good):
    """A method that reads the maps before the ReLU, and the norms that they come from."""

    name = "before_relu"
    needs = Needs(
        student=("logits", "embedding", "preactivations"),
        teacher=("logits", "embedding", "preactivations"),
        batch=("generator",),
    )

    def setup(self, build):
        super().setup(build)
        assert all(isinstance(norm, nn.BatchNorm2d) for norm in build.teacher.preactivation_norms)

    def hint(self, ours, theirs, batch):
        return super().hint(ours, theirs, batch) + self.deepest

    def terms(self, student, teacher, batch):
        self.deepest = (student.preactivations[-1].mean() - teacher.preactivations[-1].mean()).square()
        return super().terms(student, teacher, batch)


# decline


@broken("decline", "raises for a student of one stage")
class IndexesStages(Good):
    @classmethod
    def decline(cls, params, student, teacher):
        return None if student.stages[1] else "no second stage"


@broken("decline", "the method calls sys.exit(0), at broken.py:")
class ExitsInDecline(Good):
    @classmethod
    def decline(cls, params, student, teacher):
        sys.exit(0)


@broken("step", "it cannot be built: RuntimeError: the method calls sys.exit(0), at broken.py:")
class ExitsInSetup(Good):
    def setup(self, build):
        sys.exit(0)


@broken("step", "its first step fails: RuntimeError: the method calls sys.exit(0), at broken.py:")
class ExitsInTerms(Good):
    def terms(self, student, teacher, batch):
        sys.exit(0)


@broken("decline", "gives ''")
class EmptySentence(Good):
    @classmethod
    def decline(cls, params, student, teacher):
        return ""


@broken("decline", "declines every pair")
class DeclinesAll(Good):
    @classmethod
    def decline(cls, params, student, teacher):
        return "not today"


# teacher_free


@broken("teacher_free", "declares no teacher")
class PeeksAtTheTeacher(TeacherFree):
    def setup(self, build):
        self.width = build.teacher_shapes.embedding


@broken("teacher_free", "a pre-stage but no teacher")
class OrphanedPreStage(TeacherFree):
    @classmethod
    def pre_stage(cls, params):
        return WithHeads.Heads, WithHeads.Heads.Params()


# step


@broken("step", "it cannot be built: AttributeError")
class MisspellsTheBuild(Good):
    def setup(self, build):
        self.r = nn.Linear(build.student_shape.embedding, 1)


@broken("step", "its first step fails: RuntimeError")
class WrongWidth(Good):
    def setup(self, build):
        super().setup(build)
        self.r = nn.Linear(1, 1)


# needs


@broken("needs", "`stages` of the teacher was read")
class ReadsMore(Good):
    def terms(self, student, teacher, batch):
        return super().terms(student, teacher, batch) | {"kd": teacher.stages[-1].mean()}


@broken("needs", "`index` of the batch was read")
class ReadsTheIndex(Good):
    def hint(self, ours, theirs, batch):
        return super().hint(ours, theirs, batch) + 0 * batch.index.sum()


@broken("needs", "declares stages, which a step never reads")
class ReadsLess(Good):
    needs = Needs(student=("logits", "embedding", "stages"), teacher=("logits", "embedding"), batch=("generator",))


@broken("needs", "declares epoch, which a step never reads")
class IgnoresTheEpoch(Good):
    needs = Needs(student=("logits", "embedding"), teacher=("logits", "embedding"), batch=("generator", "epoch"))


@broken("needs", "`needs.student` names ['logit']")
class MisspellsANeed(Good):
    needs = Needs(student=("logit", "embedding"), teacher=("logits", "embedding"), batch=("generator",))


@broken("needs", "declares no pre-stage")
class UndeclaredPreStage(Good):
    def setup(self, build):
        super().setup(build)
        self.head = build.pre_stage.head


# terms


@broken("terms", "`terms` gives ['ce', 'hint', 'kd', 'more']")
class OneTermMore(Good):
    def terms(self, student, teacher, batch):
        terms = super().terms(student, teacher, batch)
        return terms | {"more": terms["ce"]}


@broken("terms", "no text for ['hint']")
class UntoldTerm(Good):
    formula = {"ce": "CE", "kd": "KL"}


@broken("terms", "`formula` is no mapping of terms to texts")
class FormulaInOneText(Good):
    formula = "CE + KD + hint"


@broken("terms", "a tensor of shape [8]")
class OneValueASample(Good):
    def ce(self, student, batch):
        return F.cross_entropy(student.logits, batch.labels, reduction="none")


@broken("terms", "term 'ce' is float")
class PlainNumber(Good):
    def ce(self, student, batch):
        return 0.5


@broken("terms", "term 'hint' is nan")
class NotANumber(Good):
    def hint(self, ours, theirs, batch):
        return super().hint(ours, theirs, batch) * (ours - ours.detach() - 1).sum().log()


# batch


@broken("batch", "in a short last batch: RuntimeError")
class FixedBatch(Good):
    def setup(self, build):
        super().setup(build)
        self.register_buffer("importance", torch.ones(build.batch_size))

    def ce(self, student, batch):
        return (F.cross_entropy(student.logits, batch.labels, reduction="none") * self.importance).mean()


@broken("batch", "['hint'] are not finite in a short last batch")
class CountsTheRest(Good):
    def hint(self, ours, theirs, batch):
        rest = ours[5:] if len(ours) > 1 else ours  # a single image is another check's
        return super().hint(ours, theirs, batch) + 0 * rest.mean()


# gradients


@broken("gradients", "'spare.weight' gets no gradient")
class SpareModule(Good):
    def setup(self, build):
        super().setup(build)
        self.spare = nn.Linear(2, 2)


@broken("gradients", "the gradient of parameter 'gate' is 0")
class DeadGate(Good):
    def setup(self, build):
        super().setup(build)
        self.gate = nn.Parameter(torch.tensor(-1.0))

    def ce(self, student, batch):
        return super().ce(student, batch) + self.gate.relu()


@broken("gradients", "no gradient reaches stem, stage 1")
class DetachedStudent(Good):
    def terms(self, student, teacher, batch):
        return super().terms(student.detach(), teacher, batch)


@broken("gradients", "parameters ['late'] appear during a step")
class LateParameter(Good):
    def hint(self, ours, theirs, batch):
        if not hasattr(self, "late"):
            self.late = nn.Parameter(torch.zeros(()))
        return super().hint(ours, theirs, batch)


@broken("gradients", "has a gradient but does not change")
class PutsWeightsBack(Good):
    def setup(self, build):
        super().setup(build)
        self.r.weight.register_hook(self.undo)

    def undo(self, gradient):
        """What the optimizer is going to take away."""
        self.r.weight.data.add_(1e-5 * gradient)


# teacher


@broken("teacher", "the teacher is in training mode")
class KeepsTheTeacher(Good):
    def setup(self, build):
        super().setup(build)
        self.teacher = build.teacher


@broken("teacher", "asks for or has a gradient")
class ThawsTheTeacher(Good):
    def setup(self, build):
        super().setup(build)
        build.teacher.head.classifier.weight.requires_grad_(True)


@broken("teacher", "'head.classifier.weight' has changed")
class ChangesTheTeacher(Good):
    def setup(self, build):
        super().setup(build)
        build.teacher.head.classifier.weight.mul_(0.5)


@broken("teacher", "overwrites logits of the teacher")
class ScalesInPlace(Good):
    def terms(self, student, teacher, batch):
        teacher.logits.div_(2)
        return super().terms(student, teacher, batch)


@broken("teacher", "overwrites labels of the batch")
class ShufflesLabels(Good):
    def ce(self, student, batch):
        batch.labels.copy_(batch.labels.flip(0))
        return super().ce(student, batch)


# host_sync


@broken("host_sync", "`Tensor.item` reads a value on the host, at broken.py:")
class Item(Good):
    def ce(self, student, batch):
        loss = super().ce(student, batch)
        return loss * min(1.0, 1e6 / loss.item())


@broken("host_sync", "`Tensor.__bool__` branches on a value, at broken.py:")
class Branch(Good):
    def ce(self, student, batch):
        loss = super().ce(student, batch)
        if loss > 1e6:
            return 0 * loss
        return loss


@broken("host_sync", "`Tensor.tolist`")
class ToList(Good):
    def ce(self, student, batch):
        return super().ce(student, batch) * len(batch.labels.tolist()) / len(batch.labels)


@broken("host_sync", "`Tensor.numpy`")
class ToNumpy(Good):
    def ce(self, student, batch):
        return super().ce(student, batch) + 0 * float(np.sum(student.logits.detach().numpy()))


@broken("host_sync", "`Tensor.cpu` copies to the host")
class ToCpu(Good):
    def ce(self, student, batch):
        return F.cross_entropy(student.logits.cpu(), batch.labels.cpu())


@broken("host_sync", "`Tensor.to` copies to the host")
class ToHostByName(Good):
    def ce(self, student, batch):
        return F.cross_entropy(student.logits.to("cpu"), batch.labels)


@broken("host_sync", "`index` picks by a boolean mask")
class Mask(Good):
    def ce(self, student, batch):
        chosen = student.logits.amax(dim=1) > -1e6
        return F.cross_entropy(student.logits[chosen], batch.labels)


@broken("host_sync", "`nonzero` gives a result that depends on values")
class Nonzero(Good):
    def ce(self, student, batch):
        rows = torch.nonzero(student.logits.detach().isfinite().all(dim=1)).squeeze(1)
        return F.cross_entropy(student.logits.index_select(0, rows), batch.labels)


@broken("host_sync", "`tensor` copies numbers from the host to the device")
class NewTensor(Good):
    def ce(self, student, batch):
        return super().ce(student, batch) * torch.tensor(0.5, device=batch.labels.device)


@broken("host_sync", "whether the decomposition worked")
class Inverse(Good):
    def ce(self, student, batch):
        return super().ce(student, batch) * torch.linalg.inv(torch.eye(3, device=batch.labels.device)).trace() / 3


class _ReadsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1.0 if gradient.abs().sum().item() >= 0 else 0.0)


@broken("host_sync", "`item` reads a value on the host, at broken.py:")
class ItemBackward(Good):
    def ce(self, student, batch):
        return _ReadsBackward.apply(super().ce(student, batch))


# deployment


@broken("deployment", "ships '1.weight', which is neither the student's")
class ShipsItsModule(Good):
    def setup(self, build):
        super().setup(build)
        self.calibration = nn.Linear(build.num_classes, build.num_classes)

    def ce(self, student, batch):
        return F.cross_entropy(self.run(self.calibration, student.logits), batch.labels)

    def deploy(self, student):
        return nn.Sequential(student, self.calibration)


@broken("deployment", "names ['calibration'], which the method has not")
class KeepsNothing(Good):
    kept = ("calibration",)


@broken("deployment", "ships none of it")
class KeepsInVain(Good):
    kept = ("r",)


@broken("deployment", "the deployed network gives [8, ")
class ShipsFeatures(Good):
    def deploy(self, student):
        return nn.Sequential(student.stem, *student.stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


# diagnose


@broken("diagnose", "`diagnose` raises UndeclaredNeedError: `generator` of the batch was read")
class DiagnosesByChance(Good):
    def diagnose(self, student, teacher, batch):
        return {"error": self.hint(student.embedding, teacher.embedding, batch)}


@broken("diagnose", "`diagnose` raises RuntimeError")
class DiagnosesFixedBatch(Good):
    def setup(self, build):
        super().setup(build)
        self.register_buffer("importance", torch.ones(build.batch_size))

    def error(self, student, teacher):
        return super().error(student, teacher) * self.importance


@broken("diagnose", "gives a tensor of shape [13], not a dict")
class DiagnosesWithoutName(Good):
    def diagnose(self, student, teacher, batch):
        return self.error(student, teacher)


@broken("diagnose", "names a value 1, which is no text")
class DiagnosesByNumber(Good):
    def diagnose(self, student, teacher, batch):
        return {1: self.error(student, teacher)}


@broken("diagnose", "gives 'error' as list for a batch of 13")
class DiagnosesAList(Good):
    def error(self, student, teacher):
        return super().error(student, teacher).tolist()


@broken("diagnose", "gives 'error' as a tensor of shape [] for a batch of 13")
class DiagnosesTheBatch(Good):
    def error(self, student, teacher):
        return super().error(student, teacher).mean()


@broken("diagnose", "gives 'error' as a tensor of shape [13, 1] for a batch of 13")
class DiagnosesAColumn(Good):
    def error(self, student, teacher):
        return super().error(student, teacher).unsqueeze(1)


@broken("diagnose", "gives 'error' in bool")
class DiagnosesYesOrNo(Good):
    def error(self, student, teacher):
        return super().error(student, teacher) > 1


@broken("diagnose", "values of 'error' that are not finite")
class DiagnosesInfinity(Good):
    def error(self, student, teacher):
        return super().error(student, teacher) / (teacher.logits.argmax(dim=1) * 0)


@broken("diagnose", "draws from the global random numbers of torch")
class DiagnosesNoise(Good):
    def error(self, student, teacher):
        error = super().error(student, teacher)
        return error + torch.randn_like(error)


@broken("diagnose", "changes steps")
class DiagnosesAStep(Good):
    def error(self, student, teacher):
        self.steps += 1
        return super().error(student, teacher)


@broken("diagnose", "changes the gradient of r.bias")
class DiagnosesByGradient(Good):
    def error(self, student, teacher):
        with torch.enable_grad():
            error = super().error(student, teacher)
            error.mean().backward()
        return error.detach()


@broken("diagnose", "changes the gradient of r.bias")
class DiagnosesAndClears(Good):
    def error(self, student, teacher):
        self.zero_grad()
        return super().error(student, teacher)


# extreme_logits


@broken("extreme_logits", "at logits of ±10000")
class LogOfSoftmax(Good):
    needs = replace(Good.needs, class_indices=True)

    def ce(self, student, batch):
        return F.nll_loss(student.logits.softmax(dim=1).log(), batch.labels)


@broken("extreme_logits", "the gradient of student's")
class GradientOverflows(Good):
    def ce(self, student, batch):
        # Finite, and its gradient is 0/0 where all logits of a row are equal.
        return super().ce(student, batch) + 1e-6 * (student.logits - student.logits[:, :1]).norm(dim=1).pow(0.5).mean()


# bf16


@broken("bf16", "under bf16 autocast")
class CancelsInHalf(Good):
    def ce(self, student, batch):
        loss = super().ce(student, batch).to(self.precision)
        return ((loss + 100) - 100).float()


@broken("bf16", "is computed in bfloat16")
class StaysInHalf(Good):
    def ce(self, student, batch):
        return super().ce(student, batch).to(self.precision)


# seed


@broken("single_image", "loss term 'pairs' was not finite")
class NoPairOfOneImage(Good):
    """A mean over the pairs of a batch; of one image there is none."""

    formula = Good.formula | {"pairs": "mean distance of pairs"}

    @classmethod
    def weights(cls, params):
        return super().weights(params) | {"pairs": 1e-3}

    def terms(self, student, teacher, batch):
        pairs = torch.pdist(student.embedding).mean()
        return super().terms(student, teacher, batch) | {"pairs": pairs}


@broken("soft_labels", "with labels as class probabilities [B, K]: ")
class ReadsIndices(Good):
    def ce(self, student, batch):
        return -student.logits.log_softmax(dim=1).gather(1, batch.labels[:, None]).mean()


@broken("soft_labels", "with labels as class probabilities [B, K] and")
class TakesProbabilitiesForIndices(Good):
    def ce(self, student, batch):
        return super().ce(student, batch) + 0.1 * batch.labels.float().mean()


@broken("seed", "draws from the global random numbers of torch")
class GlobalNoise(Good):
    def hint(self, ours, theirs, batch):
        return super().hint(ours + torch.randn_like(ours), theirs, batch)


@broken("seed", "draws from the global random numbers of random")
class PythonNoise(Good):
    compiles = False

    def ce(self, student, batch):
        return super().ce(student, batch) * random.uniform(0.5, 1)


@broken("seed", "two steps from the same seed give different values of scale")
class NumpyInSetup(Good):
    def setup(self, build):
        super().setup(build)
        self.register_buffer("scale", torch.tensor(np.random.uniform(0.5, 1)))

    def ce(self, student, batch):
        return super().ce(student, batch) * (1 + 0 * self.scale)


# gpu


@broken("gpu", "on a GPU: ")
class LeavesAConstantOnTheCPU(Good):
    def setup(self, build):
        super().setup(build)
        self.scale = torch.ones(build.num_classes)

    def ce(self, student, batch):
        return F.cross_entropy(student.logits * self.scale, batch.labels)


# state


@broken("state", "a resumed training gives another value of")
class CountsInAnAttribute(Good):
    calls = 0

    def ce(self, student, batch):
        self.calls += 1
        return super().ce(student, batch) / self.calls


@broken("state", "a resumed training gives another value of")
class UnsavedBuffer(Good):
    def setup(self, build):
        super().setup(build)
        self.register_buffer("average", torch.zeros(()), persistent=False)

    def ce(self, student, batch):
        loss = super().ce(student, batch)
        self.average += 0.1 * loss.detach()
        return loss * (1 + self.average)


# compile


@broken("compile", "`terms` is not captured")
class Prints(TeacherFree):
    def terms(self, student, teacher, batch):
        print(time.strftime("%S"), end="")
        return super().terms(student, teacher, batch)


@broken("compile", "when compiled")
class OtherwiseCompiled(TeacherFree):
    def terms(self, student, teacher, batch):
        terms = super().terms(student, teacher, batch)
        return {"ce": terms["ce"] * 2} if torch.compiler.is_compiling() else terms


@broken("gradients", "'spare.weight' gets no gradient")
class BrokenPreStage(WithHeads):
    class Heads(WithHeads.Heads):
        def setup(self, build):
            super().setup(build)
            self.spare = nn.Linear(2, 2)


@kdbench.hookimpl
def kdbench_methods():
    return [Good, TeacherFree, WithHeads, BeforeReLU, *BROKEN]
