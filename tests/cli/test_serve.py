"""`qwen3-sglang serve`: what is converted, printed and run, up to a real SGLang that is stopped again.

Where a conversion is kept, convert/cached.py, is tested here too.

Tests of `cli/start.py`, `convert/cached.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from qwen3_sglang import InvalidInputError, RerankClient
from qwen3_sglang.cli.app import app
from qwen3_sglang.convert import cached
from qwen3_sglang.errors import ConversionError
from qwen3_sglang.serving.sglang_command import TUNED, SGLangNotFoundError
from real_sglang import VENV, free_port, needs_sglang, wait_for

FLAGS = json.dumps(["--model-path", "--api-key", "--allow-auto-truncate", *(flag for flag, *_ in TUNED)])
# Asked for the flags it prints them; started as SGLang it says how, and with which key.
FAKE = f"""#!/bin/sh
case "$2" in *add_cli_args*) echo '{FLAGS}'; exit 0 ;; esac
echo "started: $*"
echo "key: $QWEN3_SGLANG_API_KEY"
exit 7
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, and no interpreter from outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("QWEN3_SGLANG_PYTHON", raising=False)
    return tmp_path / "cache/qwen3-sglang/converted"


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An interpreter with a made-up SGLang."""
    path = tmp_path / "fake-python"
    path.write_text(FAKE)
    path.chmod(0o755)
    return str(path)


def serve(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, since it becomes another."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False)


def command(*arguments: str | Path) -> list[str]:
    """What a shell would run."""
    return [sys.executable, "-c", "from qwen3_sglang.cli.app import main; main()", "serve", *map(str, arguments)]


def test_a_converted_folder_is_served_as_it_is(converted_toy: Path, cache: Path, python: str) -> None:
    """SGLang's exit code is the command's; nothing is converted."""
    said = serve(converted_toy, "--python", python, "--", "--device", "cpu")
    assert said.returncode == 7, said.stderr
    assert f"started: -m sglang.launch_server --model-path {converted_toy} --host 127.0.0.1" in said.stdout
    assert said.stdout.splitlines()[0].endswith("--schedule-policy lpm --device cpu")
    assert "--served-model-name" not in said.stdout
    assert not cache.exists()


def test_an_unconverted_folder_is_converted_once(causal_toy: Path, cache: Path, python: str) -> None:
    """The second start finds the conversion of the first, and both say so."""
    first, second = (serve(causal_toy, "--python", python) for _ in range(2))
    [folder] = cache.iterdir()
    assert cached.is_converted(folder)
    assert f"converting {causal_toy} into {folder}" in first.stderr
    assert "converted earlier" in second.stderr
    assert f"--model-path {folder} " in second.stdout
    assert f"--served-model-name {causal_toy.name}" in second.stdout


def test_a_named_folder_for_the_conversion(causal_toy: Path, tmp_path: Path, cache: Path, python: str) -> None:
    """--converted DIR instead of the cache."""
    said = serve(causal_toy, "--python", python, "--converted", tmp_path / "here")
    assert f"--model-path {tmp_path / 'here'} " in said.stdout
    assert cached.is_converted(tmp_path / "here")
    assert not cache.exists()


def test_the_key_travels_in_the_environment(converted_toy: Path, python: str) -> None:
    """Neither what is printed nor the arguments of what runs have it."""
    said = serve(converted_toy, "--python", python, "--api-key", "s3cret")
    shown, *started, key = said.stdout.splitlines()
    assert key == "key: s3cret"
    assert "s3cret" not in shown + "".join(started) + said.stderr
    assert "$QWEN3_SGLANG_API_KEY" in shown


def test_print_only_prints(causal_toy: Path, cache: Path, python: str) -> None:
    """One line on standard output; nothing is started or converted, and how to convert is said."""
    said = serve(causal_toy, "--python", python, "--print", "--dp", "2")
    assert said.returncode == 0, said.stderr
    [line] = said.stdout.splitlines()
    assert f"--model-path {cache}/{causal_toy.name}-" in line
    assert "--dp-size 2" in line
    assert f"first run: qwen3-sglang convert {causal_toy} {cache}" in said.stderr
    assert not cache.exists()


def test_print_without_sglang(converted_toy: Path) -> None:
    """On another machine than the one that will serve."""
    said = serve(converted_toy, "--print")
    assert said.returncode == 0, said.stderr
    assert "--schedule-policy lpm" in said.stdout
    assert "has no SGLang" in said.stderr


def test_a_flag_that_this_sglang_lacks(converted_toy: Path, tmp_path: Path, python: str) -> None:
    """It is left out, with a note."""
    Path(python).write_text(FAKE.replace('"--schedule-policy"', '"--other"'))
    said = serve(converted_toy, "--python", python)
    assert "--schedule-policy" not in said.stdout
    assert "--schedule-policy is left out" in said.stderr


def test_an_open_address_without_a_key(converted_toy: Path, python: str) -> None:
    """Served, since a private network is a reason, but not silently."""
    assert "may use the server" in serve(converted_toy, "--python", python, "--host", "0.0.0.0").stderr  # noqa: S104 - nothing listens
    keyed = serve(converted_toy, "--python", python, "--host", "0.0.0.0", "--api-key", "k")  # noqa: S104 - nothing listens
    assert "may use the server" not in keyed.stderr


def edited(folder: Path, target: Path, **config: object) -> Path:
    """A copy with other keys in its config.json; None removes one."""
    shutil.copytree(folder, target)
    new = json.loads((folder / "config.json").read_text()) | config
    (target / "config.json").write_text(json.dumps({key: value for key, value in new.items() if value is not None}))
    return target


def test_a_spoilt_head_is_converted(converted_toy: Path, tmp_path: Path, cache: Path, python: str) -> None:
    """What `check` says that a conversion mends is mended before the server starts."""
    said = serve(edited(converted_toy, tmp_path / "swapped", id2label={"0": "yes", "1": "no"}), "--python", python)
    [folder] = cache.iterdir()
    assert f"--model-path {folder} " in said.stdout, said.stderr
    assert cached.is_converted(folder)


def test_what_check_notes_is_noted(converted_toy: Path, tmp_path: Path, python: str) -> None:
    """Of a folder that is served as it is."""
    said = serve(edited(converted_toy, tmp_path / "nameless", id2label=None), "--python", python)
    assert "note config.json has no id2label" in said.stderr
    assert said.returncode == 7


def test_what_check_refuses_is_not_served(converted_toy: Path, tmp_path: Path, python: str) -> None:
    """By neither engine, and with the same words."""
    folder = edited(converted_toy, tmp_path / "broken", num_hidden_layers=4)
    for engine in (["--python", python], ["--engine", "local"]):
        said = serve(folder, *engine)
        assert said.returncode == 1
        assert "missing from the weights" in said.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--", "--allow-auto-truncate"], "cuts the prompt's end"),
        (["--threads", "2"], "--engine local"),
        (["--device", "cpu"], "--engine local"),
        (["--allow-host", "x"], "--engine local"),
        (["--engine", "local", "--device", "tpu"], "device='tpu'"),
        (["--port", "0"], "name a port"),
        (["--engine", "local", "--dp", "2"], "dp=2"),
        (["--engine", "local", "--print"], "print=True"),
        (["--engine", "local", "--", "--device", "cpu"], "extra arguments"),
        (["--multi-item", "--", "--attention-backend", "fa3"], "only FlashInfer's attention"),
        (["--multi-item", "--", "--device", "cpu"], "--engine local --multi-item"),
        (["--", "--enable-mis"], "pass --multi-item before the --"),
    ],
)
def test_what_does_not_fit_is_refused(converted_toy: Path, arguments: list[str], message: str) -> None:
    """Before anything is asked, converted or started."""
    said = CliRunner().invoke(app, ["serve", str(converted_toy), *arguments])
    assert isinstance(said.exception, InvalidInputError)
    assert message in str(said.exception)


def test_multi_item_scoring_is_printed(converted_toy: Path, python: str) -> None:
    """The whole command, variables included; what it turns off is said."""
    Path(python).write_text(FAKE.replace('"--api-key"', '"--api-key", "--enable-mis"'))
    said = serve(converted_toy, "--python", python, "--multi-item", "--print")
    assert said.returncode == 0, said.stderr
    variables, _, flags = said.stdout.partition(" -m sglang.launch_server ")
    assert "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION=0 " in variables
    assert "--host 127.0.0.1" in flags
    assert flags.endswith("--enable-mis --attention-backend flashinfer --max-prefill-tokens 32768\n")
    for part in ("/v1/score only", "ends SGLang's scheduler", "the prefix cache, chunked prefill and CUDA graphs"):
        assert part in " ".join(said.stderr.split())


def test_multi_item_scoring_gets_its_variables(
    converted_toy: Path, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own values of those that only tune."""
    monkeypatch.setenv("SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION", "1")
    monkeypatch.setenv("SGLANG_FLASHINFER_WORKSPACE_SIZE", "2147483648")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shown = "health: $SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION $SGLANG_FLASHINFER_WORKSPACE_SIZE $OMP_NUM_THREADS"
    Path(python).write_text(
        FAKE.replace('"--api-key"', '"--api-key", "--enable-mis"').replace('echo "key', f'echo "{shown}"\necho "key')
    )
    said = serve(converted_toy, "--python", python, "--multi-item", "--host", "0.0.0.0")  # noqa: S104 - nothing listens
    assert said.returncode == 7, said.stderr
    assert "health: 0 2147483648 1" in said.stdout
    assert "examples/deploy/haproxy.cfg" in "".join(said.stderr.split("\n"))


def test_multi_item_scoring_without_a_gpu(converted_toy: Path, python: str) -> None:
    """Before the model is converted or SGLang begins to load: the embedded engine does the same."""
    asked = """case "$2" in *torch.cuda*) echo '[false, false]'; exit 0 ;; esac\n"""
    Path(python).write_text(
        FAKE.replace('"--api-key"', '"--api-key", "--enable-mis"').replace("case", asked + "case", 1)
    )
    said = serve(converted_toy, "--python", python, "--multi-item")
    assert (said.returncode, said.stdout) == (1, "")
    words = " ".join(said.stderr.split())
    assert "--multi-item True: FlashInfer's attention needs an NVIDIA GPU" in words
    assert "try without a GPU: --engine local --multi-item" in words


def test_an_abbreviated_flag_is_refused_before_anything_is_converted(
    causal_toy: Path, cache: Path, python: str
) -> None:
    """SGLang's parser takes a flag's beginning for the flag."""
    said = serve(causal_toy, "--python", python, "--", "--allow-a")
    assert said.returncode == 1
    assert "cuts the prompt's end" in said.stderr
    assert not cache.exists()


def test_a_python_without_sglang(converted_toy: Path) -> None:
    """This project's own environment has none."""
    said = CliRunner().invoke(app, ["serve", str(converted_toy)])
    assert isinstance(said.exception, SGLangNotFoundError)
    assert said.exception.python == sys.executable


def test_an_unusable_model(tmp_path: Path, python: str) -> None:
    """The converter's own error."""
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    said = CliRunner().invoke(app, ["serve", str(tmp_path), "--python", python])
    assert isinstance(said.exception, ConversionError)
    assert "only Qwen3ForCausalLM" in str(said.exception)


def test_copied_where_linking_fails(causal_toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another disk is no reason to fail."""

    def refuse(*_paths: Path) -> None:
        raise ConversionError("no link") from OSError()

    place = cached.locate(str(causal_toy), tmp_path / "out")
    monkeypatch.setattr("qwen3_sglang.convert.write.link", refuse)
    monkeypatch.setattr("qwen3_sglang.convert.plan.Plan.links", lambda plan, _shard: plan.linking)
    assert not cached.keep(place)
    assert place.ready


def test_another_source_is_converted_anew(causal_toy: Path, tmp_path: Path) -> None:
    """A changed file gives the conversion another folder."""
    source = tmp_path / "source"
    source.mkdir()
    for path in causal_toy.iterdir():
        (source / path.name).symlink_to(path)
    before = cached.fingerprint(source)
    (source / "config.json").unlink()
    (source / "config.json").write_text("{}")
    assert cached.fingerprint(source) != before
    assert cached.fingerprint(causal_toy) not in {before, cached.fingerprint(source)}


def test_a_hub_model_keeps_its_name(causal_toy: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is a commit's hash; the name that people know is used."""
    monkeypatch.setattr(cached, "download", lambda _name: causal_toy)
    place = cached.locate("Qwen/Qwen3-Reranker-0.6B")
    assert place.name == "Qwen/Qwen3-Reranker-0.6B"
    assert place.folder.parent == cache
    assert place.folder.name.startswith("Qwen--Qwen3-Reranker-0.6B-")


@pytest.mark.parametrize("model", ["nobody/such-a-model", "./not-here"])
def test_print_needs_no_model(python: str, cache: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """Neither the hub nor a folder: the command is for another machine. How to convert there is said."""
    monkeypatch.setattr(cached, "download", lambda name: pytest.fail(f"downloads {name}"))
    said = CliRunner().invoke(app, ["serve", model, "--print", "--python", python])
    assert said.exit_code == 0, said.output
    folder = cache / model.replace("/", "--")
    assert f"--model-path {folder} " in said.output
    assert f"first run: qwen3-sglang convert {model} {folder}" in said.output
    assert not cache.exists()


def test_print_of_a_folder_that_cannot_be_served(tmp_path: Path, python: str) -> None:
    """It is here, so what is wrong with it is said."""
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    said = CliRunner().invoke(app, ["serve", str(tmp_path), "--print", "--python", python])
    assert isinstance(said.exception, ConversionError)


def test_a_flag_of_sglangs_without_the_dashes_in_front(converted_toy: Path) -> None:
    """The message says where SGLang's own flags go."""
    said = CliRunner().invoke(app, ["serve", str(converted_toy), "--mem-fraction-static", "0.5"])
    assert said.exit_code == 2
    assert "--mem-fraction-static. SGLang's own flags come after --" in " ".join(said.output.replace("│", " ").split())


def test_a_colon_in_a_models_name(causal_toy: Path, tmp_path: Path, python: str) -> None:
    """SGLang refuses a served name that has one."""
    shutil.copytree(causal_toy, tmp_path / "a:b")
    assert "--served-model-name a-b " in serve(tmp_path / "a:b", "--python", python).stdout


def test_real_sglang_is_served_and_stopped(causal_toy: Path, tmp_path: Path) -> None:
    """From the unconverted toy to an answer; SIGTERM leaves no process behind, and `ps` never shows the key."""
    needs_sglang()
    port = free_port()
    asked = [causal_toy, "--port", str(port), "--python", VENV / "bin/python", "--api-key", "s3cret-of-the-test"]
    flags = ["--device", "cpu", "--attention-backend", "torch_native", "--mem-fraction-static", "0.1"]
    log = tmp_path / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command(*asked, "--", *flags), stdout=sink, stderr=sink, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        with RerankClient(f"http://127.0.0.1:{port}", api_key="s3cret-of-the-test") as client:
            documents = ["Gravity is a force.", "The capital of China is Beijing."]
            assert client.rerank("What is the capital of China?", documents)[0].index == 1
        assert "s3cret-of-the-test" not in Path(f"/proc/{process.pid}/cmdline").read_text()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        assert _gone(process.pid), log.read_text()[-2000:]
    finally:
        if process.poll() is None or not _gone(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def test_the_engine_of_this_process_serves_what_is_not_converted(causal_toy: Path, cache: Path, tmp_path: Path) -> None:
    """Converted once, into the cache; what it picked and its speed are said; the name is the model's."""
    port = free_port()
    flags = ["--engine", "local", "--device", "cpu", "--dtype", "float32", "--threads", "1"]
    for said in (f"converting {causal_toy}", "converted earlier"):
        log = tmp_path / said.split()[0]
        with log.open("wb") as sink:
            process = subprocess.Popen(command(causal_toy, *flags, "--port", str(port)), stdout=sink, stderr=sink)
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            with RerankClient(f"http://127.0.0.1:{port}") as client:
                assert client.model() == causal_toy.name
        finally:
            process.terminate()
            process.wait(timeout=60)
        text = log.read_text()
        for part in (said, "computing on cpu (1 threads) in float32", "documents of 60 words per second"):
            assert part in text
    assert len(list(cache.iterdir())) == 1


def test_the_embedded_server_scores_several_items_per_sequence(converted_toy: Path, tmp_path: Path) -> None:
    """With the same option."""
    port, log = free_port(), tmp_path / "log"
    flags = ["--engine", "local", "--device", "cpu", "--dtype", "float32", "--multi-item"]
    with log.open("wb") as sink:
        process = subprocess.Popen(command(converted_toy, *flags, "--port", str(port)), stdout=sink, stderr=sink)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        assert requests.get(f"http://127.0.0.1:{port}/server_info", timeout=30).json()["enable_mis"] is True
    finally:
        process.terminate()
        process.wait(timeout=60)


def _gone(group: int) -> bool:
    """Has every process of the group ended? Those that were told to end get a while for it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False
