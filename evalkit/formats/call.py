"""The `call` format: FunctionGemma's function call, which repeats the input."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.formats.base import build_prompt
from evalkit.records import Function, Label, Prompt, Reading
from evalkit.tasks import Task

START, END, QUOTE = "<start_function_call>", "<end_function_call>", "<escape>"
_MARKER = re.compile(r"<(escape|start_function_call|end_function_call)(_*)>")
_ESCAPED = re.compile(r"<(escape|start_function_call|end_function_call)(_*)_>")


def escape(text: str) -> str:
    """Make text that holds the format's own markers safe to quote: `<escape>` -> `<escape_>`.

    One underscore is added to every marker, whatever number it has, so `unescape` undoes it
    exactly.
    """
    return _MARKER.sub(r"<\1\2_>", text)


def unescape(text: str) -> str:
    """Undo `escape`."""
    return _ESCAPED.sub(r"<\1\2>", text)


class Call:
    """`<start_function_call>call:NAME{title:<escape>...<escape>,...}<end_function_call>`.

    Arguments are the task's inputs, then its fields, each a quoted string, as in the data
    FunctionGemma was fine-tuned on in seeds 000 and 001.
    """

    name = "call"

    def check(self, task: Task) -> None:
        """Every task can be written as a call."""

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask for a call of the task's function."""
        parameters = {name: f"The {spec.title} of the input" for name, spec in task.inputs.items()}
        for name, field in task.fields.items():
            parameters[name] = f"One of: {', '.join(str(v) for v in field.labels)}"
        function = Function(task.function, task.summary, parameters)
        return build_prompt(task, inputs, f"Call {task.function} with your answer.", function)

    def render(self, task: Task, labels: Mapping[str, Label], inputs: Mapping[str, str]) -> str:
        """The call with inputs and labels, in the task's order."""
        arguments = {name: escape(inputs[name]) for name in task.inputs}
        for name in task.fields:
            label = labels[name]
            arguments[name] = ", ".join(label) if isinstance(label, tuple) else str(label)
        body = ",".join(f"{name}:{QUOTE}{text}{QUOTE}" for name, text in arguments.items())
        return f"{START}call:{task.function}{{{body}}}{END}"

    def parse(self, task: Task, text: str) -> Reading:
        """Read one call."""
        raise NotImplementedError
