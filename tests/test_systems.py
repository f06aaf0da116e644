from __future__ import annotations

import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evalkit.data.sources import find_source
from evalkit.errors import UserError
from evalkit.systems import (
    BrokenSystem,
    System,
    SystemConfig,
    adapter_notes,
    find_baseline,
    find_shelf,
    list_systems,
    load_system,
    missing_parts,
)
from evalkit.tasks import load_task
from evalkit.training.recipe import Recipe, read_recipe
from evalkit.training.topics import load_topics, names_of
from evalkit.weights.adapters import ADAPTER_FILES
from tiny_models import save_base

ROOT = Path(__file__).parents[1]
PLAIN = 'task = "notifications-3level"\nformat = "json"\nbase = "hf:Tiny/Model"\n'
WISHES = 'task = "intents"\nformat = "labels"\n'


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with caches of its own and no way to the hub."""
    from huggingface_hub import constants

    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVALKIT_SHELF", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)


def put(folder: Path, text: str = PLAIN) -> Path:
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(text)
    return folder


def put_adapter(folder: Path, base: str = "Tiny/Model") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (folder / "adapter_model.safetensors").touch()


# The shelf that comes with the project


@pytest.fixture(scope="module")
def shelf() -> dict[str, System]:
    systems = list_systems(ROOT / "adapters")
    assert [s.problem for s in systems if isinstance(s, BrokenSystem)] == []
    return {s.name: s for s in systems if isinstance(s, System)}


def test_every_system_of_the_seeds_is_on_the_shelf(shelf: dict[str, System]) -> None:
    seeds = {
        "qwen3-3level": ("notifications-3level", "json"),
        "qwen3-3level-base": ("notifications-3level", "json"),
        "qwen3-3level-seed": ("notifications-3level-seed", "json"),
        "functiongemma-5level": ("notifications-5level", "call"),
        "functiongemma-3level": ("notifications-3level", "call"),
        "functiongemma-base": ("notifications-5level", "call"),
        "qwen3-intents": ("intents", "labels"),
        "qwen3-intents-base": ("intents", "labels"),
        "keyword-intents": ("intents", "labels"),
        "smollm2-3level": ("notifications-3level", "json"),
        "smollm2-3level-base": ("notifications-3level", "json"),
        "smollm2-5level": ("notifications-5level", "json"),
        "smollm2-call-5level": ("notifications-5level", "call"),
        "smollm2-3level-call": ("notifications-3level", "call"),
        "smollm2-call-base": ("notifications-5level", "call"),
        "smollm2-intents": ("intents", "labels"),
        "smollm2-intents-base": ("intents", "labels"),
        **{f"{kind}-intents": ("intents", "labels") for kind in ("tfidf", "majority")},
        **{
            f"{kind}-{level}": (f"notifications-{level}", "json")
            for kind in ("tfidf", "majority")
            for level in ("3level", "5level")
        },
    }
    there = {name: (shelf[name].task.name, shelf[name].format.name) for name in seeds}
    assert there == seeds


def test_every_file_fits_its_tables(shelf: dict[str, System]) -> None:
    for name, system in shelf.items():
        first = (system.folder / "system.toml").read_text().partition("\n")[0]
        assert first.startswith("# "), name
        assert 0 < len(system.config.summary) <= 60, name
        assert bool(system.config.recipe) == bool(system.trained_files), name
        if system.config.recipe and not system.is_baseline:
            read_recipe(system.config.recipe, name)


def test_no_name_that_a_suite_asks_for_was_trained_on(shelf: dict[str, System]) -> None:
    labels = runpy.run_path(str(ROOT / "suites" / "test_unseen_labels.py"))
    folders = runpy.run_path(str(ROOT / "suites" / "test_unseen_folders.py"))
    files = [ROOT / "fixtures/unseen_folders" / name for name, _ in folders["FILES"].values()]
    spaces = {
        key: space for file in files for key, space in tomllib.loads(file.read_text()).items()
    }
    unseen = {name for space in spaces.values() for name in space}
    described = {says.casefold() for space in spaces.values() for says in space.values()}
    names = {name for names in labels["NAMES"].values() for name in names}
    fresh = {name for names in folders["FRESH"].values() for name in names.values()}
    asked = {name.casefold() for name in names | fresh | unseen}
    augmented = 0
    for name, system in shelf.items():
        recipe = (
            None
            if system.is_baseline
            else Recipe.model_validate(system.config.recipe or {"data": "x"})
        )
        if recipe is None or (spaces_of := recipe.labels) is None:
            continue
        augmented += 1
        names = [other for others in spaces_of.names.values() for other in others]
        trained = {*names, *spaces_of.blank_names, *spaces_of.distractors}
        says = set(spaces_of.distractors.values())
        if spaces_of.topics:
            topics = load_topics(Path(find_source(spaces_of.topics, system.folder)))
            trained |= {name for key, topic in topics.items() for name in names_of(key, topic)}
            says |= {
                d for topic in topics.values() for d in (topic.description, *topic.descriptions)
            }
        assert not asked & {other.casefold() for other in trained}, name
        assert not described & {text.casefold() for text in says}, name
    assert augmented


def test_base_systems_differ_from_the_trained_ones_by_the_adapter_alone(
    shelf: dict[str, System],
) -> None:
    pairs = [(n.removesuffix("-base"), n) for n in shelf if n.endswith("-base")]
    renamed = {"functiongemma": "functiongemma-5level", "smollm2-call": "smollm2-call-5level"}
    own = {"adapter", "recipe", "summary"}
    assert len(pairs) == 6
    for trained, base in pairs:
        one = shelf[renamed.get(trained, trained)].config.model_dump(exclude=own)
        assert one == shelf[base].config.model_dump(exclude=own), base


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("qwen3-3level", 2250),
        ("qwen3-3level-seed", 2250),
        ("functiongemma-3level", 2250),
        ("functiongemma-5level", 1125),
    ],
)
def test_recipes_take_as_many_steps_as_published(
    shelf: dict[str, System], name: str, steps: int
) -> None:
    recipe = read_recipe(shelf[name].config.recipe, name)
    assert recipe.rows
    per_step = recipe.batch_size * recipe.gradient_accumulation
    assert recipe.rows / per_step * recipe.epochs == steps


# Finding a system


def test_by_name_from_the_shelf_above(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = put(tmp_path / "adapters" / "mine")
    below = tmp_path / "src" / "deep"
    # A folder of that name that has nothing to do with evalkit is passed over.
    (below / "adapters" / "http").mkdir(parents=True)
    monkeypatch.chdir(below)
    system = load_system("mine")
    assert (system.name, system.folder, system.argument) == ("mine", folder, "mine")


def test_the_environment_names_another_shelf(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(tmp_path / "adapters" / "mine")
    other = put(tmp_path / "other" / "theirs")
    monkeypatch.setenv("EVALKIT_SHELF", "other")
    assert find_shelf() == tmp_path / "other"
    assert load_system("theirs").folder == other
    monkeypatch.setenv("EVALKIT_SHELF", "nowhere")
    with pytest.raises(UserError, match=r"EVALKIT_SHELF names .*nowhere"):
        load_system("theirs")


@pytest.mark.parametrize("path", ["lab/mine", "lab/mine/", "./lab/mine", "lab/mine/system.toml"])
def test_by_path_without_a_shelf(tmp_path: Path, path: str) -> None:
    put(tmp_path / "lab" / "mine")
    system = load_system(path)
    assert (system.name, system.argument) == ("mine", "lab/mine")
    assert load_system(Path(path)).name == "mine"


def test_a_folder_here_needs_no_separator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "mine")
    assert load_system("mine").argument == str(Path("mine"))
    monkeypatch.chdir(tmp_path / "mine")
    assert load_system(".").name == "mine"


def test_a_name_on_the_shelf_comes_before_a_folder_here(tmp_path: Path) -> None:
    put(tmp_path / "mine")
    assert load_system("mine").folder == Path("mine")
    on_shelf = put(tmp_path / "adapters" / "mine")
    assert load_system("mine").folder == on_shelf


def test_a_wrong_name_is_answered_with_a_near_one(tmp_path: Path) -> None:
    put(tmp_path / "adapters" / "smollm2-3level")
    with pytest.raises(UserError) as caught:
        load_system("smolm2-3levl")
    assert str(caught.value) == (
        "There is no system 'smolm2-3levl' in adapters/. Did you mean 'smollm2-3level'? "
        "`evalkit systems` lists them."
    )


@pytest.mark.parametrize("name", ["", "..", "no/such", "nothing"])
def test_what_is_no_system_is_a_user_error(name: str) -> None:
    with pytest.raises(UserError):
        load_system(name)


def test_no_shelf_at_all() -> None:
    with pytest.raises(UserError, match="no adapters/ folder here or above"):
        list_systems()


def test_an_adapter_without_a_file_is_shown_what_to_write(tmp_path: Path) -> None:
    put_adapter(tmp_path / "adapters" / "bare", "Qwen/Qwen3-0.6B")
    with pytest.raises(UserError) as caught:
        load_system("bare")
    said = str(caught.value).splitlines()
    assert "holds an adapter and no system.toml" in said[0]
    # The lines are what they say they are.
    (tmp_path / "adapters" / "bare" / "system.toml").write_text("\n".join(said[1:]))
    system = load_system("bare")
    assert system.config.base == "hf:Qwen/Qwen3-0.6B"
    assert system.is_trained


# What a file may say


def test_a_normalisation_holds_for_variants_of_the_task(tmp_path: Path) -> None:
    system = load_system(put(tmp_path / "mine", PLAIN + 'normalize = "nfkc"\n'))
    wide = dict.fromkeys(system.task.inputs, "ＡＢＣ")
    plain = dict.fromkeys(system.task.inputs, "ABC")
    for one in (system, system.with_task(load_task("notifications-5level"))):
        assert one.format.prompt(one.task, wide) == one.format.prompt(one.task, plain)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task = ", "is not valid TOML"),
        (f"task = {'[' * 5000}", "nested too deep"),
        (f"task = {'9' * 5000}", "limit"),
        (f"{PLAIN}[endpoint]\ntimeout = inf", "inf is no finite number"),
        (PLAIN.replace("base", "bass"), "unknown key 'bass'. Did you mean 'base'"),
        (PLAIN.replace("3level", "4level"), "There is no task 'notifications-4level'"),
        (PLAIN.replace("json", "xml"), "There is no format 'xml'"),
        (PLAIN.replace("json", "labels"), "writes one multi-label field"),
        (PLAIN.replace("hf:", "ftp:"), "of no known kind"),
        (PLAIN + 'quantization = "int3"\n', "quantization: expected '"),
        (PLAIN + 'decoding = "forced"\n', "decoding: expected '"),
        (PLAIN + 'normalize = "nfd"\n', "normalize: expected '"),
        (WISHES + 'engine = "keyword"\nnormalize = "nfkc"\n', "normalize is for language models"),
        (PLAIN + 'engine = "keyword"\n', "reads no weights; leave out `base`"),
        (PLAIN + "adapter = false\n[recipe]\nseed = 1\n", "this system has none"),
        (PLAIN + 'summary = "a\\u001b[2J"\n', "one line of printable text"),
        ('task = "intents"\nformat = "labels"\n', "needs base ="),
        (PLAIN + 'engine = "tfidf"\n', "reads no weights; leave out `base`"),
        (WISHES + 'engine = "keyword"\n[recipe]\ndata = "x"\n', "this system has none"),
    ],
)
def test_faults_are_named_with_their_file(tmp_path: Path, text: str, said: str) -> None:
    folder = put(tmp_path / "mine", text)
    with pytest.raises(UserError) as caught:
        load_system(folder)
    assert str(caught.value).startswith(f"{folder / 'system.toml'}")
    assert said in str(caught.value)


def test_a_task_and_a_base_may_lie_beside_the_file(tmp_path: Path) -> None:
    text = PLAIN.replace("notifications-3level", "mine.toml").replace("hf:Tiny/Model", "../model")
    folder = put(tmp_path / "lab" / "mine", text)
    task = ROOT / "evalkit" / "tasks" / "notifications-3level.toml"
    (folder / "mine.toml").write_bytes(task.read_bytes())
    system = load_system(folder)
    assert system.task.name == "mine"
    assert str(tmp_path / "lab") in missing_parts(system)[0]


def test_a_broken_file_does_not_hide_the_others(tmp_path: Path) -> None:
    put(tmp_path / "adapters" / "a")
    put(tmp_path / "adapters" / "b", "task = ")
    put(tmp_path / "adapters" / "c")
    put_adapter(tmp_path / "adapters" / "d")
    (tmp_path / "adapters" / "e").mkdir()
    (tmp_path / "adapters" / "README.md").touch()
    found = list_systems()
    assert [(s.name, isinstance(s, System)) for s in found] == [
        ("a", True),
        ("b", False),
        ("c", True),
        ("d", False),
    ]
    assert isinstance(found[1], BrokenSystem)
    assert "not valid TOML" in found[1].problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_user_error(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine")
    (folder / "system.toml").chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        load_system(folder)


# The only one


def test_the_only_system_needs_no_name_and_baselines_do_not_count(tmp_path: Path) -> None:
    shelf = tmp_path / "adapters"
    put(shelf / "words", WISHES + 'engine = "keyword"\n')
    assert load_system().name == "words"
    put(shelf / "mine")
    assert load_system().name == "mine"
    put(shelf / "yours")
    with pytest.raises(UserError, match=r"Which system\? There are mine, yours\."):
        load_system()
    (shelf / "yours" / "system.toml").write_text("task =")
    with pytest.raises(UserError, match=r"There are mine, yours\."):
        load_system()


def test_without_a_shelf_init_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`evalkit init DIR` writes a project"):
        load_system()
    (tmp_path / "adapters").mkdir()
    with pytest.raises(UserError, match="`evalkit init DIR` writes a project"):
        load_system()


# What is missing


def test_all_that_is_missing_is_said_with_its_command(tmp_path: Path) -> None:
    folder = put(tmp_path / "adapters" / "mine")
    system = load_system("mine")
    weights, adapter = missing_parts(system)
    assert "`evalkit fetch mine`" in weights
    assert "point `base`" in weights
    assert "with a [recipe] in its system.toml `evalkit train mine` makes it." in adapter
    assert system.adapter_folder == folder

    put_adapter(folder)
    assert missing_parts(system) == [weights]
    (folder / "adapter_model.safetensors").unlink()
    assert "lacks adapter_model.safetensors" in missing_parts(system)[1]


def test_commands_name_a_system_off_the_shelf_by_its_path(tmp_path: Path) -> None:
    put(tmp_path / "lab" / "mine")
    weights, adapter = missing_parts(load_system("lab/mine"))
    assert "`evalkit fetch lab/mine`" in weights
    assert "`evalkit train lab/mine`" in adapter


def test_a_base_system_lacks_no_adapter_and_a_baseline_nothing(tmp_path: Path) -> None:
    base = load_system(put(tmp_path / "base", PLAIN + "adapter = false\n"))
    assert (base.adapter_folder, len(missing_parts(base))) == (None, 1)
    keyword = load_system(put(tmp_path / "keyword", WISHES + 'engine = "keyword"\n'))
    assert (keyword.source, keyword.adapter_folder, missing_parts(keyword)) == (None, None, [])
    assert (keyword.trained_files, keyword.is_trained, keyword.is_baseline) == ((), True, True)
    assert not base.is_baseline


# Baselines


@pytest.mark.parametrize(
    ("engine", "file"), [("tfidf", "baseline.safetensors"), ("majority", "baseline.json")]
)
def test_an_untrained_baseline_says_what_makes_it(tmp_path: Path, engine: str, file: str) -> None:
    text = f'{WISHES}engine = "{engine}"\n[recipe]\ndata = "rows.jsonl"\n'
    folder = put(tmp_path / "adapters" / "mine", text)
    system = load_system("mine")
    assert (system.source, system.adapter_folder, system.is_trained) == (None, None, False)
    assert system.trained_files == (folder / file,)
    (said,) = missing_parts(system)
    assert said == (
        f"The baseline has not been trained (adapters/mine/ lacks {file}): "
        "`evalkit train mine` makes it."
    )
    (folder / file).touch()
    assert (missing_parts(system), system.is_trained, system.is_baseline) == ([], True, True)


def test_trained_files_are_what_decides_the_answers(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine")
    system = load_system(folder)
    assert [path.name for path in system.trained_files] == list(ADAPTER_FILES)
    assert (system.is_trained, system.is_baseline) == (False, False)
    put_adapter(folder)
    assert system.is_trained


def test_a_baseline_is_found_by_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "adapters"
    mine = load_system(put(shelf / "mine"))
    assert find_baseline(mine.task) is None
    put(shelf / "a-broken", "task = ")
    put(shelf / "b-embeddings", PLAIN + 'engine = "embeddings"\n')
    put(shelf / "b-wishes", WISHES + 'engine = "tfidf"\n')
    put(shelf / "c-majority", PLAIN.partition("base")[0] + 'engine = "majority"\n')
    found = put(shelf / "d-tfidf", PLAIN.partition("base")[0] + 'engine = "tfidf"\n')
    put(shelf / "e-tfidf", PLAIN.partition("base")[0] + 'engine = "tfidf"\n')
    for beside in (None, mine):
        baseline = find_baseline(mine.task, beside=beside)
        assert baseline is not None
        assert baseline.folder == found
    # A system off the shelf: its neighbours come first, then the shelf.
    lab = load_system(put(tmp_path / "lab" / "mine"))
    baseline = find_baseline(lab.task, beside=lab)
    assert baseline is not None
    assert baseline.folder == found
    near = put(tmp_path / "lab" / "z", PLAIN.partition("base")[0] + 'engine = "tfidf"\n')
    baseline = find_baseline(lab.task, beside=lab)
    assert baseline is not None
    assert baseline.folder == near


def test_the_baseline_is_the_one_trained_on_the_same_rows(tmp_path: Path) -> None:
    shelf = tmp_path / "adapters"
    tfidf = PLAIN.partition("base")[0] + 'engine = "tfidf"\n'
    for name, rows in (("a-tfidf", "1" * 64), ("b-tfidf", "2" * 64), ("c-tfidf", None)):
        folder = put(shelf / name, tfidf)
        if rows:
            (folder / "provenance.json").write_text(json.dumps({"data_sha256": rows}))
    for name, rows, found in (
        ("mine", "2" * 64, "b-tfidf"),
        ("other", "3" * 64, "a-tfidf"),
        ("untold", None, "a-tfidf"),
    ):
        folder = put(shelf / name)
        if rows:
            (folder / "provenance.json").write_text(json.dumps({"data_sha256": rows}))
        system = load_system(folder)
        baseline = find_baseline(system.task, beside=system)
        assert baseline is not None
        assert baseline.name == found


def test_a_baseline_does_not_depend_on_the_words_of_a_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVALKIT_SHELF", str(ROOT / "adapters"))
    for task in ("notifications-3level", "notifications-3level-seed"):
        found = find_baseline(load_task(task))
        assert found is not None
        assert found.name == "tfidf-3level"


def test_without_a_shelf_no_baseline_is_found(tmp_path: Path) -> None:
    system = load_system(put(tmp_path / "lab" / "mine"))
    assert find_baseline(system.task) is None
    assert find_baseline(system.task, beside=system) is None


def test_nothing_heavy_is_imported() -> None:
    script = (
        "import sys, evalkit.systems, evalkit.weights\n"
        "from pathlib import Path\n"
        f"evalkit.systems.list_systems(Path({str(ROOT / 'adapters')!r}))\n"
        "heavy = {'torch', 'transformers', 'peft', 'gguf', 'datasets', 'numpy', 'rich'}\n"
        "print(sorted((heavy | {'huggingface_hub', 'filelock', 'sklearn'}) & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("base", "adapter", "unseen"),
    [
        (".", False, True),
        ("model.gguf", False, True),
        ("../base", False, False),
        ("/models/base", False, False),
        ("hf:OWNER/NAME", False, False),
        (".", True, False),
    ],
)
def test_weights_in_the_systems_own_folder_may_have_been_trained(
    base: str, adapter: bool, unseen: bool
):
    config = SystemConfig(task="intents", format="labels", base=base, adapter=adapter)
    assert config.trained_elsewhere is unseen


# Adapters that were trained elsewhere


def adapter_beside(folder: Path, base: str, trained_on: object) -> System:
    """A system with an adapter's two files, of which the weights are empty."""
    folder.mkdir()
    (folder / "system.toml").write_text(f'task = "intents"\nformat = "labels"\nbase = "{base}"\n')
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": trained_on}))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return load_system(folder)


@pytest.mark.parametrize(
    ("base", "trained_on"),
    [
        ("hf:Qwen/Qwen3-0.6B@main", "Qwen/Qwen3-0.6B"),
        ("hf:Qwen/Qwen3-0.6B", "hf:Qwen/Qwen3-0.6B"),
        ("hf:Qwen/Qwen3-0.6B", "/srv/models/qwen3-0.6b/"),
        ("hf:Qwen/Qwen3-0.6B", "C:\\\\models\\\\Qwen3-0.6B"),
        ("hf:Qwen/Qwen3-0.6B", "/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de"),
        ("../../base", "base"),
        ("hf:Qwen/Qwen3-0.6B", None),
        ("hf:Qwen/Qwen3-0.6B", ""),
    ],
)
def test_one_base_written_in_different_ways(base: str, trained_on: object, tmp_path: Path):
    assert adapter_notes(adapter_beside(tmp_path / "a", base, trained_on)) == []


def test_another_base_than_the_adapter_was_trained_on_is_noted(tmp_path: Path):
    system = adapter_beside(tmp_path / "a", "../base", "someone/another-model")
    assert adapter_notes(system) == [
        "adapter_config.json says it was trained on someone/another-model, system.toml says ../base"
    ]


def test_what_an_adapter_brings_of_a_tokenizer_is_noted(tmp_path: Path):
    system = adapter_beside(tmp_path / "a", "../base", "base")
    save_base(tmp_path / "base")
    assert adapter_notes(system) == []
    (system.folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ x }}"}))
    (template,) = adapter_notes(system)
    assert template.startswith("the adapter brings another chat template than its base")
    (system.folder / "tokenizer.json").write_text("{}")
    assert adapter_notes(system)[1].startswith("the adapter brings another tokenizer.json")
    for name in ("tokenizer.json", "chat_template.jinja"):
        shutil.copy(tmp_path / "base" / name, system.folder)
    assert adapter_notes(system) == []


def test_an_adapter_in_a_pickle_is_named_and_converted(tmp_path: Path):
    system = adapter_beside(tmp_path / "a", "../base", "base")
    (system.folder / "adapter_model.safetensors").unlink()
    save_base(tmp_path / "base")
    weights = {"one": torch.eye(3)}
    torch.save(weights | {"shared": weights["one"][1:]}, system.folder / "adapter_model.bin")
    (part,) = missing_parts(system)
    assert "holds its adapter as a pickle (adapter_model.bin)" in part
    _, *words = shlex.split(part.partition("\n  ")[2])
    subprocess.run([sys.executable, *words], cwd=system.folder, check=True)
    saved = load_file(system.folder / "adapter_model.safetensors")
    assert torch.equal(saved["one"], torch.eye(3))
    assert torch.equal(saved["shared"], torch.eye(3)[1:])
    assert missing_parts(system) == []


@pytest.mark.parametrize("name", ["x" * 300, "a/" + "x" * 300, "x\0y"])
def test_a_name_that_no_folder_can_have_is_that_of_no_system(name: str) -> None:
    """A run's record may hold any."""
    with pytest.raises(UserError, match="There is no"):
        load_system(name)
