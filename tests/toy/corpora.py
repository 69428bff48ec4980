"""Corpora of other kinds than the demo's, which every machine has: (question, the text that answers it).

The toy's constants were chosen with earlier forms of the READMEs, the recipes and the second third of the docstrings
in view; the first and the last third weren't.
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

Rows = list[tuple[str, str]]
MOST_CHARACTERS = 1_500

THINGS = [
    "lentils",
    "carrots",
    "onions",
    "tomatoes",
    "chickpeas",
    "potatoes",
    "mushrooms",
    "peppers",
    "noodles",
    "beans",
    "leeks",
    "apples",
    "pears",
    "walnuts",
    "almonds",
    "beets",
    "turnips",
    "eggs",
    "radishes",
    "olives",
    "zucchini",
    "squash",
    "corn",
]
DISHES = [
    "soup",
    "stew",
    "salad",
    "pie",
    "curry",
    "risotto",
    "gratin",
    "omelette",
    "cake",
    "tart",
    "pancakes",
    "casserole",
    "dumplings",
    "chutney",
]
HERBS = [
    "thyme",
    "basil",
    "parsley",
    "cumin",
    "coriander",
    "paprika",
    "dill",
    "mint",
    "saffron",
    "ginger",
    "garlic",
    "rosemary",
    "sage",
    "cinnamon",
]
STEPS = (
    "Chop the {one} and fry them in {n} spoons of oil until they are golden.",
    "Add {n}0 grams of {other} and simmer for {n} minutes.",
    "Season with {herb} and a pinch of salt.",
    "Bake at {n}0 degrees for {n} minutes.",
    "Serve warm with bread.",
    "Stir in the {herb} just before serving.",
    "Rinse the {other} under cold water and drain them well.",
    "Leave the {dish} to rest for {n} minutes.",
)
QUESTIONS = (
    "How do I make {dish} of {one} with {herb}?",
    "{dish} from {other} and {one}, seasoned with {herb}",
    "which {dish} uses {one}, {other} and {herb}",
)


def docstrings(third: int) -> Rows:
    """Of the standard library's modules: the first line asks for the rest."""
    return _docstrings()[third::3]


@cache
def _docstrings() -> Rows:
    found: dict[str, str] = {}
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
                if len(first.split()) >= 4 and len(rest.split()) >= 25:
                    found.setdefault(" ".join(first.split()), " ".join(rest.split()))
    return list(found.items())


def readmes() -> Rows:
    """Of the distributions that are installed: the summary asks for the description."""
    found: dict[str, str] = {}
    for one in distributions():
        summary = one.metadata.get("Summary") or ""
        text = str(one.metadata.get_payload() or one.metadata.get("Description") or "")
        text = " ".join(re.sub(r"<[^>]*>|!?\[[^\]]*\]\([^)]*\)|https?://\S+", "", text).split())
        if len(summary.split()) >= 3 and len(text.split()) > 25:
            found[summary] = text[:MOST_CHARACTERS]
    return sorted(found.items())


def recipes() -> Rows:
    """Composed: near misses, numbers, and questions that have a word in the singular where the text has its plural."""
    chance = random.Random(13)  # noqa: S311 - the same texts every time, and no secret
    rows = []
    for _ in range(220):
        one, other = chance.sample(THINGS, 2)
        names = {"dish": chance.choice(DISHES), "herb": chance.choice(HERBS)}
        steps = chance.sample(STEPS, 6)
        text = " ".join(step.format(one=one, other=other, n=chance.choice([2, 5, 12, 30]), **names) for step in steps)
        asked = {"one": _singular(one), "other": _singular(other), **names}
        rows.append((chance.choice(QUESTIONS).format(**asked), text))
    return rows


def _singular(word: str) -> str:
    if word.endswith(("toes", "shes")):
        return word[:-2]
    return word.removesuffix("s") if word != "squash" else word
