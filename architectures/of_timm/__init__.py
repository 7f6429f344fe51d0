"""Any network of timm, made staged by what timm says of itself and by what a pass through it shows.

timm is imported by who asks for one of its networks.
"""

from kdbench_architectures.of_timm.scheme import Timm

__all__ = ["Timm"]
