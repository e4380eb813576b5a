"""Readers: every format gives back what was written, and says where a broken file is broken."""

import struct
from pathlib import Path

import laspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement

from al3d.data.sources.cloud import fractions
from al3d.data.sources.formats import read_cloud
from al3d.data.sources.pcd import lzf_decode

OSD = Path(__file__).parents[3] / "shared" / "data" / "osd"
COUNT = 50


@pytest.fixture
def points():
    random = np.random.default_rng(0)
    names = ["x", "y", "z", "red", "green", "blue", "intensity", "label"]
    data = np.zeros(COUNT, [(name, kind) for name, kind in zip(names, ["f4"] * 3 + ["u1"] * 3 + ["f4", "u1"], strict=True)])
    for name in names[:3]:
        data[name] = random.normal(size=COUNT)
    for name in names[3:6]:
        data[name] = random.integers(0, 256, COUNT)
    data["intensity"] = random.random(COUNT)
    data["label"] = random.integers(0, 3, COUNT)
    return data


def check(cloud, data, atol=0.0):
    np.testing.assert_allclose(cloud.xyz, np.stack([data[axis] for axis in "xyz"], 1).astype(np.float64), rtol=0, atol=atol)
    assert cloud.xyz.dtype == np.float64
    np.testing.assert_array_equal(cloud.colour, np.stack([data[name] for name in ("red", "green", "blue")], 1))
    np.testing.assert_array_equal(cloud.label, data["label"])
    assert cloud.label.dtype == np.int64
    assert fractions(cloud.intensity).dtype == np.float32


@pytest.mark.parametrize(("text", "order"), [(True, "="), (False, "<"), (False, ">")])
def test_ply_as_plyfile_writes_it(tmp_path, points, text, order):
    file = tmp_path / "a.ply"
    faces = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    PlyData([PlyElement.describe(points, "vertex"), PlyElement.describe(faces, "face")], text=text, byte_order=order, comments=["hello"]).write(file)
    cloud = read_cloud(file)
    check(cloud, points)
    np.testing.assert_array_equal(cloud.intensity, points["intensity"])


@pytest.mark.parametrize("text", [True, False])
def test_ply_with_faces_first(tmp_path, points, text):
    file = tmp_path / "a.ply"
    faces = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    PlyData([PlyElement.describe(faces, "face"), PlyElement.describe(points, "vertex")], text=text).write(file)
    check(read_cloud(file), points)


def test_ply_without_attributes_and_with_editor_names(tmp_path):
    file = tmp_path / "a.ply"
    data = np.array([(1, 2, 3, 2.0)], dtype=[("x", "f8"), ("y", "f8"), ("z", "f8"), ("scalar_Label", "f4")])
    PlyData([PlyElement.describe(data, "vertex")]).write(file)
    cloud = read_cloud(file)
    assert cloud.colour is None
    assert cloud.intensity is None
    assert cloud.label.tolist() == [2]
    data["scalar_Label"] = 1.5
    PlyData([PlyElement.describe(data, "vertex")]).write(file)
    with pytest.raises(ValueError, match=r"a\.ply: point 0 has label 1\.5"):
        read_cloud(file)


def ascii_ply(tmp_path, lines, count=3):
    file = tmp_path / "a.ply"
    header = [
        "ply",
        "format ascii 1.0",
        f"element vertex {count}",
        "property float x",
        "property float y",
        "property float z",
        "property uchar label",
        "end_header",
    ]
    file.write_text("\n".join(header + lines) + "\n")
    return file


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0 0 0 1", "0 0 oops 1", "0 0 0 1"], r"a\.ply: line 10: 'oops' is not a number"),
        (["0 0 0 1", "0 0 0 1", "0 0 1"], r"a\.ply: line 11 has 3 values where the header promises 4"),
        (["0 0 0 1", "0 0 0 1 5", "0 0 0 1"], r"a\.ply: line 10 has 5 values"),
        (["0 0 0", "0 0 0", "0 0 0"], r"a\.ply: line 9 has 3 values"),
        (["0 0 0 1", "0 0 0 1"], r"a\.ply: the file ends at line 10, after 2 of 3 points"),
        (["0 0 0 1", "0 0 0 300", "0 0 0 1"], r"a\.ply: point 1 has label 300\.0, which is not of the type uint8"),
        ([], r"after 0 of 3 points"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_broken_ascii_ply_names_the_line(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_cloud(ascii_ply(tmp_path, lines))


def test_ply_without_points_and_blank_lines(tmp_path):
    assert len(read_cloud(ascii_ply(tmp_path, [], 0))) == 0
    assert read_cloud(ascii_ply(tmp_path, ["1 2 3 1", "", "4 5 6 1", "7 8 9 0"])).xyz[2].tolist() == [7, 8, 9]


@pytest.mark.parametrize("ending", ["ply", "pcd"])
def test_text_is_read_as_it_is_written(tmp_path, ending):
    """Millimetres at map coordinates, under a header that says float, whose steps are half a metre there."""
    rows = ["412345.123 5412345.678 120.001", "412345.124 5412345.679 120.002"]
    if ending == "ply":
        head = ["ply", "format ascii 1.0", "element vertex 2", *(f"property float {axis}" for axis in "xyz"), "end_header"]
    else:
        head = ["VERSION 0.7", "FIELDS x y z", "SIZE 4 4 4", "TYPE F F F", "COUNT 1 1 1", "WIDTH 2", "HEIGHT 1", "POINTS 2", "DATA ascii"]
    file = tmp_path / f"a.{ending}"
    file.write_text("\n".join([*head, *rows, ""]))
    assert read_cloud(file).xyz.tolist() == [[float(word) for word in row.split()] for row in rows]


def test_broken_binary_ply(tmp_path, points):
    file = tmp_path / "a.ply"
    PlyData([PlyElement.describe(points, "vertex")]).write(file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    with pytest.raises(ValueError, match=r"a\.ply: the file ends after 48 of 50 points"):
        read_cloud(file)
    file.write_bytes(whole.replace(b"property float y", b"property flaot y"))
    with pytest.raises(ValueError, match=r"a\.ply: line 5 of the PLY header is not understood: 'property flaot y'"):
        read_cloud(file)
    for broken in (b"", b"hello\n", whole[:40]):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=r"a\.ply: line \d+: not a PLY file"):
            read_cloud(file)
    file.write_bytes(whole.replace(b"float x", b"float u"))
    with pytest.raises(ValueError, match=r"a\.ply: no field x among u, y, z"):
        read_cloud(file)


@pytest.mark.parametrize("ending", ["las", "laz"])
def test_las(tmp_path, points, ending):
    file = tmp_path / f"a.{ending}"
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales, header.offsets = [1e-4] * 3, [500_000.0, 4_000_000.0, 0.0]
    las = laspy.LasData(header)
    moved = points.astype([(name, "f8") for name in points.dtype.names])
    moved["x"] += 500_000
    moved["y"] += 4_000_000
    las.x, las.y, las.z = moved["x"], moved["y"], moved["z"]
    las.red, las.green, las.blue = (points[name].astype(np.uint16) * 256 for name in ("red", "green", "blue"))
    las.classification = points["label"]
    las.intensity = np.arange(COUNT) * 1000
    las.write(file)
    cloud = read_cloud(file)
    check(cloud, moved, atol=1e-4)
    np.testing.assert_allclose(fractions(cloud.intensity), np.arange(COUNT) * 1000 / 65535, rtol=1e-6)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=rf"a\.{ending}: (not a readable LAS file|the file ends after)"):
        read_cloud(file)


def compress(data: bytes) -> bytes:
    """A greedy LZF encoder: literals, and the longest copy of what went before."""
    out, literal, at = bytearray(), bytearray(), 0

    def flush():
        for start in range(0, len(literal), 32):
            piece = literal[start : start + 32]
            out.append(len(piece) - 1)
            out.extend(piece)
        literal.clear()

    while at < len(data):
        best, where = 0, 0
        for start in range(max(0, at - 60), at):
            length = 0
            while length < 264 and at + length < len(data) and data[start + length] == data[at + length]:
                length += 1
            if length > best:
                best, where = length, start
        if best < 3:
            literal.append(data[at])
            at += 1
            continue
        flush()
        offset, length = at - where - 1, best - 2
        out.extend([min(length, 7) << 5 | offset >> 8] + ([length - 7] if length >= 7 else []) + [offset & 255])
        at += best
    flush()
    return bytes(out)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=6), st.integers(1, 90)), max_size=12))
def test_lzf_gives_back_what_was_packed(parts):
    data = b"".join(piece * times for piece, times in parts)
    packed = np.frombuffer(compress(data), np.uint8)
    plain = np.zeros(len(data), np.uint8)
    assert lzf_decode(packed, plain) == len(data)
    assert plain.tobytes() == data


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.integers(0, 100))
def test_lzf_survives_nonsense(packed, room):
    plain = np.zeros(room, np.uint8)
    assert -1 <= lzf_decode(np.frombuffer(packed, np.uint8), plain) <= room


def pcd(file, points, data):
    packed = (points["red"].astype("u4") << 16) | (points["green"].astype("u4") << 8) | points["blue"]
    table = np.zeros(len(points), [("x", "f4"), ("y", "f4"), ("z", "f4"), ("_", "u1"), ("rgb", "u4"), ("label", "u4"), ("n", "f4", (2,)), ("intensity", "f4")])
    for name in ("x", "y", "z", "label", "intensity"):
        table[name] = points[name]
    table["rgb"] = packed
    if data == "binary_compressed":
        table = table[["x", "y", "z", "_", "rgb", "label", "intensity"]]
    names = table.dtype.names
    count = ["2" if name == "n" else "1" for name in names]
    kinds = {"label": "U", "_": "U"}
    sizes = ["1" if name == "_" else "4" for name in names]
    header = f"# .PCD v0.7\nVERSION 0.7\nFIELDS {' '.join(names)}\nSIZE {' '.join(sizes)}\nTYPE {' '.join(kinds.get(name, 'F') for name in names)}\n"
    header += f"COUNT {' '.join(count)}\nWIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA {data}\n"
    if data == "ascii":
        colour = packed.view("f4")
        lines = [
            " ".join(map(repr, [float(row[axis]) for axis in "xyz"])) + f" 0 {float(color)!r} {row['label']} 0 0 {row['intensity']}"
            for row, color in zip(table, colour, strict=True)
        ]
        body = ("\n".join(lines) + "\n").encode()
    elif data == "binary":
        body = np.concatenate([np.frombuffer(table[name].tobytes(), np.uint8).reshape(len(table), -1) for name in names], axis=1).tobytes()
    else:
        plain = b"".join(np.ascontiguousarray(table[name]).tobytes() for name in names)
        body = struct.pack("<II", len(compress(plain)), len(plain)) + compress(plain)
    file.write_bytes(header.encode() + body)


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path, points, data):
    file = tmp_path / "a.pcd"
    pcd(file, points, data)
    check(read_cloud(file), points)
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"a\.pcd: .*(line 61 has|ends after 48 of 50|cut short or broken)"):
        read_cloud(file)
    file.write_bytes(whole.replace(b"SIZE 4 ", b"SIZE "))
    with pytest.raises(ValueError, match=r"a\.pcd: the PCD header is broken"):
        read_cloud(file)
    file.write_bytes(whole.replace(b"COUNT", b"COMPTE"))
    with pytest.raises(ValueError, match=r"a\.pcd: line 6 of the PCD header"):
        read_cloud(file)


def test_npz(tmp_path, points):
    file = tmp_path / "a.npz"
    xyz = np.stack([points[axis] for axis in "xyz"], 1)
    rgb = np.stack([points[name] for name in ("red", "green", "blue")], 1)
    np.savez(file, xyz=xyz, rgb=rgb / np.float32(255), intensity=points["intensity"], label=points["label"], other=np.zeros(3))
    check(read_cloud(file), points)
    for arrays, message in (
        ({"rgb": rgb}, "no array xyz among rgb"),
        ({"xyz": xyz[:, :2]}, r"array xyz is float32 \[50, 2\], but must hold numbers \[50, 3\]"),
        ({"xyz": xyz, "label": points["label"][:-1]}, r"array label is uint8 \[49\], but must hold numbers \[50\]"),
        ({"xyz": xyz, "rgb": rgb - 300.0}, "colours range from"),
        ({"xyz": np.array([object()])}, "not a readable NPZ file of plain arrays"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(ValueError, match=rf"a\.npz: .*{message}"):
            read_cloud(file)
    file.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"a\.npz: not a readable NPZ"):
        read_cloud(file)


def test_colours_of_16_bits_keep_their_high_byte(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, xyz=np.zeros((2, 3)), rgb=np.array([[0, 256, 65535], [512, 1, 0]], np.uint16))
    assert read_cloud(file).colour.tolist() == [[0, 1, 255], [2, 0, 0]]


def test_unknown_ending_and_absent_file(tmp_path):
    with pytest.raises(ValueError, match=r"'\.obj' are not read: use one of \.ply, \.las"):
        read_cloud(tmp_path / "a.obj")
    with pytest.raises(FileNotFoundError, match=r"a\.ply: no such file"):
        read_cloud(tmp_path / "a.ply")


@pytest.mark.skipif(not OSD.is_dir(), reason="the osd scans are not here")
def test_a_real_scan_as_plyfile_reads_it():
    file = OSD / "scenes" / "learn_00.ply"
    data = PlyData.read(file)["vertex"].data
    cloud = read_cloud(file)
    np.testing.assert_array_equal(cloud.xyz, np.stack([data[axis] for axis in "xyz"], 1).astype(np.float64))
    np.testing.assert_array_equal(cloud.colour[:, 2], data["blue"])
    np.testing.assert_array_equal(cloud.label, data["label"])


def kitti(file, points, labels=True):
    scan = np.stack([points[name] for name in ("x", "y", "z", "intensity")], 1).astype("<f4")
    file.write_bytes(scan.tobytes())
    if labels:
        file.with_suffix(".label").write_bytes((points["label"].astype("<u4") | (7 << 16)).tobytes())


def test_kitti_bin(tmp_path, points):
    file = tmp_path / "a.bin"
    kitti(file, points)
    cloud = read_cloud(file)
    np.testing.assert_array_equal(cloud.xyz, np.stack([points[axis] for axis in "xyz"], 1).astype(np.float64))
    np.testing.assert_array_equal(cloud.intensity, points["intensity"])
    np.testing.assert_array_equal(cloud.label, points["label"])
    assert cloud.colour is None and cloud.label.dtype == np.int64
    beside = file.with_suffix(".label")
    beside.write_bytes(beside.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"a\.label: has 49 labels for the 50 points of a\.bin"):
        read_cloud(file)
    beside.write_bytes(beside.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"a\.label: has 193 bytes, which is no multiple of 4"):
        read_cloud(file)
    beside.unlink()
    assert read_cloud(file).label is None
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"a\.bin: has 797 bytes, which is no multiple of 16"):
        read_cloud(file)


#: Odd orders, padding of several bytes, counts above 1, every size: name, type, count.
ODD_FIELDS = [
    ("label", "u2", 1),
    ("_", "u1", 3),
    ("rgb", "f4", 1),
    ("z", "f8", 1),
    ("normal", "f4", 3),
    ("_", "u1", 1),
    ("x", "f8", 1),
    ("ring", "i1", 1),
    ("stamp", "u8", 1),
    ("y", "f4", 1),
    ("intensity", "u2", 1),
]


def odd_pcd(file, points, data, padded):
    packed = (points["red"].astype("u4") << 16) | (points["green"].astype("u4") << 8) | points["blue"]
    given = {name: points[name] for name in ("x", "y", "z", "label")} | {"rgb": packed.view("f4"), "intensity": np.arange(COUNT) * 1000}
    fields = [field for field in ODD_FIELDS if padded or field[0] != "_"]
    columns = [np.repeat(np.asarray(given.get(name, np.arange(COUNT) % 100)).astype(kind)[:, None], count, axis=1) for name, kind, count in fields]
    header = "VERSION 0.7\n" + "".join(
        f"{key} {' '.join(map(str, words))}\n"
        for key, words in (
            ("FIELDS", [name for name, _, _ in fields]),
            ("SIZE", [kind[1] for _, kind, _ in fields]),
            ("TYPE", [kind[0].upper() for _, kind, _ in fields]),
            ("COUNT", [count for _, _, count in fields]),
            ("WIDTH", [COUNT // 2]),
            ("HEIGHT", [2]),
            ("DATA", [data]),
        )
    )
    if data == "ascii":
        rows = [" ".join(repr(value.item()) for column in columns for value in column[row]) for row in range(COUNT)]
        body = ("\n".join(rows) + "\n").encode()
    elif data == "binary":
        body = b"".join(column[row].tobytes() for row in range(COUNT) for column in columns)
    else:
        kept = [column for (name, _, _), column in zip(fields, columns, strict=True) if padded == "kept" or name != "_"]
        plain = b"".join(column.tobytes() for column in kept)
        body = struct.pack("<II", len(compress(plain)), len(plain)) + compress(plain)
    file.write_bytes(header.encode() + body)


@pytest.mark.parametrize(
    ("data", "padded"),
    [
        ("ascii", "kept"),
        ("ascii", ""),
        ("binary", "kept"),
        ("binary", ""),
        ("binary_compressed", "kept"),
        ("binary_compressed", "left out"),
        ("binary_compressed", ""),
    ],
)
def test_pcd_with_odd_fields(tmp_path, points, data, padded):
    file = tmp_path / "a.pcd"
    odd_pcd(file, points, data, padded)
    cloud = read_cloud(file)
    check(cloud, points)
    np.testing.assert_allclose(fractions(cloud.intensity), np.arange(COUNT) * 1000 / 65535, rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"COUNT 1 3 ", b"COUNT 1 0 ", "header is broken .*COUNT"),
        (b"COUNT 1 3 ", b"COUNT 1 1000000000 ", "header is broken .*COUNT"),
        (b"WIDTH 25", b"WIDTH -25", "header is broken .*-50 points"),
        (b"WIDTH 25", b"WIDTH 99999999999999", "the file ends after 50 of 199999999999998 points"),
        (b"TYPE U", b"TYPE F", "labels are whole numbers"),
        (b"SIZE 2 1", b"SIZE 3 1", "header is broken"),
    ],
)
def test_impossible_pcd_headers_cost_no_memory(tmp_path, points, old, new, message):
    file = tmp_path / "a.pcd"
    odd_pcd(file, points, "binary", "kept")
    whole = file.read_bytes()
    assert old in whole
    file.write_bytes(whole.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        read_cloud(file)


@pytest.mark.parametrize("text", [True, False])
def test_impossible_ply_counts_cost_no_memory(tmp_path, points, text):
    file = tmp_path / "a.ply"
    PlyData([PlyElement.describe(points, "vertex")], text=text).write(file)
    file.write_bytes(file.read_bytes().replace(b"vertex 50", b"vertex 99999999999999999999"))
    with pytest.raises(ValueError, match=r"a\.ply: the file ends .*50 of 99999999999999999999 points"):
        read_cloud(file)


def test_las_headers_that_promise_millions_of_records_cost_no_time(tmp_path, points):
    file = tmp_path / "a.las"
    las = laspy.LasData(laspy.LasHeader(point_format=2, version="1.2"))
    las.x, las.y, las.z = points["x"], points["y"], points["z"]
    las.write(file)
    whole = file.read_bytes()
    for place, what in ((100, "promises more"), (96, "promises more"), (107, "the file ends after 50 of")):
        file.write_bytes(whole[:place] + b"\xff\xff\xff\xef" + whole[place + 4 :])
        with pytest.raises(ValueError, match=rf"a\.las: .*{what}"):
            read_cloud(file)


def valid_files(folder, points):
    """A small valid file of every format."""
    some = points[:12]
    faces = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    vertices = PlyElement.describe(some, "vertex")
    PlyData([vertices], text=True).write(folder / "ascii.ply")
    PlyData([vertices], byte_order=">").write(folder / "big.ply")
    PlyData([PlyElement.describe(faces, "face"), vertices]).write(folder / "faces.ply")
    for data in ("ascii", "binary", "binary_compressed"):
        pcd(folder / f"{data}.pcd", some, data)
    for ending in ("las", "laz"):
        las = laspy.LasData(laspy.LasHeader(point_format=2, version="1.2"))
        las.x, las.y, las.z = some["x"], some["y"], some["z"]
        las.write(folder / f"a.{ending}")
    np.savez(folder / "plain.npz", xyz=np.stack([some[axis] for axis in "xyz"], 1), label=some["label"])
    np.savez_compressed(folder / "small.npz", xyz=np.stack([some[axis] for axis in "xyz"], 1), label=some["label"])
    kitti(folder / "a.bin", some)
    return sorted(path for path in folder.iterdir() if path.suffix != ".label")


def survives(file):
    """A cloud that holds together, or a ValueError that names the file: nothing else."""
    try:
        cloud = read_cloud(file)
    except ValueError as error:
        assert str(file) in str(error), error
        return
    for values in (cloud.colour, cloud.intensity, cloud.label):
        assert values is None or len(values) == len(cloud)


FORMATS = ["a.bin", "a.las", "a.laz", "ascii.pcd", "ascii.ply", "big.ply", "binary.pcd", "binary_compressed.pcd", "faces.ply", "plain.npz", "small.npz"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    random = np.random.default_rng(1)
    data = np.zeros(COUNT, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("intensity", "f4"), ("label", "u1")])
    for name in data.dtype.names:
        data[name] = random.random(COUNT) * 3
    folder = tmp_path_factory.mktemp("sound")
    assert [path.name for path in valid_files(folder, data)] == FORMATS
    return folder


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_garbled_files_are_errors_that_name_the_file(sound, name, cut, flips):
    whole = bytearray((sound / name).read_bytes())
    for place, value in flips:
        whole[int(place * len(whole))] = value
    file = sound / "garbled" / name
    file.parent.mkdir(exist_ok=True)
    for content in (whole, whole[: int(cut * len(whole))]):
        file.write_bytes(content)
        survives(file)


@pytest.mark.parametrize("name", FORMATS)
def test_files_cut_anywhere_are_errors_or_fewer_points(sound, name):
    whole = (sound / name).read_bytes()
    file = sound / "cut" / name
    file.parent.mkdir(exist_ok=True)
    last = whole.rstrip().rfind(b"\n") if name.startswith("ascii") else len(whole)  # "0.25" cut to "0.2" is sound
    for size in range(0, last - 1, max(1, len(whole) // 30)):
        file.write_bytes(whole[:size])
        if name == "a.bin":
            survives(file)
        else:
            with pytest.raises(ValueError, match=name):
                read_cloud(file)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("kind", ["ply", "pcd"])
def test_more_data_than_the_header_promises_is_named(kind, text, points, tmp_path):
    file, columns = tmp_path / f"a.{kind}", points[["x", "y", "z"]]
    rows = "".join(f"{x} {y} {z}\n" for x, y, z in columns).encode() if text else np.stack([points[axis] for axis in "xyz"], 1).tobytes()
    if kind == "ply":
        order, fields = "ascii" if text else "binary_little_endian", "".join(f"property float {axis}\n" for axis in "xyz")
        head = f"ply\nformat {order} 1.0\nelement vertex %d\n{fields}end_header\n"
    else:
        head = f"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS %d\nDATA {'ascii' if text else 'binary'}\n"
    file.write_bytes((head % COUNT).encode() + rows + b"\n")
    assert len(read_cloud(file)) == COUNT
    file.write_bytes((head % (COUNT - 1)).encode() + rows)
    with pytest.raises(ValueError, match=rf"a\.{kind}: holds more data than the 49 points that its header promises"):
        read_cloud(file)


def test_tables_of_laz_that_ask_for_more_than_the_file_holds_are_named(tmp_path):
    file = tmp_path / "a.laz"
    las = laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
    las.x = las.y = las.z = np.arange(50.0)
    las.write(file)
    assert len(read_cloud(file)) == 50
    whole = file.read_bytes()
    start = struct.unpack_from("<I", whole, 96)[0]
    table = struct.unpack_from("<q", whole, start)[0]
    for place, value in ((table + 4, b"\xff" * 4), (table, b"\x01"), (start, struct.pack("<q", 2**40)), (start, struct.pack("<q", 3))):
        file.write_bytes(whole[:place] + value + whole[place + len(value) :])
        with pytest.raises(ValueError, match=r"a\.laz: not a readable LAS file \(a table of"):
            read_cloud(file)
    file.write_bytes(whole[:start] + struct.pack("<q", -1) + whole[start + 8 :] + struct.pack("<q", table))
    assert len(read_cloud(file)) == 50  # as writers leave it that cannot go back
