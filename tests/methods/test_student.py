from kdbench.model import Outputs
from kdbench_methods.student import Student
from tests.methods import reference as ref
from tests.methods.support import assert_terms, case, check_gradient


def test_terms_equal_the_formula():
    method, student, teacher, batch = case(Student)
    assert_terms(method.terms(student, teacher, batch), ce=ref.cross_entropy(student.logits, batch.labels))


def test_it_has_neither_teacher_nor_modules():
    method, student, _, batch = case(Student)
    assert method.needs.teacher == ()
    assert list(method.parameters()) == []
    assert method.terms(student, Outputs("teacher"), batch)["ce"].isfinite()


def test_gradient():
    check_gradient(*case(Student), "logits")
