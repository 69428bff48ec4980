"""A server that answers as it is told."""

from __future__ import annotations

from ways import origin  # noqa: F401 - a fixture for this folder
