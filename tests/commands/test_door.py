"""The one door: every command is there, says what it takes, and loads nothing for help and wrong words but what it needs."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from al3d.door import LIFE, al3d, parts, summary
from al3d.hydra_door import HydraCommand, through_hydra, with_whole_paths

NAMES = [name for names in parts().values() for name in names]
HEAVY = ("torch", "pytorch_lightning", "sklearn", "pandas")
#: Words that are answered without doing anything, and the exit code of each.
ANSWERED = {
    "": 0,
    "--version": 0,
    "comprae": 2,
    "results --ot x": 2,
    "check dataset=roms": 1,
    "doctor dataset=roms": 1,
    "predict run=/nowhere scans=/nowhere out=x": 1,
    "train acquire=redall": 1,
    "train dataset=s3dis dataset.root=/nowhere": 1,
    "train dataset=folder dataset.root=/nowhere": 1,
    "train dataset=folder": 1,
    "prepare dataset=scannet dataset.root=/nowhere": 1,
    **{f"{name} --help": 0 for name in NAMES},
}
#: Runs every line of words in this process and prints its exit code with the heavy modules that are loaded after it.
PROGRAM = f"""
import sys
from al3d.door import al3d
for line in sys.stdin.read().splitlines():
    sys.argv = ["al3d", *line.split()]
    try:
        al3d(prog_name="al3d")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    print("ANSWER", line, code, *[name for name in {HEAVY!r} if name in sys.modules], sep="|")
"""


def commands() -> list[tuple[str, click.Command]]:
    """Every command, those of groups too."""
    found = []
    for name in NAMES:
        command = importlib.import_module(f"al3d.commands.{name}").command
        found += [(f"{name} {each}", one) for each, one in getattr(command, "commands", {"": command}).items()]
    return found


def test_help_and_wrong_words_load_nothing_heavy(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], input="\n".join(ANSWERED), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stdout.splitlines() if line.startswith("ANSWER")]
    assert said == [f"ANSWER|{words}|{code}" for words, code in ANSWERED.items()], result.stderr
    assert "Did you mean 'compare'?" in result.stderr and "Did you mean '--out'?" in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_every_command_has_its_place_and_its_line() -> None:
    assert {"demo", "world", "check", "units", "prepare", "train", "choices", "study"} <= set(NAMES)
    assert {"results", "compare", "tables", "track", "predict", "export"} <= set(NAMES)
    assert not parts().get("More"), "give the command its place in a project's life"
    assert all(summary(name).endswith(".") and len(summary(name)) <= 70 for name in NAMES), "a line each"
    assert len({name for names in LIFE.values() for name in names}) == sum(map(len, LIFE.values()))


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_examples_are_taken_and_options_are_explained(name: str, command: click.Command) -> None:
    with click.Context(command, info_name=name) as context:
        text = command.get_help(context)
    lines = [line.strip() for line in text.partition("Examples:")[2].splitlines() if line.strip()]
    assert lines and all(line.startswith(f"al3d {name.strip()}") for line in lines)
    assert not [option.name for option in command.params if isinstance(option, click.Option) and not option.help]
    if isinstance(command, HydraCommand):
        return
    for line in lines:
        with command.make_context(name, shlex.split(line)[1 + len(name.split()) :]):
            pass


def test_hydra_s_words_are_completed() -> None:
    complete = ShellComplete(al3d, {}, "al3d", "_AL3D_COMPLETE")

    def found(*words: str) -> list[str]:
        return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]

    assert found("tra") == ["train", "track"]
    assert "acquire=redal" in found("train", "acquire=re") and "acquire=" in found("train", "rng=2", "acq")
    assert found("train", "acquire", "=", "red") == ["redal"], "bash cuts a word at its ="
    assert "random" in found("prepare", "seed", "=")
    assert found("train", "rng=[1", "acq") == [], "words that cannot be read"
    assert "--percent" in found("choices", "--per")


def test_a_configuration_s_folder_is_meant_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--config-path", "outputs/a", "-cp=b", "--config-name", "config", "rng=1"]
    assert with_whole_paths(words) == ["--config-path", str(tmp_path / "outputs/a"), f"-cp={tmp_path / 'b'}", *words[3:]]


def test_the_whole_command_line_is_there_while_hydra_s_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sys, "argv", ["al3d", "train", "rng=3"])
    through_hydra(lambda config: seen.append((config.rng, list(sys.argv))), "train", ["rng=3"])
    assert seen == [(3, ["al3d", "train", "rng=3"])] and sys.argv == ["al3d", "train", "rng=3"]


def test_commands_with_a_configuration_take_more_choices() -> None:
    taking = {name.strip() for name, command in commands() if any(option.name == "config_dir" for option in command.params)}
    assert taking == {"doctor", "check", "units", "choices", "tables", "study run", "study cells"}
