"""A run's choice as lists of scans and regions, and back."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest

from al3d.acquire.listed import Listed
from al3d.acquire.published import Published
from al3d.commands.export import command
from al3d.data.exchange import read_listing
from al3d.data.labels import LabelState
from al3d.data.prepare import prepare
from al3d.data.store import Store, partition_hash
from al3d.files import write_json
from al3d.progress import console
from al3d.report.export import choice_of, export
from al3d.types import ClassTable, Scene, View
from al3d.units.kmeans_region import KMeansRegion
from al3d.units.point import PointUnit
from al3d.units.scene import SceneUnit
from al3d.units.supervoxel import Supervoxel

UNIT = {"_target_": "al3d.units.supervoxel.Supervoxel", "voxel": 0.05, "seed": 0.4, "minimum_points": 20}
NAMES = {
    "s3dis": ("Area_1#office_1", "Area_2#WC_1", "Area_2#hallway_8"),
    "semantic_kitti": ("00_000000", "00_000010", "03_000001"),
    "scannet": ("scene0000_00", "scene0000_01", "scene0707_00"),
    "plain": ("one", "three", "two"),
}


class Renamed:
    """Scenes of the tiny data set under other names, as a source."""

    name = "renamed"
    classes = ClassTable(("table", "box", "ball"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
    features = ("red", "green", "blue")

    def __init__(self, store, names):
        self.store, self.names = store, dict(zip(names, ("t_1", "t_2", "t_3"), strict=True))

    def scenes(self, split):
        return tuple(self.names) if split == "train" else ("v",)

    def read(self, scene_id):
        old = self.store.scene(self.names.get(scene_id, "v_1"))
        return Scene(scene_id, np.array(old.xyz), np.array(old.feat)), np.zeros(len(old), np.uint8)

    def fingerprint(self):
        return " ".join(self.names)


def run_of(folder, store, *purchases, unit=UNIT, seed=None):
    """The folder of a run that chose from `store` and made these purchases, each (ids per scene, units)."""
    identity = {"data": store.data_hash, "dataset": {"name": store.name}, "acquire": {"unit": unit}, "seed": {"unit": seed or unit}}
    write_json(folder / "identity.json", {"hash": "0", "identity": identity})
    (folder / "config.yaml").write_text(f"paths:\n  data: {store.path.parent}\n")
    labels = LabelState(folder, store)
    for bought, units in purchases:
        labels.append(bought, units, {})
    return labels


@pytest.fixture(params=NAMES)
def renamed(request, tiny_store, tmp_path, tiny_supervoxel):
    return prepare(Renamed(tiny_store, NAMES[request.param]), tmp_path / "data", partitioners=(tiny_supervoxel,)), request.param


def read(path):
    return json.loads(path.read_text())


def asked_by(store, score, unit):
    """What the seed would ask of every training scene: bool[N], as points whose score is above 0."""
    masks = {}
    for index, name in enumerate(store.splits["train"]):
        scene, ids = store.scene(name), store.unit(unit, name)
        view = View(scene, index, ids, np.zeros(int(ids.max()) + 1, np.uint8), np.zeros(len(scene), bool), whole=unit.name == "scene")
        masks[name] = (score(view) > 0) & (ids >= 0)
    return masks


def test_bought_scenes_come_back(renamed, tmp_path, tiny_supervoxel):
    store, layout = renamed
    first, second, third = store.splits["train"]
    labels = run_of(tmp_path / "run", store, ({first: [0], third: [0]}, SceneUnit()))
    out = tmp_path / "out"
    files = export(labels.folder, out)
    word = "large_region" if layout == "semantic_kitti" else "region"
    assert {file.name for file in files} == {path.name for path in out.iterdir()} == {
        *(f"init_{side}_{what}.json" for side in ("label", "ulabel") for what in ("scan", word)),
        "units.json",
        "info.txt",
    }  # fmt: skip
    scan = {"s3dis": "Area_1/coords/office_1.npy", "semantic_kitti": "00/velodyne/000000.bin", "scannet": "scene0000_00/coords.npy", "plain": "one"}[layout]
    assert read(out / "init_label_scan.json")[0] == scan
    assert read_listing(out / "init_label_scan.json").scenes == (first, third) and read_listing(out / "init_ulabel_scan.json").scenes == (second,)
    counts = {name: int(store.unit(tiny_supervoxel, name).max()) + 1 for name in store.splits["train"]}
    assert read(out / f"init_label_{word}.json") == {name: list(range(1, counts[name] + 1)) for name in (first, third)}
    assert read(out / f"init_ulabel_{word}.json") == {second: list(range(1, counts[second] + 1))}
    regions, points = counts[first] + counts[third], store.sizes[first] + store.sizes[third]
    assert (out / "info.txt").read_text().startswith(f"Region Num: {regions} and Point Num: {points}")
    for score in (Published(out / "init_label_scan.json"), Listed(out / "units.json")):
        assert_same(store, labels, asked_by(store, score, SceneUnit()))
    by_region = asked_by(store, Published(out / f"init_label_{word}.json"), tiny_supervoxel)
    assert_same(store, labels, {name: mask | (labels.asked(name) & (store.unit(tiny_supervoxel, name) < 0)) for name, mask in by_region.items()})


def assert_same(store, labels, masks):
    assert all(np.array_equal(masks[name], labels.asked(name)) for name in store.splits["train"]) and any(mask.any() for mask in masks.values())


def test_bought_regions_come_back(renamed, tmp_path, tiny_supervoxel):
    store, layout = renamed
    first, second, third = store.splits["train"]
    count = int(store.unit(tiny_supervoxel, second).max()) + 1
    labels = run_of(tmp_path / "run", store, ({first: [2]}, tiny_supervoxel), ({first: [0, 4], second: list(range(count))}, tiny_supervoxel))
    out = tmp_path / "out"
    files = {file.name: file for file in export(labels.folder, out)}
    label, rest = (read(files[name]) for name in sorted(files) if name.endswith("region.json"))
    assert label[first] == [1, 3, 5] and label[second] == list(range(1, count + 1)) and third not in label
    assert set(rest) == {first, third} and not set(label[first]) & set(rest[first])
    assert sorted([*label[first], *rest[first]]) == list(range(1, int(store.unit(tiny_supervoxel, first).max()) + 2)), "every region is in one of the lists"
    assert read(files["units.json"]) == {first: [0, 2, 4], second: list(range(count))}
    name = next(name for name in files if name.startswith("init_label") and name.endswith("region.json"))
    score = Published(files[name])
    score.check_store(store, tiny_supervoxel)
    for one in (score, Listed(files["units.json"])):
        assert_same(store, labels, asked_by(store, one, tiny_supervoxel))
    export(labels.folder, out, 0)
    assert read(files["units.json"]) == {first: [2]} and "up to round 0" in files["info.txt"].read_text()


def test_a_seed_of_scenes_and_regions_after_it(tmp_path, tiny_store, tiny_supervoxel):
    labels = run_of(tmp_path / "run", tiny_store, ({"t_1": [0]}, SceneUnit()), ({"t_2": [1]}, tiny_supervoxel))
    export(labels.folder, tmp_path / "out")
    units = read(tmp_path / "out" / "units.json")
    assert units == {"t_1": list(range(int(tiny_store.unit(tiny_supervoxel, "t_1").max()) + 1)), "t_2": [1]}
    assert read(tmp_path / "out" / "init_label_scan.json") == ["t_1", "t_2"]
    assert len(read(tmp_path / "out" / "init_ulabel_scan.json")) == 4


def test_without_a_partition_there_are_lists_of_scans_alone(tmp_path, tiny_store, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr("al3d.report.export.console.print", lambda words, **_: lines.append(words))
    bare = tmp_path / "data" / "bare"
    shutil.copytree(tiny_store.path, bare, ignore=shutil.ignore_patterns("unit"))
    store = Store(bare)
    labels = run_of(tmp_path / "run", store, ({"t_1": [0]}, SceneUnit()))
    files = export(labels.folder, tmp_path / "out")
    assert [file.name for file in files] == ["init_label_scan.json", "init_ulabel_scan.json", "units.json", "info.txt"]
    assert (tmp_path / "out" / "info.txt").read_text() == f"Scan Num: 1 and Point Num: {store.sizes['t_1']}, bought up to round 0\n"
    assert [line.split(":")[0] for line in lines][-2:] == ["no lists of regions", "bought again by"]


def test_points_are_not_for_these_lists(tmp_path, tiny_store):
    labels = run_of(tmp_path / "run", tiny_store, ({"t_1": [0]}, SceneUnit()), ({"t_2": [4]}, PointUnit()))
    with pytest.raises(ValueError, match=r"what it bought of scene 't_2' is neither all of it nor whole regions of .*seed=file seed\.unit\.run="):
        choice_of(labels.folder)
    assert choice_of(labels.folder, 0).bought == ("t_1",)


def test_points_that_fill_regions_are(tmp_path, tiny_store, tiny_supervoxel):
    """What counts is which points were asked, as after a seed taken from another run's file."""
    inside = np.flatnonzero(tiny_store.unit(tiny_supervoxel, "t_2") == 3).tolist()
    labels = run_of(tmp_path / "run", tiny_store, ({"t_2": inside}, PointUnit()))
    assert choice_of(labels.folder).regions == {"t_2": [3]}
    outside = int(np.flatnonzero(tiny_store.unit(tiny_supervoxel, "t_2") < 0)[0])
    labels.append({"t_2": [outside]}, PointUnit(), {})
    with pytest.raises(ValueError, match="neither all of it nor whole regions"):
        choice_of(labels.folder)


def test_the_partition_is_the_one_bought_by_or_the_one_that_is_named(tmp_path, tiny_store, tiny_supervoxel):
    path = tmp_path / "data" / "two"
    shutil.copytree(tiny_store.path, path)
    store = Store(path)
    other, kmeans = Supervoxel(0.05, 0.6, minimum_points=20), KMeansRegion(6)
    for unit, word in ((other, "Supervoxel"), (kmeans, "KMeansRegion")):
        for name in store.splits["train"]:
            store.unit_file(unit, name).parent.mkdir(exist_ok=True)
            np.save(store.unit_file(unit, name), unit(store.scene(name)).unit)
        write_json(store.unit_file(unit, "-").parent / "made_by.json", {"class": word})
    bought = ({"t_1": [0]}, SceneUnit())

    def regions(name, unit=UNIT, **more):
        labels = run_of(tmp_path / name, store, bought, unit=unit)
        found = choice_of(labels.folder, **more).regions
        return {} if found is None else {scene: len(ids) for scene, ids in found.items()}

    counts = {one: int(store.unit(one, "t_1").max()) + 1 for one in (other, kmeans, tiny_supervoxel)}
    assert len(set(counts.values())) == 3
    assert regions("configured") == {"t_1": counts[tiny_supervoxel]}
    assert regions("named", partition=partition_hash(other)) == {"t_1": counts[other]}
    with pytest.raises(ValueError, match=r"holds 3 partitions into regions: name one of .* with --partition"):
        regions("neither", {"_target_": "al3d.units.point.PointUnit"})
    labels = run_of(tmp_path / "bought", store, bought, ({"t_2": [1]}, kmeans))
    choice = choice_of(labels.folder)
    assert choice.regions is not None and choice.regions["t_2"] == [1] and len(choice.regions["t_1"]) == counts[kmeans] and choice.unit == "kmeans"
    labels.append({"t_3": [1]}, other, {})
    with pytest.raises(ValueError, match=r"bought by the partitions .*, but lists hold the regions of one"):
        choice_of(labels.folder)
    store.unit_file(other, "t_3").unlink()
    with pytest.raises(ValueError, match="the partition lacks 1 scenes, such as t_3"):
        regions("incomplete", partition=partition_hash(other))


def test_the_command(tmp_path, tiny_store, monkeypatch):
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    labels = run_of(tmp_path / "run", tiny_store, ({"t_1": [0]}, SceneUnit()))
    (labels.folder / "config.yaml").unlink()
    words = [str(labels.folder), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="al3d: .*--data"):
        command.main(words, standalone_mode=False)
    assert not (tmp_path / "out").exists()
    command.main([*words, "--round", "0", "--data", str(tiny_store.path.parent)], standalone_mode=False)
    again = f"bought again by: al3d train seed=published seed.score.file={tmp_path / 'out' / 'init_label_scan.json'}"
    assert again in printed.getvalue()
    assert read(tmp_path / "out" / "units.json") == {"t_1": [0]}
