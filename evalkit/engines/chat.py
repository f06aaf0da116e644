"""From a `Prompt` to token ids: the chat template, with untrusted text kept as text.

Training and inference both come through `Chat.encode_prompt` and `Chat.encode_answer`, so a
prompt cannot differ between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from evalkit.engines.control_tokens import control_tokens
from evalkit.engines.deadline import deadline
from evalkit.errors import UserError
from evalkit.records import Function, Prompt, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_USER, _ANSWER = "@@evalkit-user@@", "@@evalkit-answer@@"
_SPACE = "\v"
"""White space that no template writes of itself."""
_DECLARATION = "<start_function_declaration>"
_CALL_MARKERS = frozenset({"<start_function_call>", "<end_function_call>", "<escape>"})
LONGEST_RENDERING = 10.0
"""Seconds. A chat template takes milliseconds; one that takes this long has no end."""


class _Turn(NamedTuple):
    """What a chat template writes around the user's text."""

    before: str
    after: str
    holds_instructions: bool
    """Whether the instructions stand in `before`; otherwise the user has to be told."""
    trims: tuple[bool, bool]
    """Whether white space before the user's text is left out, and behind it."""


@dataclass(frozen=True)
class Chat:
    """A tokenizer and the way its model family lays out a turn."""

    tokenizer: PreTrainedTokenizerFast
    end_of_answer: int
    """Id of the token that ends the model's turn; training appends it to every answer."""
    stop_ids: frozenset[int]
    """Ids at which generation stops, `end_of_answer` among them."""

    _turns: dict[str, _Turn] = field(default_factory=dict, repr=False, compare=False)
    """Instructions -> what stands around a user's text."""

    def layout(self, prompt: Prompt) -> list[Span]:
        """The text the model reads, up to where its answer begins."""
        if prompt.function is not None and self._declares_functions:
            head = _gemma_turn("developer", _function_gemma_system(prompt.function))
            turn = _Turn(
                f"{self.tokenizer.bos_token}{head}\n<start_of_turn>user\n",
                "<end_of_turn>\n<start_of_turn>model\n",
                holds_instructions=False,
                trims=(True, True),
            )
            instructions = prompt.instructions
        else:
            instructions = instructions_of(prompt)
            turn = self._turn(instructions)
        user = prompt.user
        if not turn.holds_instructions:
            user = (Span(f"{instructions}\n\n", trusted=True), *user)
        return [
            Span(turn.before, trusted=True),
            *_trimmed(user, *turn.trims),
            Span(turn.after, trusted=True),
        ]

    def takes_messages(self, prompt: Prompt) -> bool | None:
        """Whether the template lays a prompt out from messages as `layout` does.

        True with the instructions as the system's turn, False with them in the user's, None
        where a server that has the template and nothing else could not lay it out.
        """
        if prompt.function is not None and self._declares_functions:
            return None
        return self._turn(instructions_of(prompt)).holds_instructions

    def _turn(self, instructions: str) -> _Turn:
        if instructions not in self._turns:
            self._turns[instructions] = _user_turn(self.tokenizer, instructions)
        return self._turns[instructions]

    def prompt_sha256(self, prompt: Prompt) -> str:
        """SHA-256 of the laid-out text; hexadecimal.

        For an empty input it stands with each adapter and each run: where they differ, the
        adapter is asked in another way than it was taught.
        """
        return text_sha256(self.layout(prompt))

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt. No untrusted character is part of a control token."""
        return encode_spans(self.tokenizer, self.layout(prompt), self._control_ids)

    def encode_answer(self, text: str) -> list[int]:
        """Token ids of a canonical answer and the token that ends it.

        The call format's markers are control tokens where the model has them; anything else
        in an answer is text.
        """
        spans = [Span(text, trusted=False)]
        return [*encode_spans(self.tokenizer, spans, self._ids_in_answers), self.end_of_answer]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, control tokens included, so that a format sees them."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    @cached_property
    def _control(self) -> dict[str, int]:
        return control_tokens(self.tokenizer)

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(self._control.values())

    @cached_property
    def _ids_in_answers(self) -> frozenset[int]:
        """Control tokens but for those of a call."""
        return frozenset(i for name, i in self._control.items() if name not in _CALL_MARKERS)

    @property
    def _declares_functions(self) -> bool:
        return _DECLARATION in self._control


def build_chat(tokenizer: PreTrainedTokenizerFast, eos_ids: Iterable[int] = ()) -> Chat:
    """Find how a model's turns end.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        eos_ids: the end-of-sequence ids of the model's generation config.

    Raises:
        UserError: no chat template, or a slow tokenizer.
    """
    if not tokenizer.is_fast:
        raise UserError(f"The tokenizer of {tokenizer.name_or_path} has no tokenizer.json.")
    added = control_tokens(tokenizer)
    stops = {i for i in (*eos_ids, tokenizer.eos_token_id) if i is not None}
    if _DECLARATION in added:
        # FunctionGemma hands over to the caller with this token after a call, and was trained
        # to stop there rather than at the end of the turn.
        end = added["<start_function_response>"]
        stops.add(added["<end_of_turn>"])
    else:
        if not tokenizer.chat_template:
            raise UserError(
                f"The tokenizer of {tokenizer.name_or_path} has no chat template. evalkit needs"
                " an instruction-tuned base; add chat_template.jinja beside its tokenizer.json."
            )
        end = _end_of_turn(tokenizer, added)
    return Chat(tokenizer, end, frozenset({end, *stops}))


def encode_spans(
    tokenizer: PreTrainedTokenizerFast, spans: Sequence[Span], control: Iterable[int]
) -> list[int]:
    """Tokenise spans as one text, with no control token inside an untrusted span.

    Ordinary text is tokenised in one piece, exactly as the tokenizer would by itself. Where an
    untrusted span spells a control token (`<|im_end|>` in a notification), the text is cut
    after that token's first character and the pieces are tokenised one by one, until none is
    left.

    Args:
        tokenizer: makes ids of text.
        spans: of one text.
        control: ids of control tokens.
    """
    text = "".join(span.text for span in spans)
    untrusted, position = [], 0
    for span in spans:
        if not span.trusted:
            untrusted.append((position, position + len(span.text)))
        position += len(span.text)
    control = frozenset(control)
    cuts: set[int] = set()
    while True:
        ids: list[int] = []
        found: set[int] = set()
        edges = [0, *sorted(cuts), len(text)]
        for start, end in pairwise(edges):
            piece = tokenizer(
                text[start:end], add_special_tokens=False, return_offsets_mapping=True
            )
            ids += piece["input_ids"]
            for token, (a, b) in zip(piece["input_ids"], piece["offset_mapping"], strict=True):
                if token in control and b - a > 1 and _overlaps(start + a, start + b, untrusted):
                    found.add(start + a + 1)
        if not found - cuts:
            return ids
        cuts |= found


def text_sha256(spans: Iterable[Span]) -> str:
    """SHA-256 of the spans' text; hexadecimal."""
    return hashlib.sha256("".join(span.text for span in spans).encode()).hexdigest()


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest prefix that all sequences share; 0 for none."""
    if not sequences:
        return 0
    # What the smallest and the largest share, all those between them share too.
    rows = [list(sequence) for sequence in sequences]
    first, last = min(rows), max(rows)
    for index, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return index
    return min(len(first), len(last))


def _overlaps(start: int, end: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(start < b and a < end for a, b in ranges)


def instructions_of(prompt: Prompt) -> str:
    """What stands before the input, a function described in words."""
    if prompt.function is None:
        return prompt.instructions
    return f"{prompt.instructions}\n\n{describe_function(prompt.function)}"


def _user_turn(tokenizer: PreTrainedTokenizerFast, instructions: str) -> _Turn:
    """Ask the chat template for a user's turn, thinking switched off where it can be.

    Raises:
        UserError: it cannot be rendered.
    """
    text, holds_instructions = _apply_template(tokenizer, instructions, f"{_SPACE}{_USER}{_SPACE}")
    before, after = text.split(_USER)
    trims = not before.endswith(_SPACE), not after.startswith(_SPACE)
    before, after = before.removesuffix(_SPACE), after.removeprefix(_SPACE)
    return _Turn(before, after, holds_instructions, trims)


def _trimmed(spans: Sequence[Span], before: bool, behind: bool) -> Iterator[Span]:
    """The spans of a text without the white space around it."""
    text = "".join(span.text for span in spans)
    start = len(text) - len(text.lstrip()) if before else 0
    end = len(text.rstrip()) if behind else len(text)
    for span in spans:
        yield Span(span.text[max(0, start) : max(0, end)], span.trusted)
        start, end = start - len(span.text), end - len(span.text)


def _apply_template(
    tokenizer: PreTrainedTokenizerFast, instructions: str, user: str, answer: str | None = None
) -> tuple[str, bool]:
    """The chat template's text for one exchange, and whether it holds the instructions."""
    failure: Exception | None = None
    in_user_turn = [{"role": "user", "content": user}]
    # Templates that refuse a system role (Gemma 2), or leave it out without a word (the first
    # Phi-3), get the instructions in the user's turn.
    layouts = [in_user_turn]
    if instructions:
        layouts.insert(0, [{"role": "system", "content": instructions}, *in_user_turn])
    for messages in layouts:
        said = [] if answer is None else [{"role": "assistant", "content": answer}]
        try:
            with deadline(LONGEST_RENDERING):
                text = tokenizer.apply_chat_template(
                    [*messages, *said],
                    tokenize=False,
                    add_generation_prompt=answer is None,
                    enable_thinking=False,
                )
        except Exception as error:  # a template may raise whatever its author chose
            failure = error
            continue
        assert isinstance(text, str)
        once = [user.strip()] if answer is None else [user.strip(), answer]
        has_system = messages is not in_user_turn
        if all(text.count(part) == 1 for part in once) and (
            not has_system or instructions.strip() in text
        ):
            return text, has_system or not instructions
        failure = ValueError("it leaves out or repeats what it is given")
    raise UserError(
        f"The chat template of {tokenizer.name_or_path} cannot be rendered: {failure}"
    ) from failure


def _end_of_turn(tokenizer: PreTrainedTokenizerFast, control: Mapping[str, int]) -> int:
    """The control token that the template writes right after an answer."""
    text, _ = _apply_template(tokenizer, "x", _USER, _ANSWER)
    ids = tokenizer(text.split(_ANSWER)[1], add_special_tokens=False)["input_ids"]
    for token in ids:
        if token in control.values():
            return int(token)
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer of {tokenizer.name_or_path} has no end-of-turn token.")
    return int(tokenizer.eos_token_id)


def _gemma_turn(role: str, text: str) -> str:
    return f"<start_of_turn>{role}\n{text}<end_of_turn>"


def _function_gemma_system(function: Function) -> str:
    return (
        "You are a model that can do function calling with the following functions"
        f"{declaration(function)}"
    )


def declaration(function: Function) -> str:
    """FunctionGemma's declaration of a function whose parameters are required strings.

    Bytes as in the outputs of Google's FunctionGemma notebooks: no separators, strings between
    `<escape>` marks without JSON escapes, types in capitals, properties sorted by name,
    `required` in the given order.
    """
    properties = ",".join(
        f"{name}:{{description:<escape>{text}<escape>,type:<escape>STRING<escape>}}"
        for name, text in sorted(function.parameters.items())
    )
    required = ",".join(f"<escape>{name}<escape>" for name in function.parameters)
    return (
        f"{_DECLARATION}declaration:{function.name}{{"
        f"description:<escape>{function.description}<escape>,"
        f"parameters:{{properties:{{{properties}}},required:[{required}],"
        "type:<escape>OBJECT<escape>}}<end_function_declaration>"
    )


def describe_function(function: Function) -> str:
    """The same for a model that has no declaration tokens: a worked shape, in plain text."""
    arguments = ",".join(f"{name}:<escape>...<escape>" for name in function.parameters)
    lines = [f"- {name}: {text}" for name, text in function.parameters.items()]
    return "\n".join(
        [
            f"Function {function.name}: {function.description}",
            *lines,
            "Write the call like this:",
            f"<start_function_call>call:{function.name}{{{arguments}}}<end_function_call>",
        ]
    )
