"""From a `Prompt` to token ids: the chat template, with untrusted text kept as text.

Training and inference both come through `Chat.encode_prompt` and `Chat.encode_answer`, so a
prompt cannot differ between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from evalkit.errors import UserError
from evalkit.records import Function, Prompt, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_USER, _ANSWER = "@@evalkit-user@@", "@@evalkit-answer@@"
_DECLARATION = "<start_function_declaration>"
_CALL_MARKERS = ("<start_function_call>", "<end_function_call>", "<escape>")


@dataclass(frozen=True)
class Chat:
    """A tokenizer and the way its model family lays out a turn."""

    tokenizer: PreTrainedTokenizerFast
    end_of_answer: int
    """Id of the token that ends the model's turn; training appends it to every answer."""
    stop_ids: frozenset[int]
    """Ids at which generation stops, `end_of_answer` among them."""

    def layout(self, prompt: Prompt) -> list[Span]:
        """The text the model reads, up to where its answer begins."""
        if prompt.function is not None and self._declares_functions:
            head = f"{_turn('developer', _function_gemma_system(prompt.function))}\n"
            instructions = prompt.instructions
            lead = Span(f"{instructions}\n\n", trusted=True)
            return [
                Span(f"{self.tokenizer.bos_token}{head}<start_of_turn>user\n", trusted=True),
                lead,
                *prompt.user,
                Span("<end_of_turn>\n<start_of_turn>model\n", trusted=True),
            ]
        instructions = prompt.instructions
        if prompt.function is not None:
            instructions += f"\n\n{describe_function(prompt.function)}"
        before, after = _apply_template(self.tokenizer, instructions).split(_USER)
        return [Span(before, trusted=True), *prompt.user, Span(after, trusted=True)]

    def prompt_sha256(self, prompt: Prompt) -> str:
        """SHA-256 of the laid-out text; hexadecimal.

        For an empty input it stands with each adapter and each run: where they differ, the
        adapter is asked in another way than it was taught.
        """
        return text_sha256(self.layout(prompt))

    def encode_prompt(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt. No untrusted character is part of a control token."""
        return encode_spans(self.tokenizer, self.layout(prompt))

    def encode_answer(self, text: str) -> list[int]:
        """Token ids of a canonical answer and the token that ends it.

        The call format's markers are control tokens where the model has them; anything else
        in an answer is text.
        """
        ids = encode_spans(self.tokenizer, [Span(text, trusted=False)], allowed=_CALL_MARKERS)
        return [*ids, self.end_of_answer]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, control tokens included, so that a format sees them."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    @property
    def _declares_functions(self) -> bool:
        return _DECLARATION in self.tokenizer.get_added_vocab()


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
    added = tokenizer.get_added_vocab()
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
        end = _end_of_turn(tokenizer)
    return Chat(tokenizer, end, frozenset({end, *stops}))


def encode_spans(
    tokenizer: PreTrainedTokenizerFast, spans: Sequence[Span], allowed: Iterable[str] = ()
) -> list[int]:
    """Tokenise spans as one text, with no control token inside an untrusted span.

    Ordinary text is tokenised in one piece, exactly as the tokenizer would by itself. Where an
    untrusted span spells a control token (`<|im_end|>` in a notification), the text is cut
    after that token's first character and the pieces are tokenised one by one, until none is
    left. White-space tokens and the `allowed` spellings are not control tokens.
    """
    text = "".join(span.text for span in spans)
    untrusted, position = [], 0
    for span in spans:
        if not span.trusted:
            untrusted.append((position, position + len(span.text)))
        position += len(span.text)
    added = tokenizer.get_added_vocab()
    control = {i for name, i in added.items() if name.strip() and name not in set(allowed)}
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


def _apply_template(
    tokenizer: PreTrainedTokenizerFast, instructions: str, answer: str | None = None
) -> str:
    """The chat template's text for one exchange, thinking switched off where it can be.

    `_USER` stands where the user's turn belongs.
    """
    failure: Exception | None = None
    layouts = [
        [{"role": "system", "content": instructions}, {"role": "user", "content": _USER}],
        # Templates that refuse a system role (Gemma 2), or leave it out without a word (the first
        # Phi-3), get the instructions in the user's turn.
        [{"role": "user", "content": f"{instructions}\n\n{_USER}"}],
    ]
    if not instructions:
        layouts = [[{"role": "user", "content": _USER}]]
    for messages in layouts:
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        try:
            text = tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=answer is None,
                enable_thinking=False,
            )
        except Exception as error:  # a template may raise whatever its author chose
            failure = error
            continue
        assert isinstance(text, str)
        once = [_USER] if answer is None else [_USER, answer]
        if instructions.strip() in text and all(text.count(part) == 1 for part in once):
            return text
        failure = ValueError("it leaves out or repeats what it is given")
    raise UserError(
        f"The chat template of {tokenizer.name_or_path} cannot be rendered: {failure}"
    ) from failure


def _end_of_turn(tokenizer: PreTrainedTokenizerFast) -> int:
    """The control token that the template writes right after an answer."""
    after = _apply_template(tokenizer, "x", _ANSWER).split(_ANSWER)[1]
    ids = tokenizer(after, add_special_tokens=False)["input_ids"]
    added = {i for name, i in tokenizer.get_added_vocab().items() if name.strip()}
    for token in ids:
        if token in added:
            return int(token)
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer of {tokenizer.name_or_path} has no end-of-turn token.")
    return int(tokenizer.eos_token_id)


def _turn(role: str, text: str) -> str:
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
