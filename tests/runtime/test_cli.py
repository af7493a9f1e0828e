"""The command's manners: status 0, 1 or 2, one line on standard error, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime.cli import main

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
Fresh = Callable[..., Any]

COMMAND = [sys.executable, "-m", "edgewright.runtime"]


@pytest.mark.parametrize(
    "words",
    [[], ["predikt"], ["predict"], ["predict", "bundle"], ["verify"], ["inspect", "a", "b"], ["--nope"]],
    ids=" ".join,
)
def test_cli_wrong_usage_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage: edgewright" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--top", "many"], ["--threads", "1.5"], ["--threads", ""]])
def test_cli_number_that_is_none_is_status_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["predict", "bundle", "picture", *words])
    assert end.value.code == 2


def test_cli_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"edgewright {version('edgewright')}\n"


@pytest.mark.parametrize("command", ["train", "export", "predict", "verify", "inspect", "bench"])
def test_cli_help_of_every_command_explains_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"usage: edgewright {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "path", ["/", "", "..", "/dev/null", "x" * 5000], ids=["root", "empty", "up", "null", "long"]
)
@pytest.mark.parametrize("command", ["predict", "verify", "inspect"])
def test_cli_oddest_paths_are_one_line(refused: Refused, command: str, path: str, picture: Path) -> None:
    refused(command, path, *([picture] if command == "predict" else []))


@pytest.mark.parametrize("command", ["predict", "inspect"])
def test_cli_broken_pipe_of_a_reader_that_has_had_enough_gives_no_traceback(
    command: str, bundle: Path, picture: Path
) -> None:
    words = [command, str(bundle), *([str(picture)] if command == "predict" else [])]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*COMMAND, *words], stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is played by /dev/full")
def test_cli_full_disk_is_one_line(bundle: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "inspect", str(bundle)], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "edgewright: No space left on device\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a picture that never comes")
def test_cli_ctrl_c_is_one_line(bundle: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "picture.png"
    os.mkfifo(pipe)
    child = subprocess.Popen(
        [*COMMAND, "predict", str(bundle), str(pipe)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child, pipe.open("wb"):  # opened as soon as the child reads
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert err.startswith("edgewright: interrupted")
    assert err.count("\n") == 1


def test_cli_runtime_command_does_not_load_train_or_export(fresh: Fresh, bundle: Path) -> None:
    code = """
from edgewright.runtime.cli import main
main(sys.argv[1:])
print(sorted(m for m in sys.modules if m.startswith(("edgewright.train", "edgewright.export"))))
"""
    done = fresh("inspect", bundle, code=code, blocked=["rich"])
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
