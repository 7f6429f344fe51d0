"""The student trained alone: the scratch row of every table."""

from kdbench.supervised import Supervised


class Student(Supervised):
    """L = CE(z_S, y). No teacher, no modules."""

    name = "student"
    citation = "the student's own recipe, without a teacher"
