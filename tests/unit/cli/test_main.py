import subprocess
import sys


def run(*args):
    return subprocess.run(
        [sys.executable, "-m", "hoverfast_platform.cli.main", *args],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_commands_without_importing_torch():
    code = (
        "import sys; sys.argv=['hoverfast','--help']\n"
        "from hoverfast_platform.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy={'torch','openvino','cv2','pyarrow','dagster'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "infer_wsi" in done.stdout


def test_models_are_a_table_to_choose_by():
    """One pixel of the published network takes 246,048 multiplications, a mm2 has 16 million."""
    done = run("models")

    assert done.returncode == 0
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("cross-organ  ")]
    assert row.split()[1:3] == ["0.25", "3,937"]
    assert row.endswith("This is the default.")


def test_export_of_another_suffix_is_refused(tmp_path):
    done = run("models", "export", "cross-organ", "-o", str(tmp_path / "x.pt"))

    assert done.returncode == 1
    assert "must end in .onnx, got x.pt" in done.stderr


def test_failure_has_exit_code_one_and_a_remedy(tmp_path):
    (tmp_path / "x.svs").write_bytes(b"no slide")
    done = run("slide", "info", str(tmp_path / "x.svs"))

    assert done.returncode == 1
    assert "not a slide format" in done.stderr
    assert "infer_roi" in done.stderr


def test_wrong_usage_has_exit_code_two():
    assert run("infer_wsi").returncode == 2
    assert run("no-such-command").returncode == 2


def test_absurd_mpp_is_wrong_usage_and_says_the_limits(tmp_path):
    done = run("infer_wsi", "x.svs", "-o", str(tmp_path / "out"), "--mpp", "1000")

    assert done.returncode == 2
    assert "mpp_override = 1000.0" in done.stderr
    assert "less than 50" in done.stderr
