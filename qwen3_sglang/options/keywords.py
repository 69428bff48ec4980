"""Functions that refuse an unknown keyword argument by naming the right one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar

from qwen3_sglang.errors import UnknownOptionError
from qwen3_sglang.options.foreign import unknown_options
from qwen3_sglang.options.headers import is_name, read_headers
from qwen3_sglang.secret import Hidden, HiddenBytes, SecretStr

SECRETS = ("api_key", "headers")  # options whose values are shown nowhere
_NAMED = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)


def refuse_unknown(given: Collection[str], known: Collection[str], elsewhere: Mapping[str, str] | None = None) -> None:
    """Refuse names that aren't known; `elsewhere` says where others belong.

    Raises:
        UnknownOptionError: names each, and which option it may mean.
    """
    wrong = unknown_options(given, known, elsewhere)
    if wrong is not None:
        first = next(name for name in given if name not in known)
        raise UnknownOptionError(first, None, wrong)


def with_known_keywords(function: Function, elsewhere: Mapping[str, str] | None = None) -> Function:
    """The same method; a keyword argument that it lacks raises UnknownOptionError. Its signature stays."""
    known = _keywords(function)

    def check(given: Mapping[str, Any]) -> None:
        if not known.issuperset(given):
            refuse_unknown(given, known, elsewhere)

    call: Any
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def call(*args: Any, **given: Any) -> Any:
            if given:
                given = masked(given, known)
                check(given)
            return await function(*args, **given)
    else:

        @wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            if given:
                given = masked(given, known)
                check(given)
            return function(*args, **given)

    checked: Function = call
    return checked


def known_keywords(elsewhere: Mapping[str, str]) -> Callable[[Function], Function]:
    """`with_known_keywords` as a decorator; `elsewhere` says where other options belong."""
    return lambda function: with_known_keywords(function, elsewhere)


def function_with_known_keywords(options: type | None = None) -> Callable[[Function], Function]:
    """`with_known_keywords` for a function, as a decorator; `options` is the TypedDict of its `**options`."""

    def decorate(function: Function) -> Function:
        known = _named(inspect.signature(function).parameters.values()).union(
            options.__annotations__ if options else ()
        )

        @wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            if not known.issuperset(given):
                given = masked(given, known)
                refuse_unknown(given, known)
            return function(*args, **given)

        made: Any = call
        checked: Function = made
        return checked

    return decorate


def class_with_known_keywords(of: Class) -> Class:
    """The same class; its constructor and its public methods are `with_known_keywords`.

    What one of them lacks and another has is named with the one that has it.
    """
    made: Any = of
    options = _keywords(made.__init__)
    methods = {
        name: function
        for name, function in vars(of).items()
        if inspect.isfunction(function) and not name.startswith("_") and _keywords(function)
    }
    for name, function in methods.items():
        setattr(of, name, with_known_keywords(function, dict.fromkeys(options, f"{of.__name__}(...)")))
    by_call = {keyword: name for name, function in reversed(methods.items()) for keyword in _keywords(function)}
    made.__init__ = _constructor(made.__init__, by_call)
    return of


def _constructor(function: Callable[..., None], elsewhere: Mapping[str, str]) -> Callable[..., None]:
    """`with_known_keywords`, for arguments among which is a key: tracebacks can show this frame's locals."""
    known = _keywords(function)
    positional = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
    ]

    @wraps(function)
    def make(self: Any, *args: Any, **given: Any) -> None:
        given = masked(given, known)
        # One too many may be the key. Python refuses it, whatever it is.
        args = tuple(one if place < len(positional) - 1 else None for place, one in enumerate(args))
        refuse_unknown(given, known, elsewhere)
        function(self, *args, **given)

    return make


def masked(
    given: Mapping[str, Any], known: Collection[str], wrap: Callable[[str], object] = SecretStr
) -> dict[str, Any]:
    """The arguments, with each string wrapped that is a secret, or may be one under a misspelled name.

    So are those in a mapping or a list, whatever their type: what is refused is in tracebacks' locals too.
    """
    return {
        name: _wrapped(name, value, wrap) if name in SECRETS or name not in known else value
        for name, value in given.items()
    }


def _wrapped(name: str, value: Any, wrap: Callable[[str], object]) -> Any:
    if name == "headers":  # may be lines
        value = read_headers(value)
    if isinstance(value, Mapping):
        return {_wrapped_name(key): _wrapped("", one, wrap) for key, one in value.items()}
    if type(value) in {list, tuple, set, frozenset}:
        return type(value)(_wrapped("", one, wrap) for one in value)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bytes):
        return HiddenBytes(value)
    return wrap(value) if isinstance(value, str) else value


def _wrapped_name(name: Any) -> Any:
    """What isn't a header's name may be a value in the wrong place."""
    return name if is_name(name) or not isinstance(name, str) else Hidden(name)


def _keywords(function: Callable[..., Any]) -> frozenset[str]:
    _, *parameters = inspect.signature(function).parameters.values()
    return _named(parameters)


def _named(parameters: Iterable[inspect.Parameter]) -> frozenset[str]:
    return frozenset(one.name for one in parameters if one.kind in _NAMED)
