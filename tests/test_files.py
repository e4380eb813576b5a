"""Whole files and folders: never half of one, whatever happens while it is written."""

import errno

import numpy as np
import pytest

from al3d import files
from al3d.files import DiskFull, read_json, temporary_beside, whole_file, whole_folder, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_only_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with whole_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists() and temporary.parent == target.parent
    assert target.read_text() == "new" and names(target.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.EIO, "x")])
def test_a_failed_block_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)), whole_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.EIO, "x")])
def test_a_failed_block_leaves_the_old_folder(tmp_path, error):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "old").write_text("old")
    with pytest.raises(type(error)), whole_folder(tmp_path / "f") as temporary:
        (temporary / "new").write_text("half")
        raise error
    assert names(tmp_path) == ["f"] and names(tmp_path / "f") == ["old"]


def test_folder_replaces_an_older_one_with_all_its_files(tmp_path):
    target = tmp_path / "f"
    for content in ("old", "new"):
        with whole_folder(target) as temporary:
            (temporary / "inner").mkdir()
            (temporary / "inner" / content).write_text(content)
    assert names(tmp_path) == ["f"] and names(target / "inner") == ["new"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["write", "flush", "rename"])
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path, monkeypatch, number, where, whole):
    def full(*arguments):
        raise OSError(number, "full")

    if where == "flush":
        monkeypatch.setattr(files.os, "fsync", full)
    if where == "rename":
        monkeypatch.setattr(files.os, "replace", full)
    target = tmp_path / "thing"
    with pytest.raises(OSError, match=r"no space left for .*thing.*run the same command again") as caught, whole(target) as temporary:
        (temporary if whole is whole_file else temporary / "part").write_text("half")
        if where == "write":
            full()
    assert caught.value.errno == number and str(caught.value).startswith("no space left") and names(tmp_path) == []


def test_stale_temporaries_do_not_matter(tmp_path):
    stale = temporary_beside(tmp_path / "f")
    stale.mkdir()
    (stale / "junk").write_text("junk")
    (tmp_path / ".a.json.1.tmp").write_text("ju")
    with whole_folder(tmp_path / "f") as temporary:
        (temporary / "part").write_text("part")
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert names(tmp_path / "f") == ["part"]
    assert read_json(tmp_path / "a.json") == {"b": 1, "a": [2]} and list(read_json(tmp_path / "a.json")) == ["b", "a"]


def test_a_file_that_is_not_json_is_named_with_its_line(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1,\n"b": ')
    with pytest.raises(ValueError, match=r"a\.json: line 2 .*delete the file"):
        read_json(tmp_path / "a.json")


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", np.zeros(2))
    assert read_json(tmp_path / "a.json") == 1 and names(tmp_path) == ["a.json"]


def test_a_file_that_numpy_could_not_write_whole_is_a_full_disk(tmp_path):
    with pytest.raises(DiskFull, match=r"no space left for .*x\.npy: free some on that disk"), whole_file(tmp_path / "x.npy"):
        raise OSError("9672 requested and 992 written")
