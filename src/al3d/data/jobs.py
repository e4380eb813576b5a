"""The same work for many scenes: in this process, in several, or on a cluster; broken scenes are collected, not met one by one."""

from __future__ import annotations

import copy
import dataclasses
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numba
from joblib import Parallel, delayed, parallel_config

from al3d.files import FULL, DiskFull
from al3d.progress import track

T = TypeVar("T")
BACKENDS = ("loky", "threading", "dask")
_kept: dict[str, Any] = {}


@dataclasses.dataclass(frozen=True)
class Jobs:
    """Where scenes are worked on: `workers` processes (`loky`) or threads (`threading`) of this machine, or a `dask` cluster.

    With dask, `scheduler` is the address of a running scheduler, whose own workers count; without one, `workers` processes are started here.
    Workers elsewhere must see the same files under the same absolute paths and have al3d installed.
    Raises: ValueError for an unknown backend, fewer than 1 worker, or an address without dask.
    """

    workers: int = 1
    backend: str = "loky"
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise ValueError(f"workers={self.workers}: preparing needs at least 1 process")
        if self.backend not in BACKENDS:
            raise ValueError(f"prepare.backend={self.backend!r} is not one of {', '.join(BACKENDS)}")
        if self.scheduler is not None and self.backend != "dask":
            raise ValueError(f"prepare.scheduler={self.scheduler!r} is for prepare.backend=dask, but the backend is {self.backend}")

    def each(self, work: Callable[[str], T], ids: Sequence[str], name: str) -> list[T]:
        """What `work` returns for every id, one scene a task, in the order of `ids`.

        Raises: ValueError listing every id for which `work` failed, whichever library raised, after the others are done; a full disk and a full
        memory at once.
        """
        if not ids:
            return []
        with self._mapper(len(ids)) as run:
            done = list(track(run(work, ids), name, len(ids)))
        broken = [f"  {scene}: {reason}" for scene, (_, reason) in zip(ids, done, strict=True) if reason is not None]
        if broken:
            raise ValueError(f"{name}: {len(broken)} of {len(ids)} scenes failed; the others are done and stay\n" + "\n".join(broken))
        return [result for result, _ in done]

    @contextmanager
    def _mapper(self, count: int) -> Iterator[Callable[[Callable[[str], Any], Sequence[str]], Iterable[tuple[Any, str | None]]]]:
        if self.scheduler is None and (self.workers == 1 or count < 2):
            yield lambda work, ids: map(_Attempt(work), ids)
        elif self.backend == "dask":
            with self._client(), parallel_config(backend="dask", n_jobs=-1):
                yield _parallel
        else:
            with parallel_config(backend=self.backend, n_jobs=min(self.workers, count)):
                yield _parallel

    def _client(self) -> Any:
        try:
            import distributed
        except ImportError as error:
            raise ValueError("prepare.backend=dask needs dask: pip install 'al3d[cluster]'") from error
        client: Any = distributed.Client
        if self.scheduler is None:
            # Without a limit of dask's own, since it would stop workers at a share of the memory that others leave unused.
            return client(n_workers=self.workers, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address=None, silence_logs=logging.CRITICAL)
        try:
            return client(self.scheduler)
        except (OSError, ValueError) as error:
            raise ValueError(f"prepare.scheduler={self.scheduler!r}: no dask scheduler answers there ({error}): start one, or leave it null") from error


class Light(Generic[T]):
    """A value that travels to other processes without its `cached_property` values: an index of a whole data set is made where it is needed."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return Light, (_without_caches(self.value),)


def relative_paths(maker: Any) -> list[str]:
    """The fields of a dataclass that hold a relative path, which means something else on another machine."""
    fields = dataclasses.fields(maker) if dataclasses.is_dataclass(maker) else ()
    return [field.name for field in fields if isinstance(value := getattr(maker, field.name), Path) and not value.is_absolute()]


def _parallel(work: Callable[[str], Any], ids: Sequence[str]) -> Iterable[tuple[Any, str | None]]:
    attempt = _Attempt(work, uuid.uuid4().hex)
    results: Iterable[tuple[Any, str | None]] = Parallel(return_as="generator")(delayed(attempt)(scene) for scene in ids)
    return results


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """(result, None), or (None, why the scene's data is broken).

    Every task brings its own copy of `work`; a process uses the first that came with this `token`, so that what that one has cached stays.
    """

    work: Callable[[str], Any]
    token: str | None = None

    def __call__(self, scene_id: str) -> tuple[Any, str | None]:
        work = self.work
        if self.token is not None:
            work = _first(self.token, work)
            numba.set_num_threads(1)  # one thread a scene: the scenes share the cores already
        try:
            return work(scene_id), None
        except (DiskFull, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            return None, reason(error)


def reason(error: Exception) -> str:
    """What failed, in words for a person; an error that is not meant for one (a library's) with its kind."""
    return str(error) if isinstance(error, (ValueError, OSError)) and str(error) else f"{type(error).__name__}: {error}"


def _first(token: str, value: Any) -> Any:
    """The first value that this process was given under `token`; those of earlier tokens are let go."""
    found = _kept.get(token)
    if found is None:
        for earlier in list(_kept):
            _kept.pop(earlier, None)
        found = _kept.setdefault(token, value)
    return found


def _without_caches(value: T) -> T:
    """A copy without the values that `cached_property` left in it."""
    cached = [name for name in getattr(value, "__dict__", {}) if isinstance(getattr(type(value), name, None), cached_property)]
    if not cached:
        return value
    lean = copy.copy(value)
    for name in cached:
        del lean.__dict__[name]
    return lean
