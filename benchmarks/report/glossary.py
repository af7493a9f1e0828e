"""The words of a report and what they mean to somebody who has never read one."""

from __future__ import annotations

from edgewright.benchmarks.report.facts import Report

_ACCURACY = ("accuracy", "The share of test pictures that are put into the right class.")
_LABEL_ACCURACY = (
    "label accuracy",
    "Each label of each test picture is a yes or a no; this is the share of them that are right, picture by "
    "picture.",
)
_SAME = ("same answer", "The share of pictures decided as by the Keras model, right or wrong.")
_PARTS = (
    "parts with Keras",
    "The share of pictures that a file decides otherwise than the Keras model. Whatever is right, it loses "
    "no more accuracy than that.",
)
_COSINE = (
    "mean cosine",
    "How nearly a file's embedding of a picture points where the Keras model's does: 1 is the same "
    "direction.",
)
BESIDE = {
    "macro_f1": ("macro F1", "F1 of each label (how well yes is found), the mean over the labels."),
    "auc": ("AUC", "How often a picture with a label scores above one without it, the mean over the labels."),
}
CALIBRATION = {
    "brier": (
        "Brier score",
        "How far the probabilities are from the truth, squared: 0 is sure and right. It rises where a file "
        "is wrong more often, or surer than it should be.",
    ),
    "ece": (
        "ECE",
        "Expected calibration error: how far a probability of 90 % is from being right 90 times in 100.",
    ),
}
_WORST = (
    ("worst class", "The class that a file has surely lost most of; beyond 5 points it is not written."),
    ("classes not judged", "Those of which there are too few pictures to see it if they were lost."),
)
_FIRST_WORDS = (
    ("Keras model", "The model as it was trained. Every file is held against it."),
    (
        "TFLite, ONNX",
        "Two kinds of model file: .tflite runs on LiteRT (phones, small boards), .onnx on onnxruntime.",
    ),
    (
        "float32, float16, int8",
        "How precisely numbers are kept: in 32, 16 or 8 bits. Fewer bits make a file smaller and often "
        "faster; some accuracy may be lost. int8 computes in whole numbers; dynamic-int8 and weight-int8 "
        "keep the weights so.",
    ),
)
_INTERVAL = (
    "95 % interval",
    "Where the true value lies, 95 times in 100. Other pictures, or another run, would give a slightly "
    "different figure. Of two intervals that overlap much, neither is shown to be better.",
)
_PROOF = (
    ("points", "Percentage points: from 99.0 % to 98.5 % is half a point less."),
    ("limit", "A file is written only if even the bad end of its interval loses less than this."),
)
_TIMES = (
    ("p50, p90, p99", "50, 90 or 99 of 100 runs are at least as fast as this. p50 is the median."),
    ("JPEG to label", "The whole way: decode a JPEG photo, bring it to size, run the model, name the class."),
    ("decode … postprocess", "The parts of that way, one after the other."),
    ("load, first run", "Opening the file, and the first picture: paid once, at the start of an app."),
    ("peak memory", "The most memory that the whole process has held, the interpreter included."),
)
_RIGHT = (
    "right on …",
    "Whether another engine, such as a phone's GPU, gives the scores that the CPU gives, tried on these "
    "files: right, differs by what is rounded, or wrong, and then at which operator.",
)
_PARETO = ("Pareto front", "The files that no other file beats in both things that a picture compares.")


def glossary(report: Report) -> list[tuple[str, str]]:
    """The words that the report uses, and what they mean."""
    judgings = {task.words.judging.by for task in report.tasks}
    if not judgings:
        return [_FIRST_WORDS[1], _INTERVAL, *_TIMES]
    found = [*_FIRST_WORDS, _INTERVAL, *_PROOF]
    by = {"accuracy": [_ACCURACY, _SAME], "label-accuracy": [_LABEL_ACCURACY, _SAME]}
    by |= {"agreement": [_SAME, _PARTS], "cosine": [_COSINE]}
    found += dict.fromkeys(word for name, words in by.items() if name in judgings for word in words)
    beside = dict.fromkeys(name for row in report.rows for name in row.entry.parity.beside)
    known = {**BESIDE, **CALIBRATION}
    found += [known[name] for name in beside if name in known]
    if any(row.entry.parity.class_images for row in report.rows):
        found += _WORST
    if any(row.checks for row in report.rows):
        found.append(_RIGHT)
    return [*found, *_TIMES, _PARETO]
