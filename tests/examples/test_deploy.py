"""examples/deploy: valid Compose, and the flags of `qwen3-sglang serve`."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from qwen3_sglang.serving.sglang_command import TRUNCATE, known_flags, plan
from real_sglang import VENV, needs_sglang

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "examples" / "deploy" / "compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
CHECKPOINT, NAME = "/models/${MODEL:-Qwen/Qwen3-Reranker-0.6B}", "${MODEL:-Qwen/Qwen3-Reranker-0.6B}"
SGLANG = {
    "sglang": ["--enable-metrics", "--config", "/etc/sglang.yaml"],
    "worker-1": ["--enable-metrics", "--mem-fraction-static", "0.4"],
    "worker-2": ["--enable-metrics", "--mem-fraction-static", "0.4"],
    "scorer-1": ["--enable-metrics"],
    "scorer-2": ["--enable-metrics"],
}
MULTI_ITEM = {"scorer-1", "scorer-2"}


def test_the_specification_allows_it() -> None:
    """The JSON schema of the Compose specification, as check-jsonschema brings it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SGLANG)
def test_the_command_is_the_one_of_serve(service: str) -> None:
    """A flag that is measured anew changes both places or this test fails."""
    inside = {"host": "0.0.0.0", "port": 30000, "served_model_name": NAME}  # noqa: S104 - inside a container
    planned = plan("python3", CHECKPOINT, **inside, multi_item=service in MULTI_ITEM, extra=SGLANG[service])
    assert SERVICES[service]["command"] == planned.argv
    assert SERVICES[service].get("environment", {}) == planned.environment


def test_every_sglang_service_is_compared() -> None:
    """And none cuts prompts at their end."""
    commands = {name: service.get("command", []) for name, service in SERVICES.items()}
    assert {name for name, command in commands.items() if "sglang.launch_server" in command} == set(SGLANG)
    assert not any(TRUNCATE in command for command in commands.values())


def test_sglang_knows_the_flags() -> None:
    """The installed one, where there is one."""
    needs_sglang()
    used = {word for name in SGLANG for word in SERVICES[name]["command"] if word.startswith("--")}
    assert used <= known_flags(str(VENV / "bin/python"))


@pytest.mark.parametrize("service", [*SGLANG, "gateway", "balancer"])
def test_nobody_asks_a_server_that_is_not_ready(service: str) -> None:
    """Conversion first, then healthy servers, then the gateway."""
    needs = SERVICES[service]["depends_on"]
    assert "healthcheck" in SERVICES[service]
    for name, how in needs.items():
        done = "service_completed_successfully" if name == "convert" else "service_healthy"
        assert how["condition"] == done


def test_the_balancer_knows_the_scorers() -> None:
    """Each by its name and port, with the configuration that the tests run; and each has a GPU of its own."""
    balancer = SERVICES["balancer"]
    servers = {value for name, value in balancer["environment"].items() if name.startswith("SERVER_")}
    assert servers == {f"{name}:30000" for name in MULTI_ITEM} == {f"{name}:30000" for name in balancer["depends_on"]}
    [volume] = balancer["volumes"]
    assert volume == "./haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"
    assert (COMPOSE.parent / "haproxy.cfg").is_file()
    gpus = [SERVICES[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for name in MULTI_ITEM]
    assert sorted(gpus) == [["0"], ["1"]]


@pytest.mark.parametrize("text", [COMPOSE, ROOT / "docs" / "serving.md"], ids=["the file", "the page"])
def test_the_commands_name_what_is_there(text: Path) -> None:
    """Profiles and services; what stops one profile stops the others too, since all take one port."""
    commands = re.findall(r"docker compose ((?:--profile \S+ )*)(up|down)( -d)?((?: [\w-]+)*)", text.read_text("utf-8"))
    assert {what for _, what, *_ in commands} == {"up", "down"}
    known = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    for profiles, what, _, services in commands:
        named = set(profiles.replace("--profile", "").split())
        if what == "down":
            assert named == {'"*"'}
            continue
        assert named <= known
        for service in services.split():
            assert named.intersection(SERVICES[service].get("profiles", named))


def test_every_image_is_a_setting() -> None:
    """Listed in the file's head and on the page."""
    settings = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text("utf-8")))
    head = COMPOSE.read_text("utf-8").partition("\nname:")[0]
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    assert settings == set(re.findall(r"^#   ([A-Z3_0-9]+) ", head, re.MULTILINE))
    assert all(f"| `{name}` |" in page for name in settings)


def test_only_this_machine_reaches_the_ports() -> None:
    """Docker publishes a port on every address, and past the firewall, unless an address is named."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_is_built_from_what_is_needed() -> None:
    """.dockerignore lets the packages through, and what building them needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {*wheel, "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == needed
