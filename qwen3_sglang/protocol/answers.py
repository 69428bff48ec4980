"""What a successful answer means: checked scores, or a typed error. No I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder

from qwen3_sglang import errors
from qwen3_sglang.names import NO, YES
from qwen3_sglang.protocol.responses import Response, is_success, read_json, short
from qwen3_sglang.ranking import Score, Scores, score_of

SUM_TOLERANCE = 1e-2  # a server that computes in bf16 is this far from 1 at the most
CONVERT_REMEDY = "convert the checkpoint with `qwen3-sglang convert SRC DST` and serve DST"
_NUMBERS = (float, int)
_TWO = (2, None)  # a server need not say how many
# A quick look adds up with other rounding errors, so what is near the limit is left to the detailed one.
_LEAST, _MOST = 1 - 0.999 * SUM_TOLERANCE, 1 + 0.999 * SUM_TOLERANCE
_YES, _NO = ((word, word.title(), word.upper()) for word in (YES, NO))

T = TypeVar("T")
_Probability = Annotated[float, Meta(ge=0, le=1)]
_Pair = tuple[_Probability, _Probability]


class _Row(Struct, frozen=True, gc=False):
    """A row that is plainly right, but for its place, its label and what its probabilities add up to."""

    index: int
    probs: _Pair
    label: str | None = None
    num_classes: Literal[2] | None = None  # a server need not say


class _Classes(Struct, frozen=True, gc=False):
    data: list[_Row]
    model: str | None = None


class _Items(Struct, frozen=True, gc=False):
    scores: list[_Pair]
    model: str | None = None


_CLASSES, _ITEMS = Decoder(_Classes), Decoder(_Items)


class Names:
    """The model name in one client's answers; a gateway may use another name than the one in the request."""

    def __init__(self) -> None:
        self._first: str | None = None
        self._lock = threading.Lock()

    def confirm(self, url: str, *names: object) -> None:
        """Check that one of `names` is the first name that was seen. Without names nothing is checked.

        Raises:
            ModelReplacedError: another model answers now.
        """
        if self._first is not None and self._first in names:  # the usual case
            return
        said = [name for name in names if isinstance(name, str) and name]
        if not said:
            return
        with self._lock:
            first = self._first = self._first or said[0]
        if first not in said:
            message = f'the server answered as "{short(first)}" before and as "{short(said[0])}" now: call again'
            raise errors.ModelReplacedError(url, message)


def parse_classes(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of SGLang's /v1/classify, every check passed.

    Raises:
        ServerError: one of its subclasses, by status; ProtocolError where the body of a 200 breaks a check;
            ModelReplacedError where another model than before gave it.
    """
    return _classes(response, count, names, _class_score)


def parse_vllm_classes(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of vLLM's /classify: as `parse_classes`, but a model with one label answers with its sigmoid.

    Raises:
        ServerError: as `parse_classes`.
    """
    return _classes(response, count, names, _vllm_score)


def parse_items(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of SGLang's /v1/score with apply_softmax: [P(no), P(yes)] per item.

    Raises:
        ServerError: as `parse_classes`.
    """
    answer = _decoded(_ITEMS, response)
    if answer is not None:
        pairs = [pair for pair in answer.scores if _LEAST <= pair[0] + pair[1] <= _MOST]
        if len(pairs) == len(answer.scores) == count:
            _confirm(response, names, answer.model)
            return Scores(pairs)
    rows = _rows(response, "scores", count, names)
    return [_pair_score(response.url, index, row, None, None) for index, row in enumerate(rows)]


def _classes(
    response: Response, count: int, names: Names | None, look: Callable[[str, int, object], Score]
) -> Sequence[Score]:
    """Scores of classes; `look` is the detailed one at a row: (url, index, row) -> its score."""
    scores = _plain_classes(response, count, names)
    if scores is not None:
        return scores
    return [look(response.url, index, row) for index, row in enumerate(_rows(response, "data", count, names))]


def _plain_classes(response: Response, count: int, names: Names | None) -> Scores | None:
    """The scores where every row is plainly right, without a call for each.

    None where any isn't: a detailed look at each says what is wrong then, or that nothing is.
    """
    answer = _decoded(_CLASSES, response)
    if answer is None:
        return None
    pairs = [
        pair
        for index, row in enumerate(answer.data)
        for pair in (row.probs,)
        for p_no, p_yes in (pair,)
        if row.index == index
        and p_no + p_yes >= _LEAST
        and p_no + p_yes <= _MOST
        and (
            row.label == (NO if p_no > p_yes else YES)  # as converted
            or row.label not in (_YES if p_no > p_yes else _NO)  # the names of the less likely one
        )
    ]
    if not len(pairs) == len(answer.data) == count:
        return None
    _confirm(response, names, answer.model)
    return Scores(pairs)


def _decoded(decoder: Decoder[T], response: Response) -> T | None:
    """The answer by its type: read and checked in C, without a dictionary per row. None where it is of another."""
    if not is_success(response.status):
        return None
    try:
        if not response.body.isascii():
            response.body.decode()  # which isn't looked at in fields that nothing is read from
        return decoder.decode(response.body)
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _confirm(response: Response, names: Names | None, model: object) -> None:
    if names is not None:
        names.confirm(response.url, model)


def _rows(response: Response, key: str, count: int, names: Names | None = None) -> list[Any]:
    answer = read_json(response, "answer")
    _confirm(response, names, answer.get("model"))
    rows = answer.get(key)
    if not isinstance(rows, list) or len(rows) != count:
        got = len(rows) if isinstance(rows, list) else "no"
        raise errors.ProtocolError(response.url, f"{count} documents sent, {got} rows came back")
    return rows


def _class_score(url: str, index: int, row: object) -> Score:
    if not isinstance(row, dict) or row.get("index") != index:
        raise errors.ProtocolError(url, f"row {index} is out of place: {short(row)}")
    return _pair_score(url, index, row.get("probs"), row.get("label"), row.get("num_classes"))


def _vllm_score(url: str, index: int, row: object) -> Score:
    if not (isinstance(row, dict) and isinstance(row.get("probs"), list) and len(row["probs"]) == 1):
        return _class_score(url, index, row)
    [p_yes] = row["probs"]
    if row.get("index") != index or type(p_yes) not in _NUMBERS or not 0 <= p_yes <= 1:
        raise errors.ProtocolError(url, f"row {index} has no usable probability: {short(row)}")
    return score_of(1 - p_yes, p_yes)


def _pair_score(url: str, index: int, probs: object, label: object, classes: object) -> Score:
    if not isinstance(probs, list):
        raise errors.ProtocolError(url, f"row {index} has no probabilities: {short(probs)}")
    if len(probs) != 2 or classes not in _TWO:  # noqa: PLR2004 - "no" and "yes"
        raise _wrong_classes(url, index, probs, label)
    p_no, p_yes = probs
    # Inside 0 to 1 excludes NaN, and the types exclude bool.
    if not (type(p_no) in _NUMBERS and type(p_yes) in _NUMBERS and 0 <= p_no <= 1 and 0 <= p_yes <= 1):
        raise errors.ProtocolError(url, f"row {index} has no usable probabilities: {short(probs)}")
    if (label in _YES and p_no > p_yes) or (label in _NO and p_yes > p_no):
        raise errors.SwappedLabelsError(url, f'label 0 is "yes", scores would be upside down: {CONVERT_REMEDY}')
    if abs(p_no + p_yes - 1) > SUM_TOLERANCE:
        raise errors.ProtocolError(url, f"the probabilities of row {index} don't add up to 1: {probs}")
    return score_of(p_no, p_yes)


def _wrong_classes(url: str, index: int, probs: list[Any], label: object) -> errors.ServerError:
    if len(probs) != 1:
        many = f"; {len(probs)} numbers may also be an embedding: then start SGLang without --is-embedding"
        more = many if len(probs) > 2 else ""  # noqa: PLR2004 - "no" and "yes"
        return errors.ModelMismatchError(url, f"labels {short(probs)} where a reranker has two: {CONVERT_REMEDY}{more}")
    if label == "Default":  # what SGLang writes when it fails on an item after the forward pass
        return errors.ServerFailureError(url, f"the server failed on row {index} and filled in a default; see its log")
    return errors.OneLabelModelError(url, f"the model has one label, every document scores 1.0: {CONVERT_REMEDY}")
