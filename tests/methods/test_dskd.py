import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.losses import loss_based_weights
from kdbench_methods.dskd import DSKD, RESIZE
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient
from tests.support import STUDENT, TEACHER, random_batch, tiny_architecture

SWITCHES = {
    "default": {},
    "equal weights": {"adaptive": False},
    "equal weights of 1": {"adaptive": False, "equal_weight": "one"},
    "one projection": {"shared_projection": True},
    "feature loss from epoch 2": {"fea_from_epoch": 2},
    "weights per batch": {"weights_per": "batch"},
    "attached weights": {"detach_weights": False},
    "attached weights per batch": {"detach_weights": False, "weights_per": "batch"},
    "no τ²": {"tau_squared": False},
    "τ = 2": {"tau": 2.0},
    "no feature loss": {"fea": False},
    "block 1": {"blocks": (1,)},
    "blocks 3 and 1": {"blocks": (3, 1, 1)},
    "no block": {"blocks": ()},
    "1×1 projection": {"projector": "conv1x1"},
    "last stage": {"feature_tap": "last_stage"},
    "pooled vector": {"feature_tap": "embedding"},
    "pool the larger": {"resize": "smaller"},
}


def tap(outputs, where):
    return {"last_stage": lambda: outputs.stages[-1]}.get(where, lambda: getattr(outputs, where))()


def as_map(features):
    return features if features.dim() == 4 else features.reshape(*features.shape, 1, 1)


def weighted(losses, *, adaptive, per_sample, equal):
    """mean_i Σ_l W_l,i·loss_l,i of losses[head][sample]."""
    heads, samples = range(len(losses)), range(len(losses[0]))
    result = 0.0
    for i in samples:
        # Weights per batch: a head's share of the losses summed over the batch, the same for each sample.
        considered = [losses[head][i] if per_sample else sum(losses[head]) for head in heads]
        for head in heads:
            weight = considered[head] / sum(considered) if adaptive else equal
            result += weight * losses[head][i]
    return result / len(samples)


def expected_terms(method, student, teacher, batch):
    """DSKD's terms from the formulas, sample by sample; branches and projections are the method's own modules."""
    p = method.params
    blocks = range(1, len(student.stages)) if p.blocks == "all" else sorted(set(p.blocks))
    heads = [b.outputs(student.stages[block - 1]) for b, block in zip(method.branches, blocks, strict=True)]
    equal = 1.0 if p.equal_weight == "one" else 1 / max(len(heads), 1)
    weighting = {"adaptive": p.adaptive, "per_sample": p.weights_per == "sample", "equal": equal}
    scale = p.tau**2 if p.tau_squared else 1.0

    def divergences(logits):
        return [scale * ref.kl_of_logits(t, z, p.tau) for t, z in zip(teacher.logits, logits, strict=True)]

    last = divergences(student.logits)
    terms = {
        "ce": ref.cross_entropy(student.logits, batch.labels),
        "kd_last": sum(last) / len(last),
        "kd_shallow": weighted([divergences(head.logits) for head in heads], **weighting) if heads else 0.0,
    }
    if p.fea:
        theirs = as_map(tap(teacher, p.feature_tap))
        errors = []
        projections = list(method.projections) * (len(heads) + 1 if p.shared_projection else 1)
        for projection, head in zip(projections, [*heads, student], strict=True):
            ours = as_map(tap(head, p.feature_tap))
            size = theirs.shape[2] if p.resize == "teacher" else min(ours.shape[2], theirs.shape[2])
            ours, target = projection(ref.pool(ours, size, size)), ref.pool(theirs, size, size)
            errors.append([ref.square_error(f, t) for f, t in zip(ours, target, strict=True)])
        on = p.fea_from_epoch == 1 or batch.epoch.item() >= p.fea_from_epoch
        terms["fea_last"] = on * sum(errors[-1]) / len(errors[-1])
        terms["fea_shallow"] = on * weighted(errors[:-1], **weighting) if heads else 0.0
    return terms


def terms_of(**params):
    """Terms under these parameters, as numbers; the same networks and data every time."""
    method, *rest = case(DSKD, **params)
    return {name: term.item() for name, term in method.terms(*rest).items()}


@pytest.mark.parametrize("pair", [PAIRS["deeper student"], PAIRS["deeper teacher"]], ids=["deep", "shallow"])
@pytest.mark.parametrize("params", SWITCHES.values(), ids=SWITCHES)
def test_terms_equal_the_formula(pair, params):
    if params.get("blocks") == (3, 1, 1) and pair[0] is not STUDENT:
        params = {"blocks": (2, 1, 1)}
    method, *rest = case(DSKD, pair, **params)
    assert_terms(method.terms(*rest), **expected_terms(method, *rest))


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms_equal_the_formula_on_every_pair(pair):
    method, *rest = case(DSKD, pair, seed=3)
    assert_terms(method.terms(*rest), **expected_terms(method, *rest))


def test_the_feature_loss_begins_in_its_epoch():
    method, student, teacher, _ = case(DSKD, fea_from_epoch=3)
    found = [
        method.terms(student, teacher, random_batch(epoch=epoch).only(("epoch",)))["fea_last"].item()
        for epoch in (1, 2, 3, 4)
    ]
    assert found[0] == found[1] == 0 and found[2] == found[3] == terms_of()["fea_last"]


def test_equal_weights_of_1_are_as_many_times_the_mean_as_there_are_heads():
    mean, one = terms_of(adaptive=False), terms_of(adaptive=False, equal_weight="one")
    for name in ("kd_shallow", "fea_shallow"):
        assert one[name] == approx(3 * mean[name])


def test_a_shared_projection_is_one():
    (shared,) = case(DSKD, shared_projection=True)[0].projections
    own = case(DSKD)[0].projections
    assert len(own) == 4 and len(list(shared.parameters())) * 4 == len(list(own.parameters()))


def test_identity_projection():
    method, *rest = case(DSKD, PAIRS["same network"], projector="identity")
    assert list(method.projections.parameters()) == []
    assert_terms(method.terms(*rest), **expected_terms(method, *rest))


def test_weights():
    assert DSKD.weights(DSKD.Params()) == {
        "ce": 1.0,
        "kd_last": 1.0,
        "kd_shallow": 1.0,
        "fea_last": 30.0,
        "fea_shallow": 30.0,
    }
    assert DSKD.weights(DSKD.Params(alpha=0, fea=False)) == {"ce": 1.0, "kd_last": 0.0, "kd_shallow": 0.0}


def test_without_tau_squared_the_divergences_are_16_times_weaker():
    full, weak = terms_of(), terms_of(tau_squared=False)
    assert weak == approx(full | {name: full[name] / 16 for name in ("kd_last", "kd_shallow")})


@pytest.mark.parametrize("seed", range(5))
def test_loss_based_weights_never_lower_the_loss(seed):
    """Σ D²/ΣD ≥ mean D (Chebyshev), for each sample and so for the batch."""
    adaptive, equal = (
        {name: term.item() for name, term in method.terms(*rest).items()}
        for method, *rest in (case(DSKD, seed=seed, adaptive=on) for on in (True, False))
    )
    for name in ("kd_shallow", "fea_shallow"):
        assert adaptive[name] > equal[name]
    for name in ("ce", "kd_last", "fea_last"):
        assert adaptive[name] == equal[name]


def test_one_block_makes_the_weights_inert():
    assert terms_of(blocks=(2,)) == approx(terms_of(blocks=(2,), adaptive=False))


def test_detaching_changes_gradients_and_no_value():
    attached, detached = (case(DSKD, detach_weights=on) for on in (False, True))
    values, gradients = [], []
    for method, student, teacher, batch in (attached, detached):
        loss = method.terms(student, teacher, batch)["kd_shallow"]
        values.append(loss.item())
        gradients.append(torch.autograd.grad(loss, student.stages[0])[0])
    assert values[0] == values[1]
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize(("detach", "gradient"), [(False, (-0.28, 0.92)), (True, (0.2, 0.8))])
def test_attached_weights_raise_the_smaller_loss(detach, gradient):
    losses = torch.tensor([[1.0], [4.0]], dtype=torch.float64, requires_grad=True)
    (loss_based_weights(losses, detach=detach) * losses).sum().backward()
    assert losses.grad.flatten().tolist() == pytest.approx(gradient)


@given(
    losses=st.lists(st.lists(st.floats(1e-3, 1e6), min_size=4, max_size=4), min_size=1, max_size=4),
    adaptive=st.booleans(),
    per_sample=st.booleans(),
)
@settings(max_examples=15)
def test_weights_of_a_sample_sum_to_1(losses, adaptive, per_sample):
    weights = loss_based_weights(torch.tensor(losses), adaptive=adaptive, per_sample=per_sample)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(4))


def test_without_blocks_only_the_last_layer_learns_from_the_teacher():
    method, student, teacher, batch = case(DSKD, blocks=())
    assert "stages" not in student.features
    terms = {name: term.item() for name, term in method.terms(student, teacher, batch).items()}
    assert terms["kd_shallow"] == terms["fea_shallow"] == 0
    assert terms["kd_last"] > 0
    assert terms["fea_last"] > 0
    assert len(method.branches) == 0
    assert len(method.projections) == 1


def test_the_feature_loss_is_there_as_a_whole_or_not_at_all():
    method, *rest = case(DSKD, fea=False)
    assert method.terms(*rest).keys() == {"ce", "kd_last", "kd_shallow"} == method.weights(method.params).keys()
    assert len(method.projections) == 0
    assert method.needs_for(method.params).teacher == ("logits",)


def test_blocks_enter_the_loss_one_by_one():
    equal = [terms_of(adaptive=False, fea=False, blocks=blocks)["kd_shallow"] for blocks in ((1,), (2,), (1, 2))]
    method, student, teacher, batch = case(DSKD, blocks=(2,))
    sum(method.terms(student, teacher, batch).values()).backward()
    assert student.stages[0].grad is None
    assert student.stages[1].grad is not None
    assert len(set(equal)) == 3


@pytest.mark.parametrize("feature_tap", ["final_map", "last_stage", "embedding"])
def test_each_head_has_its_own_projection(feature_tap):
    method, *_ = case(DSKD, feature_tap=feature_tap)
    weights = [projection[0].weight for projection in method.projections]
    assert len(weights) == 4
    assert not any(torch.equal(weights[0], other) for other in weights[1:])


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("ours", [2, 4, 8])
def test_resizing_meets_the_teacher_in_the_declared_way(resize, ours):
    student, teacher = torch.randn(2, 3, ours, ours), torch.randn(2, 5, 4, 4)
    moved, target = RESIZE[resize](student, teacher)
    size = min(ours, 4) if resize == "smaller" else 4
    assert moved.shape == (2, 3, size, size)
    torch.testing.assert_close(target, ref.pool(teacher, size, size))
    if resize != "bilinear" or ours >= 4:
        torch.testing.assert_close(moved, ref.pool(student, size, size))


def test_bilinear_interpolates_between_the_centres_of_cells():
    student = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    moved, _ = RESIZE["bilinear"](student, torch.zeros(1, 1, 4, 4))
    across = torch.tensor([0.0, 0.25, 0.75, 1.0])
    torch.testing.assert_close(moved[0, 0], 2 * across[:, None] + across[None, :])


def test_pairs_out_of_reach_are_declined():
    ours, theirs, single = (a.shapes(5, 8) for a in (STUDENT, TEACHER, tiny_architecture("single", (4,), (1,))))
    assert DSKD.decline(DSKD.Params(), ours, theirs) is None
    assert "blocks [0, 4] are none of the shallow stages 1 to 3" in DSKD.decline(
        DSKD.Params(blocks=(4, 1, 0)), ours, theirs
    )
    assert "no shallow stage" in DSKD.decline(DSKD.Params(), single, theirs)
    assert DSKD.decline(DSKD.Params(blocks=()), single, theirs) is None
    identity = {"projector": "identity"}
    assert "needs equal channels, not 9 (student) and 12 (teacher)" in DSKD.decline(
        DSKD.Params(**identity), ours, theirs
    )
    assert DSKD.decline(DSKD.Params(**identity), theirs, theirs) is None
    assert DSKD.decline(DSKD.Params(**identity, fea=False), ours, theirs) is None


@pytest.mark.parametrize(
    "params",
    [{"detach_weights": False}, {"adaptive": False}, {"blocks": ()}, {"detach_weights": False, "weights_per": "batch"}],
)
def test_gradient(params):
    features = ("logits", "final_map") if params.get("blocks") == () else ("logits", "stages", "final_map")
    check_gradient(*case(DSKD, **params), *features)
