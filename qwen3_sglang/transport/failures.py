"""What the HTTP libraries raise, as our own errors."""

from __future__ import annotations

import re
from http.client import HTTPException

import aiohttp
import requests
import urllib3

from qwen3_sglang import errors
from qwen3_sglang.protocol.responses import proxy_remedy
from qwen3_sglang.secret import hide
from qwen3_sglang.settings import Settings
from qwen3_sglang.transport.bounds import BrokenHTTPError, TooMuchError
from qwen3_sglang.transport.environment import proxy_named, secrets_of

_NO_CONNECTION = (requests.ConnectTimeout, aiohttp.ConnectionTimeoutError)
_SILENCE = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
_KNOWN = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    HTTPException,
    aiohttp.ClientError,
    OSError,
    BrokenHTTPError,
    RuntimeError,  # aiohttp's, of a session that another task has closed
    UnicodeError,  # a name that can't be one
)
_NO_HTTP = (BrokenHTTPError, HTTPException, aiohttp.ClientResponseError)


def bare(error: BaseException) -> BaseException:
    """`error` without the frames it went through: they hold the key in their locals."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def cleaned(error: errors.ServerError, settings: Settings) -> errors.ServerError:
    """`error` without secrets in its words, and without the frames that hold the answer in their locals."""
    secrets = secrets_of(settings)
    error.message = hide(error.message, secrets)
    if isinstance(error, errors.DocumentError):
        error.reason = hide(error.reason, secrets)
    error.args = error.url, error.message
    bare(error)
    return error


def timed_out(settings: Settings) -> errors.ServerTimeoutError:
    """A call that took too long."""
    message = f"no whole answer within timeout={settings.timeout:g} s; raise timeout= or send fewer"
    return errors.ServerTimeoutError(settings.base_url, message)


def described(error: Exception, settings: Settings, path: str, *, over: bool) -> errors.ServerError:
    """The failure of one request.

    Args:
        error: what was raised instead of an answer.
        settings: the client's.
        path: what was asked.
        over: whether the call's time is up.
    """
    url = settings.base_url + path
    connecting, silent = isinstance(error, _NO_CONNECTION), isinstance(error, _SILENCE)
    if isinstance(error, TooMuchError):
        return errors.ProtocolError(url, f"{error}, longer than any answer; is this an SGLang server?")
    if over or (silent and not connecting and settings.read_timeout is None):
        return timed_out(settings)
    if connecting:
        remedy = _remedy(settings, "is base_url right?")
        message = f"no connection within connect_timeout={settings.connect_timeout:g} s; {remedy}"
        return errors.ServerUnreachableError(url, message)
    if silent:
        message = f"silent for read_timeout={settings.read_timeout:g} s; raise read_timeout= or send fewer"
        return errors.ServerTimeoutError(url, message)
    if isinstance(error, _KNOWN):
        return errors.ServerUnreachableError(url, _unreachable(error, settings))
    return errors.ProtocolError(url, f"the HTTP library failed over the answer ({type(error).__name__}: {error})")


def _remedy(settings: Settings, otherwise: str) -> str:
    proxy = proxy_named(settings.base_url)
    return otherwise if proxy is None else proxy_remedy(proxy)


def _unreachable(error: Exception, settings: Settings) -> str:
    # Without urllib3's "HTTPConnection(host=…): " in front: the address is in the message anyway.
    what = str(error).split("(Caused by", maxsplit=1)[-1].split("): ", maxsplit=1)[-1].strip(" )'\"")
    what = what or type(error).__name__
    what = re.sub(r"//[^/@\s]*@", "//…@", what)  # a proxy's password
    if "CERTIFICATE_VERIFY_FAILED" in what:
        return f"its certificate isn't trusted ({what}); if it is the right one, pass its CA's file as verify="
    if isinstance(error, _NO_HTTP):
        return f"its answer isn't usable HTTP ({what}); what is between the client and the server?"
    return f"no answer ({what}); {_remedy(settings, 'is the server running there, and is base_url right?')}"
