"""``hoverfast warm-up``: says where machine code is, and fails where it can be kept nowhere."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hoverfast_platform.cli.warm_up import command
from hoverfast_platform.errors import StorageError
from hoverfast_platform.use_cases import warm_up as warm_up_module
from hoverfast_platform.use_cases.warm_up import warm_up


def test_it_says_where_the_machine_code_is():
    done = CliRunner().invoke(command, catch_exceptions=False)

    folder = re.search(r"ready in (.+) \(\d+\.\d s\)\.", done.output)[1]
    assert list(Path(folder).glob("flooding.grow_markers-*.nbi"))


def test_machine_code_that_can_be_kept_nowhere_is_an_error(monkeypatch):
    monkeypatch.setattr(warm_up_module, "kept_in", lambda _function: None)

    with pytest.raises(StorageError, match="NUMBA_CACHE_DIR"):
        warm_up()
