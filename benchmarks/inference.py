"""evalkit's engine against `model.generate` and lm-evaluation-harness, in one go.

    pip install -c constraints.txt -e .[bench]
    python benchmarks/inference.py --data fixtures/notifications/test.jsonl --limit 500
    python benchmarks/inference.py --data ... --limit 2000 --device cuda --shape qwen3-0.6b
    python benchmarks/inference.py --peer llama.cpp --quantization Q4_K_M

Every side gets the same weights (the adapter merged into them), the same prompts, stop tokens,
batch size and longest answer, and sorts its batches by length. Each runs in a process of its own,
so that peak memory is its own; loading and a first small batch are not timed.

`passes` counts the forward passes a row takes part in. `tokens` is how many of them a row takes
there, padding and a prefix that is run once included. `of peak` is the rate of the trunk's matrix
products, padding included, as a share of the rate at which the machine multiplies large bf16
matrices. Where answers differ from evalkit's, `margins` says how near those were to another: the
least distance of a chosen token's logit from the next one's.

`--peer llama.cpp` asks llama.cpp's own server the same messages. Its file is made of the same
merged weights as `--quantization` says, and each of its slots keeps the prompts' common prefix.
`--peer vllm` asks vLLM, where it is installed, with its prefix cache on. Their lines say what bits
the weights have and where the prefix is kept; passes are not counted.

`--shape qwen3-0.6b` makes a model of that size from random numbers and teaches it for a minute to
answer with the labels of the rows, so that it writes what a trained model writes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import PreTrainedModel

from evalkit.data import load_dataset
from evalkit.engines.chat import Chat, build_chat
from evalkit.engines.loading import attach_adapter, choose_device, load_base, load_tokenizer
from evalkit.engines.matmul_rate import matmul_rate
from evalkit.engines.transformers_engine import SLACK_TOKENS, TransformersEngine
from evalkit.environment import peak_memory
from evalkit.evaluation import build_requests
from evalkit.records import Request
from evalkit.systems import System, load_system, missing_parts
from shapes import SHAPES, random_model

SIDES = {"evalkit": "evalkit", "generate": "model.generate", "lm-eval": "lm-eval"}
PEERS = {"llama.cpp": "llama.cpp", "vllm": "vLLM"}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Answers = list[tuple[str, float | None]]
"""Text and, where it is known, margin, in the order of the requests."""


def requests_of(system: System, options: argparse.Namespace) -> list[Request]:
    """What every side is asked."""
    dataset = load_dataset(str(options.data), system.task, limit=options.limit)
    return list(build_requests(system.task, system.format, dataset.examples))


def prepare(system: System, options: argparse.Namespace, folder: Path) -> None:
    """Write the weights that every side loads."""
    if parts := missing_parts(system):
        raise SystemExit("\n".join(parts))
    assert system.source is not None
    base = system.source.locate()
    assert base is not None
    tokenizer = load_tokenizer(base)
    tokenizer.save_pretrained(folder)
    device, dtype = choose_device(options.device), DTYPES[options.precision]
    if options.shape == "system":
        model: Any = load_base(base, device=torch.device("cpu"), dtype=dtype)
        if system.adapter_folder:
            model = attach_adapter(model, system.adapter_folder).merge_and_unload()  # type: ignore[operator]
    else:
        chat = build_chat(tokenizer)
        # Qwen's own vocabulary is larger than this tokenizer's, and its head costs as much.
        model = random_model(options.shape, len(tokenizer), chat.end_of_answer)
        model.to(device)
        teach(model, chat, system, options)
    model.to(dtype).save_pretrained(folder)


def teach(model: Any, chat: Chat, system: System, options: argparse.Namespace) -> None:
    """Teach a model of random numbers to write canonical answers."""
    rows = load_dataset(str(options.data), system.task, limit=options.limit).examples
    pairs = [
        (
            chat.encode_prompt(system.format.prompt(system.task, row.inputs)),
            chat.encode_answer(system.format.render(system.task, row.labels, row.inputs)),
        )
        for row in rows
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.teaching_rate)
    for step in range(options.teaching_steps):
        batch = [pairs[(16 * step + i) % len(pairs)] for i in range(min(16, len(pairs)))]
        width = max(len(prompt) + len(answer) for prompt, answer in batch)
        ids, labels = torch.zeros(2, len(batch), width, dtype=torch.long, device=model.device)
        labels -= 100
        for i, (prompt, answer) in enumerate(batch):
            end = len(prompt) + len(answer)
            ids[i, :end] = torch.tensor(prompt + answer)
            labels[i, len(prompt) : end] = torch.tensor(answer)
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def with_evalkit(
    model: PreTrainedModel, chat: Chat, batch_size: int
) -> Callable[[Sequence[Request]], Answers]:
    """Answer with evalkit's engine, which counts its passes: rows may be packed into one."""
    engine = TransformersEngine(model, chat, batch_size)

    def answer(requests: Sequence[Request]) -> Answers:
        engine.passes = 0
        found = dict(engine.complete(requests))
        answer.passes = engine.passes  # type: ignore[attr-defined]
        return [(found[r.id].text, found[r.id].margin) for r in requests]

    return answer


def with_generate(
    model: PreTrainedModel, chat: Chat, batch_size: int
) -> Callable[[Sequence[Request]], Answers]:
    """Answer with `model.generate` on left-padded batches, longest prompts first."""
    generate: Any = model.generate

    def answer(requests: Sequence[Request]) -> Answers:
        prompts = [chat.encode_prompt(request.prompt) for request in requests]
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        texts: dict[int, str] = {}
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            width = max(len(prompts[i]) for i in batch)
            gaps = [width - len(prompts[i]) for i in batch]
            padded = [
                [chat.end_of_answer] * g + prompts[i] for g, i in zip(gaps, batch, strict=True)
            ]
            out = generate(
                input_ids=torch.tensor(padded, device=model.device),
                attention_mask=torch.tensor(
                    [[0] * g + [1] * (width - g) for g in gaps], device=model.device
                ),
                do_sample=False,
                max_new_tokens=longest(chat, requests),
                eos_token_id=sorted(chat.stop_ids),
                pad_token_id=chat.end_of_answer,
            )
            for i, ids in zip(batch, out[:, width:].tolist(), strict=True):
                stop = next((at for at, t in enumerate(ids) if t in chat.stop_ids), len(ids))
                texts[i] = chat.decode(ids[:stop])
        return [(texts[i], None) for i in range(len(requests))]

    return answer


def with_lm_eval(
    model: PreTrainedModel, chat: Chat, batch_size: int
) -> Callable[[Sequence[Request]], Answers]:
    """Answer with lm-evaluation-harness: a task of these prompts, made on the spot."""
    import datasets  # type: ignore[import-untyped]
    from lm_eval import simple_evaluate
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=model,
        tokenizer=chat.tokenizer,
        batch_size=batch_size,
        device=str(model.device),
        add_bos_token=False,
    )
    stops = [chat.decode([token]) for token in sorted(chat.stop_ids)]

    def answer(requests: Sequence[Request]) -> Answers:
        texts = ["".join(s.text for s in chat.layout(request.prompt)) for request in requests]
        for text, request in zip(texts, requests, strict=True):
            assert harness.tok_encode(text) == chat.encode_prompt(request.prompt), "same tokens"
        rows = [{"prompt": text, "answer": ""} for text in texts]
        task = ConfigurableTask(
            config={
                "task": "same_prompts",
                "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
                "test_split": "test",
                "output_type": "generate_until",
                "doc_to_text": "{{prompt}}",
                "doc_to_target": "{{answer}}",
                "target_delimiter": "",
                "generation_kwargs": {
                    "until": stops,
                    "max_gen_toks": longest(chat, requests),
                    "do_sample": False,
                },
                "metric_list": [{"metric": "exact_match"}],
            }
        )
        found = simple_evaluate(model=harness, tasks=[task], bootstrap_iters=0)
        assert found is not None
        samples = sorted(found["samples"]["same_prompts"], key=lambda sample: sample["doc_id"])
        return [(sample["resps"][0][0], None) for sample in samples]

    return answer


def ask_llama_cpp(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The answers and figures of llama.cpp's server, on a file made of the same weights."""
    from evalkit.engines.llamacpp import LlamaCppEngine, check_installed
    from evalkit.engines.places import LlamaCpp
    from evalkit.exports.gguf_folder import write_gguf

    check_installed()
    kind = options.quantization
    file = folder / f"{kind}.gguf"
    model = load_base(folder, device=torch.device("cpu"), dtype=torch.float32)
    eos = model.generation_config.eos_token_id if model.generation_config else None
    ends = eos if isinstance(eos, list) else [] if eos is None else [eos]
    write_gguf(model, build_chat(load_tokenizer(folder), ends), file, kind, "same-weights")
    slots = min(8, options.batch_size)
    reach = min(4096, model.config.max_position_embeddings)
    del model
    place = LlamaCpp(file=file.name, context=reach, parallel=slots)
    engine = LlamaCppEngine(place, folder)
    found = timed(engine.complete, requests_of(load_system(options.model), options))
    return {**found, "weights": kind, "prefix": f"cached in each of {slots} slots"}


def ask_vllm(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The answers and figures of vLLM, on the same tokens."""
    try:
        from vllm import LLM, SamplingParams  # type: ignore[import-not-found]
    except ImportError as error:
        raise SystemExit(
            "vLLM is not installed: pip install vllm, on a machine it is for."
        ) from error
    chat = build_chat(load_tokenizer(folder))
    model = LLM(str(folder), dtype={"fp32": "float32", "bf16": "bfloat16"}[options.precision])

    def complete(requests: Sequence[Request]) -> list[tuple[str, Any]]:
        sampling = SamplingParams(
            temperature=0.0,
            max_tokens=longest(chat, requests),
            stop_token_ids=sorted(chat.stop_ids),
        )
        prompts = [{"prompt_token_ids": chat.encode_prompt(r.prompt)} for r in requests]
        done = model.generate(prompts, sampling, use_tqdm=False)
        return [(r.id, one.outputs[0]) for r, one in zip(requests, done, strict=True)]

    found = timed(complete, requests_of(load_system(options.model), options))
    return {**found, "weights": options.precision, "prefix": "cached"}


def timed(complete: Callable[[Sequence[Request]], Any], requests: list[Request]) -> dict[str, Any]:
    """What a peer answers and how long it takes, behind a first two rows."""
    dict(complete(requests[:2]))
    started = time.perf_counter()
    said = dict(complete(requests))
    seconds = time.perf_counter() - started
    # Where no answer came, its reason stands in its place, and differs.
    texts = [getattr(said[r.id], "text", f"unanswered: {said[r.id]}") for r in requests]
    return {
        "answers": [(text, None) for text in texts],
        "seconds": seconds,
        "memory": peak_memory(),
    }


def longest(chat: Chat, requests: Sequence[Request]) -> int:
    """How many tokens an answer may have."""
    return max(len(chat.encode_answer(r.longest_answer)) for r in requests) + SLACK_TOKENS


def run_side(side: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One side's answers and figures."""
    if side in PEERS:
        return ask_llama_cpp(folder, options) if side == "llama.cpp" else ask_vllm(folder, options)
    device = choose_device(options.device)
    model = load_base(folder, device=device, dtype=DTYPES[options.precision])
    config = model.generation_config
    eos = config.eos_token_id if config else None
    ends = [] if eos is None else eos if isinstance(eos, list) else [eos]
    chat = build_chat(load_tokenizer(folder), ends)
    made = {"evalkit": with_evalkit, "generate": with_generate, "lm-eval": with_lm_eval}
    answer = made[side](model, chat, options.batch_size)
    requests = requests_of(load_system(options.model), options)
    answer(requests[:2])
    fed: list[tuple[int, int]] = []

    def count(_: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids: Any = named.get("input_ids", arguments[0] if arguments else None)
        fed.append(ids.shape)

    trunk: Any = model.base_model
    trunk.register_forward_pre_hook(count, with_kwargs=True)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    answers = answer(requests)
    seconds = time.perf_counter() - started
    passes, tokens = sum(rows for rows, _ in fed), sum(rows * width for rows, width in fed)
    weights = sum(m.weight.numel() for m in trunk.modules() if type(m) is torch.nn.Linear)
    return {
        "answers": answers,
        "seconds": seconds,
        "passes": getattr(answer, "passes", passes) / len(requests),
        "tokens": tokens / len(requests),
        "work": 2 * weights * tokens,
        "memory": peak_memory(),
    }


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("fixtures/notifications/test.jsonl"))
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--model", default="smollm2-3level", help="a system")
    parser.add_argument("--shape", default="system", choices=["system", *SHAPES])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--precision", default="bf16", choices=list(DTYPES))
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--peer", action="append", default=[], choices=list(PEERS))
    parser.add_argument("--quantization", default="F16", choices=["F16", "Q8_0", "Q4_K_M"])
    parser.add_argument("--teaching-steps", type=int, default=300)
    parser.add_argument("--teaching-rate", type=float, default=2e-4)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run every side and print them one below the other."""
    options = parsed()
    if options.side:
        found = run_side(options.side, options.weights, options)
        # lm-eval writes to standard output.
        (options.weights / f"{options.side}.json").write_text(json.dumps(found))
        return
    show = Console(highlight=False, soft_wrap=True).print
    rate = matmul_rate(choose_device(options.device))
    show(f"bf16 matrix products: {rate / 1e9:,.0f} GFLOP/s")
    show(
        f"{'':16} {'rows/s':>8} {'ratio':>6} {'passes':>7} {'tokens':>7} {'peak GB':>8} "
        f"{'of peak':>8} {'differ':>7}  margins"
    )
    ours: dict[str, Any] | None = None
    figures: dict[str, Any] = {"matmul_rate": rate, "rows": options.limit}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(load_system(options.model), options, folder)
        names = SIDES | PEERS
        for side in [*options.sides, *options.peer]:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--weights", place]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                show(f"{names[side]:16} did not run: {last}", markup=False)
                continue
            found = json.loads((folder / f"{side}.json").read_text())
            ours = found if side == "evalkit" else ours
            show(line(names[side], found, ours, rate))
            figures[side] = {key: value for key, value in found.items() if key != "answers"}
            figures[side]["differ"] = len(differing(ours, found)) if ours else None
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def line(name: str, found: dict[str, Any], ours: dict[str, Any] | None, rate: float) -> str:
    """One side's figures; `ratio` is how many times as fast evalkit is."""
    rows = len(found["answers"])
    memory = found["memory"].get("cuda", found["memory"].get("process", 0)) / 1e9
    text = f"{name:16} {rows / found['seconds']:8.2f}"
    text += f" {found['seconds'] / ours['seconds']:6.2f}" if ours else f" {'':6}"
    if "work" in found:
        text += f" {found['passes']:7.2f} {found['tokens']:7.1f} {memory:8.2f}"
        text += f" {found['work'] / found['seconds'] / rate:8.0%}"
    else:
        text += f" {'':7} {'':7} {'':8} {'':8}"
    if ours is None or found is ours:
        return text
    if "work" not in found:
        differ = len(differing(ours, found))
        return f"{text} {differ:7}  weights {found['weights']}, prefix {found['prefix']}"
    margins = differing(ours, found)
    return f"{text} {len(margins):7}  {' '.join(f'{margin:.3f}' for margin in margins)}"


def differing(ours: dict[str, Any], found: dict[str, Any]) -> list[float]:
    """How near to another each of our answers was that is not theirs."""
    return sorted(
        our[1]
        for our, their in zip(ours["answers"], found["answers"], strict=True)
        if our[0].strip() != their[0].strip()
    )


if __name__ == "__main__":
    main()
