"""The command: options, what is checked before any work, and the loop over scans."""

from __future__ import annotations

import errno
import hashlib
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from al3d.compose import quiet_libraries
from al3d.files import read_json, remove_leftovers, whole_file, write_json
from al3d.predict.options import CHUNK, Options
from al3d.predict.pieces import Voxelised, survey, voxelised
from al3d.predict.scans import FileReader, Reader, ScanFile, SceneReader, ending_of, fields_of
from al3d.predict.table import Table
from al3d.predict.tiling import Labelled, boxes, density, run_tiles
from al3d.predict.trained import Legend, Trained, load
from al3d.predict.written import ENDINGS, SAME, WRITERS, Result, check_format
from al3d.progress import Stage, console, stage
from al3d.run import differing_keys
from al3d.threads import limit_threads
from al3d.types import IGNORE, U8, Array, Source

#: What is said about an output folder, so that two runs do not mix in it.
RECORD = "predicted.json"


@dataclass(frozen=True)
class Job:
    """One scan: how to read it, what to write (a key of `WRITERS`) and where."""

    name: str
    open: Callable[[], Reader]
    writer: str
    target: Path
    legend: Legend


@dataclass(frozen=True)
class Done:
    """A labelled scan's points, and how many of them have no class."""

    points: int
    unknown: int


def predict(options: Options) -> list[Path]:
    """Label every scan that has no labels yet; returns the files of all.

    Raises: ValueError or FileNotFoundError before any work when the run, the scans or the options do not fit; ValueError listing every scan
    that could not be labelled, after the others were.
    """
    limit_threads(options.threads)
    quiet_libraries()
    files = options.files()
    check_format(options.format, [str(ending_of(file.path)) for file in files])
    trained = load(options.run, options.round, options.root, options.device, with_source=options.split is not None)
    jobs = _split_jobs(options, trained) if options.split is not None else _file_jobs(options, trained, files)
    _guard(options, trained)
    remove_leftovers(options.out)
    todo = [job for job in jobs if options.overwrite or not job.target.is_file()]
    if len(todo) < len(jobs):
        console.print(f"{len(jobs) - len(todo)} of {len(jobs)} scans are labelled already (overwrite=true labels them again)", markup=False)
    broken, unknown = [], 0
    points = 0
    with stage(f"label with round {trained.round_index}", len(todo)) as line:
        for job in todo:
            try:
                done = label(job, trained, options, line)
                points, unknown = points + done.points, unknown + done.unknown
            except Exception as error:  # noqa: BLE001  one bad scan stops no other, whichever library it was too much for
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                reason = str(error) if isinstance(error, (ValueError, OSError)) else f"{_raised_by(error)}: {error}"
                broken.append(f"  {reason if job.name in reason else f'{job.name}: {reason}'}")
            line.advance()
            line.note(f"{points:,} points")
    if unknown:
        console.print(f"{unknown:,} points have no finite coordinates or attributes, and so no class", markup=False)
    if broken:
        raise ValueError(f"{len(broken)} of {len(todo)} scans could not be labelled; the others are in {options.out}\n" + "\n".join(broken))
    return [job.target for job in jobs]


def _raised_by(error: Exception) -> str:
    """The kind of an error that is not one of ours, and the line that raised it, for a report to its library or to us."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"


def label(job: Job, trained: Trained, options: Options, line: Stage) -> Done:
    """Label one scan and write its file, whole or not at all."""
    line.note(f"{job.name}: reading")
    reader = job.open()
    found = survey(reader, trained.frame, options.chunk)
    large = found.finite > options.in_memory
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out, prefix=".points-", suffix=".tmp") as folder:
        voxels = voxelised(reader, trained.frame, trained.inputs, found, Path(folder) if large else None, options.chunk)
        prob = _table(Path(folder) if large else None, voxels.cells.count, len(trained.classes)) if options.probabilities else None
        labelled = _labelled(job, voxels, trained, options, prob, line)
        line.note(f"{job.name}: writing")
        result = _result(reader, voxels, labelled, trained, options)
        with whole_file(job.target) as temporary:
            WRITERS[job.writer](result, temporary, job.legend)
        unknown = sum(int((result.label(chunk) == IGNORE).sum()) for chunk in range(len(found.chunks)))
        return Done(found.points, unknown)


def _labelled(job: Job, voxels: Voxelised, trained: Trained, options: Options, prob: Table | None, line: Stage) -> Labelled:
    tiles = boxes(density(voxels.cells), options.tile_voxels, options.tile_halo)
    labelled = Labelled(np.empty(0, np.uint8), prob)
    try:
        with trained.casting():
            for done, labelled in run_tiles(trained.net, voxels.cells, tiles, options.tile_halo, trained.device, prob):  # noqa: B007
                line.note(f"{job.name}: tile {done} of {len(tiles)}")
    except torch.OutOfMemoryError as error:
        raise ValueError(f"the GPU's memory does not hold a tile ({error}): lower tile_voxels={options.tile_voxels}, or give device=cpu") from error
    return labelled


def _result(reader: Reader, voxels: Voxelised, labelled: Labelled, trained: Trained, options: Options) -> Result:
    table = labelled.prob

    def label_of(chunk: int) -> U8:
        voxel = voxels.voxels_of(chunk)
        return np.where(voxel >= 0, labelled.label[np.maximum(voxel, 0)], np.uint8(IGNORE))

    def prob_of(chunk: int) -> Array:
        voxel = voxels.voxels_of(chunk)
        rows = np.zeros((len(voxel), len(trained.classes)), np.float16)
        if table is not None:
            rows[voxel >= 0] = _rows(table, voxel[voxel >= 0])
        return rows

    points, colored = voxels.found.points, options.colours == "class"
    return Result(reader, options.chunk, points, trained.classes, label_of, prob_of if table is not None else None, colored, options.field)


def _table(folder: Path | None, rows: int, classes: int) -> Table:
    return Table(folder, rows, {"prob": (np.float16, classes)})


def _rows(table: Table, voxel: Array) -> Array:
    """The probabilities of voxels, read in stretches of the file so that no more than those of a chunk are in memory."""
    found, inverse = np.unique(voxel, return_inverse=True)
    values = np.empty((len(found), table.types["prob"][1]), np.float16)
    step = CHUNK
    for start in range(0, table.rows, step):
        first, last = np.searchsorted(found, (start, start + step))
        if last > first:
            stretch = table.read("prob", start, min(start + step, table.rows)).reshape(-1, values.shape[1])
            values[first:last] = stretch[found[first:last] - start]
    return np.asarray(values[inverse.reshape(-1)])


def _file_jobs(options: Options, trained: Trained, files: Sequence[ScanFile]) -> list[Job]:
    if options.format == "submission" and trained.benchmark is None:
        raise ValueError("format=submission is for runs on ScanNet and SemanticKITTI, whose servers take one: choose format=npz, ply, las or label")
    _check_attributes(files, trained)
    jobs = [_file_job(options, trained, file) for file in files]
    inputs = {file.path.resolve() for file in files}
    same = [job.target for job in jobs if job.target.resolve() in inputs]
    if same:
        raise ValueError(f"out={options.out}: {same[0].name} would replace the scan itself: give another folder")
    return jobs


def _file_job(options: Options, trained: Trained, file: ScanFile) -> Job:
    def opened() -> Reader:
        return FileReader(file.path, trained.inputs.attributes, trained.raw_intensity, trained.full_intensity)

    if options.format == "submission":
        target = options.out / _submitted(trained, _scene_of(trained, file.path))
        return Job(file.name, opened, "text" if trained.benchmark == "scannet" else "label", target, trained.official)
    kind = SAME[str(ending_of(file.path))] if options.format == "same" else options.format
    return Job(file.name, opened, kind, options.out / f"{file.name}{ENDINGS[kind]}", trained.official if kind == "label" else trained.legend)


def _split_jobs(options: Options, trained: Trained) -> list[Job]:
    source = trained.source
    if source is None:
        raise ValueError("the run's data set was not opened")
    if options.format == "submission" and trained.benchmark is None:
        raise ValueError(f"format=submission is for runs on ScanNet and SemanticKITTI, not for {source.name}: choose format=npz, ply, las or label")
    if options.split is None or options.split not in source.splits:
        raise ValueError(f"split={options.split}: {source.name} has the splits {', '.join(source.splits)}: give one of them, or scans=FOLDER")
    return [_split_job(options, trained, source, scene) for scene in source.scenes(options.split)]


def _split_job(options: Options, trained: Trained, source: Source, scene: str) -> Job:
    def opened() -> Reader:
        return SceneReader(source, scene, trained.inputs.attributes)

    if options.format == "submission":
        kind = "text" if trained.benchmark == "scannet" else "label"
        return Job(scene, opened, kind, options.out / _submitted(trained, scene), trained.official)
    legend = trained.official if options.format == "label" else trained.legend
    return Job(scene, opened, options.format, options.out / f"{scene}{ENDINGS[options.format]}", legend)


def _submitted(trained: Trained, scene: str) -> Path:
    """Where a server wants a scene's labels: `<scene>.txt`, or `sequences/SS/predictions/FFFFFF.label`."""
    if trained.benchmark == "scannet":
        return Path(f"{scene}.txt")
    sequence, _, frame = scene.partition("_")
    return Path("sequences", sequence, "predictions", f"{frame}.label")


def _scene_of(trained: Trained, path: Path) -> str:
    """The scene that an official file belongs to, by its name and folders. Raises: ValueError when they are others."""
    if trained.benchmark == "scannet":
        return path.name.removesuffix(".ply").removesuffix("_vh_clean_2")
    sequence = path.resolve().parent.parent.name
    if not (sequence.isdigit() and len(sequence) == 2 and path.stem.isdigit()):
        raise ValueError(f"{path}: format=submission needs the official layout sequences/SS/velodyne/FFFFFF.bin: give scans='.../sequences/*/velodyne/*.bin'")
    return f"{sequence}_{path.stem}"


def _check_attributes(files: Sequence[ScanFile], trained: Trained) -> None:
    """Refuse scans of which none has what the network needs; the others are met one by one. Raises: ValueError naming what is missing."""
    wanted, lacking = set(trained.inputs.wanted), []
    for file in files:
        try:
            missing = wanted - fields_of(file.path)
        except (ValueError, OSError):
            return  # a header that cannot be read is reported with its scan
        if not missing:
            return
        lacking.append((file.path, sorted(missing)))
    if lacking:
        path, missing_names = lacking[0]
        others = f" and {len(lacking) - 1} others" if len(lacking) > 1 else ""
        raise ValueError(
            f"{path}{others}: no {', '.join(missing_names)}, which {trained.folder.name} was trained on ({', '.join(trained.inputs.names)}): "
            "give scans that have it, or train a run on fewer dataset.inputs"
        )


def _guard(options: Options, trained: Trained) -> None:
    """Keep one kind of labels per output folder. Raises: ValueError naming what differs from what is there."""
    digest = hashlib.blake2b(trained.checkpoint.read_bytes(), digest_size=8).hexdigest()
    kept = {field.name: getattr(options, field.name) for field in fields(options) if field.name in ("format", "probabilities", "colours", "field", "tile_halo")}
    values = dict(zip(trained.classes.names, trained.legend.values, strict=True))
    wanted = {"run": trained.folder.resolve().name, "round": trained.round_index, "weights": digest, **kept, "classes": values}
    file = options.out / RECORD
    if file.is_file() and not options.overwrite:
        differing = differing_keys(read_json(file), wanted)
        if differing:
            listing = "\n  ".join(differing)
            raise ValueError(f"{options.out} holds other labels (there -> now):\n  {listing}\nGive another out=, or overwrite=true to replace them.")
    write_json(file, wanted)


def label_scans(options: Options) -> None:
    """Label scans and say where the labels are. Raises: as `predict`."""
    done = predict(options)
    console.print(f"labels of {len(done)} scan{'s' * (len(done) != 1)}: {options.out}", markup=False)
