"""Which tokens of a vocabulary steer a model, and which only spell text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_HTML = re.compile(
    r"</?(?:h[1-6]|"
    r"a|abbr|address|area|article|aside|b|base|bdi|bdo|blockquote|body|br|button|"
    r"caption|cite|code|col|colgroup|dd|del|details|div|dl|dt|em|embed|fieldset|"
    r"figcaption|figure|footer|form|head|header|hr|html|i|iframe|img|input|ins|"
    r"kbd|label|legend|li|link|main|map|mark|meta|nav|ol|option|p|param|picture|"
    r"pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|"
    r"sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|time|title|tr|"
    r"tt|u|ul|var|video"
    r")>",
    re.IGNORECASE,
)
"""Elements of HTML. Gemma has tags of many among its added tokens, as `<b>` and `</b>`."""


def control_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """The added tokens that mean something to a model: text of a stranger may spell none of them.

    Not white space (Gemma has runs of line feeds and of spaces, which its normaliser writes as
    U+2581) nor tags of HTML, unless the tokenizer calls them special.
    """
    return {
        token.content: number
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.special or not _is_text(token.content)
    }


def _is_text(name: str) -> bool:
    return not name.replace("▁", " ").strip() or _HTML.fullmatch(name) is not None
