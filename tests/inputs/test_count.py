"""How many bad inputs the tests of this folder try: the figure of docs/reliability.md."""

import pytest

from tests.inputs.corpus import CORPUS
from tests.inputs.test_fuzz import DAMAGED, GRIDS, SETTINGS
from tests.inputs.test_paths import EACH
from tests.inputs.test_paths import READERS as PATH_READERS
from tests.inputs.words import NAMES, PATHS
from tests.inputs.words import SETTINGS as BAD_SETTINGS


def test_the_count_of_bad_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    fixed = len(CORPUS) + len(NAMES) + len(PATHS) + len(BAD_SETTINGS)
    fuzzed = sum(DAMAGED.values()) + GRIDS + SETTINGS + EACH * len(PATH_READERS)
    with capsys.disabled():
        print(f"\nbad inputs tried: {fixed + fuzzed} ({fixed} made, {fuzzed} random)")
    assert fixed > 250 and fuzzed > 1000
