"""Which addresses only this machine can reach. No I/O."""

from __future__ import annotations

import ipaddress


def is_loopback(name: str) -> bool:
    """Whether a host name or address, without its port, can only be this machine."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"
