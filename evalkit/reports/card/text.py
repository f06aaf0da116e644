"""A system's model card: the `README.md` that the Hugging Face Hub shows.

There is one card. Training writes it without figures; `evalkit card` adds what the gates said: the
sections of the run's report. Whatever the template is given is escaped, so that it stays text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from evalkit.printable import printable
from evalkit.reports.card.metadata import describe_subject
from evalkit.reports.card.subject import Subject, shown_source
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.markdown import Markdown, escaped, to_markdown
from evalkit.reports.sections.run import facts, run_sections

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData
    from jinja2 import Template


def training_card(provenance: Mapping[str, Any], plotted: bool) -> str:
    """The card of an adapter that was just trained, made of its provenance: no gate has spoken.

    `plotted` says whether `loss.png` lies beside it.
    """
    said = provenance
    subject = Subject(said["system"], said["task"], said["format"], said["base"])
    metadata = describe_subject(subject, provenance)
    return render_card(subject, metadata, provenance, plotted=plotted)


def render_card(
    subject: Subject,
    metadata: ModelCardData,
    provenance: Mapping[str, Any] | None,
    *,
    plotted: bool,
    judged: JudgedRun | None = None,
    repo: str = "",
) -> str:
    """Write a card: front matter and text, with the figures of a judged run where there is one.

    `plotted` says whether `loss.png` lies beside it, `repo` where the adapter lies on the Hub.
    """
    said, run, hub = provenance or {}, judged and _without_folders(judged), subject.base_on_hub
    recipe = said.get("recipe") or {}
    sections = run_sections(run) if run else {}
    base = "base"
    if hub is not None:
        name, revision = hub
        # A JSON string is a Python string.
        base = json.dumps(name) + (f", revision={json.dumps(revision)}" if revision else "")
    return _template().render(
        metadata=Markdown(metadata.to_yaml()),
        subject=subject,
        said=said,
        recipe=recipe,
        lora=subject.base and recipe.get("lora"),
        plotted=plotted,
        run=run,
        facts=Markdown(to_markdown(facts(run))) if run else "",
        sections={name: Markdown(to_markdown(found)) for name, found in sections.items()},
        hub=hub,
        base=Markdown(base),
        base_as_comment=Markdown(printable(subject.base or "")),
        adapter=Markdown(json.dumps(repo or ".")),
    )


def _without_folders(run: JudgedRun) -> JudgedRun:
    """The same without the folders of somebody's machine."""
    record = run.evaluation.record
    data = record.data.to_json() | {"source": shown_source(record.data.source)}
    return replace(run, evaluation=replace(run.evaluation, record=record.having(data=data)))


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader

    made = Environment(
        loader=PackageLoader("evalkit.reports.card", "."),
        autoescape=False,  # it is Markdown: `finalize` escapes
        finalize=lambda found: found if isinstance(found, Markdown) else escaped(found),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["md"] = lambda text, width: Markdown(escaped(text, width))
    return made.get_template("card.md.j2")
