from kdbench.model import Outputs
from kdbench_methods.student import Student
from tests.methods import reference as ref


def test_terms_equal_the_formula():
    method, student, teacher, batch = ref.case(Student)
    ref.assert_terms(method.terms(student, teacher, batch), ce=ref.cross_entropy(student.logits, batch.labels))


def test_it_has_neither_teacher_nor_modules():
    method, student, _, batch = ref.case(Student)
    assert method.needs.teacher == ()
    assert list(method.parameters()) == []
    assert method.terms(student, Outputs("teacher"), batch)["ce"].isfinite()


def test_gradient():
    ref.check_gradient(*ref.case(Student), "logits")
