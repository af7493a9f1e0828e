"""Writing leaves the old, nothing or the new whole, loses nothing foreign, and cleans up after the dead."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgewright.runtime.disk import files
from edgewright.runtime.errors import OutputError

OURS = ("manifest.json", "*.onnx")
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]

HOLDER = """
import sys
from pathlib import Path
from edgewright.runtime.disk import files
with files.new_folder(Path(sys.argv[1]), overwrite=True, ours=("manifest.json", "*.onnx")) as (new, scratch):
    (new / "manifest.json").write_text("half")
    print(new.parent, flush=True)
    sys.stdin.read()
"""


def write(path: Path, text: str = "new", *, overwrite: bool = True) -> None:
    with files.new_folder(path, overwrite=overwrite, ours=OURS) as (new, scratch):
        (scratch / "work").write_text("thrown away")
        (new / "manifest.json").write_text(text)


def content(path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in path.iterdir()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def old(out: Path) -> Path:
    """An output folder that an earlier run has written."""
    write(out, "old")
    return out


@pytest.fixture
def holder(out: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process in the middle of writing `out`, and the folder it writes aside."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        yield child, Path(child.stdout.readline().strip())
        child.kill()


def test_sha256_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * 100_000).hexdigest()


NO_HOME = """
import os, pwd
os.environ.pop("HOME", None)
os.environ.pop("EDGEWRIGHT_CACHE", None)

def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = nobody
"""


@pytest.mark.skipif(sys.platform == "win32", reason="homes are found otherwise")
def test_cache_folder_of_a_user_without_a_home_is_one_of_temporary_files_of_its_own(
    fresh: Fresh, tmp_path: Path
) -> None:
    code = f"{NO_HOME}from edgewright.runtime.disk import files\nprint(files.cache_folder())"
    own = tmp_path / f"edgewright-{os.getuid()}"
    for _ in range(2):
        assert fresh(code=code, TMPDIR=str(tmp_path)).stdout == f"{own}\n"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    own.chmod(0o777)  # somebody else may have put files there that are taken for known ones
    other = Path(fresh(code=code, TMPDIR=str(tmp_path)).stdout.strip())
    assert other != own
    assert other.parent == tmp_path
    own.rmdir()
    own.symlink_to(tmp_path / "elsewhere")
    assert fresh(code=code, TMPDIR=str(tmp_path)).stdout != f"{own}\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="homes are found otherwise")
@pytest.mark.parametrize("command", ["predict", "verify", "inspect", "doctor"])
def test_commands_of_a_user_without_a_home_work(
    command: str, fresh: Fresh, exported: tuple[Path, object], tmp_path: Path
) -> None:
    code = f"{NO_HOME}import sys\nfrom edgewright.runtime.cli import main\nsys.exit(main(sys.argv[1:]))"
    picture = Path(__file__).resolve().parents[3] / "docs/ankle-boot.png"
    words = {"doctor": [], "predict": [exported[0], picture]}.get(command, [exported[0]])
    done = fresh(command, *words, code=code, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room is asked for otherwise")
def test_reserve_says_whether_a_file_could_be_written(tmp_path: Path) -> None:
    import resource

    files.reserve(tmp_path, 10_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            files.reserve(tmp_path, 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_write_file_is_whole_with_the_users_permissions(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "a.json"
    before = os.umask(0o027)
    try:
        files.write_file(path, b"1")
        files.write_file(path, b"22")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"22"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_write_file_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write_file(tmp_path / "taken", b"1")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_new_folder_takes_a_link_that_leads_nowhere(out: Path) -> None:
    with files.new_folder(out, overwrite=False, ours=OURS) as (new, _):
        (new / "py3versions").symlink_to("/usr/share/nowhere")
    assert (out / "py3versions").is_symlink()


def test_new_folder_appears_whole_and_alone(tmp_path: Path, out: Path) -> None:
    with files.new_folder(out, overwrite=False, ours=OURS) as (new, _):
        (new / "manifest.json").write_text("new")
        assert not out.exists()
    assert content(out) == {"manifest.json": "new"}
    assert list(tmp_path.iterdir()) == [out]


def test_new_folder_takes_a_missing_parent_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "a" / "b" / "out", tmp_path / "empty"):
        write(path, overwrite=False)
        assert content(path) == {"manifest.json": "new"}


def test_new_folder_takes_a_relative_path_from_where_the_writing_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with files.new_folder(Path("out"), overwrite=False, ours=OURS) as (new, _):
        (new / "manifest.json").write_text("new")
        os.chdir("/")
    assert content(tmp_path / "out") == {"manifest.json": "new"}


def test_new_folder_overwrite_replaces_the_whole_folder(tmp_path: Path, old: Path) -> None:
    (old / "gone.onnx").write_text("old")
    write(old)
    assert content(old) == {"manifest.json": "new"}
    assert list(tmp_path.iterdir()) == [old]


def test_new_folder_with_files_needs_overwrite(old: Path) -> None:
    with pytest.raises(OutputError, match=r"already holds manifest\.json; .* add --overwrite"):
        write(old, overwrite=False)
    assert content(old) == {"manifest.json": "old"}


@pytest.mark.parametrize("foreign", ["thesis.txt", "manifest.json.bak", ".hidden"])
def test_overwrite_never_takes_a_file_that_is_not_ours(old: Path, foreign: str) -> None:
    (old / foreign).write_text("mine")
    with pytest.raises(OutputError, match=foreign):
        write(old)
    assert content(old) == {"manifest.json": "old", foreign: "mine"}


def test_overwrite_never_takes_a_folder_that_is_named_like_our_files(old: Path) -> None:
    (old / "study.onnx").mkdir()
    (old / "study.onnx" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"study\.onnx"):
        write(old)
    assert (old / "study.onnx" / "thesis.txt").read_text() == "mine"


def test_overwrite_takes_a_folder_by_a_pattern_of_folders_alone(old: Path) -> None:
    (old / "src").mkdir()
    (old / "src" / "a.txt").write_text("ours")
    for wrong in (("*",), ("src",), ("*.json", "other/")):
        with pytest.raises(OutputError):
            files.check_output(old, overwrite=True, ours=wrong)
    files.check_output(old, overwrite=True, ours=("manifest.json", "src/"))
    (old / "file").write_text("mine")
    with pytest.raises(OutputError, match="'file'"):
        files.check_output(old, overwrite=True, ours=("manifest.json", "src/", "file/"))


def test_new_folder_keeps_a_foreign_file_that_comes_while_we_write(old: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"thesis\.txt"),
        files.new_folder(old, overwrite=True, ours=OURS) as (new, _),
    ):
        (new / "manifest.json").write_text("new")
        (old / "thesis.txt").write_text("mine")
    assert content(old) == {"manifest.json": "old", "thesis.txt": "mine"}


@pytest.mark.parametrize("call", ["listdir", "scandir"])
def test_check_output_of_a_folder_that_another_writer_has_just_taken_away(
    call: str, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(os, call)

    def gone(path: object) -> object:
        if path == old:
            raise FileNotFoundError
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, call, gone)
        files.check_output(old, overwrite=True, ours=("*.json",))
    with pytest.raises(OutputError, match="overwrite would lose"):
        files.check_output(old, overwrite=True, ours=("other",))


def test_check_output_refuses_what_cannot_be_an_output_folder_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for bad in (tmp_path / "file", tmp_path / "file" / "out", Path("/")):
        with pytest.raises(OutputError):
            files.check_output(bad, overwrite=True, ours=("*",))


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_new_folder_exception_leaves_the_old_folder_and_nothing_beside_it(
    tmp_path: Path, old: Path, failure: type[BaseException]
) -> None:
    with pytest.raises(failure), files.new_folder(old, overwrite=True, ours=OURS) as (new, _):
        (new / "manifest.json").write_text("new")
        raise failure
    assert content(old) == {"manifest.json": "old"}
    assert list(tmp_path.iterdir()) == [old]


def test_new_folder_block_that_writes_nothing_leaves_the_old_folder(tmp_path: Path, old: Path) -> None:
    with files.new_folder(old, overwrite=True, ours=OURS) as (_, scratch):
        (scratch / "work").write_text("x")
    assert content(old) == {"manifest.json": "old"}
    assert list(tmp_path.iterdir()) == [old]


@pytest.fixture
def cut_off(tmp_path: Path, old: Path) -> Path:
    """A writer's folder, killed after it had moved the old folder into it."""
    staging = tmp_path / ".out.new-abc"
    staging.mkdir()
    (staging / files.MARKER).touch()
    (staging / "new").mkdir()
    old.rename(staging / "old")
    return staging


def test_check_output_puts_back_a_folder_that_a_killed_writer_had_moved(
    tmp_path: Path, old: Path, cut_off: Path
) -> None:
    with pytest.raises(OutputError, match=r"already holds manifest\.json"):
        files.check_output(old, overwrite=False, ours=OURS)
    assert content(old) == {"manifest.json": "old"}
    assert list(tmp_path.iterdir()) == [old]


def test_what_cannot_be_put_back_is_not_deleted(
    tmp_path: Path, old: Path, cut_off: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Path, target: Path) -> Path:
        raise OSError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        files.check_output(old, overwrite=False, ours=OURS)
    assert content(cut_off / "old") == {"manifest.json": "old"}


@pytest.mark.parametrize("name", [".out.old", ".out.new-mine", ".out.new-"])
def test_folders_without_our_marker_are_never_touched_whatever_their_name(
    tmp_path: Path, old: Path, name: str
) -> None:
    (tmp_path / name / "old").mkdir(parents=True)
    (tmp_path / name / "manifest.json").write_text("mine")
    write(old)
    shutil.rmtree(old)
    write(old, overwrite=False)
    assert content(old) == {"manifest.json": "new"}
    assert (tmp_path / name / "manifest.json").read_text() == "mine"
    assert (tmp_path / name / "old").is_dir()


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on which two folders cannot change names."""
    monkeypatch.setattr(files, "exchange", lambda one, other: False)


@pytest.mark.usefixtures("no_exchange")
def test_new_folder_replaces_a_folder_where_folders_cannot_be_exchanged(tmp_path: Path, old: Path) -> None:
    write(old)
    assert content(old) == {"manifest.json": "new"}
    assert list(tmp_path.iterdir()) == [old]


def test_new_folder_that_is_filled_in_the_last_moment_gives_back_what_it_took(
    tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills(one: Path, other: Path) -> bool:
        if not (other / "thesis.txt").exists() and not (one / "thesis.txt").exists():
            (other / "thesis.txt").write_text("mine")
        return exchange(one, other)

    exchange = files.exchange
    monkeypatch.setattr(files, "exchange", fills)
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        write(old)
    assert content(old) == {"manifest.json": "old", "thesis.txt": "mine"}
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.usefixtures("no_exchange")
@pytest.mark.parametrize("failing", [1, 2])
def test_new_folder_rename_that_fails_leaves_the_old_folder(
    tmp_path: Path, old: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = Path.rename, []

    def fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="No space left"):
        write(old)
    assert content(old) == {"manifest.json": "old"}
    assert list(tmp_path.iterdir()) == [old]


def test_new_folder_overwrites_a_link_again_and_again(tmp_path: Path, old: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to("out")
    for text in ("first", "second"):
        write(link, text)
        assert content(link) == {"manifest.json": text}
    assert {p.name for p in tmp_path.iterdir()} <= {"latest", "out"}


def test_new_folder_link_that_leads_nowhere_is_refused_at_once_or_written_through(tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to("nowhere")
    with contextlib.suppress(OutputError):
        files.check_output(link, overwrite=True, ours=OURS)
        write(link)
        assert content(link) == {"manifest.json": "new"}


@pytest.mark.parametrize("name", ["out", "run [1]*?", "ou"])
def test_staging_folders_of_dead_processes_are_removed_and_only_those(tmp_path: Path, name: str) -> None:
    dead, other = tmp_path / f".{name}.new-abc", tmp_path / ".another.new-abc"
    for folder in (dead, other):
        (folder / "new").mkdir(parents=True)
        (folder / files.MARKER).touch()
    write(tmp_path / name)
    assert not dead.exists()
    assert other.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_a_live_staging_folder_is_left_alone_until_its_process_is_killed(
    tmp_path: Path, out: Path, holder: tuple[subprocess.Popen[str], Path]
) -> None:
    child, staging = holder
    write(out)
    assert content(staging / "new") == {"manifest.json": "half"}
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert content(out) == {"manifest.json": "new"}
    write(out, "newer")
    assert content(out) == {"manifest.json": "newer"}
    assert list(tmp_path.iterdir()) == [out]
