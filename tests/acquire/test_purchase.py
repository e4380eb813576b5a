"""A purchase that people answer keeps the order in which its units were chosen."""

import numpy as np

from al3d.acquire.acquirer import Acquirer
from al3d.acquire.budget import Budget
from al3d.acquire.pick import Top
from al3d.acquire.pool import Pool
from al3d.acquire.purchase import buy
from al3d.data.labels import LabelState
from al3d.people.queries import Query, queries_of
from al3d.types import IGNORE


class Nobody:
    """An oracle that knows nothing beforehand."""

    simulated = False

    def answer(self, scene_id, asked):
        return np.full(len(asked), IGNORE, np.uint8)


def test_the_order_of_a_purchase_is_kept(tiny_store, tiny_supervoxel, make_units, tmp_path):
    method = Acquirer("worth", tiny_supervoxel, Top(), Budget(4, "units"))
    labels = LabelState(tmp_path, tiny_store)
    units = make_units([30, 50, 20, 40, 60, 10], scene=[0, 0, 1, 1, 2, 2], score=[1, 5, 2, 6, 3, 4])
    buy(Pool(tiny_store, labels, method, 1, -1), units, Nobody(), 100, None)
    assert queries_of(tmp_path, tiny_store, 0) == [
        Query(0, 0, "t_2", 1, 40),
        Query(0, 1, "t_1", 1, 50),
        Query(0, 2, "t_3", 1, 10),
        Query(0, 3, "t_3", 0, 60),
    ]
