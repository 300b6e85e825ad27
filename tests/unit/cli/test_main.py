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


def test_models_names_the_default():
    done = run("models")

    assert done.returncode == 0
    assert "(default)" in done.stdout


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
