"""Reading the configuration file: YAML in which everything keeps its line, with `env:NAME` put in its place.

Nothing is constructed from tags. A text is taken as it is written, quoted or not, so an account of `00420` keeps its
zeros.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import os
import re
from collections.abc import Iterable

import yaml
from yaml.composer import ComposerError
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError
from yaml.resolver import Resolver

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
MAX_ALIASES = 1000
_YAML = "tag:yaml.org,2002:"
_SCALARS = {f"{_YAML}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")}
_TAGS = {ScalarNode: _SCALARS, MappingNode: {f"{_YAML}map"}, SequenceNode: {f"{_YAML}seq"}}
_TRUE = ("yes", "true", "on")
_NAME = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_resolver = Resolver()


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing that is wrong, the line on which it stands, and what to do."""

    line: int
    text: str


class Mistaken(Exception):
    """The file cannot be applied; `mistakes` holds every one that was found, in the order of the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(set(mistakes))
        super().__init__("; ".join(f"line {mistake.line}: {mistake.text}" for mistake in self.mistakes))


class _Loader(yaml.SafeLoader):
    """Composes without bottomless nesting, and with no more aliases than somebody writes who means them."""

    depth = 0
    aliases = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.aliases += isinstance(event, AliasEvent)
        if self.aliases > MAX_ALIASES:
            raise ComposerError(None, None, f"more than {MAX_ALIASES} aliases: write it out", event.start_mark)
        if self.depth >= MAX_DEPTH:
            raise ComposerError(None, None, f"more than {MAX_DEPTH} levels of nesting", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Reader:
    """One file being read: collects its mistakes."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        #: Nodes whose mistake is noted already; whoever reads them finds nothing and says nothing.
        self.broken: set[int] = set()
        self._walked: set[int] = set()

    def wrong(self, line: int, text: str) -> None:
        self.mistakes.append(Mistake(line, text))

    def document(self, content: bytes) -> Section | None:
        """The file's mapping, or None when it cannot be read as one."""
        try:
            node = yaml.compose(_decoded(content), Loader=_Loader)
        except yaml.YAMLError as error:
            self.wrong(*_yaml_mistake(error, content))
            return None
        except Mistaken as error:
            self.mistakes += error.mistakes
            return None
        if not isinstance(node, MappingNode):
            self.wrong(1, "a configuration is a mapping: it starts with `version: 1`, then `organizations:`")
            return None
        self._walk(node)
        return Section(self, node)

    def _walk(self, node: Node) -> None:
        """Notes what is wrong whatever it means: keys that stand twice, foreign tags, unset variables."""
        if id(node) in self._walked:
            return
        self._walked.add(id(node))
        if node.tag not in _TAGS[type(node)]:
            self.broken.add(id(node))
            self.wrong(line_of(node), f"the tag {node.tag!r} is not used here: leave it out")
        if isinstance(node, MappingNode):
            self._walk_mapping(node)
        elif isinstance(node, SequenceNode):
            for item in node.value:
                self._walk(item)
        elif node.value.startswith("env:"):
            self._fill(node)

    def _walk_mapping(self, node: MappingNode) -> None:
        first: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.wrong(line_of(key), "a key must be a plain word")
                continue
            if key.value in first:
                self.wrong(line_of(key), f"{key.value!r} stands here and on line {first[key.value]}: keep one of them")
            first.setdefault(key.value, line_of(key))
            self._walk(value)

    def _fill(self, node: Node) -> None:
        """Puts the variable's value in the place of `env:NAME`, as if it had been written there without quotes."""
        match = _NAME.fullmatch(node.value)
        value = os.environ.get(match[1]) if match else None
        if value is None:
            self.broken.add(id(node))
            says = f"{match[1]} is not set in the environment" if match else "env: wants the name of a variable"
            self.wrong(line_of(node), says)
            return
        node.value = value
        plain = _resolver.resolve(ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
        node.tag = plain if value else f"{_YAML}str"


def line_of(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _decoded(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise Mistaken([Mistake(1, f"the file has more than {MAX_BYTES // 1024} KiB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistaken([Mistake(content.count(b"\n", 0, error.start) + 1, "this is not UTF-8 text")]) from None


def _yaml_mistake(error: yaml.YAMLError, content: bytes) -> tuple[int, str]:
    """The line and YAML's own words, which quote the file's punctuation at most."""
    if isinstance(error, ReaderError):
        before = content.decode("utf-8-sig")[: error.position]
        return before.count("\n") + 1, "there is a character that cannot stand in YAML"
    assert isinstance(error, yaml.MarkedYAMLError)
    mark = error.problem_mark or error.context_mark
    problem = ", ".join(filter(None, (error.context, error.problem))) or "this is not YAML"
    return (mark.line + 1 if mark else 1), f"not YAML: {problem}" if error.context else problem


class Section:
    """One mapping of the file. Reading a key notes what is wrong with it, and gives what counts as absent instead."""

    def __init__(self, reader: Reader, node: MappingNode) -> None:
        self._reader = reader
        self._keys = {key.value: key for key, _ in reversed(node.value) if isinstance(key, ScalarNode)}
        self._values = {key.value: value for key, value in reversed(node.value) if isinstance(key, ScalarNode)}
        self.line = line_of(node)

    def wrong(self, key: str, text: str) -> None:
        """Notes a mistake at the key, or at the mapping when it lacks the key."""
        self._reader.wrong(self.line_of(key), text)

    def wrong_on(self, line: int, text: str) -> None:
        self._reader.wrong(line, text)

    def line_of(self, key: str) -> int:
        return line_of(self._keys[key]) if key in self._keys else self.line

    def has(self, key: str) -> bool:
        return key in self._values and self._values[key].tag != f"{_YAML}null"

    def is_broken(self, key: str) -> bool:
        """Whether there is a value whose mistake is noted already."""
        return key in self._values and id(self._values[key]) in self._reader.broken

    def expect(self, known: Iterable[str], what: str = "key") -> None:
        """Notes every key that is not among the known ones, with the nearest of those."""
        known = list(known)
        for key in self._keys:
            if key not in known:
                self.wrong(key, f"unknown {what} {key!r}{nearest(key, known)}")

    def require(self, *keys: str) -> None:
        """Notes every key that is missing or empty."""
        for key in keys:
            if not self.has(key):
                self.wrong(key, f"{key} is missing")
            elif isinstance(node := self._values[key], ScalarNode) and not node.value and not self.is_broken(key):
                self.wrong(key, f"{key} is empty")

    def text(self, key: str, *, limit: int = 200) -> str:
        """The text as written; "" when absent."""
        node = self._scalar(key, "a text")
        if node is None:
            return ""
        if len(node.value) > limit:
            self.wrong(key, f"{key} is longer than {limit} characters")
            return ""
        return str(node.value)

    def flag(self, key: str) -> bool:
        """True or false; False when absent."""
        node = self._scalar(key, "true or false")
        if node is None:
            return False
        if node.tag != f"{_YAML}bool":
            self.wrong(key, f"{key} must be true or false")
        return node.value.lower() in _TRUE

    def integer(self, key: str, default: int = 0) -> int:
        node = self._scalar(key, "a whole number, 0 or more")
        if node is None:
            return default
        if node.tag != f"{_YAML}int" or not re.fullmatch(r"\d{1,9}", node.value):
            self.wrong(key, f"{key} must be a whole number, 0 or more")
            return default
        return int(node.value)

    def moment(self, key: str) -> dt.datetime | None:
        """An instant in UTC, which is also what a time without an offset means; None when absent."""
        node = self._scalar(key, "a time")
        if node is None:
            return None
        try:
            value = dt.datetime.fromisoformat(node.value) if _DATE.match(node.value) else None
        except ValueError:
            value = None
        if value is None:
            self.wrong(key, f"{key} must be a time, written like 2026-11-20T12:00:00Z")
            return None
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)

    def section(self, key: str) -> Section | None:
        """The mapping under the key; None when absent."""
        node = self._node(key)
        if isinstance(node, MappingNode):
            return Section(self._reader, node)
        if node is not None:
            self.wrong(key, f"{key} must be a mapping of keys and values")
        return None

    def sections(self, key: str) -> list[Section] | None:
        """The mappings of the list under the key; None when absent (or not a list)."""
        if key in self._values and not self.has(key):
            self.wrong(key, f"{key} is empty: write [] for none, or leave the key out")
        nodes = self._items(key)
        if nodes is None:
            return None
        for node in nodes:
            if not isinstance(node, MappingNode):
                self._reader.wrong(line_of(node), f"each of {key} must be a mapping of keys and values")
        return [Section(self._reader, node) for node in nodes if isinstance(node, MappingNode)]

    def texts(self, key: str) -> list[tuple[str, int]] | None:
        """The texts of the list under the key, each with its line; None when absent (or not a list)."""
        nodes = self._items(key)
        if nodes is None:
            return None
        found = []
        for node in nodes:
            if not isinstance(node, ScalarNode) or node.tag == f"{_YAML}null":
                self._reader.wrong(line_of(node), f"each of {key} must be a text")
            elif id(node) not in self._reader.broken:
                found.append((node.value, line_of(node)))
        return found

    def plain(self, key: str) -> str | list[str] | None:
        """Whatever stands there: a text as written, or a list of texts; None when it is neither."""
        node = self._node(key)
        if isinstance(node, SequenceNode):
            return [text for text, _ in self.texts(key) or []]
        return str(node.value) if isinstance(node, ScalarNode) else None

    def _node(self, key: str) -> Node | None:
        return self._values[key] if self.has(key) and not self.is_broken(key) else None

    def _scalar(self, key: str, wanted: str) -> ScalarNode | None:
        node = self._node(key)
        if node is not None and not isinstance(node, ScalarNode):
            self.wrong(key, f"{key} must be {wanted}")
            return None
        return node

    def _items(self, key: str) -> list[Node] | None:
        node = self._node(key)
        if isinstance(node, SequenceNode):
            return list(node.value)
        if node is not None:
            self.wrong(key, f"{key} must be a list")
        return None


def nearest(word: str, known: Iterable[str]) -> str:
    """A half-sentence that helps: the nearest known word, else all of them where they are few."""
    by_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), by_case, n=1, cutoff=0.6)
    if near:
        return f": did you mean {by_case[near[0]]!r}?"
    return f": there can be {', '.join(sorted(by_case.values()))}" if 0 < len(by_case) <= 20 else ""
