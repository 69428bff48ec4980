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


def test_a_row_of_the_table() -> None:
    """Each way with its figures, and the measurements that say so."""
    said = CliRunner().invoke(app, [*ASKED[:-1], "0.6B"], env={"COLUMNS": "200"})
    found = needs(Load(50, 50, 300), "0.6B")
    lines = [line.split() for line in said.output.splitlines()]
    for need in found:
        figures = [str(need.gpus), f"{need.docs_per_second:,.0f}", f"{need.share:.2f}"]
        assert [*need.way.split(), *figures] in [line[: len(need.way.split()) + 3] for line in lines]
    assert said.output.startswith(f"{found[0].gpus} {found[0].rows[0].card} GPU")


def test_one_gpu_is_no_plural() -> None:
    """And one query per second is enough to say so."""
    few = ["plan", "--qps", "1", "--documents", "50", "--tokens", "300", "--model", "0.6B"]
    assert " GPU with " in CliRunner().invoke(app, few).output
    assert " GPUs with " in CliRunner().invoke(app, ["plan", "--qps", "1000", *few[3:]]).output


def test_the_figures_of_the_json() -> None:
    """Rates to a tenth, shares to four decimals, with what was asked."""
    answer = json.loads(CliRunner().invoke(app, [*ASKED, "--json", "--margin", "0.123456"]).output)
    assert answer["load"] == {"qps": 50, "documents": 50, "tokens": 300, "docs_per_second": 2500, "margin": 0.1235}
    for way, need in zip(answer["ways"], needs(Load(50, 50, 300), "4B", 0.123456), strict=True):
        assert way["docs_per_second_per_gpu"] == round(need.docs_per_second, 1)
        assert way["load"] == round(need.share, 4)
        assert way["extrapolated"] is need.extrapolated
        assert [row["tokens"] for row in way["rows"]] == [row.tokens for row in need.rows]
