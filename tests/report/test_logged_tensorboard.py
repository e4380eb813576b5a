"""Event files made from run folders say what the folders say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from al3d.report.loggers import TensorBoard
from al3d.report.summary import read_run
from al3d.report.tensorboard import BAND, as_markdown, ppm, write_study

from .fake_run import THREE_CLASSES
from .shown_run import shown_run


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "images": 0})
    found.Reload()
    return found


def scalars(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


def test_a_board_shows_runs_and_methods(tmp_path: Path) -> None:
    folders = [
        shown_run(tmp_path / name, 3, rng=rng, acquire=acquire, lift=0.02 * rng)
        for name, rng, acquire in (("a", 1, "redal"), ("b", 2, "redal"), ("c", 1, "random"))
    ]
    out = tmp_path / "board"
    assert write_study(folders, out) == {"redal (supervoxel)": ["a", "b"], "random (supervoxel)": ["c"]}
    runs = [read_run(folder) for folder in folders]
    for name, run in zip("abc", runs, strict=True):
        found = events(out / "runs" / name)
        assert scalars(found, "curve/miou") == [(ppm(one.labelled_percent), pytest.approx(one.miou)) for one in run.records]
        assert scalars(found, "iou/box") == [(ppm(one.labelled_percent), pytest.approx(one.iou[1])) for one in run.records]
        assert [step for step, _ in scalars(found, "train/loss")] == [9, 19, 29, 1009, 1019, 1029, 2009, 2019, 2029]
        assert [image.step for image in found.Images("bought/picture 1")] == [0, 1, 2] and found.Images("bought/picture 1")[0].width == 6
        words = found.Tensors("tables/iou_per_class/text_summary")[-1].tensor_proto.string_val[0].decode()
        assert words.count("\n") == 5 and f"{run.records[2].miou:.3f}" in words
    found = events(out / "methods" / "redal (supervoxel)")
    pair = np.array([[one.miou for one in run.records] for run in runs[:2]])
    mean, low, high = (np.array(scalars(found, tag)) for tag in BAND)
    assert mean[:, 0].tolist() == [10_000, 20_000, 30_000]
    np.testing.assert_allclose(mean[:, 1], pair.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(high[:, 1] - low[:, 1], 2 * pair.std(axis=0, ddof=1), atol=1e-6)
    config = layout_pb2.Layout.FromString(events(out / "methods").Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    assert [chart.title for chart in config.category[1].chart] == list(THREE_CLASSES.names)
    assert config.category[0].chart[0].margin.series[0].value == BAND[0]


def test_a_board_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    folder, out = shown_run(tmp_path / "a", 1), tmp_path / "board"
    write_study([folder], out)
    write_study([folder], out)
    assert len(list((out / "runs" / "a").iterdir())) == 1
    with pytest.raises(ValueError, match="several runs or methods"):
        write_study([folder, folder], out)
    with pytest.raises(ValueError, match="not a board"):
        write_study([folder], folder)
    assert (folder / "identity.json").is_file()


def test_a_board_grows_while_a_run_goes_on(tmp_path: Path) -> None:
    run, choice = shown_run(tmp_path / "run", 2), TensorBoard()
    for round_index in range(2):
        choice.finished(run, round_index, THREE_CLASSES.names)
    choice.pictures(choice.open(run, 1, 1000, {}), [])
    found = events(run / "tensorboard" / "rounds")
    assert scalars(found, "curve/miou") == [(ppm(one.labelled_percent), pytest.approx(one.miou)) for one in read_run(run).records]
    assert [image.step for image in found.Images("bought/picture 1")] == [0, 1]


def test_steps_keep_small_budgets_apart() -> None:
    assert ppm(1.0) == 10_000 and ppm(0.02) == 200 and ppm(100.0) == 1_000_000 and ppm(0.0043) < ppm(0.0044)


def test_cells_of_a_table() -> None:
    assert as_markdown((["a", "b"], [[0.12345, None], ["word", 12345]])).splitlines()[2:] == ["| 0.123 | - |", "| word | 12,345 |"]
