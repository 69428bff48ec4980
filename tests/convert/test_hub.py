"""Models by name, from a hub on this machine: what it gives is converted and served, what it refuses has a remedy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub import BROKEN, GATED, GATED_UNKNOWN, HIDDEN, SLOW_DOWN, Hub, serve_hub
from qwen3_sglang import RerankClient
from qwen3_sglang.check import check_server
from qwen3_sglang.convert.cached import is_converted
from real_sglang import free_port, wait_for

NAME = "Qwen/Qwen3-Reranker-0.6B"
ENDED = 120  # seconds for what ends by itself
# What each name says, in one process: huggingface_hub reads its environment when it is imported.
ASK = """
import json, sys
from qwen3_sglang.convert.hub import download
from qwen3_sglang.errors import ConversionError
said = {}
for name in sys.argv[1:]:
    try:
        said[name] = str(download(name))
    except ConversionError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


@pytest.fixture
def hub(causal_toy: Path) -> Iterator[Hub]:
    """It has the toy, under the real model's name."""
    with serve_hub({NAME: causal_toy}) as found:
        yield found


@pytest.fixture
def environment(tmp_path: Path, hub: Hub) -> dict[str, str]:
    """Empty caches, and that hub."""
    caches = {"HF_HOME": str(tmp_path / "hf"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "400"}
    return os.environ | caches | hub.environment


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "qwen3_sglang", *arguments]


def ask(environment: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """What becomes of each name."""
    asked = [sys.executable, "-c", ASK, *names]
    ran = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=ENDED, check=True)
    return dict(json.loads(ran.stdout))


def test_convert_takes_a_hub_name(hub: Hub, environment: dict[str, str], tmp_path: Path) -> None:
    """Through HF_ENDPOINT; the second time nothing is downloaded, and without the hub the cache does."""
    for number in range(2):
        arguments = command("convert", NAME, str(tmp_path / f"out{number}"), "--no-verify")
        ran = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=ENDED, check=False)
        assert ran.returncode == 0, ran.stderr
        assert is_converted(tmp_path / f"out{number}")
    assert sum("model.safetensors" in asked and asked.startswith("GET") for asked in hub.asked) == 1
    away = environment | {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    assert (Path(ask(away, [NAME])[NAME]) / "model.safetensors").is_file()


@contextmanager
def running(arguments: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block; what it says goes to `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def test_serve_takes_a_hub_name(hub: Hub, environment: dict[str, str], tmp_path: Path) -> None:
    """It downloads, converts into the cache and serves it under that name; the client is content with it."""
    port, log = free_port(), tmp_path / "log"
    arguments = command("serve", NAME, "--engine", "local", "--device", "cpu", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    with running(arguments, environment, log) as process, RerankClient(url) as client:
        wait_for(f"{url}/health", process, log)
        findings = list(check_server(client))
        assert all(finding.ok for finding in findings)
        assert NAME in findings[0].text
    said = log.read_text()
    assert f"converting {NAME} into {tmp_path / 'cache'}" in said.replace("\n", " ")
    assert "computing on cpu" in said


def test_what_the_hub_refuses(hub: Hub, environment: dict[str, str], causal_toy: Path) -> None:
    """One line, with the hub's address and what to do; the file that comes in half is resumed the next time."""
    refusals = {"a/gated": GATED, "b/gated": GATED_UNKNOWN, "c/hidden": HIDDEN, "d/down": BROKEN, "e/much": SLOW_DOWN}
    hub.refusals |= refusals
    hub.models["g/broken"] = causal_toy
    hub.broken.add("model.safetensors")
    said = ask(environment, [*refusals, "f/unknown", "g/broken"])
    host = hub.url.removeprefix("http://")
    assert all("\n" not in line and f" {host} " in f"{line} " for line in said.values())
    for name in ("a/gated", "b/gated"):
        assert f"accept them on its page, {host}/{name}, then run `hf auth login`" in said[name]
    for name in ("c/hidden", "f/unknown"):
        assert "has no such model; check the name, and run `hf auth login`" in said[name]
    assert "answered 500; try again later" in said["d/down"]
    assert "answered 429; try again later" in said["e/much"]
    assert "broke off" in said["g/broken"]
    assert "run it again" in said["g/broken"]
    hub.broken.clear()
    assert (Path(ask(environment, ["g/broken"])["g/broken"]) / "model.safetensors").is_file()


def test_a_disk_that_fills_up_while_downloading(environment: dict[str, str], tmp_path: Path) -> None:
    """One line with the remedy, no weights by halves; what came is kept, and with room the rest comes too."""
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))\n"
    limit += "sys.argv[0] = 'qwen3-sglang'; runpy.run_module('qwen3_sglang', run_name='__main__')"
    arguments = ["convert", NAME, str(tmp_path / "out"), "--no-verify"]
    for start in ([sys.executable, "-c", limit], command()):
        ran = subprocess.run(
            [*start, *arguments], env=environment, capture_output=True, text=True, timeout=ENDED, check=False
        )
        full = start != command()
        assert ran.returncode == full, ran.stderr
        lines = [line for line in ran.stderr.splitlines() if line.startswith("error ")]
        assert len(lines) == full
        assert all("no room" in line and "HF_HOME" in line for line in lines)
        assert "Warning" not in ran.stderr
        weights = list((tmp_path / "hf").rglob("*/snapshots/*/*.safetensors"))
        assert bool(weights) is not full
        assert (tmp_path / "out").exists() is not full
    assert is_converted(tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "127.0.0.1:9 can't be reached"),
        ({"HF_ENDPOINT": "http://me:secret@hub.invalid"}, "hub.invalid can't be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids"),
    ],
)
def test_no_network(environment: dict[str, str], changed: dict[str, str], said: str) -> None:
    """What can't be reached, and the ways around it; no password is shown."""
    told = ask(environment | changed, ["owner/name"])["owner/name"]
    assert said in told
    assert "secret" not in told
    assert "HF_ENDPOINT" in told or "unset it" in told


def test_a_model_without_weights_that_can_be_used(hub: Hub, environment: dict[str, str], tmp_path: Path) -> None:
    """GGUF and pickles aren't downloaded; what to use instead is said."""
    for name, file in (("a/gguf", "model-q8.gguf"), ("b/pickle", "pytorch_model.bin")):
        hub.models[name] = tmp_path / file.partition(".")[2]
        hub.models[name].mkdir()
        (hub.models[name] / file).write_bytes(b"weights")
        shutil.copy(hub.models[NAME] / "config.json", hub.models[name])
        arguments = command("convert", name, str(tmp_path / "out"), "--no-verify")
        ran = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=ENDED, check=False)
        assert ran.returncode == 1
        assert "safetensors" in ran.stderr
        assert "Traceback" not in ran.stderr
