"""`--track mlflow`: what was judged, in a tracker. Trouble there changes no verdict."""

from __future__ import annotations

import logging
import os
import re
import shlex
from pathlib import Path

import pytest

from evalkit.data.quoting import shown_error
from evalkit.printable import printable
from evalkit.pytest_plugin.session import GateSession
from evalkit.reports.mlflow_run import check_client, describe_run, log_run
from evalkit.runs import read_record, read_verdicts

_PASSWORD = re.compile(r"//[^/\s@]*@")
"""Who asks, in an address."""


class Tracking:
    """Logs every system's run once its verdicts and reports are written."""

    def __init__(self, session: GateSession) -> None:
        """Look whether a run can be logged at all.

        Raises:
            UserError: the client is not installed.
        """
        check_client()
        self.session = session
        self.lines: list[tuple[str, bool]] = []
        """What came of it, and whether it is good news."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Log what was judged. `GateSession` has written it by now, as it wraps this hook."""
        evidence = self.session.run_cache
        for name in evidence.evaluations:
            folder = evidence.runs[name]
            try:
                self.lines.append((f"mlflow: {name} is {_log(folder)}", True))
            except (Exception, KeyboardInterrupt) as error:
                arguments = [*self.session.config.args, "--run", str(folder), "--track", "mlflow"]
                line = (
                    f"mlflow: {name} was not tracked, and the verdict stands: {_why(error)} "
                    f"To try again: {shlex.join(['pytest', *arguments])}"
                )
                self.lines.append((line, False))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what came of it."""
        for line, good in self.lines:
            shown = printable(_PASSWORD.sub("//", line), 1000)
            if good:
                terminalreporter.write_line(shown)
            else:
                terminalreporter.write_line(f"warning: {shown}", yellow=True)


def _log(folder: Path) -> str:
    tracked = describe_run(folder, read_record(folder), read_verdicts(folder) or {})
    # One line is ours; what the connection's library has to say besides is not for this place.
    loggers = [logging.getLogger(name) for name in ("mlflow", "urllib3")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        return log_run(tracked)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _why(error: BaseException) -> str:
    """What lies at the root of an error, behind the address that was asked."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    said = shown_error(error) if isinstance(error, Exception) else "it was interrupted."
    address = os.environ.get("MLFLOW_TRACKING_URI")
    return f"{address}: {said}" if address else said
