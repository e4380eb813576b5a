"""Queries and answers by the command line."""

import shutil

import pytest
from click.testing import CliRunner

from al3d.door import al3d
from al3d.files import write_json


@pytest.fixture
def run_of_tiny(tiny_store, tmp_path):
    """A run that asked about two points, beside its data set."""
    from functools import partial

    from al3d.data.labels import LabelState
    from al3d.people.queries import write_queries
    from al3d.units.point import PointUnit

    run = tmp_path / "run"
    write_json(run / "identity.json", {"hash": "0ef22f9f3d", "identity": {"data": tiny_store.data_hash, "dataset": {"name": tiny_store.name}}})
    order = partial(write_queries, scenes=["t_2", "t_1"], unit=[5, 7], points=[1, 1])
    LabelState(run, tiny_store).append({"t_1": [7], "t_2": [5]}, PointUnit(), {}, order)
    return run


def test_a_table_goes_out_and_comes_back(run_of_tiny, tiny_store, tmp_path):
    data, out = str(tiny_store.path.parent), tmp_path / "asked"
    went = CliRunner().invoke(al3d, ["queries", str(run_of_tiny), "--out", str(out), "--format", "csv", "--data", data])
    assert (went.exit_code, "wrote 1 file and classes.csv" in went.output) == (0, True), went.output
    table = (out / "queries.csv").read_text()
    (out / "queries.csv").write_text(table.replace(",,0,", ",box,0,"))
    words = ["answers", str(run_of_tiny), str(out / "queries.csv"), "--data", data, "--who", "anna"]
    assert "recorded 2 answers" in CliRunner().invoke(al3d, words).output
    assert "recorded 0 answers" in CliRunner().invoke(al3d, words).output
    (out / "queries.csv").write_text(table.replace(",,0,", ",sofa,0,"))
    refused = CliRunner().invoke(al3d, words)
    assert refused.exit_code == 1 and "nothing was recorded, since" in refused.output and "'sofa' is no class" in refused.output


def test_a_folder_of_scans_is_described(tiny_root, tmp_path):
    shutil.copytree(tiny_root / "scenes", tmp_path / "scans")
    done = CliRunner().invoke(al3d, ["start", str(tmp_path / "scans"), "--classes", "table,box,ball"])
    assert done.exit_code == 0, done.output
    assert f"al3d train experiment=label dataset.root={tmp_path / 'scans-al3d'}" in done.output
    assert (tmp_path / "scans-al3d" / "dataset.yaml").is_file()
