"""Label new scans with a trained run."""

from __future__ import annotations

from typing import Any

import click

from al3d.command import Command, Place, examples, plain_errors
from al3d.trust import trust_option


class TileVoxels(click.ParamType[int | None]):
    """A number of voxels from 1 on, or `null` for whole scans."""

    name = "N|null"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        return None if value == "null" else click.IntRange(1).convert(value, param, ctx)


class Predict(Command):
    """Takes its options as train does, too: `run=outputs/NAME probabilities=true`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [said for word in args for said in self.said(word, ctx)])

    def said(self, word: str, ctx: click.Context) -> list[str]:
        """A word `key=value` as the option that it means."""
        key, found, value = word.partition("=")
        option = next(
            (one for one in self.params if isinstance(one, click.Option) and key == one.opts[0][2:].replace("-", "_")),
            None,
        )
        if not found or word.startswith("-"):
            return [word]
        if option is None:
            raise click.NoSuchOption(
                key, possibilities=[one.opts[0][2:].replace("-", "_") for one in self.params], ctx=ctx
            )
        if option.is_flag:
            if value not in ("true", "false"):
                raise click.BadParameter(f"{word}: give true or false", ctx, option)
            return [(option.opts if value == "true" else option.secondary_opts)[0]]
        return [] if value in ("", "null") and option.name != "tile_voxels" else [f"{option.opts[0]}={value}"]


@click.command(
    cls=Predict,
    epilog=examples(
        "al3d predict run=outputs/NAME scans=/path/to/scans out=/path/to/labels",
        "al3d predict run=outputs/NAME split=test out=submission format=submission",
        "al3d predict --run outputs/NAME --scans '/path/**/*.laz' --out labels --probabilities",
    ),
)
@click.option("--run", type=Place(), required=True, help="The run's folder.")
@click.option(
    "--scans",
    help="A scan, a folder, or a pattern such as '/path/**/*.ply' (PLY LAS LAZ PCD NPZ BIN, nuScenes' .pcd.bin).",
)
@click.option("--split", help="Instead of scans: a split of the run's own data set, such as test.")
@click.option(
    "--out",
    type=Place(),
    required=True,
    help="Where the labelled scans go; finished ones are skipped when the command is run again.",
)
@click.option(
    "--format",
    type=click.Choice(["same", "ply", "las", "laz", "label", "npz", "submission"]),
    default="same",
    show_default=True,
    help="submission: as ScanNet's and SemanticKITTI's servers take it.",
)
@click.option(
    "--round", type=click.IntRange(0), help="The round whose network labels; otherwise the last finished one."
)
@click.option("--probabilities/--no-probabilities", help="The probability of every class, too (ply, las, laz, npz).")
@click.option(
    "--colours", type=click.Choice(["scan", "class"]), default="scan", show_default=True, help="What PLY files show."
)
@click.option(
    "--field",
    type=click.Choice(["classification", "label"]),
    default="classification",
    show_default=True,
    help="Where LAS and LAZ files keep the class; label is an extra dimension.",
)
@click.option("--overwrite/--no-overwrite", help="Label again what is there.")
@click.option("--root", type=Place(), help="Where the run's data set is now, if it was moved.")
@click.option(
    "--tile-voxels",
    type=TileVoxels(),
    default=400_000,
    show_default=True,
    help="Voxels that the network sees at once; null: whole scans.",
)
@click.option(
    "--tile-halo", type=click.IntRange(0), default=96, show_default=True, help="Voxels around a tile that it sees, too."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", type=click.IntRange(1), help="Threads of this process.")
@trust_option
@plain_errors()
def command(**options: Any) -> None:
    """Label scans with the network of a trained run. Options may be said as `key=value`, as train's are."""
    from al3d.predict.options import Options, check_run

    said = Options(**options)
    said.files()
    check_run(said.run)
    from al3d.predict.command import label_scans  # slow to import

    label_scans(said)
