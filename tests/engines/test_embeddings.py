"""TF-IDF with static embeddings beside it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from model2vec import StaticModel

from command_line import evalkit
from evalkit.engines.building import EngineOptions
from evalkit.engines.embeddings import load_embeddings
from evalkit.engines.pool import build_engine
from evalkit.engines.tfidf import Hashing, fit_tfidf
from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.systems import load_system
from evalkit.tasks import load_task
from evalkit.weights import weights_fingerprint
from tiny_embeddings import save_embeddings

TASK = load_task("intents")
HASHING = Hashing(words=(1, 2), characters=(2, 3), bits=8)
MEANINGS = {"payment": ("pay", "bill", "冲"), "inventory": ("stock", "shelf", "货")}
"""Value -> words of one meaning, the last of which no training row has."""


def rows() -> list[Example]:
    return [
        Example(f"{word}{n}", {"prompt": f"{word} {n}"}, {"intents": (value,)})
        for n in range(6)
        for value, words in MEANINGS.items()
        for word in words[:-1]
    ]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    save_embeddings(tmp_path / "words", MEANINGS)
    lines = (
        json.dumps({"id": r.id, **r.inputs, "output": list(r.labels["intents"])}) for r in rows()
    )
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    folder = tmp_path / "adapters" / "mean"
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "embeddings"\nbase = "../../words"\n'
        '[recipe]\ndata = "../../rows.jsonl"\nhash_bits = 8\n'
    )
    return tmp_path


def test_a_word_that_no_row_has_is_known_by_its_meaning(tmp_path: Path) -> None:
    asked = [{"prompt": words[-1]} for words in MEANINGS.values()]
    counts = fit_tfidf(TASK, rows(), HASHING)
    embeddings = load_embeddings(save_embeddings(tmp_path, MEANINGS))
    both = fit_tfidf(TASK, rows(), HASHING, embeddings=embeddings)
    assert [answer.labels["intents"] for answer in both.answer(asked)] == [
        (value,) for value in MEANINGS
    ]
    assert len({answer.labels["intents"] for answer in counts.answer(asked)}) == 1


def test_a_text_is_the_mean_of_its_tokens_however_long(tmp_path: Path) -> None:
    embeddings = load_embeddings(save_embeddings(tmp_path, MEANINGS))
    texts = ["PAY", "pay shelf", "pay " * 600 + "shelf " * 600, "unknown words", ""]
    one, two, long, *empty = embeddings.encode(texts).toarray()
    assert np.linalg.norm([one, two, long], axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert (one[0] > 0.9, abs(two[0] - two[1]) < 0.1) == (True, True)
    assert long == pytest.approx(two, abs=1e-2), "nothing is cut off"
    assert not np.any(empty)


def test_what_was_trained_answers_and_names_its_weights(project: Path) -> None:
    done = evalkit("train", "mean", cwd=project)
    assert done.returncode == 0, done.stderr
    system = load_system(project / "adapters" / "mean")
    provenance = json.loads((system.folder / "provenance.json").read_text())
    assert (provenance["engine"], provenance["base"]) == ("embeddings", "../../words")
    assert provenance["weights_sha256"] == weights_fingerprint(project / "words")
    assert (system.is_baseline, system.adapter_folder) == (True, None)
    done = evalkit("predict", "mean", MEANINGS["inventory"][-1], cwd=project)
    assert "inventory" in done.stdout, done.stderr
    assert build_engine(system, EngineOptions()).describe()["engine"] == "embeddings"

    save_embeddings(project / "words", MEANINGS, seed=1)
    with pytest.raises(UserError, match=r"with other embeddings .* `evalkit train` makes it anew"):
        build_engine(system, EngineOptions())


def test_what_is_missing_is_one_message(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "model2vec", None)
        done = evalkit("train", "mean", cwd=project)
    assert (done.returncode, done.stdout) == (4, "")
    assert "pip install 'pytest-evalkit[embeddings]'" in done.stderr
    words = project / "words"
    (words / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    done = evalkit("train", "mean", cwd=project)
    assert (done.returncode, done.stdout) == (4, "")
    assert "holds no static embeddings of model2vec" in " ".join(done.stderr.split())
    words.rename(project / "elsewhere")
    done = evalkit("train", "mean", cwd=project)
    assert (done.returncode, done.stdout) == (4, "")
    assert "The base weights are not here." in done.stderr


def test_vectors_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    save_embeddings(tmp_path, MEANINGS)
    model = StaticModel.from_pretrained(tmp_path)
    model.embedding[2, 0] = np.nan
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="vectors that are not made of numbers"):
        load_embeddings(tmp_path)
