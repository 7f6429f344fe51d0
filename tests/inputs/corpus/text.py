"""Grids, baselines and records."""

import json
from itertools import pairwise

from tests.cli.support import TINY_GRID
from tests.inputs.corpus.cases import DEEP, holding

ROWS = "rows: [" + 600 * "{method: kd}, "
holding(
    "grid",
    ".yaml",
    {
        "deep": "[" * DEEP,
        "deep mappings": "{a: " * 1000 + "1" + "}" * 1000,
        "alias bomb": "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklm")),
        "recursive alias": "a: &a [*a]",
        "merge key": "x: &x {a: 1}\ny:\n  <<: *x",
        "python object": "!!python/object/apply:os.mkdir [canary]",
        "python name": "recipe: !!python/name:os.system",
        "unknown tag": "!evil {a: 1}",
        "more than a megabyte": "#" * 1_000_001,
        "wrong bool": "recipe: !!bool maybe",
        "wrong time": "recipe: !!timestamp never",
        "no such day": "recipe: 2001-99-99",
        "wrong integer": "recipe: !!int ''",
        "a list": "- 1",
        "number as key": TINY_GRID + "\n1: 2",
        "list as key": "? [1, 2]\n: 3",
        "two documents": TINY_GRID + "\n---\na: 1",
        "a control character": b"a: \x1b[2J",
        "huge integer": TINY_GRID.replace("[0, 1]", "[" + "9" * 5000 + "]"),
        "a hundred thousand runs": TINY_GRID.replace("[0, 1]", str([*range(200)])).replace("rows: [", ROWS),
        "name that climbs": TINY_GRID.replace("name: first", "name: ../../first"),
        "name of a device": TINY_GRID.replace("name: first", "name: nul"),
        "grid named as a path": TINY_GRID + "\nname: /etc/kdbench",
        "variant that climbs": TINY_GRID.replace("{method: kd,", "{method: kd, variant: a/../b,"),
        "unknown data set": TINY_GRID.replace("digits", "../digits"),
        "data set with a NUL": TINY_GRID.replace("digits", '"parquet:a\\0b"'),
        "data set with a long path": TINY_GRID.replace("digits", "parquet:" + "a" * 5000),
        "recipe by path": TINY_GRID.replace("{epochs: 2", "{base: ../../etc/passwd, epochs: 2"),
        "no recipe for teachers": TINY_GRID + "\nteacher_recipe: null",
        "recipe of lists": TINY_GRID.replace("epochs: 2", "epochs: [2]"),
        "infinite rate": TINY_GRID.replace("epochs: 2", "lr: .inf, epochs: 2"),
        "rate that is no number": TINY_GRID.replace("epochs: 2", "lr: .nan, epochs: 2"),
        "padding of gigabytes": TINY_GRID.replace("crop_padding: 1", "crop_padding: 1000000000"),
        "unknown method": TINY_GRID.replace("method: kd", "method: __import__"),
        "parameter of the wrong kind": TINY_GRID.replace("method: kd", "method: kd, params: {temperature: {}}"),
        "parameter that is no text": TINY_GRID.replace("method: kd", "method: kd, params: {1: 2}"),
        "paper by path": TINY_GRID.replace("title:", "paper: ../../x\n    title:"),
    },
)  # fmt: skip

holding(
    "baseline",
    ".json",
    {"deep": "[" * DEEP, "deep objects": '{"a":' * DEEP, "other keys": '{"kind": "kdbench baseline"}'},
)

RECORD_LIKE = {"id": "0" * 16, "status": "done", "run": {}}
holding(
    "record",
    ".json",
    {
        "deep": "[" * DEEP,
        "deep objects": '{"a":' * DEEP,
        "other keys": json.dumps(RECORD_LIKE),
        "huge number": '{"format": ' + "9" * 10_000 + "}",
        "number with an exponent": '{"format": 1e999999}',
        "key twice": '{"id": "a", "id": "b"}',
    },
)
