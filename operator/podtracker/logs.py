# SPDX-License-Identifier: Apache-2.0
"""Logging: text for people or JSON for machines, and no credential in either."""

from __future__ import annotations

import abc
import json
import logging
import sys
import time
from typing import Any

from podtracker.redact import Redactor

_QUIET = ("kopf", "kubernetes", "slack_sdk", "podtracker.reporters.slack", "aiohttp", "asyncio")
"""Loggers that stay at WARNING whatever is asked for: at DEBUG they write whole objects, inline tokens included."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter, abc.ABC):
    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self.render(record))

    @abc.abstractmethod
    def render(self, record: logging.LogRecord) -> str:
        """The record as text, before it is redacted."""

    def trouble(self, record: logging.LogRecord) -> str | None:
        """The traceback, where there is one."""
        return self.formatException(record.exc_info) if record.exc_info else None

    @staticmethod
    def fields(record: logging.LogRecord) -> dict[str, Any]:
        """What was given as `extra`."""
        return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class TextFormatter(_Formatter):
    """`2026-11-22T10:00:00.123Z INFO podtracker.app: message key=value`."""

    def render(self, record: logging.LogRecord) -> str:
        """One record, with its traceback below it."""
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        line = f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {record.name}: {record.getMessage()}"
        for key, value in self.fields(record).items():
            line += f" {key}={value!r}" if isinstance(value, str) else f" {key}={value}"
        trouble = self.trouble(record)
        return f"{line}\n{trouble}" if trouble else line


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def render(self, record: logging.LogRecord) -> str:
        """One record; the traceback is a field."""
        entry: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.fields(record),
        }
        trouble = self.trouble(record)
        if trouble:
            entry["exception"] = trouble
        # Before the quoting: what is quoted twice looks like nothing that anybody learnt.
        clean = {key: self._redact(value) if isinstance(value, str) else value for key, value in entry.items()}
        return json.dumps(clean, default=str, ensure_ascii=False)


def set_up(*, level: str, form: str, redact: Redactor) -> None:
    """Send all logs to stderr, redacted.

    Args:
        level: debug, info, warning or error.
        form: text or json.
        redact: takes credentials out of every line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(redact) if form == "json" else TextFormatter(redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
