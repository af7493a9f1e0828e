"""The order in which pictures are shown, where somebody is in it, and whether more labels are of use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.export.labelling.answers import OTHER, UNSURE, Answer, Log
from edgewright.export.labelling.kept import Kept
from edgewright.export.proof.pool import Counts, can_pass

REPEATED = 20  # one in so many pictures comes back
_FEWEST_DIFFERING = 2  # repeats before anything is said: one may be a slip of the finger


@dataclass(frozen=True, kw_only=True)
class Question:
    """A picture, by its place among the kept ones, with its candidates in the order they are shown in;
    `again` where it comes back."""

    place: int
    candidates: tuple[int, ...]
    again: bool


class Session:
    """Questions and answers of one folder. The order is the same whenever it is opened again."""

    def __init__(self, kept: Kept, look: int) -> None:
        self.kept, self.log, self._look = kept, Log(kept), look
        names = kept.questions.names
        random = np.random.default_rng(int(kept.digest[:16] or "0", 16))
        order = random.permutation(len(names)).tolist()
        count = len(order) // REPEATED
        back = random.permutation(order[: len(order) // 2])[:count].tolist()  # of the first half, at the end
        self._questions = []
        for place, again in [*((place, False) for place in order), *((place, True) for place in back)]:
            shown = kept.questions.candidates(place)
            shuffled = tuple(shown[i] for i in random.permutation(len(shown)))
            self._questions.append(Question(place=place, candidates=shuffled, again=again))
        self._taken_back: list[Question] = []

    def __len__(self) -> int:
        return len(self._questions)

    @property
    def answered(self) -> int:
        return sum(self._is_answered(question) for question in self._questions)

    def next(self) -> Question | None:
        """What is asked now; None when all is answered. What was taken back comes first."""
        while self._taken_back and self._is_answered(self._taken_back[-1]):
            self._taken_back.pop()
        waiting = (question for question in self._questions if not self._is_answered(question))
        return self._taken_back[-1] if self._taken_back else next(waiting, None)

    def number(self, question: Question) -> int:
        return self._questions.index(question)

    def answer(self, number: int, choice: int) -> bool:
        """Take an answer: the place of a candidate as shown, behind these "another or none" and "can't tell".
        False if the question is not the one that is asked."""
        question = self.next()
        if question is None or self._questions[number : number + 1] != [question]:
            return False
        meanings: tuple[Answer, ...] = (*question.candidates, OTHER, UNSURE)
        if not 0 <= choice < len(meanings):
            return False
        self._add(question, meanings[choice])
        return True

    def undo(self) -> bool:
        """Take the last answer in the order back; False if there is none."""
        done = [question for question in self._questions if self._is_answered(question)]
        if self._taken_back:
            first = self._questions.index(self._taken_back[-1])
            done = [question for question in done if self._questions.index(question) < first]
        if not done:
            return False
        self._add(done[-1], None)
        self._taken_back.append(done[-1])
        return True

    def _add(self, question: Question, answer: Answer | None) -> None:
        name = self.kept.questions.names[question.place]
        self.log.add(name, answer, sorted(question.candidates), again=question.again)

    def _is_answered(self, question: Question) -> bool:
        name = self.kept.questions.names[question.place]
        if question.again:
            return name in self.log.again
        return self.log.usable(name, question.candidates) is not None

    def pending(self, variant: int) -> int:
        """How many pictures that a variant disputes nobody has answered yet."""
        return sum(answer is None for answer in self._answers(variant))

    def counts(self, variant: int) -> Counts:
        """What the pool has shown of a variant so far; a picture without a sure label is unresolved."""
        questions = self.kept.questions
        answers = self._answers(variant)
        places = np.flatnonzero(questions.files[variant] != questions.model).tolist()
        lost = sum(answer == int(questions.model[p]) for p, answer in zip(places, answers, strict=True))
        won = sum(
            answer == int(questions.files[variant, p]) for p, answer in zip(places, answers, strict=True)
        )
        unresolved = sum(answer is None or answer == UNSURE for answer in answers)
        return Counts(images=self.kept.images, lost=lost, won=won, unresolved=unresolved)

    def _answers(self, variant: int) -> list[Answer | None]:
        questions = self.kept.questions
        places = np.flatnonzero(questions.files[variant] != questions.model)
        pairs = [(int(questions.model[p]), int(questions.files[variant, p])) for p in places]
        return [self.log.usable(questions.names[p], pair) for p, pair in zip(places, pairs, strict=True)]

    def agreeing(self) -> tuple[int, int, int]:
        """Of the pictures that nobody disputes: those of another class or of none, those with a sure label,
        and all."""
        questions = self.kept.questions
        places = np.flatnonzero(questions.agreeing).tolist()
        answers = [
            (self.log.usable(questions.names[p], questions.candidates(p)), int(questions.model[p]))
            for p in places
        ]
        sure = [(answer, model) for answer, model in answers if answer is not None and answer != UNSURE]
        return sum(answer != model for answer, model in sure), len(sure), len(places)

    def repeats(self) -> tuple[int, int]:
        """How many answers to pictures that came back differ, and how many there are."""
        first, again = self.log.first, self.log.again
        pairs = [(first[name].answer, again[name].answer) for name in again if name in first]
        sure = [pair for pair in pairs if UNSURE not in pair]
        return sum(a != b for a, b in sure), len(sure)

    def warning(self) -> str:
        """What repeats say of the labels, where they differ more often than the assumed share of wrong ones
        explains: two labels of one picture differ in 2 e (1 - e) of cases."""
        differing, count = self.repeats()
        error = self.kept.label_error
        if differing < _FEWEST_DIFFERING or differing <= math.ceil(2 * error * (1 - error) * count):
            return ""
        return (
            f"{differing} of {count} pictures that came back were answered differently, which more than "
            f"{100 * error:g} % wrong labels make likely; export with a larger --label-error, or label again "
            "with more care"
        )

    def is_settled(self) -> bool:
        """True where no label that is still missing could let any variant pass."""
        kept = self.kept
        return not any(
            can_pass(test, self.counts(i), self.pending(i), kept.max_drop, kept.label_error, self._look)
            for i, test in enumerate(kept.tests)
        )


def texts(labels: Sequence[str], classes: Sequence[int]) -> list[str]:
    """What classes are called, told apart where two are called the same."""
    names = [labels[c] for c in classes]
    return [
        f"{name} ({c})" if names.count(name) > 1 else name for name, c in zip(names, classes, strict=True)
    ]
