"""Labelled scans as files, written from columns without a network."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import laspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from al3d.predict.scans import FileReader, find_scans
from al3d.predict.trained import Legend
from al3d.predict.written import Result, prob_columns, write_las
from al3d.types import ClassTable

TABLE = ClassTable(("floor",), ((0, 0, 0),))


class Columns:
    """A reader of columns that are there."""

    def __init__(self, **columns: np.ndarray) -> None:
        self._columns = columns

    def columns(self, size: int) -> Iterator[dict[str, np.ndarray]]:
        for first in range(0, len(self._columns["x"]), size):
            yield {name: values[first : first + size] for name, values in self._columns.items()}


def written(path: Path, size: int, **columns: np.ndarray) -> laspy.LasData:
    places = {axis: np.arange(4.0) for axis in "xyz"}
    result = Result(Columns(**places, **columns), size, 4, TABLE, lambda chunk: np.zeros(min(size, 4 - chunk * size), np.uint8))
    write_las(result, path, Legend((0,), 255))
    return laspy.read(path)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_files_values_are_scaled_together(tmp_path, size):
    """0..200 is cut, not stretched, in a chunk whose own values are at most 1, too; so is a colour that is dark beside the others."""
    found = written(tmp_path / "a.las", size, intensity=np.float32([200, 7, 1, 0.5]))
    assert found.intensity.tolist() == [200, 7, 1, 0]
    assert written(tmp_path / "b.las", size, intensity=np.float32([1, 0.5, 0, np.nan])).intensity.tolist() == [65535, 32768, 0, 0]
    colours = {"red": np.float32([0, 1, 0, 1]), "green": np.float32([9, 8, 0, 0]), "blue": np.zeros(4, np.float32)}
    assert written(tmp_path / "c.las", size, **colours).red.tolist() == [0, 1, 0, 1]


def copc(path: Path) -> Path:
    """Four points as a COPC file of one node. laspy writes none, so its records have another owner until the file is there."""

    def write(info: bytes, entry: bytes) -> laspy.LasHeader:
        las = laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
        las.header.vlrs.append(laspy.VLR("cxpc", 1, "COPC info VLR", info))
        las.x = las.y = las.z = np.arange(4.0)
        las.evlrs = laspy.vlrs.vlrlist.VLRList([laspy.VLR("cxpc", 1000, "EPT Hierarchy", entry)])
        las.write(str(path))
        with laspy.open(path) as file:
            return file.header

    start = write(bytes(160), bytes(32)).offset_to_point_data
    raw = path.read_bytes()
    (table,), (evlr,) = struct.unpack_from("<q", raw, start), struct.unpack_from("<Q", raw, 235)
    write(struct.pack("<5d2Q2d", 2, 2, 2, 2, 0.1, evlr + 60, 32, 0, 4) + bytes(88), struct.pack("<4iQii", 0, 0, 0, 0, start + 8, table - start - 8, 4))
    path.write_bytes(path.read_bytes().replace(b"cxpc", b"copc"))
    with laspy.CopcReader.open(str(path)) as file:
        assert len(file.query()) == 4
    return path


def test_copc_becomes_laz(tmp_path):
    (scan,) = find_scans(str(copc(tmp_path / "a.copc.laz")))
    assert scan.name == "a"
    result = Result(FileReader(scan.path), 3, 4, TABLE, lambda chunk: np.zeros((3, 1)[chunk], np.uint8))
    write_las(result, tmp_path / "a.laz", Legend((2,), 255), compressed=True)
    found = laspy.read(tmp_path / "a.laz")
    assert np.array_equal(found.x, np.arange(4.0)) and np.array(found.classification).tolist() == [2] * 4
    assert not [record for record in [*found.header.vlrs, *(found.header.evlrs or [])] if record.user_id == "copc"]


def test_columns_of_probabilities_say_their_class_where_they_can():
    assert prob_columns(["low vegetation", "car"]) == ["prob_low_vegetation", "prob_car"]
    assert prob_columns(["地面", "墙壁", "box"]) == ["prob_0", "prob_1", "prob_box"]
    assert prob_columns(["a b", "a-b", "2"]) == ["prob_a_b", "prob_1", "prob_2"]
    assert prob_columns(["1", "地"]) == ["prob_0", "prob_1"]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=12))
def test_columns_of_probabilities_never_collide(names):
    columns = prob_columns(names)
    assert len(set(columns)) == len(names) and all(column.isascii() and len(column) <= 32 and " " not in column for column in columns)
