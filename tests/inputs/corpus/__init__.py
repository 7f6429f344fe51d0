"""Malicious and damaged files, each made when a test asks for it.

A maker gets an empty folder and the path of a canary, which exists afterwards only if something from the file was
executed, and returns the path to give to the reader of its kind.
"""

from tests.inputs.corpus import any_kind, folder, parquet, text, weights, zoo
from tests.inputs.corpus.cases import CORPUS

__all__ = ["CORPUS", "any_kind", "folder", "parquet", "text", "weights", "zoo"]
