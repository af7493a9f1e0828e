"""What the product made is published only with the code that made it, and never an older one in its place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.benchmarks.figures import publish
from edgewright.benchmarks.figures.pedigree import code, kinds, made
from edgewright.benchmarks.figures.pedigree.code import Tree
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError

# Stands for an export: writes FOLDER/manifest.json with TEXT, unless that is empty, and ends with STATUS.
EXPORT = """
import sys
from pathlib import Path
folder, text, status = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if text:
    folder.mkdir(exist_ok=True)
    (folder / "new").write_text(text)
    (folder / "new").replace(folder / "manifest.json")
sys.exit(status)
"""


def command(out: Path, text: str, status: int = 0) -> list[str]:
    return [sys.executable, "-c", EXPORT, str(out), text, str(status)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.json"
    path.write_text("{}")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "bundle"


def test_made_runs_a_command_once_for_the_same_files_and_code(
    out: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made.run("export", out, command(out, "1"), [source]) == 0
    told = json.loads(made.stamp_of(out).read_text())
    assert told["codes"] == {"export": code.now(kinds.part("export", {}))}
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: ran.append(words))
    assert made.run("export", out, command(out, "1"), [source]) == 0
    assert not ran
    monkeypatch.undo()
    assert made.run("export", out, command(out, "2"), [source]) == 0  # other words
    assert (out / "manifest.json").read_text() == "2"
    source.write_text("{} ")
    assert not made.is_made("export", out, command(out, "2"), [source])
    source.write_text("{}")
    assert made.is_made("export", out, command(out, "2"), [source])
    (out / "manifest.json").write_text("3")  # by nobody
    assert not made.is_made("export", out, command(out, "2"), [source])


def test_made_again_after_the_export_code_has_changed(
    out: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made.run("export", out, command(out, "1"), [source]) == 0
    monkeypatch.setattr(code, "now", lambda part: "another edition")
    assert not made.is_made("export", out, command(out, "1"), [source])


def test_made_takes_an_export_that_left_a_variant_out_and_no_crash_that_left_the_old_bundle(
    out: Path, source: Path
) -> None:
    assert made.run("export", out, command(out, "1", status=1), [source]) == 0
    first = made.stamp_of(out).read_text()
    assert made.run("export", out, command(out, "", status=1), [source]) == 1
    assert made.run("export", out, command(out, "2", status=2), [source]) == 2
    assert made.stamp_of(out).read_text() == first
    with pytest.raises(InputError, match="to say which code made it"):  # the bundle is not what that made
        made.check("export", out, [{"recipe": "net", "variant": "tflite-int8"}])
    with pytest.raises(InputError, match="got none new"):
        made.run("export", out, command(out, ""), [source])


def test_made_does_not_go_on_with_what_other_code_began(tmp_path: Path) -> None:
    out = tmp_path / "checkpoint"
    (tmp_path / "checkpoint.begun").write_text("another edition")
    with pytest.raises(InputError, match=r"remove .*\.checkpoint\.training"):
        made.run("train:mnist-cnn", out, [sys.executable, "--resume"], [])


def test_made_adds_to_no_record_of_other_code(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    measure = [sys.executable, "-c", f"open({str(out)!r}, 'a').write('1')"]
    assert made.run("bench:local", out, measure, []) == 0
    assert made.run("bench:local", out, [*measure, "again"], []) == 0
    made.stamp("bench:local", out, "0" * 16)
    with pytest.raises(InputError, match="expected no record or one by the code of today"):
        made.run("bench:local", out, measure, [])
    assert out.read_text() == "11"


def test_made_refuses_sources_that_changed_while_it_ran(
    out: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editions = iter(["one", "other"])
    monkeypatch.setattr(code, "now", lambda part: next(editions))
    with pytest.raises(InputError, match="the code changed while"):
        made.run("export", out, command(out, "1"), [source])
    assert not made.stamp_of(out).exists()


def test_made_vouches_for_a_commit(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(command(out, "1"), check=True)
    git = ["git", "-C", str(code.ROOT), "rev-parse", "--verify", "HEAD"]
    if subprocess.run(git, capture_output=True, check=False).returncode:
        pytest.skip("no git repository")
    assert made.main(["export", str(out), "--commit", "HEAD"]) == 0
    assert json.loads(made.stamp_of(out).read_text())["codes"].keys() == {"export"}
    with pytest.raises(InputError, match="expected a commit"):
        made.main(["export", str(out), "--commit", "no-such-commit"])
    for words in (["export", str(out)], ["export", str(out), "--commit", "HEAD", "--", "true"]):
        with pytest.raises(InputError, match="expected one OUT"):
            made.main(words)
    with pytest.raises(InputError, match="train:RECIPE"):
        made.main(["train", str(out), "--commit", "HEAD"])


def test_publish_refuses_a_bundle_of_unknown_or_other_code_and_names_the_command(
    bundle: Path, tmp_path: Path
) -> None:
    words = ["export", str(bundle), "--out", str(tmp_path / "results")]
    with pytest.raises(InputError, match=r"bundle\.made to say which code made it.*make results-"):
        publish.main(words)
    made.stamp("export", bundle, "0" * 16)
    with pytest.raises(InputError, match=r"as the code of today makes it.* 0{16}; make results-"):
        publish.main(words)
    made.stamp("export", bundle, code.now(kinds.part("export", {})))
    assert publish.main(words) == 0


def test_restamp_takes_rows_with_the_same_bytes_and_figures(bundle: Path, tmp_path: Path) -> None:
    now = code.now(kinds.part("export", {}))
    made.stamp("export", bundle, now)
    assert publish.main(["export", str(bundle), "--out", str(tmp_path)]) == 0
    path = tmp_path / "export.json"
    told = json.loads(path.read_text())
    for row in told["rows"]:
        row["code"] = "earlier"
    told["rows"][1]["file_sha256"] = "0" * 64
    told["rows"][2]["accuracy"] = 0.5
    path.write_text(json.dumps(told))
    assert publish.main(["restamp", str(bundle), "--out", str(tmp_path)]) == 0
    codes = [row["code"] for row in json.loads(path.read_text())["rows"]]
    assert codes == [now, "earlier", "earlier", *[now] * (len(Bundle.open(bundle).manifest.variants) - 2)]


def test_rows_of_results_that_did_not_say_what_made_them_never_will(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    path.write_text(json.dumps({"environment": {}, "rows": [{"limit": "max-drop"}]}))
    publish.write(path, {}, [*publish.held(path), {"limit": "max-class-drop"}])
    codes = [row["code"] for row in json.loads(path.read_text())["rows"]]
    assert codes == ["", code.now(kinds.part("gate", {}))]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_exports_again_what_the_export_code_has_changed_and_never_hides_a_crash(tmp_path: Path) -> None:
    model, bundle = tmp_path / "models/net/checkpoint.json", tmp_path / "bundles/net/manifest.json"
    (edition := tmp_path / "code/export").parent.mkdir()
    for path in (model, bundle):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    words = [
        "make",
        "-n",
        "-f",
        "benchmarks/figures/Makefile",
        f"VENV={sys.prefix}",
        f"CODE={edition.parent}",
    ]
    words += [f"MODELS={model.parents[1]}", f"BUNDLES={bundle.parents[1]}", str(bundle)]

    def printed() -> str:
        return subprocess.run(words, cwd=code.ROOT, capture_output=True, encoding="utf-8", check=True).stdout

    export = f"pedigree.made export {bundle.parent} --of {model} -- "
    assert export in printed()  # nobody knows which code made it
    assert edition.read_text() == f"export {Tree().code(kinds.part('export', {}))}\n"
    after = edition.stat().st_mtime_ns + 1
    os.utime(bundle, ns=(after, after))
    assert export not in printed()
    edition.write_text("export of another edition\n")
    said = printed()
    assert export in said
    assert "||" not in said.partition(export)[2]
    assert "rm " not in said  # checkpoints are no steps to a bundle that make may remove
