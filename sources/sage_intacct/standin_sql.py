"""The stand-in's reading of `readByQuery`: SQL-like conditions on stored codes.

`FIELD < <= > >= = != <> like | not like | in | not in | IS NULL | IS NOT NULL`, joined by AND, OR, NOT and parentheses.
Texts stand in single quotes, in which `\\'` is a quote.
"""

from __future__ import annotations

import re

from sources.sage_intacct.standin_faults import Error, FunctionError, unprocessed
from sources.sage_intacct.standin_query import Test, View

_TOKEN = re.compile(
    r"\s+|(?P<text>'(?:[^'\\]|\\.)*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*)|(?P<mark><=|>=|<>|!=|[=<>(),])",
    re.DOTALL,
)
_OPERATORS = {
    "=": "equalto", "!=": "notequalto", "<>": "notequalto", "<": "lessthan", "<=": "lessthanorequalto",
    ">": "greaterthan", ">=": "greaterthanorequalto",
}  # fmt: skip


def parse(text: str, view: View) -> Test:
    """What the conditions ask of a row; none when the text is empty. Raises `FunctionError`."""
    if not text.strip():
        return lambda row: True
    return _Parser(text, view).whole()


def _failed(what: str) -> FunctionError:
    return FunctionError(Error("Query Failed", what))


class _Parser:
    def __init__(self, text: str, view: View) -> None:
        self._view = view
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise _failed(f"Invalid query near position {at + 1}")
            if match.lastgroup:
                self._tokens.append((match.lastgroup, match[0]))
            at = match.end()

    def whole(self) -> Test:
        test = self._either()
        if self._is("order"):
            # There is no ORDER BY, and the gateway does not say so.
            raise unprocessed()
        if self._at < len(self._tokens):
            raise _failed(f"Invalid query near {self._tokens[self._at][1]}")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._skip("or"):
            tests.append(self._both())
        return lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._skip("and"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if self._skip("not"):
            refused = self._one()
            return lambda row: not refused(row)
        if self._skip("("):
            test = self._either()
            self._need(")")
            return test
        return self._comparison()

    def _comparison(self) -> Test:
        path = self._take("word")
        if path not in self._view.layout.fields:
            raise FunctionError(Error(f"Invalid fields list {path}", f"{path} is not a field"))
        if self._skip("is"):
            is_not = self._skip("not")
            self._need("null")
            return self._view.compare(path, "isnotnull" if is_not else "isnull", [])
        is_not = self._skip("not")
        for word in ("in", "like"):
            if self._skip(word):
                texts = self._list() if word == "in" else [self._literal()]
                return self._view.compare(path, f"not{word}" if is_not else word, texts)
        mark = self._take("mark")
        if is_not or mark not in _OPERATORS:
            raise _failed(f"Invalid query near {mark}")
        return self._view.compare(path, _OPERATORS[mark], [self._literal()])

    def _list(self) -> list[str]:
        self._need("(")
        texts = [self._literal()]
        while self._skip(","):
            texts.append(self._literal())
        self._need(")")
        return texts

    def _literal(self) -> str:
        kind, text = self._peek()
        if kind not in ("text", "number"):
            raise _failed(f"Invalid query near {text}")
        self._at += 1
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if kind == "text" else text

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "its end")

    def _is(self, text: str) -> bool:
        kind, found = self._peek()
        return kind in ("word", "mark") and found.lower() == text

    def _skip(self, text: str) -> bool:
        is_there = self._is(text)
        self._at += is_there
        return is_there

    def _need(self, text: str) -> None:
        if not self._skip(text):
            raise _failed(f"Invalid query near {self._peek()[1]}")

    def _take(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            raise _failed(f"Invalid query near {text}")
        self._at += 1
        return text
