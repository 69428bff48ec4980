"""Rounding and the two rows, checked against torch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from qwen3_sglang.convert.head import decode, encode, find_tokens, head_rows, round_to

DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_is_torchs(dtype: str) -> None:
    """Nearest, ties to even, subnormals included; float32 inputs, which torch rounds once."""
    values = torch.randn(2000, generator=torch.Generator().manual_seed(1))
    small = torch.tensor([0.0, -0.0, 1e-40, 1e-39, 6e-8, 1.00390625, 1.01171875, 0.5])
    for value in torch.cat([values, values * 1e-6, small]):
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


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_head_of_broken_weights(value: float) -> None:
    """A NaN in the weights must not reach the server."""
    with pytest.raises(ValueError, match="not finite"):
        head_rows([0.0], [value], "BF16")


def test_tokens_from_vocab_json(tmp_path: Path) -> None:
    """Without tokenizer.json the older files are read."""
    (tmp_path / "vocab.json").write_text('{"no": 3, "yes": 5}')
    (tmp_path / "added_tokens.json").write_text('{"<|endoftext|>": 9}')
    assert find_tokens(tmp_path) == {"no": 3, "yes": 5, "<|endoftext|>": 9}
