"""Fixtures for everything about the key, TLS and proxies."""

from __future__ import annotations

from ways import authority, bundle, origin, other, silent, tls, way  # noqa: F401 - fixtures for this folder
