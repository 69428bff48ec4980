"""How `qwen3-sglang serve` starts: find or make the converted checkpoint, then become SGLang, or serve it here."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from qwen3_sglang.convert.cached import Place, cache, keep, locate
from qwen3_sglang.convert.inspect import inspect_checkpoint
from qwen3_sglang.errors import ConversionError, MissingDependencyError, SGLangNotFoundError
from qwen3_sglang.names import API_KEY_VARIABLE
from qwen3_sglang.serving import multi_item as mis
from qwen3_sglang.serving.loopback import is_loopback
from qwen3_sglang.serving.sglang_command import Launch, check_extra, known_flags, plan, unknown_tuned

if TYPE_CHECKING:
    from qwen3_sglang.local import Options


@dataclass(frozen=True, slots=True)
class Start:
    """A start of SGLang, as the command line asks for it.

    Attributes:
        model: a converted folder, or a Qwen3-Reranker folder or hub name.
        target: where it is converted to; None is a folder in the cache.
        python: the interpreter that has SGLang; None is this one.
        api_key: the key that clients must send.
        extra: SGLang's own flags, which win over ours.
        print_only: print the command and do nothing else.
        multi_item: multi-item scoring instead of one prompt per document.
        console: where notes go.
    """

    model: str
    target: Path | None
    python: str | None
    api_key: str | None
    extra: Sequence[str]
    print_only: bool
    multi_item: bool
    console: Console

    def __call__(
        self, *, host: str, port: int, dp: int | None, context_length: int | None, served_model_name: str | None
    ) -> None:
        """Print the command; then become it, so that signals and the exit code are SGLang's own."""
        check_extra(self.extra, multi_item=self.multi_item)  # before anything that takes long
        python = str(Path(self.python).expanduser()) if self.python else sys.executable
        known = self._known_flags(python)
        check_extra(self.extra, known, multi_item=self.multi_item)
        if self.multi_item and not self.print_only:
            mis.check_cuda(python)
        place = self._place()
        launch = plan(
            python,
            str(place.folder),
            host=host,
            port=port,
            dp=dp,
            context_length=context_length,
            served_model_name=served_model_name or _public_name(place, self.model),
            api_key=self.api_key,
            multi_item=self.multi_item,
            extra=self.extra,
            known=known,
            environ=os.environ,
        )
        self._warn(host, f"{host}:{port}")
        print(launch.shown, flush=True)  # noqa: T201 - rich would wrap it and read its brackets
        if not self.print_only:
            self._become(launch)

    def _warn(self, host: str, address: str) -> None:
        """What to know about a server that listens there."""
        if not is_loopback(host) and not self.api_key:
            self._note(f"everybody who reaches {address} may use the server; set a key with --api-key")
        if self.multi_item:
            self._note(mis.NOTE)
            if not is_loopback(host):
                self._note(mis.OPEN_NOTE.format(address=address))

    def serve_here(self, **options: Unpack[Options]) -> None:
        """Serve by the engine of this process."""
        from qwen3_sglang.local import serve

        place = self._place()
        options["name"] = options.get("name") or _public_name(place, self.model)
        options["multi_item"] = self.multi_item
        serve(place.folder, say=self._note, **options)

    def _known_flags(self, python: str) -> frozenset[str] | None:
        try:
            with self.console.status("asking SGLang for its flags"):
                known = known_flags(python)
        except SGLangNotFoundError as error:
            if not self.print_only:
                raise
            self._note(f"{error.python}: {error.reason}, so whether it takes these flags isn't known")
            return None
        for flag in unknown_tuned(known, multi_item=self.multi_item):
            self._note(f"{flag} is left out, this SGLang doesn't know it; another version may be faster")
        return known

    def _place(self) -> Place:
        place = self._planned() if self.print_only else locate(self.model, self.target)
        if place.ready:
            earlier = "" if place.source == place.folder else f", converted earlier from {self.model}"
            self._note(f"the model is {place.folder}{earlier}")
            for finding in inspect_checkpoint(place.folder):
                if finding.note:
                    self._note(finding.text)
        elif self.print_only:
            command = shlex.join(["qwen3-sglang", "convert", self.model, str(place.folder)])
            self._note(f"not converted yet, so first run: {command}")
        else:
            self._convert(place)
        return place

    def _planned(self) -> Place:
        """Where the model is, or would be on a machine that has it: printing a command needs neither."""
        try:
            return locate(self.model, self.target, offline=True)
        except (ConversionError, MissingDependencyError):
            if Path(self.model).expanduser().exists():  # it is here, and can't be used
                raise
        folder = self.target.expanduser() if self.target else cache() / self.model.strip("/").replace("/", "--")
        return Place(folder, Path(self.model), self.model)

    def _convert(self, place: Place) -> None:
        self._note(f"converting {self.model} into {place.folder}")
        columns = (TextColumn("converting"), BarColumn(), DownloadColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            task = progress.add_task("", total=None)
            linked = keep(place, lambda done, total: progress.update(task, completed=done, total=total), self._note)
        self._note("converted; unchanged weights are " + ("linked to the source's files" if linked else "copied"))

    def _become(self, launch: Launch) -> None:
        environment = os.environ | launch.environment | ({API_KEY_VARIABLE: self.api_key} if self.api_key else {})
        os.execvpe(launch.python, launch.argv, environment)  # noqa: S606 - no shell is wanted

    def _note(self, text: str) -> None:
        self.console.print(f"[yellow]note[/] {escape(text)}", emoji=False)


def _public_name(place: Place, model: str) -> str | None:
    """What clients should call the model; None, SGLang's choice, is the path that the user named."""
    if place.source == place.folder and Path(model).expanduser().is_dir():
        return None
    return place.name.replace(":", "-")  # SGLang refuses colons
