"""Texts of a policy: literal characters, the wildcards ``*`` and ``?``, and ``${variables}``.

Matching takes time in proportion to the text, however the pattern is made: nobody can hold a
request up with stars (a regular expression's backtracking would).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from typing import TypeAlias

Resolve: TypeAlias = "Callable[[str], str | None]"
"""The value of a policy variable by its lower-case name, None where the request has none."""


class Wildcard(enum.Enum):
    """``*`` for any text, ``?`` for any one character."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """``${name}`` or ``${name, 'default'}``; ``name`` as :func:`normal_key` spells it."""

    name: str
    default: str | None = None


Token = str | Wildcard | Variable

_WILDCARDS: Final = {"*": Wildcard.ANY, "?": Wildcard.ONE}


def normal_key(name: str) -> str:
    """The one spelling of a condition key: its case does not count, that of a tag's name does."""
    family, slash, tag = name.partition("/")
    return family.lower() + slash + tag


class BadVariable(ValueError):
    """A ``${`` that no ``}`` ends, or that holds no name."""


def tokens_of(text: str, *, wildcards: bool, variables: bool) -> tuple[Token, ...]:
    """Split a text of a policy.

    :param wildcards: whether ``*`` and ``?`` stand for other characters.
    :param variables: whether ``${...}`` does; ``${*}``, ``${?}`` and ``${$}`` are the characters.
    :raises BadVariable:
    """
    tokens: list[Token] = []
    literal: list[str] = []

    def flush() -> None:
        if literal:
            tokens.append("".join(literal))
            literal.clear()

    position = 0
    while position < len(text):
        letter = text[position]
        if variables and letter == "$" and text.startswith("${", position):
            end = text.find("}", position)
            if end < 0:
                raise BadVariable(text)
            name = text[position + 2 : end]
            position = end + 1
            if name in ("*", "?", "$"):
                literal.append(name)
                continue
            flush()
            tokens.append(_variable(name))
            continue
        position += 1
        if wildcards and letter in _WILDCARDS:
            flush()
            token = _WILDCARDS[letter]
            if token is Wildcard.ONE or not tokens or tokens[-1] is not Wildcard.ANY:
                tokens.append(token)
        else:
            literal.append(letter)
    flush()
    return tuple(tokens)


def _variable(text: str) -> Variable:
    name, comma, rest = text.partition(",")
    name = name.strip()
    if not name:
        raise BadVariable(text)
    if not comma:
        return Variable(normal_key(name))
    rest = rest.strip()
    if len(rest) < 2 or rest[0] != "'" or rest[-1] != "'":
        raise BadVariable(text)
    return Variable(normal_key(name), rest[1:-1])


class _Run:
    """Characters of a fixed number between two stars; None stands for any one."""

    __slots__ = ("_any", "_final", "_masks", "length", "literal", "pieces")

    def __init__(self, pieces: Sequence[tuple[int, str]], length: int) -> None:
        self.pieces = tuple(pieces)
        self.length = length
        self.literal: str | None = None
        if not self.pieces and not length:
            self.literal = ""
        elif len(self.pieces) == 1 and len(self.pieces[0][1]) == length:
            self.literal = self.pieces[0][1]
        self._masks: dict[str, int] | None = None
        self._any = 0
        self._final = 0

    def matches_at(self, text: str, start: int) -> bool:
        """Whether it stands there."""
        if self.literal is not None:
            return text.startswith(self.literal, start)
        return all(text.startswith(piece, start + offset) for offset, piece in self.pieces)

    def find(self, text: str, start: int, end: int) -> int:
        """Where it first stands within these bounds, -1 for nowhere."""
        if self.literal is not None:
            return text.find(self.literal, start, end)
        if end - start < self.length:
            return -1
        # Shift-and (Baeza-Yates and Gonnet, 1992): one step for each character of the text.
        masks = self._masks
        if masks is None:
            masks = self._prepare()
        state = 0
        default, final = self._any, self._final
        for position in range(start, end):
            state = ((state << 1) | 1) & masks.get(text[position], default)
            if state & final:
                return position - self.length + 1
        return -1

    def _prepare(self) -> dict[str, int]:
        fixed: dict[str, int] = {}
        taken = 0
        for offset, piece in self.pieces:
            for index, letter in enumerate(piece, offset):
                fixed[letter] = fixed.get(letter, 0) | (1 << index)
                taken |= 1 << index
        self._any = ((1 << self.length) - 1) & ~taken
        self._final = 1 << (self.length - 1)
        masks = {letter: bits | self._any for letter, bits in fixed.items()}
        self._masks = masks
        return masks


class Glob:
    """A pattern whose variables are known, ready to match."""

    __slots__ = ("_head", "_least", "_literals", "_middle", "_starred", "_tail")

    def __init__(self, tokens: Sequence[str | Wildcard]) -> None:
        runs: list[_Run] = []
        pieces: list[tuple[int, str]] = []
        length = 0
        for token in tokens:
            if token is Wildcard.ANY:
                runs.append(_Run(pieces, length))
                pieces, length = [], 0
            elif token is Wildcard.ONE:
                length += 1
            else:
                assert isinstance(token, str)
                if pieces and pieces[-1][0] + len(pieces[-1][1]) == length:
                    # What a variable stood for joins the text before it.
                    offset, before = pieces.pop()
                    pieces.append((offset, before + token))
                else:
                    pieces.append((length, token))
                length += len(token)
        runs.append(_Run(pieces, length))
        self._starred = len(runs) > 1
        self._head = runs[0]
        self._tail = runs[-1]
        self._middle = runs[1:-1]
        self._least = sum(run.length for run in runs)
        literals = tuple(run.literal for run in runs if run.literal is not None)
        # Nearly always there is no "?".
        self._literals = literals if len(literals) == len(runs) else None

    @property
    def needle(self) -> str:
        """A text that is in every text that fits, the longest there is."""
        pieces = [
            piece for run in (self._head, *self._middle, self._tail) for _, piece in run.pieces
        ]
        return max(pieces, key=len, default="")

    def matches(self, text: str) -> bool:
        """Whether the whole text fits."""
        size = len(text)
        literals = self._literals
        if literals is not None:
            first = literals[0]
            if not self._starred:
                return text == first
            last = literals[-1]
            if size < self._least or not text.startswith(first) or not text.endswith(last):
                return False
            position, end = len(first), size - len(last)
            for literal in literals[1:-1]:
                found = text.find(literal, position, end)
                if found < 0:
                    return False
                position = found + len(literal)
            return True
        head = self._head
        if not self._starred:
            return size == head.length and head.matches_at(text, 0)
        if size < self._least or not head.matches_at(text, 0):
            return False
        end = size - self._tail.length
        if not self._tail.matches_at(text, end):
            return False
        position = head.length
        for run in self._middle:
            found = run.find(text, position, end)
            if found < 0:
                return False
            position = found + run.length
        return True


class Pattern:
    """A text of a policy that values are compared with.

    :param fold: without regard to upper and lower case.
    :raises BadVariable:
    """

    __slots__ = ("_fold", "_glob", "_prefix", "_tokens", "text")

    def __init__(
        self, text: str, *, wildcards: bool = True, variables: bool = False, fold: bool = False
    ) -> None:
        self.text = text
        self._fold = fold
        tokens = tokens_of(text, wildcards=wildcards, variables=variables)
        if fold:
            tokens = tuple(
                token.casefold() if isinstance(token, str) else token for token in tokens
            )
        self._tokens = tokens
        known = [token for token in tokens if not isinstance(token, Variable)]
        self._glob = Glob(known) if len(known) == len(tokens) else None
        # Most patterns of a policy differ from most texts in their first characters.
        first = tokens[0] if tokens else ""
        self._prefix = first if isinstance(first, str) and not fold else ""

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    @property
    def fixed(self) -> bool:
        """It stands for one text only: no wildcard, no variable."""
        return all(isinstance(token, str) for token in self._tokens)

    @property
    def has_variables(self) -> bool:
        return self._glob is None

    @property
    def quick(self) -> tuple[str, Callable[[str], bool]] | None:
        """What each text that fits holds, and whether one fits; None where more must be known."""
        glob = self._glob
        return None if glob is None or self._fold else (glob.needle, glob.matches)

    def matches(self, text: str, resolve: Resolve) -> bool | None:
        """Whether the whole text fits; None where a variable has no value."""
        glob = self._glob
        if not text.startswith(self._prefix):
            return False
        if self._fold:
            text = text.casefold()
        if glob is None:
            tokens: list[str | Wildcard] = []
            least = 0
            for token in self._tokens:
                if isinstance(token, Variable):
                    value = resolve(token.name)
                    if value is None:
                        value = token.default
                    if value is None:
                        return None
                    # Whatever it holds is text: a user named "*" is no wildcard.
                    token = value.casefold() if self._fold else value
                if isinstance(token, str):
                    least += len(token)
                tokens.append(token)
            if least > len(text):
                # A thousand long values of a request are not even joined.
                return False
            glob = Glob(tokens)
        return glob.matches(text)
