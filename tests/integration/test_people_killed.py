"""Three rounds on real tables without a label in any file, killed in the middle of freezing and fitting: the same bits as undisturbed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from al3d.data.earlier import find_store
from al3d.people.oracle import frozen_file
from al3d.report.rounds import read_rounds
from al3d.run import RunFolder

from .people import answer_as_they_are, truth_of, without_labels

ROOT = Path(__file__).resolve().parents[2]
OSD = ROOT.parent / "shared" / "data" / "osd"
ROUNDS = 3


class Sitting:
    """A run by the command line, and the person who answers it."""

    def __init__(self, root: Path, place: Path, name: str) -> None:
        self.root, self.place, self.folder = root, place, RunFolder(place / name)
        self.truth = truth_of(OSD, tuple(path.stem for path in (OSD / "scenes").glob("learn_*.ply")))

    def start(self) -> subprocess.Popen[str]:
        words = ["experiment=label", f"dataset.root={self.root}", f"rounds.n={ROUNDS}", f"paths.data={self.place / 'data'}", f"paths.run={self.folder.path}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(ROOT / "train.py"), *words]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def go(self) -> str:
        process = self.start()
        words = process.communicate(timeout=1200)[0]
        assert process.returncode == 0, words
        return words

    def killed_when(self, there: Path) -> None:
        """Start the command and kill it as soon as a file (or what is being written for it) is there."""
        process = self.start()
        while process.poll() is None and not (there.exists() or list(there.parent.glob(f".{there.name}.*"))):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def answer(self) -> int:
        return answer_as_they_are(self.folder.path, find_store(self.folder.path), self.truth)


@pytest.mark.slow
@pytest.mark.skipif(not OSD.is_dir(), reason="needs the real tables")
def test_killed_and_resumed_a_sitting_is_the_same(tmp_path, outcome):
    root = without_labels(OSD, tmp_path / "osd")
    whole, killed = (Sitting(root, tmp_path, name) for name in ("whole", "killed"))
    for index in range(ROUNDS):
        assert f"round {index}: 0 of 30 answered" in whole.go()
        assert whole.answer() == 30
    whole.go()
    for index in range(ROUNDS):
        killed.go()
        assert killed.answer() == 30
        moments = frozen_file(killed.folder.path, index), killed.folder.labelled(index), killed.folder.weights(index)
        killed.killed_when(moments[index])
    killed.go()
    assert outcome(killed.folder.path) == outcome(whole.folder.path)
    records = read_rounds(whole.folder.path)
    assert all(frozen_file(killed.folder.path, index).is_file() for index in range(ROUNDS))
    assert len(records) == ROUNDS and not (root / "labels").exists()
    assert [record.judged_on for record in records][-1] == "held_answers"
