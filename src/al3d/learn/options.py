"""How networks are judged, as conf/eval says."""

from __future__ import annotations

from dataclasses import dataclass

from al3d.learn.metrics import ABSENT

SELECT_ON = ("none", "val", "bought_holdout")
JUDGE_ON = ("auto", "val", "bought_holdout", "none")
#: A score on fewer held-out units than this says nothing.
LEAST_HELD = 5


@dataclass(frozen=True)
class Evaluation:
    """How networks are judged; see conf/eval/default.yaml.

    Choosing on the evaluation split makes every score too good; tables mark it (docs/fidelity.md D-41). Raises: ValueError for a wrong option.
    """

    select_on: str = "none"
    after: float = 0.0
    holdout: float = 0.1
    absent: str = "excluded"
    votes: int = 1
    first_after: float | None = None
    judge_on: str = "auto"

    def __post_init__(self) -> None:
        if self.select_on not in SELECT_ON:
            raise ValueError(f"eval.select_on={self.select_on!r} is not one of {', '.join(SELECT_ON)}")
        if self.judge_on not in JUDGE_ON:
            raise ValueError(f"eval.judge_on={self.judge_on!r} is not one of {', '.join(JUDGE_ON)}")
        if self.absent not in ABSENT:
            raise ValueError(f"eval.absent={self.absent!r} is not one of {', '.join(ABSENT)}")
        if not 0 <= self.after < 1 or not 0 <= self.judged_after(0) < 1 or not 0 < self.holdout < 1:
            raise ValueError(
                f"eval.after={self.after} and eval.first_after={self.first_after} must be within 0..1 (1 excluded), "
                f"and eval.holdout={self.holdout} between 0 and 1"
            )
        if self.votes < 1:
            raise ValueError(f"eval.votes={self.votes}: a scene is judged at least once")

    def judged_after(self, round_index: int) -> float:
        """The fraction of a round's training from which on checkpoints are candidates."""
        return self.first_after if round_index == 0 and self.first_after is not None else self.after

    @property
    def on_val(self) -> bool:
        """Whether rounds are judged on the validation split; so is "auto" where nobody found that split without a label."""
        return self.judge_on in ("auto", "val")

    @property
    def selects(self) -> bool:
        """Whether another checkpoint than the last may stand for the round."""
        return self.select_on != "none"
