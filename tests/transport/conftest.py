"""A server that answers as it is told."""

from __future__ import annotations

from ways import origin, silent  # noqa: F401 - fixtures for this folder
