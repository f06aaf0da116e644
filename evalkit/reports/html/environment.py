"""How templates become a page: escaped throughout, whole in one file, closed to the network.

Charts are SVG with attributes for lengths: so they follow the theme, are read out by a screen
reader, need no script, and a page stays small. No element has a `style` attribute, which the page's
own Content-Security-Policy would not let pass.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from evalkit import __version__
from evalkit.locale import Speaker, phrases
from evalkit.printable import is_harmful, printable
from evalkit.reports import numbers
from evalkit.reports.strict_json import finite

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_OWN_SERVER = "connect-src 'self'; "
_JOINERS = "\u200c\u200d"
"""Zero-width, and part of ordinary words and emoji."""
_JOINT = re.compile(r"(?<=_)|(?=\[)")
_ENDS_A_SCRIPT = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def render(
    template: str,
    words: Speaker[Markup],
    *,
    title: str,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    data: Mapping[str, object] | None = None,
    contents: Sequence[tuple[str, str]] = (),
    live: str | None = None,
    **context: Any,
) -> str:
    """A whole page.

    Args:
        template: a file of `templates/`, which extends `base.html.j2`.
        words: says what is ours, in the page's language.
        title: of the page; may hold untrusted text.
        scripts: files of `assets/` that run once the page is there, in this order.
        styles: files of `assets/` behind `style.css`, for what only this page has.
        data: what the scripts read, by the id of the JSON block that holds it.
        contents: ids of the page's sections and their titles, for the line that stays in sight.
        live: of a page that `evalkit view` serves, the run it is of, or empty; None in a file.
        context: what the template shows. Strings are escaped; those that are not ours belong
            through the filter `text`, which also keeps their direction to themselves.
    """
    from markupsafe import Markup

    style = "\n".join(_asset(name) for name in ("style.css", *styles))
    at_once = _asset("theme.js")
    later = "\n".join(map(_asset, (*scripts, *(["live.js"] if live is not None else []))))
    said = {code[7:]: said for code, said in phrases(words.lang).items() if code[:7] == "script."}
    found = {**(data or {}), "says": said}
    return (
        _environment()
        .get_template(template)
        .render(
            title=printable(title, 200),
            lang=words.lang,
            words=words,
            version=__version__,
            contents=contents,
            live=live,
            policy=_content_security_policy(style, [at_once, later], live is not None),
            style=Markup(style),
            at_once=Markup(at_once),
            later=Markup(later),
            data={name: Markup(json_for_script(value)) for name, value in found.items()},
            **context,
        )
    )


def macros(template: str) -> Any:
    """The macros of a file of `templates/`, as functions that give `Markup`."""
    return _environment().get_template(template).module


def json_for_script(value: object) -> str:
    r"""Compact JSON that cannot end the script element it stands in.

    Numbers that JSON does not have become null.

    >>> json_for_script("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _ENDS_A_SCRIPT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def visible(text: str) -> str:
    r"""Write characters that steer or reorder text as escapes; line breaks and tabs stay.

    >>> visible("abc" + chr(0x202e) + "def")
    'abc\\u202edef'
    """
    if _is_plain(text):
        return text
    return "".join(c.encode("unicode_escape").decode() if _is_harmful(c) else c for c in text)


def text(value: object) -> Markup:
    """Untrusted text as an element: its direction stays its own, what is unseen is seen.

    A name may go on in the next line where one of its parts ends.
    """
    from markupsafe import Markup, escape

    shown = str(value)
    if _is_plain(shown):
        marked = str(escape(shown))
    else:
        marked = "".join(
            f'<span class="unseen">{c.encode("unicode_escape").decode()}</span>'
            if _is_harmful(c)
            else escape(c)
            for c in shown
        )
    return Markup(f"<bdi>{_JOINT.sub('<wbr>', marked)}</bdi>")


def _is_plain(text: str) -> bool:
    """Whether there is nothing to look for, as in most texts: looking takes long."""
    return text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()


def _is_harmful(character: str) -> bool:
    if character in "\n\t" or character in _JOINERS:
        return False
    return is_harmful(character)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: object) -> object:
        # Lone surrogates could not be written to a file, control characters not be read.
        return visible(value) if type(value) is str else value

    made = Environment(
        loader=PackageLoader("evalkit.reports.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["text"] = text
    made.filters |= {"number": numbers.number, "interval": numbers.interval}
    made.globals["Markup"] = Markup
    return made


@cache
def _asset(name: str) -> str:
    text = (resources.files("evalkit.reports.html") / "assets" / name).read_text("utf-8")
    assert "</" not in text, f"{name} could end the element it stands in"
    return text


def _content_security_policy(style: str, scripts: Sequence[str], is_live: bool) -> str:
    """Nothing is loaded, sent or run but what is written here; a live page asks its own server."""

    def hashed(content: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {hashed(style)}; "
        f"script-src {' '.join(hashed(script) for script in scripts)}; "
        f"{_OWN_SERVER * is_live}img-src data:; base-uri 'none'; form-action 'none'"
    )
