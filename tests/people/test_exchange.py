"""Queries go out to other tools and come back as answers; what does not fit is refused as a whole."""

import csv
import shutil

import laspy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement

from al3d.data.labels import LabelState
from al3d.people.answers import Answer, Answers, Part
from al3d.people.exchange import UNSET, Asked, check_names, export_queries
from al3d.people.imports import import_answers
from al3d.people.queries import points_of, queries_of

#: What a person says: classes, and one region in two parts.
SAID = {("t_2", 1): "box", ("t_1", 2): "table", ("t_1", 0): None, ("t_1", 11): "ball", ("t_3", 5): "unsure"}


def edited(run, store, out, kind):
    """Export, label as `SAID`, and return the files."""
    files = export_queries(run, store, out, kind)
    asked = Asked(run, store)
    names = [*store.classes.names, "unsure"]
    for file in files if kind != "csv" else []:
        name = asked.scenes[int(file.stem)] if kind == "label" else file.stem
        label = np.full(store.sizes[name], UNSET)
        for _, query in asked.of(name):
            points, word = points_of(query, asked.labels), SAID[query.scene, query.unit]
            label[points] = names.index(word) if word else 1
            if word is None:
                label[points[::2]] = 0
        write_labels(file, kind, label)
    if kind == "csv":
        rows = list(csv.DictReader(files[0].open()))
        for row in rows:
            row["class"] = SAID[row["scene"], int(row["unit"])] or ""
        write_rows(files[0], rows)
    return files


def write_rows(path, rows):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def write_labels(path, kind, label, keep=None):
    """Change the labels of a file as another tool does; `keep` bool[N] drops points."""
    keep = np.ones(len(label), bool) if keep is None else keep
    if kind == "ply":
        data = PlyData.read(path)
        data["vertex"].data["scalar_label"] = label
        data["vertex"].data = data["vertex"].data[keep]
        data.write(path)
    elif kind == "las":
        las = laspy.read(path)
        las.classification = np.where(label == UNSET, 0, label + 64)
        las.points = las.points[keep]
        las.write(path)
    elif kind == "pcd":
        head, _, body = path.read_bytes().partition(b"DATA binary\n")
        names = head.split(b"FIELDS ")[1].split(b"\n")[0].decode().split()
        types = {"x": "<f8", "y": "<f8", "z": "<f8", "red": "u1", "green": "u1", "blue": "u1"}
        table = np.frombuffer(body, [(name, types.get(name, "<i4")) for name in names]).copy()
        table["label"] = label
        path.write_bytes(head + b"DATA binary\n" + table.tobytes())
    else:
        values = np.fromfile(path, "<u4")
        ((values & 0xFFFF0000) | (label + 1).astype("<u4")).astype("<u4").tofile(path)


@pytest.mark.parametrize("kind", ["ply", "las", "pcd", "label", "csv"])
def test_what_was_labelled_comes_back(asked_run, tiny_store, tmp_path, kind):
    files = edited(asked_run, tiny_store, tmp_path / "out", kind)
    assert import_answers(asked_run, tiny_store, files, "anna") == (4 if kind == "csv" else 5)
    current, labels = Answers(asked_run).current(), LabelState(asked_run, tiny_store)
    for query in queries_of(asked_run, tiny_store):
        word, answer = SAID[query.scene, query.unit], current.get(query.key)
        if word is not None:
            assert (answer.kind, answer.class_name, answer.who) == ("unsure" if word == "unsure" else "class", None if word == "unsure" else word, "anna")
            assert answer.source.startswith("import:")
        elif kind != "csv":
            points = points_of(query, labels)
            assert {part.class_name: list(part.points) for part in answer.parts} == {"table": points[::2].tolist(), "box": points[1::2].tolist()}
    before = Answers(asked_run).file.read_bytes()
    assert import_answers(asked_run, tiny_store, files, "bert") == 0
    assert Answers(asked_run).file.read_bytes() == before
    again = export_queries(asked_run, tiny_store, tmp_path / "again", kind)
    assert import_answers(asked_run, tiny_store, again, "bert") == 0, "what was answered goes out with the queries"


def test_the_fields_that_other_tools_keep(asked_run, tiny_store, tmp_path):
    (first, *_) = export_queries(asked_run, tiny_store, tmp_path, "ply")
    assert first.name == "t_1.ply"
    vertex = PlyData.read(first)["vertex"].data
    scene = tiny_store.scene("t_1")
    assert set(vertex.dtype.names) == {"x", "y", "z", "red", "green", "blue", *(f"scalar_{name}" for name in ("label", "query", "index", "scene", "run"))}
    np.testing.assert_array_equal(vertex["x"], np.asarray(scene.xyz, float)[:, 0] + scene.origin[0])
    np.testing.assert_array_equal(vertex["scalar_index"], np.arange(len(scene)))
    assert set(np.unique(vertex["scalar_query"])) == {-1, 1, 2, 3} and set(np.unique(vertex["scalar_label"])) == {-1}
    assert (tmp_path / "classes.csv").read_text().splitlines()[1:3] == ["table,0,64,1", "box,1,65,2"]


def test_points_without_an_index_are_found_by_their_place(asked_run, tiny_store, tmp_path):
    files = edited(asked_run, tiny_store, tmp_path, "ply")
    random = np.random.default_rng(1)
    for file in files:
        vertex = random.permutation(vertices(file))
        kept = [name for name in vertex.dtype.names if name != "scalar_index"]
        table = np.empty(len(vertex), [(name, vertex.dtype[name]) for name in kept])
        for name in kept:
            table[name] = vertex[name]
        write_plain(file, table)
    assert import_answers(asked_run, tiny_store, files, "anna") == 5
    assert Answers(asked_run).current()[0, "t_2", 1].class_name == "box"


def write_plain(path, table):
    PlyData([PlyElement.describe(table, "vertex")]).write(path)


def vertices(path):
    return PlyData.read(path)["vertex"].data.copy()


def shifted(table):
    table["x"] += 100
    return table


def outside(table):
    table["scalar_label"][np.flatnonzero(table["scalar_query"] == -1)[:3]] = 1
    return table


def unknown(table):
    table["scalar_label"][np.flatnonzero(table["scalar_query"] == 1)[:4]] = 9
    return table


def of_another_run(table):
    table["scalar_run"] += 1
    return table


def missing(table):
    return table[~((table["scalar_query"] == 2) & (np.arange(len(table)) % 2 == 0))]


def twice(table):
    return np.concatenate([table, table[:7]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shifted, "points were moved, the first by (100.000, 0.000, 0.000) m: save without a shift"),
        (outside, "3 points were labelled that were not asked"),
        (unknown, "4 points have labels [9], which are no class"),
        (of_another_run, "is of another run"),
        (missing, "1 regions that were asked are missing or incomplete: query 2"),
        (twice, "7 points of the scene are in it twice"),
    ],
)
def test_what_does_not_fit_is_refused_as_a_whole(asked_run, tiny_store, tmp_path, change, words):
    files = edited(asked_run, tiny_store, tmp_path, "ply")
    write_plain(files[0], change(vertices(files[0])))
    with pytest.raises(ValueError) as refused:
        import_answers(asked_run, tiny_store, files, "anna")
    assert "nothing was recorded" in str(refused.value) and f"{files[0]}: " in str(refused.value) and words in str(refused.value)
    assert Answers(asked_run).history() == []


def test_everything_that_is_wrong_is_listed(asked_run, tiny_store, tmp_path):
    files = edited(asked_run, tiny_store, tmp_path, "ply")
    write_plain(files[0], missing(unknown(outside(vertices(files[0])))))
    write_plain(files[1], shifted(vertices(files[1])))
    with pytest.raises(ValueError) as refused:
        import_answers(asked_run, tiny_store, [*files, tmp_path / "gone.ply", tmp_path / "classes.txt"], "anna")
    for words in ("labels [9]", "not asked", "missing or incomplete", "were moved", "gone.ply: no such file"):
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class": "sofa"}, "'sofa' is no class: table, box, ball, unsure, or nothing"),
        ({"query": "77"}, "needs the columns query (0..4, each once)"),
        ({"unit": "9"}, "query 1 has another unit here: the table is of another run"),
        ({"class": "parts"}, "a table cannot tell the parts"),
        ({"run": "5"}, "has another run here"),
    ],
)
def test_a_table_that_does_not_fit(asked_run, tiny_store, tmp_path, change, words):
    (file,) = edited(asked_run, tiny_store, tmp_path, "csv")
    rows = list(csv.DictReader(file.open()))
    rows[1] |= change
    write_rows(file, rows)
    with pytest.raises(ValueError) as refused:
        import_answers(asked_run, tiny_store, [file], "anna")
    assert f"{file}: line 3: " in str(refused.value) and words in str(refused.value)
    write_rows(file, [row for row in rows if row is not rows[1]])
    with pytest.raises(ValueError, match=r"1 queries are missing, such as \[1\]"):
        import_answers(asked_run, tiny_store, [file], "anna")
    assert Answers(asked_run).history() == []


def test_an_answer_given_since_is_not_taken_back(asked_run, tiny_store, tmp_path):
    files = export_queries(asked_run, tiny_store, tmp_path, "ply")
    Answers(asked_run).record(Answer("bert", "class", 0, "t_2", 1, "ball"))
    assert import_answers(asked_run, tiny_store, files, "anna") == 0
    assert Answers(asked_run).current()[0, "t_2", 1].who == "bert"


@pytest.mark.parametrize("kind", ["ply", "las", "pcd", "label", "csv"])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4), cut=st.one_of(st.none(), st.floats(0, 1)))
def test_a_garbled_file_is_refused_by_name_or_says_the_same(asked_run, tiny_store, tmp_path_factory, kind, places, cut):
    folder = tmp_path_factory.mktemp("garbled")
    files = edited(asked_run, tiny_store, folder / "out", kind)
    content = bytearray(files[0].read_bytes())
    head = 400 if kind in ("ply", "las", "pcd") else len(content)
    for where, value in places:
        content[int(where * (head if value % 2 else len(content)))] = value
    files[0].write_bytes(content if cut is None else content[: int(cut * len(content))])
    run = folder / "run"
    shutil.copytree(asked_run, run)
    try:
        import_answers(run, tiny_store, files, "anna")
    except ValueError as error:
        assert str(files[0]) in str(error)
        assert Answers(run).history() == []
        return
    for key, answer in Answers(run).current().items():
        word = SAID[key[1], key[2]]
        said = {answer.class_name, *(part.class_name for part in answer.parts)} - {None}
        assert said <= set(tiny_store.classes.names)
        if key[1] != "t_1" and kind != "csv":
            assert answer.class_name == (None if word == "unsure" else word)


def test_a_correction_since_outlives_the_same_file(asked_run, tiny_store, tmp_path):
    files = edited(asked_run, tiny_store, tmp_path, "ply")
    import_answers(asked_run, tiny_store, files, "anna")
    Answers(asked_run).record(Answer("bert", "class", 0, "t_2", 1, "ball"))
    assert import_answers(asked_run, tiny_store, files, "anna") == 0
    assert Answers(asked_run).current()[0, "t_2", 1].class_name == "ball"


def test_parts_that_leave_points_out_come_back_the_same(asked_run, tiny_store, tmp_path):
    query = queries_of(asked_run, tiny_store, 0)[0]
    points = points_of(query, LabelState(asked_run, tiny_store)).tolist()
    Answers(asked_run).record(Answer("anna", "parts", 0, query.scene, query.unit, parts=(Part("box", tuple(points[:3])),)))
    assert import_answers(asked_run, tiny_store, export_queries(asked_run, tiny_store, tmp_path), "bert") == 0


def test_an_answer_of_no_class_is_named_when_queries_are_written(asked_run, tiny_store, tmp_path):
    Answers(asked_run).record(Answer("anna", "class", 0, "t_2", 1, "sofa"))
    with pytest.raises(ValueError, match="anna answered sofa, which is no class"):
        export_queries(asked_run, tiny_store, tmp_path)


@pytest.mark.parametrize("name", ["", "unsure", "parts", " box", "a  b", "a\nb"])
def test_class_names_that_answers_cannot_carry(name):
    check_names(["box", "grand piano"])
    with pytest.raises(ValueError, match="which answers mean something by"):
        check_names(["box", name])
