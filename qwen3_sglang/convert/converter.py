"""convert(): judge the source, plan, write beside the target, verify, publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qwen3_sglang.convert.copying import check_space
from qwen3_sglang.convert.folder import check_apart, check_target, resolve, target_of
from qwen3_sglang.convert.hub import download
from qwen3_sglang.convert.inspect import judge
from qwen3_sglang.convert.parity import Parity, check_parity, compare, missing_library, obstacle
from qwen3_sglang.convert.plan import Plan
from qwen3_sglang.convert.staging import staged
from qwen3_sglang.convert.verify import verify as verify_files
from qwen3_sglang.convert.write import Progress, write
from qwen3_sglang.errors import ConversionError, MissingDependencyError, Qwen3SGLangError
from qwen3_sglang.options.keywords import function_with_known_keywords


@function_with_known_keywords()
def convert(
    source: str | Path,
    target: str | Path,
    *,
    force: bool = False,
    link: bool = False,
    verify: bool | None = None,
    progress: Progress | None = None,
    report: Callable[[Parity], None] | None = None,
    note: Callable[[str], None] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
) -> Path:
    """Convert `source`, a folder or a name on the Hugging Face hub, into folder `target`; return its path.

    A source is a Qwen3-Reranker, as published or fine-tuned, or a fine-tune saved as a classifier of one or two labels.
    The target appears only once it is complete and verified. An error, Ctrl-C, SIGTERM and SIGHUP (of these two, where
    the process has no handler of its own and this is its main thread) leave nothing behind; what a killed process
    left beside the target is removed by the next conversion to it.

    Args:
        source: the checkpoint's folder, or owner/name on the hub. Symbolic links that lead out of it aren't followed.
        target: the folder to write.
        force: replace an earlier checkpoint there.
        link: hard-link the shards that need no change instead of copying them; source and target must be on one
            disk. The two checkpoints then share those bytes: editing a weight file of one in place edits the other,
            while deleting one leaves the other whole. A file of the hub's cache is linked to its real file.
        verify: the files are always read back and compared. True also compares P(yes) of source and target with
            torch and transformers, in float32, which takes 5 bytes of memory per parameter (42 GB for 8B); False
            doesn't; None does where the libraries and the memory are there.
        progress: called with (bytes copied, bytes to copy).
        report: called once with the figures of that comparison, or with a note why there are none; before a
            comparison that fails raises.
        note: called with each thing that is worth knowing about the source, such as that nothing says with which
            template it was trained.
        pairs: queries and documents of your own that the comparison asks too.

    Raises:
        InvalidInputError: `source` or `target` is blank.
        ConversionError: the source can't be converted, the target exists or another conversion writes it, the disk or
            memory is too small, or the result is wrong.
        MissingDependencyError: a hub name without huggingface_hub; `verify` without torch and transformers.
    """
    goal = target_of(target)
    check_target(goal, force=force)
    if verify and missing_library():  # before a download of gigabytes
        raise MissingDependencyError(missing_library(), "local")
    try:
        plan = _plan(resolve(source, download), goal, linking=link, verify=verify, note=note)
        with staged(goal, force=force) as temporary:
            write(temporary, plan, progress)
            _check(temporary, goal, plan, report, pairs)
    except OSError as error:
        if isinstance(error, Qwen3SGLangError):
            raise
        raise ConversionError(
            f"{source} -> {goal}: {error}; check the disk's space and the folders' permissions"
        ) from error
    return goal


def _plan(folder: Path, goal: Path, *, linking: bool, verify: bool | None, note: Callable[[str], None] | None) -> Plan:
    check_apart(folder, goal)
    judgement = judge(folder)
    source = judgement.convertible()
    if note is not None:
        for text in judgement.notes:
            note(text)
    plan = Plan(source, linking, obstacle(verify, source.shards))
    check_space(goal, plan.needed_bytes(), linking=linking)
    return plan


def _check(
    written: Path, goal: Path, plan: Plan, report: Callable[[Parity], None] | None, pairs: Sequence[tuple[str, str]]
) -> None:
    verify_files(written, plan)
    source = plan.source
    parity = Parity(note=plan.skipped) if plan.skipped else compare(source.folder, written, source.rows, pairs)
    if report is not None:
        report(parity)
    check_parity(parity, goal)
