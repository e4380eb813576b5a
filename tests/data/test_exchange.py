"""The lists of ReDAL and SeedAL: read, refused, and written as theirs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.exchange import LAYOUTS, PLAIN, layout_of, read_listing, region_counts, write_regions, write_scans

SEEDS = Path(__file__).parents[3] / "shared" / "data" / "published_seeds"
real = pytest.mark.skipif(not SEEDS.is_dir(), reason="the published lists are not here")
ENTRIES = {
    "s3dis": ("Area_1/coords/office_1.npy", "Area_1#office_1"),
    "semantic_kitti": ("00/velodyne/000017.bin", "00_000017"),
    "scannet": ("scene0612_01/coords.npy", "scene0612_01"),
    "plain": ("learn_17", "learn_17"),
}


def written(folder, content, name="list.json"):
    path = folder / name
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("layout", ENTRIES)
@pytest.mark.parametrize("front", ["", "/data/somewhere/", "sequences/", "C:\\data\\"])
def test_scans_become_scene_ids_whatever_stands_in_front(tmp_path, layout, front):
    scan, scene = ENTRIES[layout]
    if layout != "plain":
        assert read_listing(written(tmp_path, [front + scan])).scenes == (scene,)
        assert layout_of([scene]).name == layout
    assert read_listing(written(tmp_path, [scene])).scenes == (scene,)
    assert layout_of([scene]).scan_of(scene) == scan


def test_a_list_that_redal_wrote_while_running(tmp_path):
    path = written(tmp_path, {"L_im_idx": ["/x/Area_1/coords/WC_1.npy"], "U_im_idx": ["/x/Area_1/coords/WC_2.npy"]})
    assert read_listing(path).scenes == ("Area_1#WC_1",) and read_listing(path).regions is None


def test_regions_keep_their_numbers_and_order(tmp_path):
    listing = read_listing(written(tmp_path, {"Area_1#WC_1": [3, 1], "Area_2#WC_1": []}))
    assert listing.scenes == ("Area_1#WC_1", "Area_2#WC_1") and listing.regions == {"Area_1#WC_1": (3, 1), "Area_2#WC_1": ()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (3, "holds a int"),
        (["Area_1/points/office_1.npy"], r"'Area_1/points/office_1\.npy' is neither a scan nor a scene id"),
        ([["a"]], r"\['a'\] is not the name of a scan"),
        ([".hidden"], "'.hidden' is neither"),
        (
            ["00/velodyne/000017.bin", "scene0000_00/coords.npy"],
            r"'scene0000_00/coords\.npy' is named as in scannet, but '00/velodyne/000017\.bin' as in semantic_k",
        ),
        (["Area_1#WC_1", "Area_1/coords/WC_1.npy"], "as in s3dis, but 'Area_1#WC_1' as in plain"),
        (["/a/00/velodyne/000017.bin", "/b/00/velodyne/000017.bin"], "00_000017 is listed twice"),
        ({"Area_1#WC_1": [0, 1]}, r"'Area_1#WC_1' has \[0, 1\] where"),
        ({"Area_1#WC_1": [True, False]}, r"has \[True, False\] where"),
        ({"Area_1#WC_1": [2, 2]}, r"has \[2, 2\] where"),
        ({"Area_1#WC_1": 7}, "has 7 where"),
        ({"00/velodyne/000017.bin#3": 4000}, "is neither a scan nor a scene id"),
    ],
)
def test_anything_else_is_refused_with_the_file_the_entry_and_what_is_known(tmp_path, content, words):
    with pytest.raises(ValueError, match=rf"(?s)list\.json: .*{words}.*") as error:
        read_listing(written(tmp_path, content))
    assert "listed twice" in str(error.value) or "Area_1/coords/office_1.npy" in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)nowhere\.json; these lists are known"):
        read_listing(tmp_path / "nowhere.json")


IDS = {
    "s3dis": st.builds("Area_{}#{}_{}".format, st.integers(1, 6), st.sampled_from(["office", "WC", "conferenceRoom"]), st.integers(1, 40)),
    "semantic_kitti": st.builds("{:02d}_{:06d}".format, st.integers(0, 10), st.integers(0, 4600)),
    "scannet": st.builds("scene{:04d}_{:02d}".format, st.integers(0, 706), st.integers(0, 6)),
    "plain": st.builds("my-{}.{}".format, st.integers(0, 99), st.sampled_from(["a", "b"])),
}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(IDS)).flatmap(lambda name: st.tuples(st.just(name), st.lists(IDS[name], min_size=1, max_size=9, unique=True))), st.data())
def test_what_is_written_is_read(tmp_path_factory, named, data):
    name, scenes = named
    folder = tmp_path_factory.mktemp("lists")
    layout = layout_of(scenes)
    assert layout.name == name
    write_scans(folder / "scans.json", scenes, layout)
    assert read_listing(folder / "scans.json").scenes == tuple(scenes)
    regions = {scene: data.draw(st.lists(st.integers(1, 900), max_size=5, unique=True)) for scene in scenes}
    write_regions(folder / "regions.json", regions)
    assert read_listing(folder / "regions.json").regions == {scene: tuple(ids) for scene, ids in regions.items()}


def test_scenes_of_several_data_sets_are_plain():
    assert layout_of(["Area_1#WC_1", "00_000017"]) is PLAIN and layout_of([]) is PLAIN
    with pytest.raises(ValueError, match="'00_000017' is not one of s3dis"):
        LAYOUTS[0].scan_of("00_000017")


def test_names_of_the_files():
    names = {layout.name: [layout.file(side, what) for side in ("label", "ulabel") for what in ("scan", "region")] for layout in LAYOUTS}
    assert names["s3dis"] == names["scannet"] == ["init_label_scan.json", "init_label_region.json", "init_ulabel_scan.json", "init_ulabel_region.json"]
    assert names["semantic_kitti"][1::2] == ["init_label_large_region.json", "init_ulabel_large_region.json"]


def test_numbers_of_regions_come_from_both_sides(tmp_path):
    label = written(tmp_path, {"a": [1, 2], "b": [4]}, "init_label_region.json")
    assert region_counts(label) == {}, "one side alone does not say how many there are"
    written(tmp_path, {"b": [1, 2, 3], "c": [1]}, "init_ulabel_region.json")
    scans = written(tmp_path, ["a", "b"], "init_label_scan.json")
    assert region_counts(label) == region_counts(scans) == {"a": 2, "b": 4, "c": 1}
    assert region_counts(written(tmp_path, ["a"], "mine.json")) == {}
    assert region_counts(scans, label) == {"a": 2, "b": 1}
    with pytest.raises(ValueError, match=r"init_label_scan\.json: lists scans where a list of regions is wanted"):
        region_counts(label, scans)


#: file -> scenes, regions (None: a list of scans), layout.
PUBLISHED = {
    "redal_s3dis.json": (4, None, "s3dis"),
    "redal_s3dis_regions.json": (4, 718, "s3dis"),
    "redal_scannet.json": (24, None, "scannet"),
    "redal_semantic_kitti.json": (191, None, "semantic_kitti"),
    "seedal_s3dis.json": (17, None, "s3dis"),
    "seedal_s3dis_regions.json": (17, 859, "s3dis"),
    "seedal_semantic_kitti.json": (184, None, "semantic_kitti"),
}


@real
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_have_the_published_counts_and_are_written_alike(tmp_path, name):
    scenes, regions, layout = PUBLISHED[name]
    listing = read_listing(SEEDS / name)
    assert len(listing.scenes) == scenes and layout_of(listing.scenes).name == layout
    assert (None if listing.regions is None else sum(map(len, listing.regions.values()))) == regions
    if listing.regions is None:
        write_scans(tmp_path / name, listing.scenes, layout_of(listing.scenes))
    else:
        write_regions(tmp_path / name, listing.regions)
        assert all(ids == tuple(range(1, len(ids) + 1)) for ids in listing.regions.values())
    assert json.loads((tmp_path / name).read_text()) == json.loads((SEEDS / name).read_text())
    if name.startswith("redal"):  # SeedAL's are written by hand
        assert (tmp_path / name).read_bytes() == (SEEDS / name).read_bytes()


@real
def test_every_published_file_is_tested():
    assert {path.name for path in SEEDS.glob("*.json")} == set(PUBLISHED)


@real
def test_published_seeds_are_as_described():
    """Counts per sequence and per area, and that the two seeds of a data set share no scene."""
    scenes = {name: read_listing(SEEDS / name).scenes for name in PUBLISHED}
    for name in ("redal_s3dis", "seedal_s3dis"):
        assert set(scenes[f"{name}.json"]) == set(scenes[f"{name}_regions.json"])
    for name in ("s3dis", "semantic_kitti"):
        assert not set(scenes[f"redal_{name}.json"]) & set(scenes[f"seedal_{name}.json"])
    drives = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
    for name, counts in (("redal", (45, 12, 57, 11, 2, 19, 10, 11, 12, 12)), ("seedal", (35, 8, 15, 2, 1, 41, 29, 12, 20, 21))):
        found = Counter(scene[:2] for scene in scenes[f"{name}_semantic_kitti.json"])
        assert tuple(found[drive] for drive in drives) == counts
    assert Counter(scene[:6] for scene in scenes["seedal_s3dis.json"]) == {"Area_2": 8, "Area_3": 1, "Area_4": 5, "Area_6": 3}
    regions = read_listing(SEEDS / "redal_s3dis_regions.json").regions
    assert regions is not None and {scene: len(ids) for scene, ids in regions.items()} == {
        "Area_2#hallway_8": 409,
        "Area_2#WC_1": 82,
        "Area_4#conferenceRoom_1": 137,
        "Area_1#office_14": 90,
    }
