"""What a successful answer means: checked scores, or a typed error. No I/O."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from qwen3_sglang import errors
from qwen3_sglang.names import NO, YES
from qwen3_sglang.protocol.responses import Response, read_json, short
from qwen3_sglang.ranking import Score, Scores, score_of

SUM_TOLERANCE = 1e-2  # a server that computes in bf16 is this far from 1 at the most
CONVERT_REMEDY = "convert the checkpoint with `qwen3-sglang convert SRC DST` and serve DST"
_NUMBERS = (float, int)
_TWO = (2, None)  # a server need not say how many
_YES, _NO = ((word, word.title(), word.upper()) for word in (YES, NO))


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
    return _class_scores(response.url, _rows(response, "data", count, names))


def parse_vllm_classes(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of vLLM's /classify: as `parse_classes`, but a model with one label answers with its sigmoid.

    Raises:
        ServerError: as `parse_classes`.
    """
    rows = _rows(response, "data", count, names)
    return [
        _sigmoid_score(response.url, index, row) if _has_one(row) else _class_score(response.url, index, row)
        for index, row in enumerate(rows)
    ]


def parse_items(response: Response, count: int, names: Names | None = None) -> Sequence[Score]:
    """Scores of SGLang's /v1/score with apply_softmax: [P(no), P(yes)] per item.

    Raises:
        ServerError: as `parse_classes`.
    """
    rows = _rows(response, "scores", count, names)
    if _are_probabilities(rows):
        return Scores(rows)
    return [_pair_score(response.url, index, row, None, None) for index, row in enumerate(rows)]


def _rows(response: Response, key: str, count: int, names: Names | None = None) -> list[Any]:
    answer = read_json(response, "answer")
    if names is not None:
        names.confirm(response.url, answer.get("model"))
    rows = answer.get(key)
    if not isinstance(rows, list) or len(rows) != count:
        got = len(rows) if isinstance(rows, list) else "no"
        raise errors.ProtocolError(response.url, f"{count} documents sent, {got} rows came back")
    return rows


def _class_scores(url: str, rows: list[Any]) -> Sequence[Score]:
    """Two quick looks at the rows, in which a right one costs no call; where any isn't plainly right, a detailed one.

    The detailed one says what is wrong, or that nothing is.
    """
    try:
        pairs = [
            pair
            for index, row in enumerate(rows)
            for pair in (row["probs"],)
            for p_no, p_yes in (pair,)
            if row["index"] == index
            and row["num_classes"] in _TWO
            and row["label"] not in (_YES if p_no > p_yes else _NO)  # the name of the less likely one
        ]
    except (KeyError, TypeError, ValueError):
        pairs = []
    if len(pairs) == len(rows) and _are_probabilities(pairs):
        return Scores(pairs)
    return [_class_score(url, index, row) for index, row in enumerate(rows)]


def _are_probabilities(pairs: list[Any]) -> bool:
    """Whether all are plainly two that add up to 1. Each comparison alone, of two floats: that is quickest."""
    try:
        plain = [
            None
            for p_no, p_yes in pairs
            if type(p_no) is float
            and type(p_yes) is float
            and p_no >= 0.0
            and p_no <= 1.0
            and p_yes >= 0.0
            and p_yes <= 1.0
            and p_no + p_yes - 1.0 >= -SUM_TOLERANCE
            and p_no + p_yes - 1.0 <= SUM_TOLERANCE
        ]
    except (TypeError, ValueError):
        return False
    return len(plain) == len(pairs)


def _class_score(url: str, index: int, row: object) -> Score:
    if not isinstance(row, dict) or row.get("index") != index:
        raise errors.ProtocolError(url, f"row {index} is out of place: {short(row)}")
    return _pair_score(url, index, row.get("probs"), row.get("label"), row.get("num_classes"))


def _sigmoid_score(url: str, index: int, row: dict[str, Any]) -> Score:
    [p_yes] = row["probs"]
    if row.get("index") != index or type(p_yes) not in _NUMBERS or not 0 <= p_yes <= 1:
        raise errors.ProtocolError(url, f"row {index} has no usable probability: {short(row)}")
    return score_of(1 - p_yes, p_yes)


def _has_one(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("probs"), list) and len(row["probs"]) == 1


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
