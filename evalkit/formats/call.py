"""The `call` format: FunctionGemma's function call, which repeats the input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from evalkit.errors import UserError
from evalkit.formats.base import Format, build_prompt
from evalkit.formats.grammar import Rules, choice_of, literal, sets_of, text_without
from evalkit.formats.reading import ReadError, first_answer, read_both
from evalkit.formats.values import check_keys, check_listable, check_written, read_fields
from evalkit.records import FailureReason, Function, Label, ParsedAnswer, Prediction, Prompt
from evalkit.tasks import FieldKind, Task
from evalkit.thoughts import Thoughts

START, END, QUOTE = "<start_function_call>", "<end_function_call>", "<escape>"
_MARKER = re.compile(r"<(escape|start_function_call|end_function_call)(_*)>")
_ESCAPED = re.compile(r"<(escape|start_function_call|end_function_call)(_*)_>")

# Pieces of a call, read leniently: white space may stand between them. They are possessive
# (`*+`) so that none is read twice, however long it is.
_HEAD = re.compile(rf"{START}\s*+call\s*+:\s*+(\w++)\s*+\{{")
_NAME = re.compile(r"\s*+(\w++)\s*+:\s*+")
_QUOTED = re.compile(rf"{QUOTE}(.*?){QUOTE}", re.DOTALL)
_BARE = re.compile(r"((?:[^,{}<]|,(?!\s*+\w++\s*+:))*+)")
_NEXT = re.compile(r"\s*+(?:,|(?=\}))")
_CLOSE = re.compile(r"\s*+\}")
_CUT_HEAD = re.compile(rf"{START}[\s\w:]*+\Z")
_CUT = re.compile(r"\s*+\w*+\s*+(?:<\w*+)?+\Z")


def escape(text: str) -> str:
    """Make text that holds the format's own markers safe to quote: `<escape>` -> `<escape_>`.

    One underscore is added to every marker, whatever number it has, so `unescape` undoes it
    exactly.
    """
    return _MARKER.sub(r"<\1\2_>", text)


def unescape(text: str) -> str:
    """Undo `escape`."""
    return _ESCAPED.sub(r"<\1\2>", text)


class Call(Format):
    """`<start_function_call>call:NAME{title:<escape>...<escape>,...}<end_function_call>`.

    Arguments are the task's inputs, then its fields, each a quoted string, as in the data
    FunctionGemma was fine-tuned on in seeds 000 and 001.
    """

    name = "call"

    def check(self, task: Task) -> None:
        """Raise `UserError` where a name or a value would break the syntax of a call."""
        for name in (task.function, *task.inputs, *task.fields):
            if not re.fullmatch(r"\w+", name):
                raise UserError(
                    f"Format 'call' writes names bare, and {name!r} of task '{task.name}' is not "
                    "made of letters, digits and underscores. Rename it, or use format 'json'."
                )
        for name, field in task.fields.items():
            for label in map(str, field.labels):
                if escape(label) != label or label.strip() != label:
                    raise UserError(
                        f"Format 'call' cannot quote {label!r}, a value of field '{name}' of task "
                        f"'{task.name}': it holds a marker of the format, or outer spaces. "
                        "Change the value, or use format 'json'."
                    )
        multi = {n: f for n, f in task.fields.items() if f.kind is FieldKind.MULTI_LABEL}
        check_listable(self.name, task, multi)

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask for a call of the task's function."""
        parameters = {name: f"The {spec.title} of the input" for name, spec in task.inputs.items()}
        for name, field in task.fields.items():
            parameters[name] = f"One of: {', '.join(str(v) for v in field.labels)}"
        function = Function(task.function, task.summary, parameters)
        return build_prompt(task, inputs, f"Call {task.function} with your answer.", function)

    def render(self, task: Task, labels: Mapping[str, Label], inputs: Mapping[str, str]) -> str:
        """Write the call with inputs and labels, in the task's order."""
        arguments = {name: escape(inputs[name]) for name in task.inputs}
        for name in task.fields:
            label = labels[name]
            arguments[name] = ", ".join(label) if isinstance(label, tuple) else str(label)
        return _write(task, arguments)

    def parse(self, task: Task, text: str) -> ParsedAnswer:
        """Strictly, the text is what `render` writes; leniently, the first call counts."""
        lenient = partial(_read_leniently, task, self.thoughts)
        return read_both(text, partial(_read_strictly, task), lenient, self.thoughts)

    def grammar(self, task: Task) -> Rules:
        """The canonical answers in GBNF."""
        rules: Rules = {"root": ""}
        parts = [literal(f"{START}call:{task.function}{{")]
        names = [*task.inputs, *task.fields]
        for number, name in enumerate(names):
            parts.append(literal(f"{',' if number else ''}{name}:{QUOTE}"))
            if name in task.inputs:
                parts.append("text")
            else:
                rule, field = f"field-{number - len(task.inputs)}", task.fields[name]
                texts = [str(label) for label in field.labels]
                parts.append(rule)
                if field.kind is FieldKind.MULTI_LABEL:
                    rules |= sets_of(rule, field, texts)
                else:
                    rules[rule] = choice_of(texts)
            parts.append(literal(QUOTE))
        rules["root"] = " ".join([*parts, literal(f"}}{END}")])
        return rules | text_without("text", (QUOTE, START, END))


class _Argument(NamedTuple):
    name: str
    text: str
    quoted: bool


def _write(task: Task, arguments: Mapping[str, str]) -> str:
    body = ",".join(f"{name}:{QUOTE}{text}{QUOTE}" for name, text in arguments.items())
    return f"{START}call:{task.function}{{{body}}}{END}"


def _read_strictly(task: Task, text: str) -> Prediction:
    if not text.startswith(START):
        raise ReadError(FailureReason.EXTRA_TEXT)
    arguments, end = _read_call(task, text, 0)
    rest = text[end:]
    if rest != END:
        cut = END.startswith(rest)
        raise ReadError(FailureReason.TRUNCATED if cut else FailureReason.EXTRA_TEXT, rest)
    order = [*task.inputs, *task.fields]
    check_keys([argument.name for argument in arguments], order)
    for argument in arguments:
        if not argument.quoted:
            raise ReadError(FailureReason.WRONG_TYPE, f"{argument.name}:{argument.text}")
    texts = {argument.name: argument.text for argument in arguments}
    if text != _write(task, {name: texts[name] for name in order}):
        raise ReadError(FailureReason.NOT_CANONICAL, text)
    prediction = _prediction(task, arguments)
    for name, value in prediction.fields.items():
        multi = task.fields[name].kind is FieldKind.MULTI_LABEL
        check_written(texts[name].split(", ") if multi else [texts[name]], value)
    return prediction


def _read_leniently(task: Task, thoughts: Thoughts, text: str) -> Prediction:
    def read(start: int) -> tuple[Prediction, int]:
        # What follows the closing brace, the end marker or not, is of no matter.
        arguments, end = _read_call(task, text, start)
        return _prediction(task, arguments), end

    return first_answer(text, START, read, thoughts)


def _prediction(task: Task, arguments: list[_Argument]) -> Prediction:
    fields = read_fields(task, [(argument.name, argument.text) for argument in arguments])
    # An input may be copied twice; reversed, so that the first copy is the one that stays.
    texts = {argument.name: argument.text for argument in reversed(arguments)}
    return Prediction(fields, {n: unescape(texts[n]) for n in task.inputs if n in texts})


def _read_call(task: Task, text: str, start: int) -> tuple[list[_Argument], int]:
    """Return the arguments of the call that starts here, and where its closing brace ends."""
    head = _HEAD.match(text, start)
    if head is None:
        cut = _CUT_HEAD.match(text, start)
        reason = FailureReason.TRUNCATED if cut else FailureReason.MALFORMED
        raise ReadError(reason, text[start : start + 200], start)
    if head[1] != task.function:
        raise ReadError(FailureReason.NO_ANSWER, head[0], head.end())
    arguments: list[_Argument] = []
    position = head.end()
    while not (close := _CLOSE.match(text, position)):
        name = _NAME.match(text, position)
        if name is None:
            raise _broken(text, position)
        quoted = text.startswith(QUOTE, name.end())
        value = (_QUOTED if quoted else _BARE).match(text, name.end())
        if value is None:
            raise ReadError(FailureReason.TRUNCATED, text[name.start() :], len(text))
        arguments.append(_Argument(name[1], value[1], quoted))
        following = _NEXT.match(text, value.end())
        if following is None:
            raise _broken(text, value.end())
        position = following.end()
    return arguments, close.end()


def _broken(text: str, position: int) -> ReadError:
    cut = _CUT.match(text, position)
    reason = FailureReason.TRUNCATED if cut else FailureReason.MALFORMED
    return ReadError(reason, text[position : position + 200], position)
