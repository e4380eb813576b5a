"""Locks name their owner, live with it, and are never held by two."""

import errno
import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from al3d import locks
from al3d.locks import Lock, Owner, gone, held, living_owner, lock, owner_of, wait_for_lock
from al3d.progress import console

FORK = multiprocessing.get_context("fork")


def foreign(path, age=0.0, **changes):
    """A lock of a process on another machine, whose last sign of life is `age` seconds ago."""
    owner = replace(Owner("work", "elsewhere", 1, "2026-01-01 00:00:00", "another boot", 1, "abc"), **changes)
    path.write_text(json.dumps(asdict(owner)))
    os.utime(path, (time.time() - age,) * 2)
    return owner


def test_a_lock_is_held_by_one_and_names_it(tmp_path):
    mine = lock(tmp_path / "deep" / "a.lock", "work")
    assert isinstance(mine, Lock)
    other = lock(mine.path, "other work")
    assert isinstance(other, Owner) and other == mine.owner
    assert (other.what, other.process) == ("work", os.getpid()) and f"process {os.getpid()} on {other.host} (since 2" in str(other)
    mine.release()
    assert list(mine.path.parent.iterdir()) == []
    again = lock(mine.path, "other work")
    assert isinstance(again, Lock)
    mine.release()  # a second time, when another has it
    assert owner_of(again.path) == again.owner
    again.release()


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path):
    def die():
        lock(tmp_path / "a.lock", "work")
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=die)
    process.start()
    process.join()
    assert owner_of(tmp_path / "a.lock").process == process.pid
    mine = lock(tmp_path / "a.lock", "work")
    assert isinstance(mine, Lock) and owner_of(mine.path).process == os.getpid()
    mine.release()


def test_a_number_that_another_process_has_by_now_is_no_sign_of_life(tmp_path):
    mine = lock(tmp_path / "a.lock", "work")
    mine.release()
    living = replace(mine.owner, token="abc")
    foreign(mine.path, **asdict(living))
    assert lock(mine.path, "work") == living
    foreign(mine.path, **asdict(replace(living, birth=living.birth - 1)))
    mine = lock(mine.path, "work")
    assert isinstance(mine, Lock)
    mine.release()


@pytest.mark.parametrize(("age", "free"), [(1.0, False), (29.0, False), (31.0, True)])
def test_a_process_elsewhere_is_gone_when_it_is_silent_for_too_long(tmp_path, age, free):
    owner = foreign(tmp_path / "a.lock", age, process=os.getpid())
    assert gone(tmp_path / "a.lock", owner, expires=30) == free
    found = lock(tmp_path / "a.lock", "work", expires=30)
    assert isinstance(found, Lock) == free
    if free:
        found.release()
    assert [path.name for path in tmp_path.iterdir()] == ([] if free else ["a.lock"])


def test_an_owner_shows_that_it_lives_until_it_lost_the_lock(tmp_path):
    mine = lock(tmp_path / "a.lock", "work", beat=0.02)
    os.utime(mine.path, (0, 0))
    limit = time.monotonic() + 20
    while mine.path.stat().st_mtime == 0 and time.monotonic() < limit:
        time.sleep(0.01)
    assert mine.path.stat().st_mtime > 0
    owner = foreign(mine.path, age=1000)
    mine._thread.join(timeout=20)
    assert not mine._thread.is_alive() and mine.path.stat().st_mtime < time.time() - 900
    mine.release()
    assert owner_of(mine.path) == owner


def test_a_lock_that_was_taken_meanwhile_is_put_back(tmp_path):
    stale = replace(foreign(tmp_path / "a.lock"), token="stale")
    living = owner_of(tmp_path / "a.lock")
    assert not locks._free(tmp_path / "a.lock", stale)
    assert owner_of(tmp_path / "a.lock") == living and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"what": 1}'])
def test_a_lock_that_names_nobody_is_held_until_it_is_old(tmp_path, content):
    (tmp_path / "a.lock").write_text(content)
    assert lock(tmp_path / "a.lock", "work").what == "somebody"
    os.utime(tmp_path / "a.lock", (0, 0))
    mine = lock(tmp_path / "a.lock", "work")
    assert isinstance(mine, Lock)
    mine.release()


def test_a_disk_without_hard_links_will_do(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(locks.os, "link", refuse)
    mine = lock(tmp_path / "a.lock", "work")
    assert isinstance(mine, Lock) and lock(tmp_path / "a.lock", "work") == mine.owner
    mine.release()


def test_four_processes_never_hold_it_together(tmp_path):
    def work():
        for _ in range(5):
            with held(tmp_path / "a.lock", "count"):
                count = int((tmp_path / "count").read_text())
                time.sleep(0.002)
                (tmp_path / "count").write_text(str(count + 1))

    (tmp_path / "count").write_text("0")
    processes = [FORK.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert (tmp_path / "count").read_text() == "20" and [process.exitcode for process in processes] == [0] * 4
    assert not (tmp_path / "a.lock").exists()


def test_held_nests_and_is_free_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="x"), held(tmp_path / "a.lock", "work"):
        with held(tmp_path / "a.lock", "inner work"):
            pass
        assert owner_of(tmp_path / "a.lock").what == "work"
        raise ValueError("x")
    assert list(tmp_path.iterdir()) == []


def test_waiting_is_said_once_and_ends_with_the_lock_or_with_the_work(tmp_path):
    path = tmp_path / "a.lock"
    foreign(path)
    timer = threading.Timer(0.4, path.unlink)
    timer.start()
    with console.capture() as said, held(path, "mine"):
        assert owner_of(path).what == "mine"
    assert said.get() == "waiting for process 1 on elsewhere (since 2026-01-01 00:00:00), which is at work on work\n"
    foreign(path)
    looks = iter([False, False, True])
    with console.capture():
        assert wait_for_lock(path, "mine", str, done=lambda: next(looks)) is None
    assert owner_of(path).what == "work"


@pytest.mark.parametrize("number", locks.READ_ONLY)
def test_where_nothing_may_be_written_there_is_no_lock(tmp_path, monkeypatch, number):
    def refuse(*arguments, **options):
        raise OSError(number, "read-only")

    monkeypatch.setattr(Path, "write_text", refuse)
    with held(tmp_path / "a.lock", "work"):
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_reason_to_go_without(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(OSError, match="full"), held(tmp_path / "a.lock", "work"):
        pass


def test_an_owner_elsewhere_lives_when_it_gives_a_sign_and_is_waited_for_until_then(tmp_path):
    path = tmp_path / "a.lock"
    assert living_owner(path) is None
    owner = foreign(path)
    threading.Timer(0.3, os.utime, (path,)).start()
    with console.capture() as said:
        assert living_owner(path, expires=60, look=0.02) == owner
    assert said.get().count("process 1 on elsewhere") == 1
    foreign(path)
    started = time.monotonic()
    with console.capture():
        assert living_owner(path, expires=0.4, look=0.02) is None, "silent for too long"
    assert 0.3 < time.monotonic() - started < 10
    foreign(path)
    threading.Timer(0.2, path.unlink).start()
    with console.capture():
        assert living_owner(path, expires=60, look=0.02) is None
    mine = lock(path, "work")
    assert isinstance(mine, Lock) and living_owner(path) == mine.owner
    mine.release()
