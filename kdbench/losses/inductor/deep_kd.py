"""`deep_kd` with its gradient in closed form, compiled."""

from functools import partial

from kdbench.losses.analytic.deep_kd import deep_kd as analytic

deep_kd = partial(analytic, compiled=True)
