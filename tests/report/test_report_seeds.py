"""First rounds of several seeds side by side."""

import json

import pytest

from al3d.report.seeds import first_rounds, seed_title, table, write_seeds

from .fake_run import ROOM_CLASSES, write_run


@pytest.fixture
def runs(tmp_path):
    lifts = {("random", 1): 0.0, ("random", 2): 0.02, ("random", 3): 0.04, ("kcenter", 1): 0.03}
    return [write_run(tmp_path / f"{seed}{rng}", ROOM_CLASSES, seed=seed, rng=rng, lift=lift) for (seed, rng), lift in lifts.items()]


def edit(run, change):
    content = json.loads((run / "identity.json").read_text())
    change(content["identity"])
    (run / "identity.json").write_text(json.dumps(content))


def test_random_draws_come_first_and_the_share_below_a_seed_is_counted(runs, tmp_path):
    trials = first_rounds(runs[::-1])
    assert list(trials) == ["rooms"] and list(trials["rooms"]) == ["random", "kcenter"]
    draws, other = trials["rooms"]["random"].miou, trials["rooms"]["kcenter"].miou
    assert len(draws) == 3 and sorted(draws)[1] < other[0] < max(draws)
    last = table(trials["rooms"]).splitlines()[-1]
    assert last.startswith("| kcenter | 1 |") and last.endswith("| 2 of 3 |")
    write_seeds(runs, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"seeds.png", "seeds.svg", "tables.md"}
    assert "kcenter" in (tmp_path / "out" / "seeds.svg").read_text()


def test_features_and_units_are_part_of_the_name():
    scene, part = {"_target_": "al3d.units.scene.SceneUnit"}, {"_target_": "al3d.units.supervoxel.Supervoxel"}
    clustered = {"of": {"name": "geometry", "_target_": "x.Geometry"}, "clusters": 13}
    assert seed_title({"seed": {"name": "seedal", "unit": scene, "features": clustered}}) == "seedal (geometry)"
    assert seed_title({"seed": {"name": "random", "unit": part}}) == "random, supervoxel"


def test_runs_of_another_protocol_are_refused_and_unfinished_ones_too(runs, tmp_path):
    edit(runs[-1], lambda identity: identity["rounds"].update(epochs=100))
    with pytest.raises(ValueError, match="kcenter1 cannot be compared with .*: rounds.epochs: 200 -> 100"):
        first_rounds(runs)
    with pytest.raises(ValueError, match="has no finished round"):
        first_rounds([write_run(tmp_path / "empty", ROOM_CLASSES, rounds=0)])
