"""The S3DIS source: every trap of the raw files, in small rooms made here."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.data.sources import annotations
from al3d.data.sources.annotations import count_lines, read_rows
from al3d.data.sources.s3dis import CLASSES, S3DIS

ROWS = b"1.500 2.250 3.000 10 20 30\n-1.250 0.5 0 255 0 128\n"
OTHER = b"4 5 6 1 2 3\n"


def _write(root: Path, room: str, **files: bytes) -> None:
    folder = root / room / "Annotations"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.txt").write_bytes(content)


def _rows(path: Path) -> np.ndarray:
    """The rows of one file, f64[N,6]."""
    most = count_lines(path)
    xyz, colour = np.full((most, 3), np.nan), np.full((most, 3), np.nan, dtype=np.float32)
    count = read_rows(path, "shown", xyz, colour)
    return np.concatenate([xyz[:count], colour[:count]], axis=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for room in ("Area_1/office_1", "Area_1/office_10", "Area_1/hallway_2", "Area_5/WC_1"):
        _write(tmp_path, room, wall_1=ROWS, chair_1=OTHER)
    (tmp_path / "Area_1" / "Area_1_alignmentAngle.txt").write_text("office_1 0\n")
    return tmp_path


def test_scenes_are_sorted_room_keys(root: Path) -> None:
    (root / "Area_1" / ".hidden").mkdir()
    source = S3DIS(root)
    assert source.scenes("train") == ("Area_1#hallway_2", "Area_1#office_1", "Area_1#office_10")
    assert source.scenes("val") == ("Area_5#WC_1",)
    with pytest.raises(ValueError, match="no split 'test'.*'train'"):
        source.scenes("test")


def test_read_gives_points_colours_labels_and_origin(root: Path) -> None:
    scene, labels = S3DIS(root).read("Area_1#office_1")
    world = np.array([[4, 5, 6], [1.5, 2.25, 3], [-1.25, 0.5, 0]])
    assert scene.id == "Area_1#office_1"
    assert scene.origin.dtype == np.float64
    np.testing.assert_array_equal(scene.origin, [-2, 0, 0])
    np.testing.assert_array_equal(scene.xyz, (world - scene.origin).astype(np.float32))
    np.testing.assert_allclose(scene.feat, np.array([[1, 2, 3], [10, 20, 30], [255, 0, 128]]) / 255, rtol=1e-6)
    assert labels.dtype == np.uint8
    assert [CLASSES.names[label] for label in labels] == ["chair", "wall", "wall"]


def test_class_order_and_colours() -> None:
    expected = "ceiling floor wall beam column window door chair table bookcase sofa board clutter"
    assert " ".join(CLASSES.names) == expected
    assert len(set(CLASSES.colors)) == 13


@pytest.mark.parametrize("content", [ROWS, OTHER + ROWS], ids=["same bytes", "other bytes"])
def test_a_file_named_as_a_copy_is_skipped_with_a_warning(root: Path, content: bytes) -> None:
    _write(root, "Area_1/office_1", **{"wall_1 (1)": content})
    with pytest.warns(UserWarning, match=r"Area_1#office_1: skipped 'wall_1 \(1\).txt', a copy of 'wall_1.txt'"):
        assert len(S3DIS(root).read("Area_1#office_1")[0]) == 3


def test_a_byte_identical_file_of_the_same_class_is_skipped(root: Path) -> None:
    _write(root, "Area_1/office_1", wall_7=ROWS, door_1=ROWS)
    with pytest.warns(UserWarning, match="'wall_7.txt', a copy of 'wall_1.txt'"):
        _, labels = S3DIS(root).read("Area_1#office_1")
    assert np.bincount(labels, minlength=13)[[2, 6, 7]].tolist() == [2, 2, 1]


def test_a_copy_without_its_original_is_read(tmp_path: Path) -> None:
    _write(tmp_path, "Area_2/office_1", **{"wall_3 (1)": ROWS})
    assert S3DIS(tmp_path).read("Area_2#office_1")[1].tolist() == [2, 2]


@pytest.mark.parametrize(
    "line",
    [
        b"1 2 3 \x1010 20 30\n",
        b"1 2 3 185\x00187 4\n",
        b"1 2 3\n",
        b"1 2 3 4 5 6 7\n",
        b"1 2 3 4 5 256\n",
        b"1 2 3 4 5 nan\n",
        b"1 2 3 4 -5 6\n",
        b"1,2,3,4,5,6\n",
        b"1 2 1.2.3 4 5 6\n",
        b"- 2 3 4 5 6\n",
    ],
)
def test_a_corrupt_line_is_skipped_and_reported(root: Path, line: bytes) -> None:
    _write(root, "Area_1/office_1", wall_1=ROWS + line + OTHER)
    with pytest.warns(UserWarning, match=r"Area_1#office_1/wall_1.txt: skipped line 3 "):
        scene, _ = S3DIS(root).read("Area_1#office_1")
    assert len(scene) == 4
    np.testing.assert_array_equal(scene.xyz[-1] + scene.origin, [4, 5, 6])


def test_ten_bad_lines_pass_and_eleven_do_not(root: Path) -> None:
    _write(root, "Area_1/office_1", wall_1=ROWS + b"1 2 3\n" * 10)
    with pytest.warns(UserWarning, match="line 12"):
        assert len(S3DIS(root).read("Area_1#office_1")[0]) == 3
    _write(root, "Area_1/office_1", wall_1=ROWS + b"1 2 3\n" * 11)
    with pytest.raises(ValueError, match=r"wall_1.txt: 11 lines .*line 3.*extract the file"):
        S3DIS(root).read("Area_1#office_1")


@pytest.mark.parametrize("line", [b"1 nan 3 4 5 6\n", b"inf 2 3 4 5 6\n"])
def test_a_coordinate_that_is_not_finite_is_an_error(root: Path, line: bytes) -> None:
    _write(root, "Area_1/office_1", wall_1=ROWS + b"\n" + line)
    with pytest.raises(ValueError, match=r"wall_1.txt, line 4: a coordinate is not finite"):
        S3DIS(root).read("Area_1#office_1")


def test_other_writings_of_good_rows_are_read_without_a_warning(tmp_path: Path) -> None:
    _write(tmp_path, "Area_1/a_1", wall_1=b"\r\n1e1\t+2.0  -.5 4.000 5 6\r\n\n 1.123456789012345678 2 3 4 5 6")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = _rows(tmp_path / "Area_1/a_1/Annotations/wall_1.txt")
    np.testing.assert_array_equal(rows, [[10, 2, -0.5, 4, 5, 6], [1.123456789012345678, 2, 3, 4, 5, 6]])


def test_stairs_are_clutter_and_other_classes_an_error(root: Path) -> None:
    _write(root, "Area_5/WC_1", stairs_1=OTHER + ROWS)
    assert S3DIS(root).read("Area_5#WC_1")[1].tolist() == [7, 12, 12, 12, 2, 2]
    _write(root, "Area_5/WC_1", robot_1=ROWS)
    with pytest.raises(ValueError, match=r"robot_1.txt: unknown class 'robot'.*ceiling, floor"):
        S3DIS(root).read("Area_5#WC_1")


def test_a_room_without_points_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path, "Area_1/office_1")
    _write(tmp_path, "Area_1/office_2", wall_1=b"", floor_1=b"\n")
    for room in ("Area_1#office_1", "Area_1#office_2"):
        with pytest.raises(ValueError, match=f"{room}' has no points"):
            S3DIS(tmp_path).read(room)


def test_missing_things_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*official form.*Stanford3dDataset_v1.2_Aligned_Version"):
        S3DIS(root / "nowhere").scenes("train")
    with pytest.raises(FileNotFoundError, match=r"split 'val' .*missing areas: Area_2, Area_6"):
        S3DIS(root, {"train": (1,), "val": (2, 6)}).scenes("val")
    with pytest.raises(FileNotFoundError, match="office_99"):
        S3DIS(root).read("Area_1#office_99")
    with pytest.raises(ValueError, match="ids look like"):
        S3DIS(root).read("Area_1#../../etc")


def test_overlapping_or_empty_splits_are_an_error(root: Path) -> None:
    with pytest.raises(ValueError, match=r"areas \[2\] are in both splits 'a' and 'c'"):
        S3DIS(root, {"a": (1, 2), "b": (3,), "c": (2,)})
    with pytest.raises(ValueError, match="split 'a' has no areas"):
        S3DIS(root, {"a": ()})


def test_fingerprint_follows_files_and_options(root: Path) -> None:
    first = S3DIS(root).fingerprint()
    assert S3DIS(str(root), name="other").fingerprint() == first
    assert S3DIS(root, {"train": [6, 2, 3, 4, 1], "val": [5]}).fingerprint() == first
    assert S3DIS(root, {"train": (1,), "val": (5,)}).fingerprint() != first
    _write(root, "Area_6/office_1", wall_1=ROWS)
    second = S3DIS(root).fingerprint()
    assert second != first
    (root / "Area_6/office_1").rename(root / "Area_6/office_2")
    assert S3DIS(root).fingerprint() not in (first, second)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(*[st.decimals(-200, 200, places=places) for places in (3, 0, 9)], *[st.integers(0, 255)] * 3), min_size=1, max_size=20),
    st.sampled_from(["\n", "\r\n", " \n", "\n\n"]),
)
def test_fast_rows_equal_python_floats(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]], ending: str) -> None:
    path = tmp_path_factory.mktemp("rows") / "wall_1.txt"
    path.write_bytes("".join(" ".join(str(value) for value in row) + ending for row in rows).encode())
    naive = np.array([[float(str(value)) for value in row] for row in rows])
    np.testing.assert_array_equal(_rows(path), naive)


@pytest.mark.parametrize("size", [32, 47, 1000])
def test_rows_and_line_numbers_do_not_depend_on_the_pieces_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(annotations, "_BLOCK", size)
    path = tmp_path / "wall_1.txt"
    lines = [f"{index}.5 {index} -{index}e0 {index} 1 2" for index in range(60)]
    lines[17], lines[40], lines[59] = "1 2 3 185\x00187 4", "", "1 2 3 4 5 6"
    path.write_bytes("\n".join(lines).encode())
    with pytest.warns(UserWarning, match=r"shown: skipped line 18 \('1 2 3 185\\x00187 4'\)"):
        rows = _rows(path)
    naive = [[float(word) for word in line.split()] for line in lines if line and "\0" not in line]
    np.testing.assert_array_equal(rows, naive)


def test_reading_a_room_needs_at_most_twice_its_arrays(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).uniform(0, 9, (60_000, 6))
    for number in range(3):
        np.savetxt(tmp_path / "part.txt", rows[number::3], fmt="%.3f %.3f %.3f %d %d %d")
        _write(tmp_path, "Area_1/a_1", **{f"wall_{number}": (tmp_path / "part.txt").read_bytes()})
    source = S3DIS(tmp_path)
    source.read("Area_1#a_1")
    block, annotations._BLOCK = annotations._BLOCK, 1 << 16
    try:
        tracemalloc.start()
        scene, labels = source.read("Area_1#a_1")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        annotations._BLOCK = block
    assert peak < 2.2 * (scene.xyz.nbytes + scene.feat.nbytes + labels.nbytes), "0.2 for a piece of a file and Python's own"


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "wall_1.txt").write_bytes(ROWS * 3)
    with pytest.raises(ValueError, match="has more lines than a moment ago"):
        read_rows(tmp_path / "wall_1.txt", "wall_1.txt", np.empty((2, 3)), np.empty((2, 3), dtype=np.float32))
