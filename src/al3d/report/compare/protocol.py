"""Whether runs may be compared: within a data set everything but seed, method and random seed must be equal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from al3d.report.compare.runs import StudyRun
from al3d.run import differing_keys

Tree = Mapping[str, Any]
#: How many differing options one message names.
SHOWN = 12


def protocol_letters(runs: Sequence[StudyRun], allow_mixed: bool) -> tuple[dict[str, str], list[str]]:
    """A letter for every run's protocol, by folder, and what each letter but "A" does otherwise, in words.

    `runs` are those of one data set. "A" is the protocol of most of them. A fully supervised run need not have bought like the others.
    Raises: ValueError naming the options in which the protocols differ, unless `allow_mixed`.
    """
    ordinary = [run for run in runs if not run.full]
    kinds = Counter(_text(run.protocol) for run in ordinary)
    order = {text: place for place, (text, _) in enumerate(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))}
    trees = {_text(run.protocol): run.protocol for run in ordinary}
    trained = {_text(run.training): _text(run.protocol) for run in sorted(ordinary, key=lambda run: -order[_text(run.protocol)])}
    letters = {str(run.path): _letter(order[_text(run.protocol)]) for run in ordinary}
    first = next((run for run in ordinary if letters[str(run.path)] == "A"), None)
    usual = trees[_first(order)] if order else {}
    otherwise = [f"protocol {_letter(place)}: {_listed(differences(usual, trees[text]))}" for text, place in order.items() if place]
    for run in runs:
        if not run.full:
            continue
        found = trained.get(_text(run.training))
        letters[str(run.path)] = _letter(order[found]) if found is not None else "other"
        if found is None and first is not None:
            otherwise.append(f"fully supervised {run.path.name}: {_listed(differences(first.training, run.training))}")
    if otherwise and not allow_mixed:
        examples = [f"  {letter}: {_example(runs, letters, letter)}" for letter in sorted(set(letters.values()))]
        raise ValueError(
            f"runs of {runs[0].dataset} were made under different protocols, so their results cannot be compared.\n"
            + "\n".join(f"  {words}" for words in otherwise)
            + "\n(protocol A -> the other). For example:\n"
            + "\n".join(examples)
            + "\nCompare them apart, or say --allow-mixed to see them side by side all the same"
        )
    return letters, otherwise


def differences(old: Tree, new: Tree) -> list[str]:
    """What differs, as "key: old -> new"; of two parts of different kinds (`_target_`) only the kinds, since their options do not compare."""
    changes = differing_keys(old, new)
    kinds = {change.split(": ", 1)[0].removesuffix("_target_") for change in changes if change.split(": ", 1)[0].endswith("._target_")}
    kept = []
    for change in changes:
        key = change.split(": ", 1)[0]
        if not any(key.startswith(kind) and key != f"{kind}_target_" for kind in kinds):
            kept.append(change.replace("._target_:", ":", 1))
    return kept


def tell_apart(names: Sequence[str], trees: Sequence[Tree]) -> list[str]:
    """The same names, with the differing options behind those that stand for different things.

    `trees[i]` is what `names[i]` stands for; of several trees with one name, the most frequent keeps it.
    """
    told = list(names)
    for name in sorted(set(names)):
        places = [place for place, other in enumerate(names) if other == name]
        kinds = Counter(_text(trees[place]) for place in places)
        usual = min(kinds, key=lambda text: (-kinds[text], text))
        reference = next(trees[place] for place in places if _text(trees[place]) == usual)
        for place in places:
            changes = differing_keys(reference, trees[place])
            if changes:
                told[place] = f"{name}, {_short(changes)}"
    return told


def _text(tree: Tree) -> str:
    return json.dumps(tree, sort_keys=True, default=str)


def _letter(place: int) -> str:
    return chr(ord("A") + place) if place < 26 else f"A{place}"


def _first(order: Mapping[str, int]) -> str:
    return next(text for text, place in order.items() if place == 0)


def _listed(changes: Sequence[str]) -> str:
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return "; ".join(changes[:SHOWN]) + more


def _example(runs: Sequence[StudyRun], letters: Mapping[str, str], letter: str) -> str:
    same = [run.path for run in runs if letters[str(run.path)] == letter]
    return f"{same[0]}" + (f" and {len(same) - 1} more" if len(same) > 1 else "")


def _short(changes: Sequence[str]) -> str:
    """What is otherwise, for a name: pick.decay=0.9 for `acquire.pick.decay: 0.95 -> 0.9`."""
    pairs = [change.split(": ", 1) for change in changes]
    words = [f"{key.removeprefix('acquire.')}={value.rsplit(' -> ', 1)[-1]}" for key, value in pairs]
    return ", ".join(words[:2]) + (f" and {len(words) - 2} more" if len(words) > 2 else "")
