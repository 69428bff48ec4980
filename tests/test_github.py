"""What GitHub reads is what GitHub's schemas allow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

GITHUB = Path(__file__).parents[1] / ".github"
if not GITHUB.exists():
    pytest.skip("an sdist leaves .github out", allow_module_level=True)
SCHEMAS = {
    **dict.fromkeys(GITHUB.glob("workflows/*.yml"), "vendor.github-workflows"),
    GITHUB / "ISSUE_TEMPLATE" / "bug.yml": "vendor.github-issue-forms",
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "vendor.github-issue-config",
}


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_valid(path: Path) -> None:
    """GitHub ignores a form or a workflow that isn't, and says so only on its page."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[path], str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_checked() -> None:
    """A new form has to be added above."""
    assert {path.name for path in GITHUB.rglob("*.yml")} == {path.name for path in SCHEMAS} >= {"ci.yml", "release.yml"}


def test_the_form_asks_for_the_check() -> None:
    """Its output answers the questions that every report raises."""
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8"))
    (asked,) = [part for part in form["body"] if part.get("id") == "check"]
    assert "qwen3-sglang check" in asked["attributes"]["label"]
    assert asked["validations"]["required"]


def test_a_release_needs_no_stored_token() -> None:
    """PyPI trusts the workflow itself; only the job that uploads may ask for the identity."""
    text = (GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8")
    release = yaml.safe_load(text)
    assert "secrets." not in text
    assert release["permissions"] == {"contents": "read"}
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "permissions" not in release["jobs"]["build"]
