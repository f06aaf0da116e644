"""The engine against transformers' own generate, on the same model, prompts and stop tokens.

    python benchmarks/decoding.py --model smollm2-3level --rows 32

Three ways in one run: `model.generate` one prompt at a time, `model.generate` on left-padded
batches, and evalkit's engine (shared prefix, sorted batches). Reports rows per second, the
ratios, and how many rows differ from the first way. With `--device cuda` the same script runs
on a GPU, with `--quantization nf4` over 4-bit weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from evalkit.data import load_dataset
from evalkit.engines.building import EngineOptions, build_engine
from evalkit.engines.transformers_engine import SLACK_TOKENS, TransformersEngine
from evalkit.evaluation import build_requests
from evalkit.records import Request
from evalkit.systems import load_system

Answers = list[tuple[int, ...]]


def generate(engine: TransformersEngine, requests: list[Request], batch_size: int) -> Answers:
    """Answers by `model.generate`, without stop tokens."""
    chat, model = engine.chat, engine.model
    prompts = [chat.encode_prompt(request.prompt) for request in requests]
    longest = max(len(chat.encode_answer(r.longest_answer)) for r in requests) + SLACK_TOKENS
    answers: Answers = []
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        width = max(map(len, batch))
        ids = torch.tensor([[chat.end_of_answer] * (width - len(p)) + p for p in batch])
        seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in batch])
        out = model.generate(  # type: ignore[operator]
            input_ids=ids.to(model.device),
            attention_mask=seen.to(model.device),
            do_sample=False,
            max_new_tokens=longest,
            eos_token_id=sorted(chat.stop_ids),
            pad_token_id=chat.end_of_answer,
        )
        for row in out[:, width:].tolist():
            stop = next((i for i, t in enumerate(row) if t in chat.stop_ids), len(row))
            answers.append(tuple(row[:stop]))
    return answers


def timed(run: Callable[[], Answers]) -> tuple[Answers, float]:
    """What a way answers, and its seconds."""
    started = time.perf_counter()
    answers = run()
    return answers, time.perf_counter() - started


def main() -> None:
    """Run the three ways and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2-3level")
    parser.add_argument("--data", default="fixtures/notifications/test.jsonl")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--quantization", choices=["none", "nf4"])
    options = parser.parse_args()
    system = load_system(options.model)
    if options.quantization:
        changed = system.config.model_copy(update={"quantization": options.quantization})
        system = replace(system, config=changed)
    engine = build_engine(
        system, EngineOptions(options.device, options.precision, options.batch_size)
    )
    if not isinstance(engine, TransformersEngine):
        parser.error(f"{system.name} runs no model")
    source = str(Path(options.data))
    dataset = load_dataset(source, system.task, limit=options.rows)
    requests = build_requests(system.task, system.format, dataset.examples)

    def with_engine() -> Answers:
        found = dict(engine.complete(requests))
        return [found[request.id].token_ids for request in requests]

    generate(engine, requests[:2], 1)  # warms up
    single, single_seconds = timed(lambda: generate(engine, requests, 1))
    batched, batched_seconds = timed(lambda: generate(engine, requests, options.batch_size))
    ours, our_seconds = timed(with_engine)
    show = Console(highlight=False).print
    settings = ", ".join(f"{key} {value}" for key, value in engine.describe().items())
    show(f"{system.name}, {len(requests)} rows, {settings}")
    for name, answers, seconds in (
        ("generate, one at a time", single, single_seconds),
        (f"generate, batches of {options.batch_size}", batched, batched_seconds),
        ("evalkit", ours, our_seconds),
    ):
        differ = sum(a != b for a, b in zip(answers, single, strict=True))
        show(
            f"{name:26} {len(requests) / seconds:7.2f} rows/s  "
            f"{single_seconds / seconds:5.2f} x  {differ} rows differ from the first"
        )


if __name__ == "__main__":
    main()
