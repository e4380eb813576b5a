"""Processes that prepare the same data at the same time do the work once."""

import multiprocessing
import os

from al3d.data.prepare import prepare
from al3d.data.sources.folder import Folder

FORK = multiprocessing.get_context("fork")


def test_four_processes_read_every_scene_once(tiny_root, tmp_path, monkeypatch):
    log, start = tmp_path / "log", FORK.Barrier(4)

    def noted(self, scene_id, read=Folder.read):
        with log.open("a") as lines:
            lines.write(f"{os.getpid()} {scene_id}\n")
        return read(self, scene_id)

    monkeypatch.setattr(Folder, "read", noted)
    source = Folder(root=str(tiny_root))

    def work():
        start.wait(timeout=60)
        store = prepare(source, tmp_path / "data", backend="threading")
        (tmp_path / f"{os.getpid()}.hash").write_text(store.data_hash)

    processes = [FORK.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 4
    read = [line.split() for line in log.read_text().splitlines()]
    assert len({process for process, _ in read}) == 1 and sorted(scene for _, scene in read) == sorted({scene for _, scene in read}) and len(read) == 8
    assert len({file.read_text() for file in tmp_path.glob("*.hash")}) == 1 and len(list(tmp_path.glob("*.hash"))) == 4
    assert len(list((tmp_path / "data").glob("*/manifest.json"))) == 1 and not list((tmp_path / "data").glob("**/*.lock"))
