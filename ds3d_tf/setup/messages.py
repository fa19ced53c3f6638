"""Pydantic's findings in a user's words."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def describe_errors(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line that names each wrong field, its value, what is allowed and how to mend it."""
    return "; ".join(_describe(finding, model) for finding in error.errors(include_url=False))


def suggest(word: str, choices: list[str]) -> str:
    """Return `did you mean …?` for the closest choice, or the list of choices if none is close."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"allowed: {', '.join(choices)}"


def _describe(finding: Any, model: type[BaseModel]) -> str:
    location = finding["loc"]
    path = ".".join(str(part) for part in location)
    value = finding["input"]
    owner, field = _walk(model, location)
    if finding["type"] == "extra_forbidden":
        names = list(owner.model_fields) if owner else []
        return f"{path}: there is no such field; {suggest(str(location[-1]), names)}"
    message = finding["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    meaning = f" ({field.description})" if field is not None and field.description else ""
    return f"{path}: got {_short(value)}, {message}{meaning}"


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[type[BaseModel] | None, Any]:
    owner, field = model, None
    for part in location:
        candidate = owner.model_fields.get(part) if isinstance(part, str) else None
        if candidate is None:
            break
        field = candidate
        for annotation in (candidate.annotation, *get_args(candidate.annotation)):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                owner = annotation
    return owner, field


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
