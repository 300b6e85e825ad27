import subprocess

from hoverfast_platform.benchmark.checkout import check_checkout


def commit_of(folder):
    return check_checkout(folder, holds="main.py", url="https://tool", importing="", needs="tool")


def test_the_commit_is_that_of_the_checkout_and_of_nothing_around_it(tmp_path):
    inner = tmp_path / "around" / "tool"
    inner.mkdir(parents=True)
    (inner / "main.py").touch()

    def git(folder, *words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)

    for folder, expected_known in ((inner.parent, False), (inner, True)):
        git(folder, "init")
        git(folder, "commit", "--allow-empty", "-m", folder.name)

        assert (commit_of(inner) != "unknown") == expected_known
