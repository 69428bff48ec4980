"""What is picked where nobody says.

Tests of `local/probe.py`.
"""

from __future__ import annotations

import pytest
import torch

from qwen3_sglang.local.device import fast_dtype, has_bfloat16_units, pick_device, pick_dtype

INTEL = "processor\t: 0\nmodel name\t: Intel\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile\n"
AMD = "processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs\t\t: bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"


@pytest.mark.parametrize(("info", "units"), [(INTEL, True), (AMD, False), (ARM, True), ("", False)])
def test_units_for_bfloat16(info: str, units: bool) -> None:
    """By the flags of the processor, not by any other line."""
    assert has_bfloat16_units(info) is units


def test_mps_stays_in_float32() -> None:
    """Nobody has measured it."""
    assert fast_dtype(torch.device("mps")) is torch.float32


def test_names_are_taken() -> None:
    """The CPU is always there; no name for the precision leaves it open."""
    assert pick_device("cpu").type == "cpu"
    assert pick_dtype("float16") is torch.float16
    assert pick_dtype(None) is None
