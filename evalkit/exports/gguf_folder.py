"""A GGUF file with what goes with it: how it is asked, and a system.toml that lets it be judged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gguf import GGUFWriter

from evalkit import __version__
from evalkit.atomic import write_text
from evalkit.engines.chat import Chat, build_chat, instructions_of
from evalkit.engines.loading import load_tokenizer
from evalkit.errors import UserError
from evalkit.exports.merged import base_of, describe, load_merged, made_aside
from evalkit.exports.quantizing import FILE_TYPES, Quantization, choose_type, store
from evalkit.exports.tensors import architecture_of, name_of, tensors, write_configuration
from evalkit.exports.vocabulary import write_tokenizer
from evalkit.formats.base import longest_labels
from evalkit.formats.grammar import gbnf
from evalkit.records import Prompt, Span
from evalkit.systems import System
from evalkit.weights import weights_fingerprint
from evalkit.weights.cache import hash_file

MANIFEST = "export.json"
GRAMMAR = "grammar.gbnf"
MODELFILE = "Modelfile"
PROMPT = "prompt.txt"
CONTEXT = 4096
"""Tokens of a prompt and its answer, where the model can see so many."""
_SLACK = 32
"""Tokens of an answer beyond the bytes of the longest canonical one."""


def export_gguf(system: System, folder: Path, quantization: Quantization) -> Path:
    """Merge a system's adapter into its base and write it as a GGUF file.

    Beside it stand a Modelfile for Ollama, the grammar of the answers, the prompt, and a
    system.toml, so that `pytest suites/ --model FOLDER` judges the file in llama.cpp.

    Returns the file.

    Raises:
        UserError: llama.cpp has no such model, tokenizer or prompt, parts of the system are
            missing, or the folder is not empty.
    """
    base = base_of(system)
    with made_aside(folder) as making:
        model = load_merged(system)
        eos = model.generation_config.eos_token_id if model.generation_config else None
        chat = build_chat(
            load_tokenizer(base, system.adapter_folder),
            eos if isinstance(eos, list) else [] if eos is None else [eos],
        )
        file = making / f"{system.name}-{quantization}.gguf"
        has_system = _system_role(system, chat)
        write_gguf(model, chat, file, quantization, system.name)
        context = min(CONTEXT, model.config.max_position_embeddings)
        run = {"file": file.name, "context": context, "system_role": has_system}
        describe(system, making, f"as {quantization} GGUF", {"engine": "llamacpp", "llamacpp": run})
        write_text(making / GRAMMAR, gbnf(system.task, system.format.name))
        write_text(making / PROMPT, "".join(s.text for s in chat.layout(_shown_prompt(system))))
        write_text(making / MODELFILE, _modelfile(system, chat, file.name, context))
        write_text(making / MANIFEST, _manifest(system, base, file, quantization))
    return folder / file.name


def write_gguf(model: Any, chat: Chat, file: Path, quantization: Quantization, name: str) -> None:
    """Write a model and its tokenizer as one GGUF file.

    Raises:
        UserError: llama.cpp has no such model or tokenizer.
    """
    found = architecture_of(model.config)
    writer = GGUFWriter(file, name_of(found))
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[quantization])
    writer.add_quantization_version(2)
    write_configuration(writer, model.config, found)
    write_tokenizer(writer, chat, model.config.vocab_size)
    layers, tied = model.config.num_hidden_layers, model.config.tie_word_embeddings
    for key, array in tensors(model, found):
        kind = choose_type(key, array.shape, quantization, layers, tied=tied)
        writer.add_tensor(key, store(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _system_role(system: System, chat: Chat) -> bool:
    has_system = chat.takes_messages(_shown_prompt(system))
    if has_system is None:
        raise UserError(
            f"{system.name} is asked with function declarations, which no server's chat messages "
            "give it in the same bytes. Train it on another base or format to export it."
        )
    return has_system


def _shown_prompt(system: System) -> Prompt:
    """The prompt with the inputs' names in their places."""
    return system.format.prompt(system.task, {name: f"{{{name}}}" for name in system.task.inputs})


def _modelfile(system: System, chat: Chat, file: str, context: int) -> str:
    """Ollama's description of a model, with the very prompt that was judged.

    Ollama's templates are not the tokenizer's, so the laid-out text itself is cut at the
    instructions and at the input.
    """
    prompt = _shown_prompt(system)
    here = (Span("{{ .Prompt }}", trusted=True),)
    instructions = instructions_of(prompt)
    template = "".join(span.text for span in chat.layout(replace(prompt, user=here)))
    if '"""' in template:
        raise UserError('A Modelfile cannot hold instructions with """ in them.')
    template = template.replace(instructions.strip(), "{{ .System }}", 1)
    longest = system.format.render(
        system.task, longest_labels(system.task), dict.fromkeys(system.task.inputs, "")
    )
    stops = [chat.decode([i]) for i in sorted(chat.stop_ids)]
    return "\n".join(
        [
            f"FROM ./{file}",
            f'TEMPLATE """{template}"""',
            f'SYSTEM """{instructions.strip()}"""',
            "PARAMETER temperature 0",
            f"PARAMETER num_ctx {context}",
            f"PARAMETER num_predict {len(longest.encode()) + _SLACK}",
            *(f"PARAMETER stop {json.dumps(stop)}" for stop in stops),
            "",
        ]
    )


def _manifest(system: System, base: Path, file: Path, quantization: Quantization) -> str:
    """What the file was made of, by hashes."""
    made = {
        "schema": 1,
        "system": system.name,
        "base": system.config.base,
        "weights_sha256": weights_fingerprint(base),
        "trained_sha256": {path.name: hash_file(path) for path in system.trained_files},
        "task_sha256": system.task.fingerprint,
        "quantization": quantization,
        "file": file.name,
        "file_sha256": hash_file(file),
        "evalkit": __version__,
    }
    return json.dumps(made, indent=2) + "\n"
