"""W&B shows what the files say, may fail at any moment, and gets the rest later."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from al3d.commands.track import wandb
from al3d.progress import console
from al3d.report.loggers import CSV, WandB
from al3d.report.summary import read_run, round_values
from al3d.report.wandb import Sent, Target, rebuild, run_id, unsent, within

from .fake_run import THREE_CLASSES
from .shown_run import finish_round, shown_run

NAMES = THREE_CLASSES.names


class FakeRun:
    """Records what it is given; `fail` decides whether a call goes wrong."""

    def __init__(self, options: dict[str, Any], fail: Callable[[str], None]) -> None:
        self.options, self.fail = options, fail
        self.id, self.dir = options["id"], f"{options['dir']}/wandb/run-x-{options['id']}/files"
        self.rows: list[dict[str, Any]] = []
        self.artifacts: list[Any] = []
        self.axes: dict[str, str | None] = {}
        self.config, self.summary, self.finished = _Recorded(), _Recorded(), False

    def log(self, row: dict[str, Any]) -> None:
        self.fail("log")
        self.rows.append(row)

    def log_artifact(self, artifact: Any, aliases: list[str]) -> None:
        self.fail("artifact")
        self.artifacts.append((artifact, aliases))

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.axes[name] = step_metric

    def finish(self, exit_code: int = 0) -> None:
        self.fail("finish")
        self.finished = True


class _Recorded(dict[str, Any]):
    def update(self, values: dict[str, Any], allow_val_change: bool = False) -> None:  # type: ignore[override]
        super().update(values)


class FakeArtifact:
    def __init__(self, name: str, type: str, description: str, metadata: dict[str, Any]) -> None:
        self.name, self.type, self.metadata, self.files = name, type, metadata, []  # type: ignore[var-annotated]

    def add_file(self, path: str, name: str) -> None:
        self.files.append(name)


class Fake:
    """A module that stands for wandb; `down` names the calls that fail, `slow` those that hang."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.slow: set[str] = set()
        self.runs: list[FakeRun] = []
        self.tries = 0

    def fail(self, call: str) -> None:
        if call in self.slow:
            time.sleep(30)
        if call in self.down:
            raise ConnectionError(f"{call}: no route to host")

    def init(self, **options: Any) -> FakeRun:
        self.tries += 1
        self.fail("init")
        self.runs.append(FakeRun(options, self.fail))
        return self.runs[-1]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for run in self.runs for row in run.rows]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    made = Fake()
    module: Any = types.ModuleType("wandb")
    module.init = made.init
    module.Settings = type("Settings", (), {"model_fields": {"init_timeout": 0}, "__init__": lambda self, **options: self.__dict__.update(options)})
    module.Image = lambda picture, caption: (picture.shape, int(picture.max()), caption)
    module.Table = lambda columns, data: (columns, data)
    module.Artifact = FakeArtifact
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    yield made


def train(choice: WandB, run: Path, round_index: int) -> None:
    """What the loop does with a logger in one round."""
    log = choice.open(run, round_index, 1000 * round_index, {})
    for step, loss in ((9, 0.9), (19, 0.7), (29, 0.6)):
        log.log_metrics({"loss": loss, "epoch": 0}, step=step)
    log.finalize("success")
    finish_round(run, round_index)
    choice.finished(run, round_index, NAMES)


def test_training_with_wandb_and_from_the_files_sends_the_same(tmp_path: Path, fake: Fake) -> None:
    live, choice = shown_run(tmp_path / "live" / "run", 0), WandB(group="study one", tags=["mine"])
    for round_index in range(3):
        train(choice, live, round_index)
    choice.close()
    (first,) = fake.runs
    assert first.finished and first.options["group"] == "study one" and first.options["job_type"] == "round" and first.options["resume"] == "allow"
    assert first.options["tags"] == ["dataset:rooms", "seed:random", "acquire:redal", "unit:Supervoxel", "net:minkunet", "rng:1", "mine"]
    assert first.axes["curve/*"] == "curve/labelled_percent" and first.axes["train/*"] == "train/step" and first.axes["bought/*"] == "round"
    assert first.config["method"] == "redal (supervoxel)" and first.config["study"] == "study one"

    rebuild(shown_run(tmp_path / "again" / "run", 3), Target(group="study one"))
    second = fake.runs[1]
    tables = ("iou_per_class", "purchases")
    keep = [[row for row in run.rows if not any(key in row for key in tables)] for run in (first, second)]
    assert sorted(keep[0], key=str) == sorted(keep[1], key=str)
    assert [row["train/step"] for row in keep[1] if "train/step" in row] == [9, 19, 29, 1009, 1019, 1029, 2009, 2019, 2029]
    last = [[row for row in run.rows if tables[0] in row][-1] for run in (first, second)]
    assert last[0] == last[1] and len(last[0]["iou_per_class"][1]) == 3
    assert dict(first.summary) == dict(second.summary) and second.summary["final/round"] == 2
    assert [aliases[1] for _, aliases in second.artifacts] == ["round-00", "round-01", "round-02"]
    artifact = second.artifacts[2][0]
    assert artifact.type == "labels" and {Path(name).parts[0] for name in artifact.files} == {"labels-00", "labels-01", "labels-02"}
    pictures = [row["bought_regions"] for row in second.rows if "bought_regions" in row]
    assert pictures == [[((4, 6, 3), 40 * index, f"round {index}, hall: 7 points bought")] for index in range(3)]


def test_what_was_sent_is_not_sent_again(tmp_path: Path, fake: Fake) -> None:
    run = shown_run(tmp_path / "run", 2)
    sent = rebuild(run, Target())
    assert len(sent) == 9 and rebuild(run, Target()) == [] and len(fake.runs) == 1
    finish_round(run, 2)
    assert rebuild(run, Target()) == ["training-02", "curve-02", "labels-02", "pictures-02", "tables-02"]
    assert {made.options["id"] for made in fake.runs} == {run_id(run)}
    before = run_id(run)
    assert len(rebuild(run, Target(), new=True)) == 13 and run_id(run) != before == fake.runs[0].id


def test_what_waits_in_an_offline_folder_is_not_in_wandb_yet(tmp_path: Path, fake: Fake) -> None:
    run = shown_run(tmp_path / "run", 1)
    sent, place = Sent.read(run), "wandb/offline-run-1"
    (run / place).mkdir(parents=True)
    sent.mark("curve-00", place)
    assert Sent.read(run).has("curve-00", offline=True) and not Sent.read(run).has("curve-00", offline=False)
    assert Sent.read(run).waiting() == [place]
    (run / place / "run-1.wandb.synced").touch()
    assert Sent.read(run).has("curve-00", offline=False) and Sent.read(run).waiting() == []
    sent.mark("curve-00", None)
    assert "curve-00" in unsent(read_run(run), sent, offline=True)


@pytest.mark.parametrize("how", ["down", "slow"])
def test_training_goes_on_when_wandb_cannot_be_opened(how: str, tmp_path: Path, fake: Fake) -> None:
    run, choice = shown_run(tmp_path / "run", 0), WandB(timeout=0.2)
    getattr(fake, how).add("init")
    with console.capture() as capture:
        train(choice, run, 0)
        assert fake.tries == 1, "one round waits for one timeout"
        choice.close()
    said = capture.get()
    assert "W&B gave up at opening the run" in said and "The run goes on; what is not sent can be sent" in said and f"al3d track wandb {run}" in said
    assert "not sent to W&B: training-00, curve-00, labels-00, pictures-00, tables-00" in said
    getattr(fake, how).clear()
    rebuild(run, Target())
    assert [row["train/loss"] for row in fake.rows if "train/loss" in row] == [0.9, 0.7, 0.6]


def test_an_outage_between_rounds_is_made_good_in_the_next_round(tmp_path: Path, fake: Fake) -> None:
    run, choice = shown_run(tmp_path / "run", 0), WandB()
    train(choice, run, 0)
    fake.down |= {"log", "artifact"}
    with console.capture() as capture:
        train(choice, run, 1)
    assert "gave up at training-01" in capture.get() and "not sent to W&B: training-01, curve-01" in capture.get()
    fake.down.clear()
    with console.capture() as capture:
        train(choice, run, 2)
        choice.close()
    assert "not sent" not in capture.get()
    assert [row["round"] for row in fake.rows if "curve/miou" in row] == [0, 1, 2]
    assert {row["train/step"] for row in fake.rows if "train/step" in row} == {9, 19, 29, 1009, 1019, 1029, 2009, 2019, 2029}
    assert len({made.id for made in fake.runs}) == 1


def test_an_upload_that_never_ends_is_left_and_named(tmp_path: Path, fake: Fake) -> None:
    run, choice = shown_run(tmp_path / "run", 0), WandB(timeout=0.2)
    fake.slow.add("finish")
    train(choice, run, 0)
    started = time.perf_counter()
    with console.capture() as capture:
        choice.close()
    assert time.perf_counter() - started < 10
    assert f"wandb sync {run}/wandb/run-x-" in capture.get()


def test_a_command_that_could_not_send_says_what_is_left(tmp_path: Path, fake: Fake) -> None:
    run = shown_run(tmp_path / "run", 1)
    fake.down.add("artifact")
    with pytest.raises(ConnectionError, match="labels-00, pictures-00, tables-00"):
        rebuild(run, Target())
    fake.down.clear()
    assert rebuild(run, Target()) == ["labels-00", "pictures-00", "tables-00"]


def test_waiting_has_an_end() -> None:
    assert within(5, lambda: 3) == 3
    with pytest.raises(KeyError, match="inner"):
        within(5, lambda: {}["inner"])
    with pytest.raises(TimeoutError, match="0.05 s"):
        within(0.05, lambda: time.sleep(5))
    with pytest.raises(ValueError, match="logger.wandb.timeout=0"):
        WandB(timeout=0)


def test_the_command_needs_runs() -> None:
    with pytest.raises(click.UsageError, match="Missing parameter: runs"):
        wandb.main([], prog_name="al3d track wandb", standalone_mode=False)


def test_csv_has_a_line_per_finished_round(tmp_path: Path) -> None:
    run = shown_run(tmp_path / "run", 1)
    CSV().finished(run, 0, NAMES)
    (file,) = (run / "round-00" / "csv" / "start-2").glob("metrics.csv")
    shown = read_run(run)
    for name, value in round_values(shown, shown.records[0]).items():
        assert name in file.read_text() and f"{value}" in file.read_text()


def records_of(log: Path) -> Iterator[Any]:
    """The records of W&B's transaction log: LevelDB's log format behind a header of seven bytes, blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = log.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def test_wandb_itself_writes_the_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = shown_run(tmp_path / "run", 2)
    assert len(rebuild(run, Target(offline=True, group="study"))) == 9 and rebuild(run, Target(offline=True)) == []
    (log,) = (run / "wandb").glob("offline-run-*/*.wandb")
    limit = time.monotonic() + 30
    while not (records := list(records_of(log))) or records[-1].WhichOneof("record_type") != "exit":  # another process closes the log
        assert time.monotonic() < limit
        time.sleep(0.2)
    opened = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (opened.run_group, opened.job_type, opened.run_id) == ("study", "round", run_id(run)) and "rng:1" in opened.tags
    history = [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in one.history.item} for one in records if one.HasField("history")]
    shown = read_run(run)
    curves = [row for row in history if "curve/miou" in row]
    assert [{key: value for key, value in row.items() if not key.startswith("_")} for row in curves] == [
        round_values(shown, record) for record in shown.records
    ]
    assert [row["train/loss"] for row in history if "train/loss" in row] == [0.9, 0.7, 0.6] * 2
    artifacts = [one.artifact for one in records if one.HasField("artifact") and one.artifact.type == "labels"]
    assert [json.loads(artifact.metadata)["round"] for artifact in artifacts] == [0, 1] and len({artifact.name for artifact in artifacts}) == 1
    assert [len(artifact.manifest.contents) for artifact in artifacts] == [2, 4]
    axes = {one.metric.glob_name or one.metric.name: one.metric.step_metric for one in records if one.HasField("metric")}
    assert axes["curve/*"] == axes["iou/*"] == "curve/labelled_percent"
    table = json.loads(next((run / "wandb").rglob("iou_per_class*.json")).read_text())
    assert table["columns"][3:] == list(NAMES) and [row[2] for row in table["data"]] == [record.miou for record in shown.records]
    assert len(list((run / "wandb").rglob("bought_regions*.png"))) == 2


SILENT_SERVER = """
import os, socket, sys, threading
from pathlib import Path

server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
held = []
threading.Thread(target=lambda: [held.append(server.accept()) for _ in range(1000)], daemon=True).start()
os.environ |= {"WANDB_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}", "WANDB_API_KEY": "a" * 40, "WANDB_MODE": "online"}
from al3d.report.loggers import WandB

run, choice = Path(sys.argv[1]), WandB(timeout=4)
log = choice.open(run, 0, 0, {})
log.log_metrics({"loss": 1.0}, step=9)
log.finalize("success")
choice.finished(run, 0, ("ground", "box", "ball <&>"))
choice.close()
print("trained", flush=True)
"""


@pytest.mark.slow
def test_a_server_that_never_answers_stops_nothing(tmp_path: Path) -> None:
    run = shown_run(tmp_path / "run", 1)
    folders = {f"WANDB_{name}_DIR": str(tmp_path / "wandb") for name in ("DATA", "CACHE", "CONFIG")}
    ended = subprocess.run([sys.executable, "-c", SILENT_SERVER, str(run)], env={**os.environ, **folders}, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0 and ended.stdout.rstrip().endswith("trained"), ended.stderr
    assert "W&B gave up at opening the run" in ended.stdout and "not sent to W&B: training-00, curve-00" in ended.stdout
