"""From an export with a pool to labels, and from labels to a bundle with more files in it."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.export.exporter import Result
from edgewright.export.labelling import answers, kept, looks, settle
from edgewright.export.labelling.answers import OTHER, UNSURE, Log
from edgewright.export.labelling.kept import ANSWERS, POOL, Kept
from edgewright.export.labelling.session import REPEATED, Session
from edgewright.runtime import Bundle, load
from edgewright.runtime.bundle.evidence import read_evidence
from edgewright.runtime.bundle.manifest import PROVENANCE, SBOM, SIGNATURE
from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import BundleError, EdgewrightError, InputError
from edgewright.runtime.verification import verify

Truth = Callable[[Kept, int], int]
Run = Callable[..., tuple[int, str, str]]


def answer_all(session: Session, truth: Truth, *, agreeing_as: str = "truth", most: int = 10**6) -> int:
    """Answer as somebody does who knows; says how many answers it took."""
    count = 0
    while (question := session.next()) is not None and count < most:
        right = truth(session.kept, question.place)
        if agreeing_as == "none" and session.kept.questions.agreeing[question.place]:
            right = -1
        shown = question.candidates
        choice = shown.index(right) if right in shown else len(shown)
        assert session.answer(session.number(question), choice)
        count += 1
    return count


def test_export_keeps_the_disputed_pictures_once_and_others_of_which_none_is(
    pooled: tuple[Path, Result], opened: Kept
) -> None:
    result, questions = pooled[1], opened.questions
    disputed = (questions.files != questions.model).any(axis=0)
    assert result.wanted == (disputed.sum(), questions.agreeing.sum())
    np.testing.assert_array_equal(questions.agreeing, ~disputed)
    assert questions.agreeing.sum() == 60
    assert len({*questions.names}) == len(questions.names)
    assert opened.names == ("tflite-int8", "tflite-weight-int4")
    assert [variant.name for variant in opened.manifest.variants] == ["tflite-float32", *opened.names]
    for place in range(len(questions.names)):
        shown = questions.candidates(place)
        assert {*questions.files[:, place], questions.model[place]} <= {*shown}
        assert len(shown) >= 2
    by_test = {outcome.name: outcome.parity for outcome in result.outcomes}
    for name, test in zip(opened.names, opened.tests, strict=True):
        parity = by_test[name]
        assert parity is not None
        assert parity.drop == pytest.approx((test.lost - test.won) / test.images)
    (twice,) = (int(line.split()[0]) for line in result.left_out if " pictures of" in line)
    assert twice > 0  # these show what others show
    assert opened.images + opened.tests[0].images + twice == 2000


def test_labels_add_to_the_bundle_what_test_and_pool_prove(left: Path, opened: Kept, truth: Truth) -> None:
    before = (left / "manifest.json").read_bytes()
    session = Session(opened, 1)
    answer_all(session, truth)
    settled = settle.judge(session)
    verdicts = {each.name: each.passed for each in settled}
    assert verdicts["tflite-int8"]
    new = settle.write(opened, settled, left, ("*",))
    assert new == [name for name, passed in verdicts.items() if passed]
    assert (left / "manifest.json").read_bytes() != before
    bundle = Bundle.open(left)
    assert [variant.name for variant in bundle.manifest.variants] == ["tflite-float32", *new]
    entry = bundle.variant("tflite-int8")
    counts = session.counts(0)
    assert entry.parity.verdict == "passed"
    assert entry.parity.drop_high > 0.012 > entry.parity.judged_drop[2]  # the test's own, and both together
    assert entry.parity.pool["drop_high"] <= entry.parity.pool["limit"] == pytest.approx(0.012 * 0.9)
    assert (entry.parity.pool["images"], entry.parity.pool["lost"]) == (counts.images, counts.lost)
    provenance, sbom = (json.loads((left / name).read_bytes()) for name in (PROVENANCE, SBOM))
    subjects = {each["name"]: each["digest"]["sha256"] for each in provenance["subject"]}
    files = {path.name for path in left.iterdir()} - {"manifest.json", PROVENANCE}
    assert subjects == {name: sha256_of(left / name) for name in sorted(files)}
    inputs = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [each["digest"]["sha256"] for each in inputs if each["name"] == "answers.jsonl"] == [
        sha256_of(opened.folder / ANSWERS)
    ]
    parts = {part["name"] for part in sbom["metadata"]["component"]["components"]}
    assert parts == {variant.file.file for variant in bundle.manifest.variants}
    evidence = read_evidence(bundle)
    assert evidence is not None
    assert {*evidence} == {"tflite-float32", *new}
    assert {row.status for row in verify(left)} == {"ok"}
    with load(left, variant="tflite-int8") as predictor:
        assert predictor.scores(opened.questions.images[:1]).shape == (1, 10)
    again = kept.read(left)  # the bundle it wrote is one it knows
    assert settle.write(again, settle.judge(Session(again, 1)), left, ("*",)) == []


def test_a_bundle_is_made_where_nothing_had_passed(left: Path, truth: Truth, tmp_path: Path) -> None:
    shutil.rmtree(left)
    opened = kept.read(left)
    session = Session(opened, 1)
    answer_all(session, truth)
    assert "tflite-int8" in settle.write(opened, settle.judge(session), left, ("*",))
    assert "tflite-float32" in {variant.name for variant in Bundle.open(left).manifest.variants}


def test_a_bundle_that_was_made_anew_is_left_alone(left: Path, run: Run) -> None:
    manifest = dataclasses.replace(Bundle.open(left).manifest, name="another")
    (left / "manifest.json").write_bytes(manifest.to_bytes())
    status, _, said = run("label", left)
    assert status == 1
    assert "got another bundle; export again with --pool" in said


def test_pictures_of_no_class_and_missing_answers_speak_against_the_pool(opened: Kept, truth: Truth) -> None:
    session = Session(opened, 1)
    answer_all(session, truth, agreeing_as="none")
    assert "of another class or of none" in settle.judge(session)[0].reason
    (opened.folder / ANSWERS).unlink()
    session = Session(opened, 1)
    answer_all(session, truth, most=10)
    (first, _) = settle.judge(session)
    assert not first.passed
    assert "pictures that nobody disputes have a label" in first.reason


def test_a_session_goes_on_where_it_was_and_repeats_come_late(opened: Kept, truth: Truth) -> None:
    whole = Session(opened, 1)
    places = [(question.place, question.again) for question in whole._questions]
    count = len(opened.questions.names)
    assert sorted(place for place, again in places if not again) == list(range(count))
    assert [again for _, again in places[:count]] == [False] * count
    assert len(whole) - count == count // REPEATED
    answer_all(whole, truth, most=7)
    with (opened.folder / ANSWERS).open("ab") as file:
        file.write(b'{"picture": "cut o')  # as a killed process leaves it
    again = Session(opened, 1)
    assert again.answered == 7
    assert again.next() == whole.next()
    answer_all(again, truth)
    assert Session(opened, 1).next() is None
    assert again.repeats() == (0, count // REPEATED)
    assert {question.candidates for question in whole._questions if not question.again} != {
        tuple(sorted(question.candidates)) for question in whole._questions if not question.again
    }


def test_undo_asks_the_last_ones_again(opened: Kept, truth: Truth) -> None:
    session = Session(opened, 1)
    assert not session.undo()
    answer_all(session, truth, most=3)
    third, second = session._questions[2], session._questions[1]
    assert session.undo()
    assert session.next() == third
    assert session.undo()
    assert (session.next(), session.answered) == (second, 1)
    assert session.answer(1, 0)
    assert session.next() == third
    assert not session.answer(7, 0)
    assert not session.answer(2, 9)
    answer_all(session, truth, most=1)
    assert session.next() == session._questions[3]


def test_answers_that_differ_leave_a_picture_unsure_and_warn(opened: Kept, truth: Truth) -> None:
    session = Session(opened, 1)
    answer_all(session, truth)
    assert session.warning() == ""
    back = [question for question in session._questions if question.again]
    for question in back:
        name = opened.questions.names[question.place]
        first = session.log.first[name].answer
        other = next(c for c in (*question.candidates, OTHER) if c != first)
        session.log.add(name, other, question.candidates, again=True)
        assert session.log.usable(name, question.candidates) == UNSURE
    assert f"{len(back)} of {len(back)} pictures that came back" in session.warning()


def test_counts_are_what_labels_say_and_other_says_nothing_of_what_was_not_shown(opened: Kept) -> None:
    session, questions = Session(opened, 1), opened.questions
    disputed = np.flatnonzero(questions.files[0] != questions.model)
    a, b, c, *rest = (int(place) for place in disputed)
    pair = [(int(questions.model[p]), int(questions.files[0, p])) for p in (a, b, c)]
    session.log.add(questions.names[a], pair[0][0], pair[0])
    session.log.add(questions.names[b], pair[1][1], pair[1])
    session.log.add(questions.names[c], OTHER, pair[2])
    counts = session.counts(0)
    assert (counts.lost, counts.won, counts.unresolved) == (1, 1, len(rest))
    assert session.pending(0) == len(rest)
    third = next(number for number in range(10) if number not in pair[2])
    assert session.log.usable(questions.names[c], (pair[2][0], third)) is None
    session.log.add(questions.names[a], UNSURE, pair[0])
    assert session.counts(0).unresolved == len(rest) + 1


def test_labelling_ends_early_only_where_nothing_can_pass(opened: Kept) -> None:
    limits = [0.003, 0.006, 0.009, 0.012]
    questions = opened.questions

    def settled() -> list[bool]:
        return [Session(dataclasses.replace(opened, max_drop=limit), 1).is_settled() for limit in limits]

    assert settled() == [False] * len(limits)
    session = Session(opened, 1)
    for place in np.flatnonzero(~questions.agreeing):
        session.log.add(questions.names[place], UNSURE, questions.candidates(int(place)))
    assert settled()[0]  # all of them count as lost now
    assert not settled()[-1]


def test_looks_are_counted_by_pools_not_by_labels() -> None:
    asked = ("model", "tflite-int8", {"seed": 0})
    assert looks.look(*asked, "first") == 1
    for digest, number in (("first", 1), ("first", 1), ("second", 2), ("first", 1), ("third", 3)):
        looks.remember(*asked, digest)
        assert looks.look(*asked, digest) == number
    assert looks.look("model", "tflite-int8", {"seed": 1}, "second") == 1


def test_a_larger_look_is_judged_more_strictly(opened: Kept, truth: Truth) -> None:
    session = Session(opened, 1)
    answer_all(session, truth)
    first = settle.judge(session)[0].joint
    other = dataclasses.replace(opened, digest="ab" * 32)
    second = settle.judge(Session(other, 2))[0].joint
    assert first is not None
    assert second is not None
    assert second.level == first.level / 2
    assert second.high > first.high


def test_table_goes_out_and_comes_back(
    left: Path, opened: Kept, truth: Truth, run: Run, tmp_path: Path
) -> None:
    table = tmp_path / "sheet.csv"
    status, said, _ = run("label", left, "--csv", table)
    assert (status, "fill in the column 'answer'" in said) == (0, True)
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(opened.questions.names)
    places = {name: place for place, name in enumerate(opened.questions.names)}
    labels = opened.manifest.labels
    for row in rows:
        place = places[Path(row["picture"]).stem]
        with Image.open(tmp_path / row["picture"]) as picture:
            np.testing.assert_array_equal(np.asarray(picture), opened.questions.images[place][:, :, 0])
        row["answer"] = labels[truth(opened, place)]
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (left / SIGNATURE).touch()
    status, said, _ = run("label", left, "--csv", table)
    assert f"{len(rows)} answers in {table}" in said
    assert ("sign it again" in said, (left / SIGNATURE).exists()) == (True, False)
    assert "tflite-int8 passed: accuracy drop" in said
    assert Bundle.open(left).variant("tflite-int8").parity.pool["unresolved"] == 0
    rows[3]["answer"] = "zeppelin"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    before = (opened.folder / ANSWERS).read_bytes()
    status, _, complaint = run("label", left, "--csv", table)
    assert status == 1
    assert "expected a label, 'other' or 'unsure' in line 5" in complaint
    assert (opened.folder / ANSWERS).read_bytes() == before


def test_tables_that_mean_nothing_are_refused(opened: Kept, tmp_path: Path) -> None:
    log, labels = Log(opened), opened.manifest.labels
    for text, says in (
        ("", "expected columns"),
        ("a,b\n1,2\n", "expected columns"),
        ("picture,answer\n../../etc/passwd,other\n", "expected a picture of this pool"),
        ("picture,answer\n" + "\0" * 50, "expected"),
    ):
        (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=says):
            answers.read_table(tmp_path / "bad.csv", opened.questions, labels, log)
    assert log.first == {}


@pytest.mark.parametrize(
    "line",
    [
        *("[]", "{}", "nonsense", '{"picture": 1, "answer": 1, "shown": [], "again": false}', "1" * 5000),
        '{"picture": "NAME", "answer": 99, "shown": [1, 2], "again": false}',
        '{"picture": "NAME", "answer": true, "shown": [1, 2], "again": false}',
        '{"picture": "NAME", "answer": "Zeppelin", "shown": [1, 2], "again": false}',
        '{"picture": "NAME", "answer": 1, "shown": [-1, 2], "again": false}',
        '{"picture": "NAME", "answer": 1, "shown": 7, "again": false}',
        '{"picture": "NAME", "answer": [1], "shown": [1], "again": false}',
        '{"picture": "NAME", "answer": 1, "shown": [1, 2], "again": "no"}',
    ],
)
def test_lines_that_no_page_has_written_are_no_answers(opened: Kept, line: str) -> None:
    text = line.replace("NAME", opened.questions.names[0])
    (opened.folder / ANSWERS).write_text(text + "\n", encoding="utf-8")
    assert Session(opened, 1).answered == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("variants", []), ("variants", [{}]), ("label_error", 0.5), ("max_drop", -1), ("images", 0)),
        *(("schema_version", 99), ("pictures_sha256", "0" * 64), ("candidates_sha256", "0" * 64)),
        *(("digest", 7), ("bundles", None), ("settings", [])),
    ],
)
def test_what_was_kept_is_read_with_suspicion(left: Path, key: str, value: object) -> None:
    path = kept.beside(left) / POOL
    told = json.loads(path.read_text(encoding="utf-8"))
    told[key] = value
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(BundleError):
        kept.read(left)


def test_damage_is_one_line_and_writes_nothing(left: Path, opened: Kept, truth: Truth) -> None:
    session = Session(opened, 1)
    answer_all(session, truth)
    before = {path.name: path.read_bytes() for path in left.iterdir()}
    (opened.folder / "tflite-int8.tflite").write_bytes(b"another file")
    with pytest.raises(BundleError, match="tflite-int8"):
        settle.write(opened, settle.judge(session), left, ("*",))
    assert {path.name: path.read_bytes() for path in left.iterdir()} == before
    shutil.rmtree(kept.beside(left))
    with pytest.raises(EdgewrightError, match="export with --pool leaves some there"):
        kept.read(left)
