"""Time of drawing a scene's views: `python benchmarks/views.py [--threads 2] [--repeats 3]`.

The reference, in the same run, draws the same cameras from all points, with the discs' sizes found anew for every picture. Compilation is paid
before; each figure is the least of the repeats. CPU seconds are those of all threads together: they travel better between machines that other work shares.

`--sheet FILE [--osd FOLDER] [--scan FILE.bin]` draws examples instead: of generated rooms and streets, of a table scene and of a scan of SemanticKITTI.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numba
import numpy as np
from geometry import room
from PIL import Image, ImageDraw
from rich.table import Table

from al3d.data.sources.folder import Folder
from al3d.data.sources.rooms import Rooms
from al3d.data.sources.street import Street
from al3d.features.drawn import BACKGROUND, FINER, LidarViews, RoomViews
from al3d.features.photographs import Photographs
from al3d.features.view_colours import paint
from al3d.geometry.render import disc_radius, render
from al3d.progress import console
from al3d.rng import generator
from al3d.types import U8, Scene


def street(points: int) -> Scene:
    """What a scanner of 64 beams at a height of 1.7 m sees of a road 14 m wide between two walls, with noise and a random intensity."""
    draw = generator("benchmark street")
    columns = max(8, points // 64)
    turn, lift = np.meshgrid(np.linspace(-np.pi, np.pi, columns, endpoint=False), np.radians(np.linspace(-24.8, 2.0, 64)))
    way = np.stack([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)], axis=-1).reshape(-1, 3)
    with np.errstate(divide="ignore"):
        distance = np.min([np.where(way[:, 2] < 0, -1.7 / way[:, 2], 80), 7 / np.abs(way[:, 1]), np.full(len(way), 80.0)], axis=0)
    xyz = way * (distance + draw.normal(size=len(way)) * 0.01)[:, None]
    return Scene("street", xyz.astype(np.float32), draw.random((len(xyz), 1), dtype=np.float32), sequence="00", frame=0)


def inside(points: int) -> Scene:
    xyz, rgb = room(points)
    return Scene("room", xyz, rgb)


def without_tricks(views: RoomViews, scene: Scene) -> None:
    """All points, and the sizes of the discs for every picture."""
    for camera in views.cameras(scene, scene.xyz):
        colours = paint(scene, views.colours).seen_from(scene.xyz, camera.pose[:3, 3])
        render(scene.xyz, colours, camera, disc_radius(scene.xyz), shading=0.2, background=BACKGROUND, supersample=FINER)


def least(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds and CPU seconds."""
    seconds, cpu = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return min(seconds), min(cpu)


def scanned(file: Path) -> Scene:
    values = np.fromfile(file, np.float32).reshape(-1, 4)
    return Scene(file.stem, values[:, :3].copy(), values[:, 3:].copy(), sequence="00", frame=0)


def row(title: str, pictures: list[U8], width: int, height: int = 150) -> U8:
    """Pictures of one height side by side under a title."""
    scaled = [Image.fromarray(one).resize((round(one.shape[1] * height / one.shape[0]), height), Image.Resampling.LANCZOS) for one in pictures]
    canvas = Image.new("RGB", (width, height + 26), "white")
    ImageDraw.Draw(canvas).text((2, 6), title, "black", font_size=14)
    left = 0
    for picture in scaled:
        canvas.paste(picture, (left, 24))
        left += picture.width + 4
    return np.asarray(canvas)


def draw_sheet(path: Path, osd: Path | None, scan: Path | None) -> None:
    """Examples of what is drawn, one scene a row."""
    rows = []
    rooms = Rooms(root=Path("data/rooms"))
    for name in [next(name for name in rooms.scenes("train") if kind in name) for kind in ("lounge", "office")]:
        rows.append(row(f"room {name}: 6 of 16 views", list(RoomViews()(rooms.read(name)[0]))[:6], 924))
    if osd is not None:
        folder = Folder(osd)
        scene = folder.read(folder.scenes("train")[0])[0]
        photograph = Photographs()(scene)[0]
        rows.append(row(f"table {scene.id}: its photograph, 4 of 16 views", [photograph, *list(RoomViews()(scene))[:4]], 924))
    drives = Street(root=Path("data/street"))
    scans = [(f"generated street {name}", drives.read(name)[0]) for name in drives.scenes("train")[10:11]]
    if scan is not None:
        scans.append(("SemanticKITTI 08/000000", scanned(scan)))
    for name, scene in scans:
        front, left, _, _, bird = LidarViews()(scene)
        both = np.concatenate([front, left])
        rows.append(row(f"{name}: front and left of five views, from above", [both, bird], 924, 224))
    Image.fromarray(np.concatenate(rows)).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    for name in ("--sheet", "--osd", "--scan"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    if options.sheet is not None:
        draw_sheet(options.sheet, options.osd, options.scan)
        return
    table = Table("", "points", "pictures", "seconds", "CPU s", "reference s", "reference CPU s", title=f"{options.threads} threads")
    rooms, lidar = RoomViews(), LidarViews()
    for points in (60_000, 500_000, 2_000_000):
        scene = inside(points)
        rooms(inside(2000)), without_tricks(rooms, inside(2000))
        ours = least(partial(rooms, scene), options.repeats)
        reference = least(partial(without_tricks, rooms, scene), 1) if points <= 500_000 else ()
        table.add_row("room", f"{points}", f"{rooms.views}", *(f"{value:.2f}" for value in (*ours, *reference)))
    grey = Scene("grey room", inside(500_000).xyz, np.empty((500_000, 0), np.float32))
    rooms(Scene("grey room", inside(2000).xyz, np.empty((2000, 0), np.float32)))
    table.add_row("room without colours", f"{len(grey)}", f"{rooms.views}", *(f"{value:.2f}" for value in least(partial(rooms, grey), options.repeats)))
    lidar(street(2000))
    for points in (30_000, 120_000):
        scan = street(points)
        table.add_row("street", f"{len(scan)}", "5", *(f"{value:.2f}" for value in least(partial(lidar, scan), options.repeats)))
    console.print(table)


if __name__ == "__main__":
    main()
