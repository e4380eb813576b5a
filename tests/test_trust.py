"""A folder from a stranger runs nothing: only al3d's own choices, and those of a package that a person trusts, are made from it."""

from __future__ import annotations

import pytest
import yaml

from al3d.command import CONF
from al3d.configuration import composed, plain
from al3d.trust import GROUPS, VARIABLE, check_parts, checked_config, saved_config, trust


@pytest.mark.parametrize("group", ["acquire", "seed", "pseudo", "net", "learner", "oracle", "features"])
def test_every_choice_of_al3d_may_be_made_from_a_folder(group, tmp_path):
    for file in sorted((CONF / group).glob("*.yaml")):
        if file.stem[0] != "_":
            check_parts({group: yaml.safe_load(file.read_text(encoding="utf-8"))}, tmp_path)


def test_every_key_of_a_configuration_that_holds_parts_is_known(tmp_path):
    config = composed(["dataset.root=x", "dataset=folder", "acquire=redal", "logger=csv"])
    tree = {key: node for key, node in plain(config).items() if isinstance(node, dict)}
    check_parts(tree, tmp_path)
    assert {key for key, node in tree.items() if "_target_" in str(node)} <= set(GROUPS)


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("net", {"_target_": "os.system"}),
        ("net", {"_target_": "al3d.nets.minkunet.MinkUNet", "width": {"_target_": "builtins.eval", "_args_": ["1"]}}),
        ("net", {"_target_": "al3d.nets.minkunet.MinkUNet", "deep": [{"of": [{"_target_": "al3d.nets.minkunet.np.load"}]}]}),
        ("net", {"_target_": "al3d.learn.segmenter.Segmenter"}),  # al3d's own, elsewhere
        ("net", {"_target_": ["al3d.nets.minkunet.MinkUNet"]}),
        ("dataset", {"source": {"_target_": "al3d.data.sources.folder.Path"}}),
        ("learner", {"optimizer": {"_target_": "torch.optim.lr_scheduler.os.system"}}),
        ("unheard_of", {"_target_": "al3d.nets.minkunet.MinkUNet"}),
    ],
)
def test_anything_else_is_refused_by_name_at_any_depth(key, node, tmp_path):
    with pytest.raises(ValueError, match="none of al3d's own choices") as refused:
        check_parts({key: node}, tmp_path)
    assert str(tmp_path) in str(refused.value) and "--trust" in str(refused.value)


def test_a_trusted_package_is_printed_and_no_other_of_the_same_beginning(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "")
    trust(("plugin",))
    check_parts({"net": {"_target_": "plugin.nets.Mine"}}, tmp_path)
    assert "plugin.nets.Mine" in capsys.readouterr().err
    with pytest.raises(ValueError, match="plugin_of_others.Net"):
        check_parts({"net": {"_target_": "plugin_of_others.Net"}}, tmp_path)


def test_an_interpolated_name_is_looked_at_as_what_it_becomes(tmp_path):
    (tmp_path / "config.yaml").write_text("name: os.system\nnet: {_target_: '${name}'}\ndataset: {}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="net: os.system"):
        checked_config(tmp_path)


@pytest.mark.parametrize("content", [b"", b"net: [1", b"\xff\xfe", b"net: {}\n", b"- 1\n", b"net: {}\ndataset"])
def test_a_damaged_configuration_is_named_with_the_way_out(content, tmp_path):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"config.yaml: is damaged.*report.json"):
        saved_config(tmp_path)
