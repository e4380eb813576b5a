"""The oracle of a run that people label: it knows what they answered before a round was trained, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from al3d.data.labels import LabelState
from al3d.data.oracle import SimulatedOracle
from al3d.data.store import Store
from al3d.files import whole_file
from al3d.people.answers import Answer, Answers, answer_of, written
from al3d.people.queries import Query, points_of, queries_of
from al3d.types import I32, I64, IGNORE, U8, Bool


@dataclass(frozen=True)
class PeopleOracle:
    """Answers with what people said, as it was frozen before round `round_index` of `run` was trained; knows nothing without a run.

    Scenes outside of the training split, which networks are judged by, keep the labels of their files, where those have any.
    """

    store: Store
    run: Path | None = None
    round_index: int = -1

    @property
    def simulated(self) -> bool:
        """Nothing is known beforehand."""
        return False

    def heard(self, run: Path, round_index: int) -> PeopleOracle:
        """The oracle with what was frozen for round `round_index`, or for the last round before it that was frozen."""
        return replace(self, run=run, round_index=round_index)

    def listen(self, run: Path, round_index: int, every: bool) -> str | None:
        """Freeze the answers that round `round_index` trains on; see `freeze`."""
        return None if frozen_file(run, round_index).is_file() else freeze(run, self.store, round_index, every)

    def answer(self, scene_id: str, asked: Bool) -> U8:
        """The labels of the asked points: bool[N] -> u8[N], IGNORE elsewhere and where nobody answered, or nobody knew.

        Raises: ValueError as `SimulatedOracle.answer`.
        """
        files = SimulatedOracle(self.store)
        if scene_id not in self._training:
            return files.answer(scene_id, asked)
        files.check(scene_id, asked)
        return np.where(asked, self._said(scene_id)[0], np.uint8(IGNORE))

    def answered(self, scene_id: str, asked: Bool) -> Bool:
        """The asked points about which somebody said something, if only that it cannot be told: bool[N]."""
        return asked & self._said(scene_id)[1]

    def raw_labels(self, scene_id: str) -> U8:
        """The labels of the points before the grid, u8[raw N], for evaluation only: those of the files."""
        return SimulatedOracle(self.store).raw_labels(scene_id)

    def _said(self, scene_id: str) -> tuple[U8, Bool]:
        """The label of each point of a training scene, u8[N], and whether there is an answer about it."""
        answers = self._frozen.get(scene_id, ())
        if not answers or self.run is None:
            count = self.store.sizes[scene_id]
            return np.full(count, IGNORE, np.uint8), np.zeros(count, dtype=bool)
        return labels_of(answers, *self._labels.first_asked(scene_id, self.round_index), self.store.classes.names)

    @cached_property
    def _labels(self) -> LabelState:
        return LabelState(self.run or Path(), self.store)

    @cached_property
    def _training(self) -> frozenset[str]:
        return frozenset(self.store.splits["train"])

    @cached_property
    def _frozen(self) -> Mapping[str, Sequence[Answer]]:
        """The frozen answers of each scene."""
        file = None if self.run is None else newest_frozen(self.run, self.round_index)
        found: dict[str, list[Answer]] = {}
        for answer in () if file is None else frozen_answers(file, self.store.classes.names):
            found.setdefault(answer.scene, []).append(answer)
        return found


def frozen_file(run: Path, round_index: int) -> Path:
    """Where the answers that a round was trained on are kept."""
    return run / "answers" / f"frozen-{round_index:02d}.json"


def newest_frozen(run: Path, round_index: int) -> Path | None:
    """The frozen answers of a round, or of the last one before it that has any."""
    files = (frozen_file(run, earlier) for earlier in range(round_index, -1, -1))
    return next((file for file in files if file.is_file()), None)


def frozen_answers(file: Path, names: Sequence[str]) -> list[Answer]:
    """The answers that a round was trained on. Raises: ValueError with the file and the way out when it is damaged, or of other classes than `names`."""
    try:
        answers = [answer_of(said) for said in json.loads(file.read_text(encoding="utf-8"))["answers"]]
        unknown = [name for name in classes_said(answers) if name not in names]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no class ({', '.join(names)})")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        words = f"{file}: does not say what the round was trained on ({type(error).__name__}: {error})"
        raise ValueError(f"{words}: put it back from a copy, or delete it and the folders of its round and later ones to train them anew") from error
    return answers


def freeze(run: Path, store: Store, round_index: int, every: bool) -> str | None:
    """Keep the answers that round `round_index` trains on, all that there are up to now; None, or what is missing, in words.

    With `every` all queries up to the round must be answered (unsure is an answer), without it two regions with two classes are enough, and
    something that the round before was not trained on.
    Raises: ValueError for an answer that names no class of the data set, or points that were not asked.
    """
    queries = [query for earlier in range(round_index + 1) for query in queries_of(run, store, earlier)]
    answers = Answers(run).current()
    given = {query.key: answers[query.key] for query in queries if query.key in answers}
    own = [query for query in queries if query.round == round_index]
    before = None if every or not own else newest_frozen(run, round_index - 1)
    old = before is not None and [written(given[key]) for key in sorted(given)] == list(map(written, frozen_answers(before, store.classes.names)))
    words = _missing(run, round_index, queries, given, own, every)
    if words is None and old:
        words = f"round {round_index}: 0 of {len(own):,} answered, and nothing else since the round before; {_to_label(run)}"
    if words is not None:
        return words
    labels = LabelState(run, store)
    asked = [query for query in queries if query.key in given]
    for query in asked:
        check_answer(given[query.key], query, labels)
    content = {
        "round": round_index,
        "asked": len(queries),
        "answered": len(given),
        "unsure": sum(answer.kind == "unsure" for answer in given.values()),
        "purchases": [_counted(run, store, labels, earlier, given) for earlier in range(round_index + 1)],
        "answers": [written(given[key]) for key in sorted(given)],
    }
    with whole_file(frozen_file(run, round_index)) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    return None


def classes_said(answers: Iterable[Answer]) -> list[str]:
    """The classes that answers name, sorted."""
    return sorted({name for answer in answers for name in (answer.class_name, *(part.class_name for part in answer.parts)) if name is not None})


def check_answer(answer: Answer, query: Query, labels: LabelState) -> None:
    """Refuse an answer that names no class of the data set, or points that its query did not ask. Raises: ValueError."""
    names = labels.store.classes.names
    unknown = [name for name in classes_said([answer]) if name not in names]
    where = f"{labels.folder / 'answers'}: round {query.round}, scene {query.scene!r}, unit {query.unit}"
    if unknown:
        raise ValueError(f"{where}: {answer.who} answered {', '.join(unknown)}, which is no class ({', '.join(names)}): answer it again")
    if answer.parts:
        strange = np.setdiff1d([point for part in answer.parts for point in part.points], points_of(query, labels))
        if len(strange):
            raise ValueError(f"{where}: {answer.who} labelled {len(strange)} points that were not asked, such as point {strange[0]}: answer it again")


def labels_of(answers: Sequence[Answer], rounds: I32, units: I32, names: Sequence[str]) -> tuple[U8, Bool]:
    """What answers about one scene say of its points, u8[N], and which points they are about; `rounds`, `units` i32[N] as `LabelState.first_asked`."""
    keys = np.array([_joined(answer.round, answer.unit) for answer in answers], np.int64)
    order = np.argsort(keys)
    values = np.array([IGNORE if answer.class_name is None else names.index(answer.class_name) for answer in answers], np.uint8)
    own = _joined(rounds.astype(np.int64), units)
    place = np.minimum(np.searchsorted(keys[order], own), len(keys) - 1)
    about = (rounds >= 0) & (keys[order][place] == own)
    label = np.where(about, values[order][place], np.uint8(IGNORE))
    for answer in answers:
        for part in answer.parts:
            label[list(part.points)] = IGNORE if part.class_name is None else names.index(part.class_name)
    return label, about


def _joined(rounds: Any, units: Any) -> Any:
    """A round and a unit as one whole number."""
    return rounds * 2**32 + units


def _missing(run: Path, round_index: int, queries: Sequence[Query], given: Mapping[Any, Answer], own: Sequence[Query], every: bool) -> str | None:
    """What a person is told when a round cannot be trained yet."""
    answered = sum(query.key in given for query in own)
    earlier = len(queries) - len(own) - (len(given) - answered)
    rest = f", {earlier:,} of earlier rounds are open" if earlier else ""
    head = f"round {round_index}: {answered:,} of {len(own):,} answered{rest}"
    label = _to_label(run)
    classes = classes_said(given.values())
    if every and len(given) < len(queries):
        return f"{head}; {label} (rounds.answered=any goes on with what is answered)"
    if len(classes) < 2 or sum(bool(classes_said([answer])) for answer in given.values()) < 2:
        named = f"only {classes[0]} is named" if len(classes) == 1 else "only one region has a class" if classes else "no class is named"
        return f"{head}, but {named}: training needs a region of each of two classes; {label}"
    return None


def _to_label(run: Path) -> str:
    return f"label with: al3d annotate {run}, then run the same command again"


def _counted(run: Path, store: Store, labels: LabelState, round_index: int, given: Mapping[Any, Answer]) -> dict[str, Any]:
    """What the answers say of one purchase: points per class, and bought points without one."""
    counts, total = np.zeros(len(store.classes), np.int64), 0
    by_scene: dict[str, list[Answer]] = {}
    for query in queries_of(run, store, round_index):
        total += query.points
        if query.key in given:
            by_scene.setdefault(query.scene, []).append(given[query.key])
    for scene, answers in by_scene.items():
        label = labels_of(answers, *labels.first_asked(scene, round_index), store.classes.names)[0]
        counts += _per_class(label, len(counts))
    return {"class_points": counts.tolist(), "unknown_points": int(total - counts.sum())}


def _per_class(label: U8, classes: int) -> I64:
    return np.bincount(label[label != IGNORE], minlength=classes)
