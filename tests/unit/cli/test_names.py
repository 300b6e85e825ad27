"""Commands by other spellings, and files that are not there."""

import click
import pytest
from click.testing import CliRunner

from hoverfast_platform.cli.inputs import expand
from hoverfast_platform.cli.main import hoverfast
from hoverfast_platform.errors import SettingsError


@pytest.mark.parametrize("name", ["infer-wsi", "INFER_WSI", "teacher_labels", "gpu_check"])
def test_dashes_underscores_and_capitals_are_the_same(name):
    assert CliRunner().invoke(hoverfast, [name, "--help"]).exit_code == 0


def test_a_mistyped_command_is_answered_with_the_nearest():
    done = CliRunner().invoke(hoverfast, ["infer_wsii"])

    assert done.exit_code == click.UsageError.exit_code
    assert "Did you mean infer_wsi" in done.output


def test_files_that_are_not_there_are_told_before_anything_else(tmp_path):
    with pytest.raises(SettingsError, match=r"no such file: .*mising\.svs"):
        expand([str(tmp_path / "mising.svs")], lambda folder: [])
