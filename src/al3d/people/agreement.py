"""How far two people agree about the queries that both answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from al3d.people.answers import Answers


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two people's classes of the same queries: 1 full agreement, 0 what chance gives.

    None without pairs, or when both only ever say one class.

    Source: Cohen 1960.
    """
    count = len(pairs)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(first[name] * second[name] for name in first) / count**2 if count else 1.0
    agreed = sum(one == other for one, other in pairs) / count if count else 0.0
    return (agreed - chance) / (1 - chance) if chance < 1 else None


def twice_answered(answers: Answers, people: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """The classes that two people gave to the same query, a pair for every two of them, in the order of their names.

    Unsure and parts are left out, and so are files: they go out with the answers of others, and what agrees with those is not recorded.
    """
    names = sorted({event.who for event in answers.history()} if people is None else people)
    given = {
        who: {key: answer.class_name for key, answer in answers.of(who).items() if answer.class_name is not None and answer.source == "page"} for who in names
    }
    return [(given[one][key], given[other][key]) for one, other in combinations(names, 2) for key in sorted(given[one].keys() & given[other].keys())]
