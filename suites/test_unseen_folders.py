"""Does the model read folder descriptions, or only recognise the names it was trained on?

The cases are in fixtures/unseen_folders; the answers to them are parts of the system's run.
"""

import tomllib

import pytest

from evalkit import (
    InsufficientData,
    accuracy_lost,
    load_dataset,
    relabelled,
    renamed,
    with_values,
)

pytestmark = [pytest.mark.task("notifications"), pytest.mark.needs("language_model")]

FILES = {"test": ("spaces.toml", "cases.jsonl"), "dev": ("dev_spaces.toml", "dev.jsonl")}
"""Descriptions and cases, by split."""
SPACES = ("one", "two")
"""Label spaces of five folders each, in the order in which they are described."""
SEED = "seed-"
"""Prefix of the ids of the cases that reuse the apps and titles of seed 004."""
FRESH = {
    "test": {"Work": "Office", "Personal": "People", "Promotions": "Offers", "Alerts": "Notices"},
    "dev": {
        "Work": "Duties",
        "Personal": "Close ones",
        "Promotions": "Bargains",
        "Alerts": "Signals",
    },
}
"""New names for the trained folders, by split."""
CUSTOM = {
    "test": ("Health", "Travel", "Education", "Games", "News"),
    "dev": ("Pets", "Vehicles", "Music", "Photos", "Volunteering"),
}
"""Folders that a user might add; no trained folder's description covers them."""
RENAMED_ROWS = 200
"""How many of the test rows are asked again with renamed folders."""


@pytest.fixture(scope="session")
def cases(pytestconfig):
    """Where the cases are."""
    folder = pytestconfig.rootpath / "fixtures" / "unseen_folders"
    if not folder.is_dir():
        raise InsufficientData(f"there are no cases: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def spaces(cases, split):
    """Space -> folder -> description."""
    found = tomllib.loads((cases / FILES[split][0]).read_text(encoding="utf-8"))
    return dict(zip(SPACES, found.values(), strict=True))


@pytest.fixture(scope="session")
def unseen(system_under_test, cases, spaces, ask, split):
    """The answers in each label space, and to the seed's cases."""
    task = system_under_test.task
    folders = {name: says for space in spaces.values() for name, says in space.items()}
    source = str(cases / FILES[split][1])
    examples = load_dataset(source, with_values(task, "folder", folders)).examples
    asked = {}
    for name, space in spaces.items():
        inside = [e for e in examples if e.labels["folder"] in space]
        own = [e for e in inside if not e.id.startswith(SEED)]
        of_seed = [e for e in inside if e.id.startswith(SEED)]
        variant = with_values(task, "folder", space)
        asked[name] = ask(f"unseen-{name}", own, task=variant)
        if of_seed:
            asked["seed-004"] = ask("unseen-seed-004", of_seed, task=variant)
    return asked


@pytest.mark.parametrize("space", SPACES)
def test_unseen_folders(unseen, spaces, gate, space):
    """Five new folders with one line of description each: seed 004's question, on 110 cases."""
    first, *_, last = spaces[space]
    named = unseen[space].accuracy("folder")
    gate("unseen_folder_accuracy", named, slice=space, part=f"{first} to {last}")


@pytest.mark.needs("free_decoding")
def test_answers_name_an_offered_folder(evaluation, unseen, gate):
    """No trained name is given where it is not offered, seed 004's 15 cases included."""
    asked = evaluation.pooled(*unseen.values())
    gate("out_of_enum_rate", asked.out_of_enum_rate(), slice="unseen folders")


def test_old_folders_under_new_names(evaluation, system_under_test, ask, gate, split):
    """Same rows, same descriptions, other names: how much accuracy came from the names alone?"""
    task = renamed(system_under_test.task, "folder", FRESH[split])
    examples = [row.example for row in evaluation.clean_rows[:RENAMED_ROWS]]
    again = ask("renamed-folders", relabelled(examples, "folder", FRESH[split]), task=task)
    gate("renamed_folders_loss", accuracy_lost("folder", (evaluation, again)))


def test_new_folder_beside_trained_ones(unseen, spaces, system_under_test, ask, gate, split):
    """One new folder beside the four: do the trained names attract its notifications?

    The same cases are asked with the four renamed; what accuracy drops by under the trained names
    is the name bias.
    """
    task = system_under_test.task
    trained = {str(value.value): value.description for value in task.fields["folder"].values}
    asked = []
    for space, evaluated in unseen.items():
        for name in CUSTOM[split]:
            if name not in spaces.get(space, ()):
                continue
            examples = [row.example for row in evaluated.where(folder=name).rows]
            beside = with_values(task, "folder", trained | {name: spaces[space][name]})
            fresh = renamed(beside, "folder", FRESH[split])
            asked.append(
                (
                    ask(f"fresh-beside-{name.lower()}", examples, task=fresh),
                    ask(f"trained-beside-{name.lower()}", examples, task=beside),
                )
            )
    gate("folder_name_bias", accuracy_lost("folder", *asked))
