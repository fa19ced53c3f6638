"""Text files of others: YAML and JSON read within bounds, and whatever is wrong with them said in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ds3d_tf.common.errors import InputError
from ds3d_tf.common.text_files import decode_text

MAX_YAML_BYTES = 512 * 2**10
MAX_JSON_BYTES = 64 * 2**20
MAX_DEPTH = 40
# Nodes of a YAML text with every alias written out: nine lines can stand for a thousand million.
MAX_NODES = 20_000
# The largest number that float64 holds has 309 digits.
MAX_DIGITS = 309

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONG_TEXT, _LONG_BYTES = re.compile(f"[0-9]{{{MAX_DIGITS}}}"), re.compile(b"[0-9]{%d}" % MAX_DIGITS)
_TAGS = ("null", "bool", "int", "float", "str", "merge", "value", "timestamp", "map", "seq")


def read_text(path: str | Path, what: str = "text file", limit: int = MAX_YAML_BYTES) -> str:
    """Return the content of a text file in UTF-8 or an encoding of Windows.

    Args:
        path: the file.
        what: name of its kind, such as "setup", for the error.
        limit: largest size, bytes.

    Raises InputError if it cannot be read, is larger, is not a text, or holds control characters.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the {what} {short_name(path)}: {reason}") from None
    if len(content) > limit:
        raise InputError(f"{path}: larger than {limit // 2**10} KB, too large for a {what}; check the name of the file")
    text = decode_text(content, f"cannot read the {what} {path}")
    check_characters(text, str(path))
    return text


def check_characters(text: str, where: str) -> None:
    """Raise InputError, which names ``where``, line and column, if a text holds NUL or other control characters."""
    found = _CONTROL.search(text) or _SURROGATE.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - (text.rfind("\n", 0, found.start()) + 1) + 1
        raise InputError(
            f"{where}: line {line}, column {column}: a character that no text has (code {ord(found[0]):#06x}); "
            "remove it, or check that this is a text file"
        )


def parse_yaml(text: str, where: str) -> Any:
    """Return what a YAML text says; None for an empty one. ``where`` names it in the error.

    Dates are texts, since no value here is a date. Raises InputError for bad YAML, a key that occurs twice, tags of
    programs, numbers beyond float64, nesting deeper than 40, or more than 20,000 values with all aliases written out.
    """
    documents = parse_yaml_documents(text, where)
    if len(documents) > 1:
        raise InputError(f"{where}: holds {len(documents)} YAML documents (lines of `---`); keep one of them")
    return documents[0] if documents else None


def parse_yaml_documents(text: str, where: str) -> list[Any]:
    """Return all documents of a YAML text, which lines of ``---`` divide; raises as :func:`parse_yaml` does."""
    check_characters(text, where)
    if len(text) > MAX_YAML_BYTES:
        raise InputError(f"{where}: too long a YAML text; at most {MAX_YAML_BYTES // 2**10} KB are read")
    try:
        loader = _BoundedLoader(text)
        documents = []
        while loader.check_data():
            documents.append(loader.get_data())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{where}: not valid YAML{line}: {reason}") from None
    except Exception as error:  # a parser's own mistakes, with texts that nobody foresaw
        raise InputError(f"{where}: not valid YAML: {_first_line(error)}") from None
    for document in documents:
        _check_texts(document, where)
    return documents


def parse_json(text: str | bytes | bytearray, where: str) -> Any:
    """Return what a JSON text says; ``where`` names it in the error.

    Raises InputError for bad JSON, a key that occurs twice, numbers beyond float64 or too deep nesting.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_whole if _has_long_number(text) else None)
    except RecursionError:
        raise InputError(f"{where}: not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON: {_first_line(error)}") from None
    if not _is_plain(text):
        _check_texts(value, where)
    return value


def load_json(path: str | Path, what: str = "JSON file") -> Any:
    """Return what a JSON file says; raises InputError if it cannot be read or is not JSON."""
    return parse_json(read_text(path, what, MAX_JSON_BYTES), str(path))


def checked_fields(values: Any, kinds: Mapping[str, type | tuple[type, ...]], where: str, mend: str) -> dict[str, Any]:
    """Return a dictionary that has all fields of ``kinds`` with values of these types.

    ``mend`` says what to do about it. Raises InputError, which names ``where`` and the field, for anything else.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: damaged: expected fields with values, got {type(values).__name__}; {mend}")
    for name, kind in kinds.items():
        if name not in values:
            raise InputError(f"{where}: damaged: {name} is missing; {mend}")
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise InputError(f"{where}: damaged: {name} is {shortened(value)}; {mend}")
    return dict(values)


def shortened(value: Any, length: int = 60) -> str:
    """Return a value as one short line for a message."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def is_file(path: str | Path) -> bool:
    """Return whether there is such a file; no for names that no file can have (too long, with a NUL)."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def short_name(path: str | Path, length: int = 200) -> str:
    """Return a path for a message: its end only, if it is longer than any name should be."""
    text = str(path).replace("\0", "\\0")
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-length // 4 :]}"


class _BoundedLoader(yaml.SafeLoader):
    """YAML without what a setup never needs: tags of programs, dates, keys twice, endless aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._sizes: dict[str, int | None] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.events.AliasEvent):
            size = self._sizes.get(event.anchor or "", 1)
            if size is None:
                raise yaml.constructor.ConstructorError(None, None, f"alias *{event.anchor} contains itself", mark)
            self._nodes += size
            self._check_nodes(mark)
            return super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self._nodes += 1
        self._check_nodes(mark)
        if self._depth >= MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} deep; a setup has sections and fields only"
            raise yaml.constructor.ConstructorError(None, None, problem, mark)
        before, anchor = self._nodes - 1, event.anchor
        if anchor is not None:
            self._sizes[anchor] = None
        self._depth += 1
        node = super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self._depth -= 1
        kind = node.tag.removeprefix("tag:yaml.org,2002:") if node is not None else ""
        if kind not in _TAGS or (kind == "timestamp" and event.tag):
            problem = f"tag {short_name(event.tag, 60)} is not read here; write the plain value"
            raise yaml.constructor.ConstructorError(None, None, problem, mark)
        if anchor is not None:
            self._sizes[anchor] = self._nodes - before
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)  # type: ignore[no-untyped-call]
        # Before merge keys (<<) add what may be overridden.
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in lines:
                first = lines[key.tag, key.value]
                problem = f"`{short_name(key.value, 60)}` occurs twice, first in line {first}; keep one of them"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[key.tag, key.value] = key.start_mark.line + 1
        return node

    def _check_nodes(self, mark: Any) -> None:
        if self._nodes > MAX_NODES:
            problem = f"more than {MAX_NODES:,} values, with all aliases (*) written out"
            raise yaml.constructor.ConstructorError(None, None, problem, mark)


def _read_int(loader: yaml.SafeLoader, node: Any) -> Any:
    text = loader.construct_scalar(node)
    digits = text.lstrip("+-").replace("_", "")
    if len(digits) > MAX_DIGITS:
        raise yaml.constructor.ConstructorError(
            None, None, f"a number of {len(digits)} digits; expected one that float64 holds", node.start_mark
        )
    if re.fullmatch("0[0-9]+", digits):
        raise yaml.constructor.ConstructorError(
            None, None, f"{text}: YAML takes a number with a leading 0 for octal; write it without", node.start_mark
        )
    if re.fullmatch("[0-9:]+", digits) and ":" in digits:  # YAML 1.1 takes 1:30 for 90
        return text
    try:
        return yaml.SafeLoader.construct_yaml_int(loader, node)
    except ValueError:
        raise yaml.constructor.ConstructorError(
            None, None, f"{shortened(text)} is not a whole number", node.start_mark
        ) from None


def _read_float(loader: yaml.SafeLoader, node: Any) -> Any:
    text = loader.construct_scalar(node)
    if re.fullmatch("[-+0-9:._]+", text) and ":" in text:
        return text
    try:
        return yaml.SafeLoader.construct_yaml_float(loader, node)
    except ValueError:
        raise yaml.constructor.ConstructorError(
            None, None, f"{shortened(text)} is not a number", node.start_mark
        ) from None


def _read_text(loader: yaml.SafeLoader, node: Any) -> Any:
    return loader.construct_scalar(node)


_BoundedLoader.add_constructor("tag:yaml.org,2002:int", _read_int)
_BoundedLoader.add_constructor("tag:yaml.org,2002:float", _read_float)
_BoundedLoader.add_constructor("tag:yaml.org,2002:timestamp", _read_text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{shortened(next(name for name in names if names.count(name) > 1))} occurs twice")
    return values


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _has_long_number(text: str | bytes | bytearray) -> bool:
    """Return whether a text has more digits in a row than a number may have; most have not, and are read fast."""
    if isinstance(text, str):
        return _LONG_TEXT.search(text) is not None
    return b"\0" in text or _LONG_BYTES.search(text) is not None  # zeros: another encoding


def _is_plain(text: str | bytes | bytearray) -> bool:
    """Return whether a JSON text has only characters that texts may hold: printable ones of ASCII, and no escapes."""
    if isinstance(text, str):
        return text.isascii() and "\\" not in text and "\x7f" not in text
    return text.isascii() and b"\\" not in text and b"\x7f" not in text and b"\0" not in text


def _check_texts(value: Any, where: str) -> None:
    """Refuse texts that hold escaped control characters or halves of a character, which no file can hold."""
    waiting = [value]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if _CONTROL.search(item) or _SURROGATE.search(item):
                raise InputError(f"{where}: {shortened(item)}: holds a character that no text has; remove it")
        elif isinstance(item, (dict, list)) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend([*item.keys(), *item.values()] if isinstance(item, dict) else item)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
