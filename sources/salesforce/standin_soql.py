"""The stand-in's query language: the part of SOQL that reads records, refused where the vendor refuses it.

`SELECT Field, Parent.Field, (SELECT ... FROM Children), ... | COUNT() FROM Object [WHERE condition] [ORDER BY Field
[ASC|DESC] [NULLS FIRST|LAST], ...] [LIMIT n] [OFFSET n]`. Keywords and names are case-insensitive. AND and OR do not
mix without parentheses.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from sources.salesforce.standin_faults import VendorError
from sources.salesforce.standin_types import Field, ObjectType, full_id
from sources.salesforce.standin_values import accepted, moment

MOST_CHARACTERS = 100_000
MOST_LITERAL = 4_000
_TOKEN = re.compile(
    r"\s+|(?P<string>'(?:[^'\\]|\\.)*')|(?P<moment>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*)|(?P<symbol><>|<=|>=|!=|[=<>(),])",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_SYMBOLS = {"=": "=", "!=": "!=", "<>": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
#: Kind of field -> the literal it is compared with, and that literal's name in a refusal.
_LITERALS = {"date": ("date", "date"), "datetime": ("moment", "dateTime"), "boolean": ("flag", "boolean")}
_LITERALS |= dict.fromkeys(("currency", "double", "int"), ("number", "double"))
_RESERVED = ("from", "where", "order", "limit", "offset")


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """A field, reached over these references."""

    parents: tuple[Field, ...]
    field: Field


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; `values` has one value unless the operator is IN or NOT IN."""

    path: Path
    operator: str
    values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Combined:
    """Conditions under AND, OR, or NOT (of one)."""

    operator: str
    parts: tuple[Condition, ...]


Condition = Comparison | Combined


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """A statement as read. `children` are (name, the child's field that leads here, query)."""

    entity: str
    columns: tuple[Path, ...]
    children: tuple[tuple[str, str, Query], ...]
    is_count: bool
    condition: Condition | None
    order: tuple[tuple[Path, bool, bool], ...]
    limit: int | None
    offset: int


class Schema:
    """What the user may see of the objects."""

    def __init__(self, types: dict[str, ObjectType], hidden: set[str], hidden_fields: set[tuple[str, str]]) -> None:
        self._types = types
        self._hidden = hidden
        self._hidden_fields = hidden_fields

    def object(self, name: str) -> ObjectType | None:
        found = next((each for each in self._types.values() if each.name.lower() == name.lower()), None)
        return None if found is None or found.name in self._hidden else found

    def field(self, kind: ObjectType, name: str) -> Field | None:
        found = kind.find(name)
        return None if found is None or (kind.name, found.name) in self._hidden_fields else found


def parse(statement: str, schema: Schema) -> Query:
    """Reads a statement. Raises `VendorError` MALFORMED_QUERY, INVALID_TYPE, INVALID_FIELD or of a filter."""
    if len(statement) > MOST_CHARACTERS:
        raise VendorError("MALFORMED_QUERY", "SOQL statements cannot be longer than 100,000 characters.")
    parser = _Parser(statement, schema)
    _, found = parser.query()
    parser.end()
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


_END = _Token("end", "<EOF>", 0)


class _Parser:
    def __init__(self, statement: str, schema: Schema) -> None:
        self._statement = statement
        self._schema = schema
        self._tokens = list(_scan(statement))
        self._at = 0

    def query(self, over: ObjectType | None = None) -> tuple[str, Query]:
        """A statement, or with `over` the subquery for children of that object and their relationship's name."""
        self._need("select")
        start = self._at
        self._skip_columns()
        self._need("from")
        kind, link = self._from(over)
        after = self._at
        self._at = start
        columns, children, is_count = self._columns(kind)
        self._at = after
        condition = self._any(kind) if self._skip("where") else None
        order = self._order(kind)
        limit = self._number("limit")
        offset = self._number("offset") or 0
        return link, Query(kind.name, columns, children, is_count, condition, order, limit, offset)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._unexpected()

    # SELECT and FROM

    def _skip_columns(self) -> None:
        depth = 0
        while self._peek().kind != "end" and (depth or not self._is("from")):
            depth += (self._peek().text == "(") - (self._peek().text == ")")
            self._at += 1

    def _from(self, over: ObjectType | None) -> tuple[ObjectType, str]:
        token = self._take("word")
        if over is None:
            kind = self._schema.object(token.text)
            if kind is None:
                raise self._located("INVALID_TYPE", token, f"sObject type '{token.text}' is not supported.")
            return kind, ""
        link = next((name for name in over.children if name.lower() == token.text.lower()), "")
        kind = self._schema.object(over.children[link][0]) if link else None
        if kind is None:
            text = f"Didn't understand relationship '{token.text}' in FROM part of query call."
            raise self._located("INVALID_TYPE", token, text)
        return kind, link

    def _columns(self, kind: ObjectType) -> tuple[tuple[Path, ...], tuple[tuple[str, str, Query], ...], bool]:
        if self._is("count"):
            for text in ("count", "(", ")"):
                self._need(text)
            return (), (), True
        columns: list[Path] = []
        children: list[tuple[str, str, Query]] = []
        while True:
            if self._skip("("):
                link, query = self.query(kind)
                self._need(")")
                children.append((link, kind.children[link][1], query))
            else:
                path = self._path(kind)
                if path in columns:
                    raise VendorError("MALFORMED_QUERY", f"duplicate field selected: {path.field.name}")
                columns.append(path)
            if not self._skip(","):
                return tuple(columns), tuple(children), False

    def _path(self, kind: ObjectType) -> Path:
        token = self._take("word")
        if token.text.lower() in _RESERVED:
            self._at -= 1
            raise self._unexpected()
        *names, last = token.text.split(".")
        parents: list[Field] = []
        for name in names:
            parent = kind.parent(name.removesuffix("__r"))
            above = self._schema.object(parent.holds) if parent else None
            if parent is None or above is None or self._schema.field(kind, parent.name) is None:
                text = (
                    f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
                    "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
                    "your WSDL or the describe call for the appropriate names."
                )
                raise self._located("INVALID_FIELD", token, text)
            parents.append(parent)
            kind = above
        field = self._schema.field(kind, last)
        if field is None:
            text = (
                f"No such column '{last}' on entity '{kind.name}'. If you are attempting to use a custom field, be "
                "sure to append the '__c' after the custom field name. Please reference your WSDL or the describe "
                "call for the appropriate names."
            )
            raise self._located("INVALID_FIELD", token, text)
        return Path(tuple(parents), field)

    # WHERE

    def _any(self, kind: ObjectType) -> Condition:
        parts = [self._one(kind)]
        operator = next((word for word in ("and", "or") if self._is(word)), "")
        while operator and self._skip(operator):
            parts.append(self._one(kind))
        if self._is("and") or self._is("or"):  # the other one: the two do not mix at one level
            raise self._unexpected()
        return Combined(operator, tuple(parts)) if operator else parts[0]

    def _one(self, kind: ObjectType) -> Condition:
        if self._skip("not"):
            return Combined("not", (self._one(kind),))
        if self._skip("("):
            found = self._any(kind)
            self._need(")")
            return found
        path = self._path(kind)
        if self._skip("like"):
            return Comparison(path, "like", (_pattern(self._take("string").text),))
        is_not = self._skip("not")
        if is_not or self._is("in"):
            self._need("in")
            self._need("(")
            values = [self._literal(path.field)]
            while self._skip(","):
                values.append(self._literal(path.field))
            self._need(")")
            return Comparison(path, "not in" if is_not else "in", tuple(values))
        token = self._take("symbol")
        if token.text not in _SYMBOLS:
            self._at -= 1
            raise self._unexpected()
        return Comparison(path, _SYMBOLS[token.text], (self._literal(path.field),))

    def _literal(self, field: Field) -> Any:
        token = self._peek()
        kind = token.kind
        if kind == "word" and token.text.lower() in ("null", "true", "false"):
            kind = "null" if token.text.lower() == "null" else "flag"
        if kind not in ("string", "moment", "date", "number", "null", "flag"):
            raise self._unexpected()
        self._at += 1
        if kind == "null":
            return None
        wanted, name = _LITERALS.get(field.kind, ("string", "string"))
        if kind != wanted:
            quotes = "should be" if wanted == "string" else "should not be"
            text = (
                f"value of filter criterion for field '{field.name}' must be of type {name} and {quotes} enclosed in "
                "quotes"
            )
            raise self._located("INVALID_FIELD", token, text)
        return self._value(field, kind, token)

    def _value(self, field: Field, kind: str, token: _Token) -> Any:
        if kind == "string":
            text = _unquoted(token.text)
            if len(text) > MOST_LITERAL:
                raise VendorError("MALFORMED_QUERY", "string literal is longer than 4,000 characters")
            if (
                field.kind in ("id", "reference")
                and text
                and not re.fullmatch(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?", text)
            ):
                raise self._located("INVALID_QUERY_FILTER_OPERATOR", token, f"invalid ID field: {text}")
            return comparable(field, text)
        try:
            if kind == "flag":
                return token.text.lower() == "true"
            return moment(token.text) if kind == "moment" else accepted(field, token.text)
        except (ValueError, VendorError):
            raise VendorError("MALFORMED_QUERY", f"unexpected token: '{token.text}'") from None

    # ORDER BY, LIMIT

    def _order(self, kind: ObjectType) -> tuple[tuple[Path, bool, bool], ...]:
        if not self._skip("order"):
            return ()
        self._need("by")
        order = []
        while True:
            path = self._path(kind)
            is_descending = self._skip("desc")
            if not is_descending:
                self._skip("asc")
            nulls_last = False
            if self._skip("nulls"):
                nulls_last = self._skip("last")
                if not nulls_last:
                    self._need("first")
            order.append((path, is_descending, nulls_last))
            if not self._skip(","):
                return tuple(order)

    def _number(self, word: str) -> int | None:
        if not self._skip(word):
            return None
        token = self._take("number")
        if not token.text.isdecimal():
            self._at -= 1
            raise self._unexpected()
        return int(token.text)

    # Tokens

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _is(self, text: str) -> bool:
        token = self._peek()
        return token.kind in ("word", "symbol") and token.text.lower() == text

    def _skip(self, text: str) -> bool:
        found = self._is(text)
        self._at += found
        return found

    def _need(self, text: str) -> None:
        if not self._skip(text):
            raise self._unexpected()

    def _take(self, kind: str) -> _Token:
        token = self._peek()
        if token.kind != kind:
            raise self._unexpected()
        self._at += 1
        return token

    def _unexpected(self) -> VendorError:
        return VendorError("MALFORMED_QUERY", f"unexpected token: '{self._peek().text}'")

    def _located(self, code: str, token: _Token, text: str) -> VendorError:
        """A refusal that shows the place as the vendor does: the line around it, and a caret below."""
        start = max(0, token.at - 40)
        line = self._statement[start : token.at + len(token.text) + 20].replace("\n", " ")
        column = token.at + 1
        place = f"\n{line}\n{' ' * (token.at - start)}^\nERROR at Row:1:Column:{column}\n"
        return VendorError(code, place + text)


def comparable(field: Field, value: Any) -> Any:
    """A value as it is compared: IDs by their 18 characters, other texts without regard to case."""
    if not isinstance(value, str):
        return value
    return full_id(value) if field.kind in ("id", "reference") else value.lower()


def _scan(statement: str) -> Iterator[_Token]:
    at = 0
    while at < len(statement):
        match = _TOKEN.match(statement, at)
        if match is None:
            yield _Token("unknown", statement[at], at)
        elif match.lastgroup:
            yield _Token(match.lastgroup, match[0], at)
        at = match.end() if match else at + 1


def _unquoted(token: str) -> str:
    def plain(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise VendorError("MALFORMED_QUERY", f"invalid string literal: Illegal character sequence '{match[0]}'")
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.)", plain, token[1:-1], flags=re.DOTALL)


def _pattern(token: str) -> re.Pattern[str]:
    """The pattern of LIKE: % is any text, _ any character, and a backslash takes that meaning away."""
    parts = []
    for found in re.finditer(r"\\(.)|(.)", token[1:-1], re.DOTALL):
        escaped, plain = found.groups()
        if escaped is not None:
            parts.append(re.escape(escaped if escaped in "%_" else _unquoted(f"'{found[0]}'")))
        else:
            parts.append({"%": ".*", "_": "."}.get(plain, re.escape(plain)))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
