"""sparse.engine: how the convolution computes is execution, not identity."""

from __future__ import annotations

import json

import pytest

from al3d import compose
from al3d.compose import study_of
from al3d.rounds import run
from al3d.sparse import grouped


def test_an_engine_is_execution(composed, monkeypatch):
    """The folder keeps its name, each start says which engine it takes, and a line of execution.jsonl says what was asked for."""
    said = []
    monkeypatch.setattr(compose, "say", said.append)
    studies = [study_of(composed(*words)) for words in ([], ["sparse.engine=grouped"], ["net=spvcnn", "net.dropout=0", "sparse.engine=loop"])]
    assert studies[0].folder.path == studies[1].folder.path != studies[2].folder.path
    lines = [json.loads(line) for line in (studies[0].folder.path / "execution.jsonl").read_text().splitlines()]
    assert [line["engine"] for line in lines] == ["auto", "grouped"]
    assert said == [f"sparse convolution: al3d's {name} engine on cpu" for name in ("fused", "grouped", "loop")]
    assert [study.net().backend.engine for study in studies] == ["auto", "grouped", "loop"]
    assert "engine" not in (studies[1].folder.path / "identity.json").read_text()


def test_a_round_computes_with_the_engine_that_was_asked_for(composed, monkeypatch):
    calls = []
    products = grouped.products
    monkeypatch.setattr(grouped, "products", lambda *parts: calls.append(len(parts)) or products(*parts))
    study = study_of(composed("sparse.engine=grouped", "rounds.n=1", "rounds.steps=2", "trainer.accelerator=cpu"))
    run(study)
    assert study.folder.metrics(0).is_file() and len(calls) > 2 * 49


def test_a_wrong_engine_costs_no_time(composed):
    with pytest.raises(ValueError, match=r"sparse\.engine='fast' is not one of auto, loop, fused, grouped, triton"):
        study_of(composed("sparse.engine=fast"))
