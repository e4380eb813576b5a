"""Which checkpoint stands for a round, and how scenes are judged."""

import numpy as np
import pytest
import torch

from al3d.data.batch import Batch
from al3d.learn.evaluation import Evaluation
from al3d.learn.metrics import scores
from al3d.learn.segmenter import Segmenter
from al3d.nets.blocks import Output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"select_on": "test"}, "eval.select_on='test' is not one of none, val, bought_holdout"),
        ({"after": 1.0}, "eval.after=1.0"),
        ({"first_after": 1.0}, "eval.first_after=1.0"),
        ({"holdout": 0.0}, "eval.holdout=0.0"),
        ({"absent": "zero"}, "eval.absent='zero'"),
        ({"votes": 0}, "eval.votes=0"),
    ],
)
def test_wrong_options_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        Evaluation(**options)


def test_an_absent_class_is_left_out_or_counts_as_perfect():
    confusion = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]])
    ious = [8 / 10, 10 / 12]
    assert scores(confusion).miou == pytest.approx(np.mean(ious))
    assert scores(confusion, "perfect").miou == pytest.approx(np.mean([*ious, 1.0]))
    assert np.isnan(scores(confusion, "perfect").iou[2])
    with pytest.raises(ValueError, match="absent='zero'"):
        scores(confusion, "zero")


class Fixed(torch.nn.Module):
    """Logits by the first input alone."""

    def forward(self, coord, feat):
        return Output(torch.log(feat), feat, feat)


def one_view(rows, inverse, label=None):
    count = len(rows)
    coord = torch.stack([torch.zeros(count), torch.arange(count), torch.zeros(count), torch.zeros(count)], dim=1).to(torch.int32)
    return Batch(coord, torch.tensor(rows), torch.full((count,), 255), torch.tensor(inverse), [0], None if label is None else torch.tensor(label))


def test_votes_are_means_of_probabilities():
    """The first view says class 0 for both points, weakly; the second class 1 strongly for point 1 alone."""
    module = Segmenter(net=Fixed(), classes=2, optimizer=torch.optim.SGD, loss=lambda logits, label: logits.sum())
    batch = one_view([[0.6, 0.4], [0.55, 0.45]], [0, 1], [0, 1])
    module.count(batch)
    assert module.counted().tolist() == [[1, 0], [1, 0]]
    batch.views = [one_view([[0.1, 0.9], [0.9, 0.1]], [1, 0], [0, 1])]
    module.count(batch)
    assert module.counted().tolist() == [[1, 0], [0, 1]]
    assert module.counted().sum() == 0, "counting starts anew"
