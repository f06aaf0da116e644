"""Where a gate is, on a line below pytest's own: seen by a terminal of a few commands."""

from __future__ import annotations

import io
import re

from evalkit.pytest_plugin.progress import LiveLine


class Terminal(io.StringIO):
    """Lines and a cursor, as the codes that are written leave them."""

    def __init__(self, text: str = "", *, tty: bool = True) -> None:
        super().__init__()
        self.lines, self.row, self.column, self.tty = [""], 0, 0, tty
        self.write(text)

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> int:
        for code in re.findall(r"\x1b\[\d*[A-Z]|.|\n|\r", text):
            line = self.lines[self.row]
            if code == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row >= len(self.lines))
            elif code == "\r":
                self.column = 0
            elif code == "\x1b[K":
                self.lines[self.row] = line[: self.column]
            elif code.endswith("A"):
                self.row -= int(code[2:-1])
            elif code.endswith("G"):
                self.column = int(code[2:-1]) - 1
            else:
                before = line[: self.column].ljust(self.column)
                self.lines[self.row] = before + code + line[self.column + 1 :]
                self.column += 1
        return len(text)


def ask(line: LiveLine, part: str, rows: int, seen: list[str], terminal: Terminal) -> None:
    with line("mine", part, rows) as advance:
        for _ in range(rows):
            advance()
            seen.append(terminal.lines[terminal.row])


def test_pytests_line_stays_and_goes_on_where_it_was() -> None:
    terminal, seen = Terminal("suites/test_a.py .."), list[str]()
    ticks = iter(range(1000))
    line = LiveLine(terminal, lambda: terminal.column, lambda: float(next(ticks)))
    line.plan("mine", lambda: {"typo": 8, "later": 20})
    ask(line, "", 4, seen, terminal)
    assert terminal.lines == ["suites/test_a.py ..", ""]
    terminal.write("F")
    ask(line, "typo", 8, seen, terminal)
    terminal.write(".\n")
    assert terminal.lines == ["suites/test_a.py ..F.", ""]
    assert seen[0] == "mine: test rows 1/4, 1.0 rows/s, 0:03 left, about 0:31 in all"
    assert seen[4].startswith("mine: typo 1/8, 1.0 rows/s, 0:07 left, about ")


def test_off_a_terminal_nothing_is_written() -> None:
    terminal = Terminal(tty=False)
    line = LiveLine(terminal, lambda: 7)
    line.plan("mine", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    ask(line, "typo", 3, [], terminal)
    assert terminal.lines == [""]
