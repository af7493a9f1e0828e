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


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("SIGINT", 130, "interrupted"),
        ("SIGTERM", 143, "ended by SIGTERM"),
        ("SIGHUP", 129, "ended by SIGHUP"),
    ],
)
def test_cli_signal_that_asks_to_end_is_one_line(
    name: str, status: int, says: str, bundle: Path, fresh: Fresh
) -> None:
    code = f"""
import os, signal, sys, time
from edgewright.runtime import pictures
from edgewright.runtime.cli import main

def is_asked_to_end():
    os.kill(os.getpid(), signal.{name})
    time.sleep(60)

pictures._stdin = is_asked_to_end
signal.signal(signal.{name}, signal.{"default_int_handler" if name == "SIGINT" else "SIG_DFL"})
sys.exit(main(sys.argv[1:]))
"""
    done = fresh("predict", bundle, "-", code=code)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"edgewright: {says}\n")


@pytest.mark.parametrize(
    ("images", "waits"), [(["{picture}"], ""), (["{picture}", "nowhere.png"], ""), (["{picture}"], "wait")]
)
def test_program_ends_with_all_that_was_printed_and_left_to_do(
    bundle: Path, picture: Path, fresh: Fresh, images: list[str], waits: str
) -> None:
    code = """
import atexit, os, sys, threading, time
from edgewright.runtime import cli

atexit.register(lambda: os.write(2, b"at exit\\n"))
if os.environ["WAITS"]:
    threading.Thread(target=lambda: (time.sleep(0.2), os.write(2, b"thread\\n"))).start()
cli.program()
"""
    words = [image.format(picture=picture) for image in images]
    done = fresh("predict", bundle, *words, code=code, WAITS=waits)
    assert done.stdout.startswith(f"{picture}: ")
    assert done.returncode == len(images) - 1
    assert done.stderr.endswith("thread\nat exit\n" if waits else "at exit\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_cli_leaves_signals_alone_that_are_ignored_or_its_callers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright.runtime.commands import doctor

    def seen(arguments: Any) -> int:
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # nohup
        assert signal.getsignal(signal.SIGTERM) is mine
        return 0

    def mine(*unused: Any) -> None: ...

    monkeypatch.setattr(doctor, "run", seen)
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, mine)
        assert run("doctor")[0] == 0
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize("most", [3, 4, 5, 8])
@pytest.mark.parametrize("command", ["predict", "inspect"])
def test_cli_with_few_files_to_open_does_its_work_or_says_so_in_one_line(
    command: str, most: int, fresh: Fresh, bundle: Path, picture: Path
) -> None:
    code = f"""
import resource, sys
from edgewright.runtime.cli import main
import edgewright.runtime.commands.{command}, edgewright.runtime.verification, edgewright.runtime.inspection
resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))
sys.exit(main(sys.argv[1:]))
"""
    done = fresh(command, bundle, *([picture] if command == "predict" else []), code=code)
    if done.returncode:
        assert done.returncode == 1
        ours = [line for line in done.stderr.splitlines() if "cpuinfo" not in line]  # LiteRT says that itself
        assert len(ours) == 1
        assert ours[0].startswith("edgewright: ")
        assert "Too many open files" in ours[0]
    assert done.returncode == 0 or most < 8


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
@pytest.mark.parametrize(
    "words",
    [
        ["predict", "BUNDLE", "PIPE"],
        ["predict", "PIPE.onnx", "PICTURE"],
        ["predict", "BUNDLE/tflite-float32.tflite", "PICTURE", "--labels", "PIPE"],
        ["verify", "BUNDLE/tflite-float32.tflite", "--golden", "PIPE"],
        ["evaluate", "BUNDLE", "--data", "PIPE.npz"],
        ["evaluate", "BUNDLE", "--data", "PIPE.csv"],
        ["bench", "PIPE.tflite", "--seconds", "0.1"],
        ["inspect", "PIPE.tflite"],
        ["data", "PIPE.npz"],
    ],
    ids=" ".join,
)
def test_cli_pipe_in_place_of_a_file_is_one_line_at_once(
    words: list[str], refused: Refused, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    for suffix in ("", ".onnx", ".tflite", ".npz", ".csv"):
        os.mkfifo(tmp_path / f"PIPE{suffix}")
    given = [word.replace("BUNDLE", str(bundle)).replace("PICTURE", str(picture)) for word in words]
    given = [word.replace("PIPE", str(tmp_path / "PIPE")) for word in given]
    if words[:2] == ["predict", "BUNDLE"]:
        assert "which is a pipe" in refused(*given)
    else:
        refused(*given)


@pytest.mark.parametrize("name", ["manifest.json", "golden.npz", "labels.txt", "tflite-float32.tflite"])
def test_cli_bundle_with_a_device_in_place_of_a_file_is_one_line(
    name: str, refused: Refused, bundle: Path
) -> None:
    (bundle / name).unlink()
    (bundle / name).symlink_to("/dev/zero")
    refused("verify", bundle)


@pytest.mark.parametrize("command", ["predict", "verify", "inspect", "evaluate"])
def test_cli_reading_deletes_nothing_beside_what_it_reads(
    command: str, run: Run, bundle: Path, picture: Path
) -> None:
    kept = [bundle.parent / f".bundle.{name}/thesis.txt" for name in ("old", "new-abc")]
    for path in kept:
        path.parent.mkdir()
        path.write_text("mine")
    (bundle.parent / ".bundle.new-abc/edgewright-is-writing-here").touch()
    words = {"predict": [picture], "evaluate": ["--data", picture]}.get(command, [])
    run(command, bundle, *words)
    bundle.rename(bundle.parent / "gone")
    run(command, bundle, *words)
    assert all(path.read_text() == "mine" for path in kept)
    assert not bundle.exists()


def test_cli_runtime_command_does_not_load_train_or_export(fresh: Fresh, bundle: Path) -> None:
    code = """
from edgewright.runtime.cli import main
main(sys.argv[1:])
print(sorted(m for m in sys.modules if m.startswith(("edgewright.train", "edgewright.export"))))
"""
    done = fresh("inspect", bundle, code=code, blocked=["rich"])
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
