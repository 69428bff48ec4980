"""Rounding and the two rows, checked against torch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from qwen3_sglang.convert.checkpoint import Shard, open_shards
from qwen3_sglang.convert.head import Head, Rows, build_head, decode, encode, head_rows, read_values, round_to
from qwen3_sglang.errors import ConversionError

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_is_torchs(dtype: str) -> None:
    """Nearest, ties to even, subnormals included; float32 inputs, which torch rounds once."""
    values = torch.randn(2000, generator=torch.Generator().manual_seed(1))
    small = torch.tensor([0.0, -0.0, 1e-40, 1e-39, 6e-8, 1.00390625, 1.01171875, 0.5])
    subnormal = torch.arange(-999, 1000) * 2.0**-136  # steps of an eighth of bfloat16's smallest
    for value in torch.cat([values, values * 1e-6, values * 1e-38, subnormal, small]):
        assert round_to(value.item(), dtype) == value.to(DTYPES[dtype]).item()


def test_bf16_is_rounded_once() -> None:
    """Just above a tie: by way of float32 it would become the tie, and round down to 1.0."""
    assert round_to(1 + 2**-8 + 2**-40, "BF16") == 1 + 2**-7
    assert round_to(1 + 2**-8, "BF16") == 1.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_are_torchs(dtype: str) -> None:
    """encode and decode agree with torch's memory layout."""
    values = torch.randn(64, generator=torch.Generator().manual_seed(2)).to(DTYPES[dtype])
    raw = bytes(values.view(torch.uint8).tolist())
    assert decode(raw, dtype) == values.tolist()
    assert encode(values.tolist(), dtype) == raw


def test_rows_differ_by_d_exactly() -> None:
    """row1 is d in bfloat16 and row0 what that lost: in float32 the head is the model's own."""
    generator = torch.Generator().manual_seed(3)
    w_no, w_yes = (torch.randn(500, generator=generator).to(torch.bfloat16).tolist() for _ in range(2))
    row0, row1 = head_rows(w_no, w_yes, "BF16")
    for no, yes, zero, one in zip(w_no, w_yes, row0, row1, strict=True):
        assert one == round_to(yes - no, "BF16")
        assert one - zero == pytest.approx(yes - no, rel=2**-16)


def test_rows_of_two_lengths_are_none() -> None:
    """No tail of one is left out."""
    with pytest.raises(ValueError, match="shorter"):
        head_rows([1.0, 2.0], [3.0], "F32")


def test_values_of_a_tensor_behind_others(tmp_path: Path) -> None:
    """Its own bytes alone, wherever they stand."""
    tensors = {f"layer{number}": torch.arange(number * 10.0, number * 10.0 + 3) for number in range(4)}
    save_file(tensors, tmp_path / "model.safetensors")
    shards = open_shards(tmp_path)
    for name, values in tensors.items():
        assert read_values(shards, name) == values.tolist()


def test_logits_rounded_to_bf16_keep_the_scores() -> None:
    """The bound of the module's docstring, on logits as large as the real model's."""
    generator = torch.Generator().manual_seed(4)
    common, apart = torch.randn(2, 1024, generator=generator) / 32
    hidden = torch.randn(2000, 1024, generator=generator) + 20 * common
    w_no, w_yes = ((common + sign * 2 * apart).to(torch.bfloat16) for sign in (-1, 1))
    row0, row1 = (torch.tensor(row).double() for row in head_rows(w_no.tolist(), w_yes.tolist(), "BF16"))
    exact = (hidden.double() @ (w_yes.double() - w_no.double())).sigmoid()
    assert (hidden @ w_yes.float()).abs().mean() > 15
    float32 = (hidden.double() @ (row1 - row0)).sigmoid()
    assert (float32 - exact).abs().max() < 1e-5
    served = ((hidden.double() @ row1).bfloat16().double() - (hidden.double() @ row0).bfloat16().double()).sigmoid()
    assert (served - exact).abs().max() < 9e-4


@pytest.mark.parametrize("dtype", ["F16", "F32"])
def test_rows_of_wider_types_survive_a_server_in_bf16(dtype: str) -> None:
    """Exact in float32; cast to bfloat16, as a server may do, the pair still holds d to twice the digits."""
    generator = torch.Generator().manual_seed(5)
    w_no, w_yes = (torch.randn(500, generator=generator).to(DTYPES[dtype]).tolist() for _ in range(2))
    row0, row1 = (torch.tensor(row, dtype=DTYPES[dtype]) for row in head_rows(w_no, w_yes, dtype))
    d = torch.tensor(w_yes).double() - torch.tensor(w_no).double()
    digits = {"F16": 2**-18, "F32": 2**-30}[dtype]
    assert ((row1.double() - row0.double() - d).abs() <= digits * d.abs() + 2**-25).all()
    cast0, cast1 = row0.bfloat16().double(), row1.bfloat16().double()
    assert ((cast1 - cast0 - d).abs() <= 2**-16 * d.abs() + 2**-25).all()


def matrix(folder: Path, name: str, rows: torch.Tensor, **more: torch.Tensor) -> list[Shard]:
    """A file with this tensor."""
    save_file({name: rows.contiguous(), **more}, folder / "model.safetensors")
    return open_shards(folder)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", [0, 1])
def test_no_head_of_broken_weights(tmp_path: Path, dtype: str, value: float, row: int) -> None:
    """A NaN in either row must not reach the server."""
    rows = torch.randn(2, 8).to(DTYPES[dtype])
    rows[row, 5] = value
    shards = matrix(tmp_path, "lm_head.weight", rows)
    with pytest.raises(ConversionError, match=r"lm_head\.weight has values no head can be made of.*not finite"):
        build_head(shards, Rows("lm_head.weight", 0, 1))


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_no_head_of_values_that_overflow(tmp_path: Path, dtype: str) -> None:
    """Finite rows whose difference isn't."""
    shards = matrix(tmp_path, "lm_head.weight", torch.tensor([[-3e38] * 4, [3e38] * 4]).to(DTYPES[dtype]))
    with pytest.raises(ConversionError, match="no head can be made of"):
        build_head(shards, Rows("lm_head.weight", 0, 1))


@pytest.mark.parametrize("rows", [torch.ones(2, 8), torch.tensor([[0.0] * 8, [-0.0] * 8])])
def test_equal_rows_are_refused(tmp_path: Path, rows: torch.Tensor) -> None:
    """Every document would score 0.5; zeros of either sign are equal."""
    shards = matrix(tmp_path, "lm_head.weight", rows)
    with pytest.raises(ConversionError, match=r'rows of "yes" and "no" in .* are equal.*head was trained'):
        build_head(shards, Rows("lm_head.weight", 0, 1))


def test_a_row_that_is_not_there(tmp_path: Path) -> None:
    """The first and the last row are some, those beside them aren't; whichever of the two is asked for."""
    shards = matrix(tmp_path, "lm_head.weight", torch.randn(3, 8))
    assert build_head(shards, Rows("lm_head.weight", 0, 2)).hidden == 8
    for row in (-2, -1, 3, 4, 151_936):
        for rows in (Rows("lm_head.weight", 0, row), Rows("lm_head.weight", row, 0)):
            with pytest.raises(ConversionError, match=f"has 3 rows, none for token {row}"):
                build_head(shards, rows)


def values(head: Head) -> tuple[list[float], list[float], list[float]]:
    """Row 0, row 1 and the bias."""
    weight = decode(head.weight, head.dtype)
    return weight[: head.hidden], weight[head.hidden :], decode(head.bias, head.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "sign"),
    [
        (Rows("score.weight", None, 0, "score.bias"), 1),
        (Rows("score.weight", 0, None, "score.bias"), -1),
    ],
)
def test_one_row_becomes_two(tmp_path: Path, dtype: str, rows: Rows, sign: int) -> None:
    """softmax of the two is sigmoid(w . h + b); turned where the row is that of no."""
    weight, bias = torch.randn(1, 64).to(DTYPES[dtype]), torch.tensor([0.7]).to(DTYPES[dtype])
    head = build_head(matrix(tmp_path, "score.weight", weight, **{"score.bias": bias}), rows)
    row0, row1, (no, yes) = values(head)
    assert head.dtype == dtype
    for zero, one, w in zip(row0, row1, weight[0].tolist(), strict=True):
        assert one - zero == pytest.approx(sign * w, rel=2**-16, abs=2**-24)
    assert yes - no == pytest.approx(sign * bias.item(), rel=2**-16)


@pytest.mark.parametrize(("no", "yes"), [(0, 1), (1, 0)])
def test_two_rows_keep_or_change_their_order(tmp_path: Path, no: int, yes: int) -> None:
    """And so does their bias; without one it is zero."""
    weight, bias = torch.randn(2, 64).bfloat16(), torch.tensor([0.25, -1.5]).bfloat16()
    shards = matrix(tmp_path, "score.weight", weight, **{"score.bias": bias})
    row0, row1, shifts = values(build_head(shards, Rows("score.weight", no, yes, "score.bias")))
    difference = (weight[yes].double() - weight[no].double()).tolist()
    assert [b - a for a, b in zip(row0, row1, strict=True)] == pytest.approx(difference, rel=2**-16)
    assert shifts[1] - shifts[0] == (bias[yes] - bias[no]).item()
    assert values(build_head(shards, Rows("score.weight", no, yes)))[2] == [0.0, 0.0]
