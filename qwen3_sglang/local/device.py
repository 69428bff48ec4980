"""Where the embedded engine computes, and in which precision."""

from __future__ import annotations

from pathlib import Path

import torch

from qwen3_sglang.errors import InvalidInputError

DEVICES = "cpu, cuda, cuda:N or mps"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_INFO = Path("/proc/cpuinfo")
# Intel's and AMD's names for the units, then Arm's.
_UNITS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
_AMPERE = 8  # the first NVIDIA generation with bfloat16 units


def pick_device(name: str | None) -> torch.device:
    """The device of that name; None takes CUDA where it is there, else the CPU.

    Raises:
        InvalidInputError: no such device, or torch can't use it here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise InvalidInputError("device", name, f"pass {DEVICES}") from None
    if device.type not in {"cpu", "cuda", "mps"}:
        raise InvalidInputError("device", name, f"pass {DEVICES}")
    if not _is_there(device):
        raise InvalidInputError("device", name, "torch doesn't find it on this machine; leave it out")
    return device


def pick_dtype(name: str | None) -> torch.dtype | None:
    """The precision of that name; None stays None.

    Raises:
        InvalidInputError: no such precision.
    """
    if name is None:
        return None
    if name not in DTYPES:
        raise InvalidInputError("dtype", name, f"pass {', '.join(DTYPES)}")
    return DTYPES[name]


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device has units for it, else float32, which also MPS gets."""
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device)[0] >= _AMPERE
    else:
        fast = device.type == "cpu" and has_bfloat16_units(_cpu_info())
    return torch.bfloat16 if fast else torch.float32


def has_bfloat16_units(cpu_info: str) -> bool:
    """Whether Linux's /proc/cpuinfo names such units; without them bfloat16 is slower than float32."""
    lines = (line.partition(":") for line in cpu_info.splitlines())
    return any(name.strip() in {"flags", "Features"} and _UNITS & set(flags.split()) for name, _, flags in lines)


def describe(device: torch.device) -> str:
    """What a person calls it."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu" or (device.type == "mps" and torch.backends.mps.is_available())


def _cpu_info() -> str:
    try:
        return _CPU_INFO.read_text(encoding="utf-8")
    except OSError:
        return ""
