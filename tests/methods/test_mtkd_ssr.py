import copy
from itertools import pairwise

import pytest
import torch

from kdbench.method import Build
from kdbench.model import Outputs
from kdbench_methods.mtkd_ssr import MTKDSSR, TeacherHeads
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient, shallow_heads
from tests.support import STUDENT, TEACHER, build_method, random_batch, random_outputs, tiny_architecture


def teacher_logits(method, teacher, count):
    """p_{T,l}'s logits for the `count` deepest stages, by the frozen heads in eval mode."""
    heads = list(method.teacher_heads.module)
    shallow = list(teacher.stages[:-1])[-len(heads) :]
    return [*(head(stage) for head, stage in zip(heads, shallow, strict=True)), teacher.logits][-count:]


def pooled(projection, ours, theirs):
    """mean_{b,c} (GAP r(f_S) - GAP f_T)²: projected first, pooled afterwards."""
    return ref.square_error(ref.pool(ref.pointwise(projection, ours), 1, 1), ref.pool(theirs, 1, 1))


def spatial(projection, ours, theirs, tau=4.0):
    """mean_{b,c} τ²·KL of each channel's softmax over places."""
    ours, theirs = ref.pool_larger(ours, theirs)
    ours = ref.pointwise(projection, ours)
    rows = [
        tau**2 * ref.kl_of_logits(theirs[b, c].flatten(), ours[b, c].flatten(), tau)
        for b in range(theirs.shape[0])
        for c in range(theirs.shape[1])
    ]
    return ref.mean(rows)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize(("scd", "distance"), [("pooled", pooled), ("spatial", spatial)])
def test_terms_equal_the_formula(pair, scd, distance):
    method, student, teacher, batch = case(MTKDSSR, pair, scd=scd)
    logits = [*(head.logits for head in shallow_heads(method, student)), student.logits]
    paired = min(len(student.stages), len(teacher.stages))
    theirs = teacher_logits(method, teacher, paired)
    assert len(theirs) == len(method.projections) == paired
    stages = zip(method.projections, student.stages[-paired:], teacher.stages[-paired:], strict=True)
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        ce_shallow=sum(ref.cross_entropy(z, batch.labels) for z in logits[:-1]),
        srd=sum(ref.kd(z_s, z_t, 4.0) for z_s, z_t in zip(logits[-paired:], theirs, strict=True)),
        scd=sum(distance(*triple) for triple in stages),
        crd=sum(ref.kd(z, target, 4.0) for z, target in pairwise(logits)),
    )


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_final_teaches_every_stage_with_the_teachers_own_prediction(pair):
    method, student, teacher, batch = case(MTKDSSR, pair, teacher_heads="final", scd="off")
    assert method.needs_for(method.params).teacher == ("logits",)
    logits = [*(head.logits for head in shallow_heads(method, student)), student.logits]
    expected = sum(ref.kd(z, teacher.logits, 4.0) for z in logits)
    assert method.terms(student, teacher, batch)["srd"].item() == approx(expected)


def test_crd_from_the_last_classifier():
    method, student, teacher, batch = case(MTKDSSR, crd="last")
    logits = [head.logits for head in shallow_heads(method, student)]
    expected = sum(ref.kd(z, student.logits, 4.0) for z in logits)
    assert method.terms(student, teacher, batch)["crd"].item() == approx(expected)


def test_crd_from_the_previous_stage():
    method, student, teacher, batch = case(MTKDSSR, crd="previous")
    logits = [*(head.logits for head in shallow_heads(method, student)), student.logits]
    expected = sum(ref.kd(deeper, shallower, 4.0) for shallower, deeper in pairwise(logits))
    assert method.terms(student, teacher, batch)["crd"].item() == approx(expected)


@pytest.mark.parametrize("crd", ["next", "last"])
def test_crd_moves_the_learner_alone(crd):
    method, student, teacher, batch = case(MTKDSSR, crd=crd)
    method.terms(student, teacher, batch)["crd"].backward()
    assert student.logits.grad is None
    assert all((stage.grad != 0).any() for stage in student.stages[:-1])


@pytest.mark.parametrize(
    ("params", "terms", "teacher"),
    [
        ({"srd": False}, {"scd", "crd"}, ("stages",)),
        ({"scd": "off"}, {"srd", "crd"}, ("logits", "stages")),
        ({"crd": "off"}, {"srd", "scd"}, ("logits", "stages")),
        ({"srd": False, "scd": "off"}, {"crd"}, ()),
        ({"teacher_heads": "final"}, {"srd", "scd", "crd"}, ("logits", "stages")),
    ],
)
def test_each_mechanism_has_its_switch(params, terms, teacher):
    method, ours, theirs, batch = case(MTKDSSR, **params)
    assert method.needs_for(method.params).teacher == teacher
    actual = method.terms(ours, theirs, batch)
    assert actual.keys() == {"ce", "ce_shallow"} | terms == method.weights(method.params).keys()


def test_without_srd_and_scd_it_builds_without_a_teacher():
    method = build_method(MTKDSSR, STUDENT, None, srd=False, scd="off")
    outputs = random_outputs(STUDENT)
    terms = method.terms(outputs.only(("logits", "stages"), "student"), Outputs("teacher"), random_batch())
    assert all(term.isfinite() for term in terms.values())


def test_the_teachers_heads_are_frozen_and_no_part_of_the_method():
    method, student, teacher, batch = case(MTKDSSR)
    frozen = list(method.teacher_heads.module.parameters())
    assert frozen
    assert not any(parameter.requires_grad for parameter in frozen)
    assert not {id(p) for p in frozen} & {id(p) for p in method.parameters()}
    assert not any(key.startswith("teacher_heads") for key in method.state_dict())
    statistics = copy.deepcopy(method.teacher_heads.module.state_dict())
    method.train()
    sum(method.terms(student, teacher, batch).values()).backward()
    assert not any(module.training for module in method.teacher_heads.module.modules())
    assert all(torch.equal(value, statistics[key]) for key, value in method.teacher_heads.module.state_dict().items())


def test_the_teachers_heads_move_with_the_method_and_are_copies():
    shapes = TEACHER.shapes(5, 8)
    network, labels = TEACHER.build(5), torch.arange(40) % 5
    heads = TeacherHeads(TeacherHeads.Params(), Build(network, shapes, labels, 6, epochs=1))
    build = Build(STUDENT.build(5), STUDENT.shapes(5, 8), labels, 6, network, shapes, heads, epochs=1)
    method = MTKDSSR(MTKDSSR.Params(), build).double()
    assert {p.dtype for p in method.teacher_heads.module.parameters()} == {torch.float64}
    assert {p.dtype for p in heads.parameters()} == {torch.float32}
    assert heads.training
    assert all(p.requires_grad for p in heads.parameters())
    fresh = copy.deepcopy(method)
    fresh.load_state_dict(method.state_dict())
    assert fresh.teacher_heads.module is not method.teacher_heads.module


def test_the_pre_stage_trains_heads_on_the_teacher():
    stage, params = MTKDSSR.pre_stage(MTKDSSR.Params())
    assert stage is TeacherHeads
    method = build_method(stage, TEACHER, None)
    outputs, batch = random_outputs(TEACHER), random_batch()
    terms = method.terms(outputs.only(stage.needs.student, "student"), Outputs("teacher"), batch)
    expected = sum(ref.cross_entropy(head.logits, batch.labels) for head in shallow_heads(method, outputs))
    assert_terms(terms, ce_shallow=expected)
    assert stage.weights(params) == {"ce_shallow": 1.0}


@pytest.mark.parametrize("params", [{"teacher_heads": "final"}, {"srd": False}])
def test_no_pre_stage_where_no_trained_head_is_read(params):
    assert MTKDSSR.pre_stage(MTKDSSR.Params(**params)) is None


def test_networks_of_one_stage_are_declined():
    single, shapes = tiny_architecture("single", (4,), (1,)).shapes(5, 8), STUDENT.shapes(5, 8)
    assert "a student of one stage" in MTKDSSR.decline(MTKDSSR.Params(), single, shapes)
    assert "a teacher of one stage" in MTKDSSR.decline(MTKDSSR.Params(), shapes, single)
    assert MTKDSSR.decline(MTKDSSR.Params(teacher_heads="final"), shapes, single) is None
    assert MTKDSSR.decline(MTKDSSR.Params(), shapes, shapes) is None


def test_its_numbers_carry_a_caveat():
    assert MTKDSSR.caveat == "reconstructed from the abstract"


@pytest.mark.parametrize("scd", ["pooled", "spatial"])
def test_gradient(scd):
    check_gradient(*case(MTKDSSR, scd=scd, crd="off"), "logits", "stages")
