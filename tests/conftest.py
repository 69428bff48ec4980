"""What all tests share: the toy reranker, converted once a session."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from fake_server import nobody, server  # noqa: F401 - fixtures for every folder
from modes import mode  # noqa: F401 - likewise
from qwen3_sglang.convert import convert
from qwen3_sglang.local import run_in_thread
from qwen3_sglang.toy import build_toy
from real_sglang import START_SECONDS, is_installed

# The models are tiny: a second thread of OpenMP computes nothing sooner, and spins while it waits. Set before torch is
# loaded, here and in every interpreter that a test starts; more workers than cores share them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# An example may take as long as it takes: the machine may be busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# The files that take longest, slowest first. A worker takes a whole file, so one that begins last is waited for.
LONGEST = (
    "contract/test_contract.py",
    "examples/test_demo.py",
    "cli/test_serve.py",
    "toy/test_wiring.py",
    "playground/test_browser.py",
    "convert/test_finetunes.py",
    "evaluate/test_evaluate_command.py",
    "cli/test_cli_app.py",
    "protocol/test_fuzz.py",
    "scoring/test_aside.py",
    "contract/test_packed_lists.py",
    "scoring/test_chunked.py",
    "cli/test_convert_command.py",
    "convert/test_parity.py",
    "local/test_openapi.py",
    "wire/test_real_proxies.py",
)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's: asked where `-n auto` is given
def pytest_xdist_auto_num_workers() -> int | None:
    """Two workers for each core: half of the time a test waits, for a process or for a peer that is silent."""
    told = "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return None if told else 2 * cores


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers, begin with the files that take longest, and end with those of a few tests."""
    if not hasattr(config, "workerinput"):
        return
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(LONGEST)}
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (ranks.get(item.path, len(ranks)), -counts[item.path]))  # stable: files stay together


def pytest_itemcollected(item: pytest.Item) -> None:
    """Real SGLang takes minutes to start: where it is installed, a test may take longer than pyproject.toml says."""
    if is_installed():
        item.add_marker(pytest.mark.timeout(3 * START_SECONDS))


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own server or key must not change what a test sees."""
    monkeypatch.delenv("QWEN3_SGLANG_BASE_URL", raising=False)
    monkeypatch.delenv("QWEN3_SGLANG_API_KEY", raising=False)


@pytest.fixture(scope="session")
def causal_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy as a causal language model, as Qwen publishes its rerankers."""
    folder = tmp_path_factory.mktemp("toy") / "causal"
    build_toy(folder)
    return folder


@pytest.fixture(scope="session")
def converted_toy(causal_toy: Path) -> Path:
    """The toy, converted by the project's own converter."""
    return convert(causal_toy, causal_toy.parent / "converted", verify=False)  # its own tests verify in full


@pytest.fixture(scope="session")
def toy_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The converted toy behind the embedded server; the version matrix, which has no torch, brings one."""
    running = os.environ.get("QWEN3_SGLANG_TEST_TOY")
    if running:
        yield running
        return
    with run_in_thread(request.getfixturevalue("converted_toy"), device="cpu", dtype="float32") as url:
        yield url
