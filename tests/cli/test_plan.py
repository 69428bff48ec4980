"""`qwen3-sglang plan`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from qwen3_sglang.cli.app import app
from qwen3_sglang.errors import InvalidInputError
from qwen3_sglang.serving.capacity import MARGIN, Load, needs

ASKED = ["plan", "--qps", "50", "--documents", "50", "--tokens", "300", "--model", "4B"]


def test_the_answer_names_gpus_margin_and_source() -> None:
    """What a person reads."""
    said = CliRunner().invoke(app, ASKED)
    assert said.exit_code == 0, said.output
    text = " ".join(said.output.split())
    gpus = needs(Load(50, 50, 300), "4B")[0].gpus
    for part in (f"{gpus} H100 80GB HBM3 GPUs", "2,500 documents per second", "Margin: 0.33", "docs/s at 316 tokens"):
        assert part in text


def test_json() -> None:
    """What a program reads: the same, with the rows."""
    answer = json.loads(CliRunner().invoke(app, [*ASKED, "--json"]).output)
    need = needs(Load(50, 50, 300), "4B")[0]
    assert answer["gpus"] == need.gpus == answer["ways"][0]["gpus"]
    assert answer["load"]["margin"] == pytest.approx(MARGIN, abs=1e-4)
    [row, _] = answer["ways"][0]["rows"]
    assert set(row) > {"card", "server", "way", "words", "tokens", "clients", "docs_per_second"}


def test_the_margin_is_the_callers() -> None:
    """Half of the capacity takes more GPUs than a third."""
    found = [json.loads(CliRunner().invoke(app, [*ASKED, "--json", "--margin", m]).output) for m in ("0", "0.9")]
    assert found[0]["gpus"] < found[1]["gpus"]


@pytest.mark.parametrize(("option", "value"), [("--model", "32B"), ("--tokens", "9000"), ("--qps", "0")])
def test_what_cannot_be_told_is_refused(option: str, value: str) -> None:
    """With the option's name."""
    said = CliRunner().invoke(app, [*ASKED, option, value])
    assert isinstance(said.exception, InvalidInputError)
    assert said.exception.field == option.removeprefix("--")
