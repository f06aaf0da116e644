"""The baseline a small language model has to beat: TF-IDF and logistic regression.

Runs of words and of characters are counted in hashed places, so the file holds no vocabulary and
no text. A guessed run can be looked up in it, as in any trained model. It is a safetensors file:
no pickle. Static embeddings may stand beside the counts (`evalkit.engines.embeddings`).

scikit-learn ships no types.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.data.perturbing import NAME_INPUTS
from evalkit.engines.baseline import Answer, BaselineEngine, broken, check_header, describe_task
from evalkit.engines.building import EngineKind, EngineOptions
from evalkit.engines.embeddings import Embeddings, load_embeddings
from evalkit.engines.tuning import (
    ClassWeight,
    Predict,
    Settings,
    choose_settings,
    make_folds,
    settings_of,
)
from evalkit.errors import InsufficientData, UserError
from evalkit.records import Example, Label
from evalkit.tasks import Field, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from scipy import sparse

    from evalkit.systems import System

    Floats = npt.NDArray[np.floating[Any]]
    Counts = list[sparse.csr_matrix]
    """Of runs of words and of characters, and of names: a row per text, a column per place."""

VERSION = 1
_HEADER = "evalkit"

WORD = r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+"
"""Chinese and Japanese write no spaces: every character of theirs is a word."""

MAX_BITS = 22
NAME_BITS = 12
"""Names that are counted apart have 2^12 places: they are few and short."""
MAX_ITERATIONS = 1000
OUT_OF_FOLD = 5
"""Folds in which rows are asked of a model that was fitted on the others."""


@dataclass(frozen=True)
class Hashing:
    """How texts are counted."""

    words: tuple[int, int]
    """Shortest and longest run of words."""
    characters: tuple[int, int]
    """Shortest and longest run of characters, within words."""
    bits: int
    """Each kind of run has 2^bits places."""
    sublinear: bool = True
    """The second and further times that a run occurs count by their logarithm."""
    nfkc: bool = True
    """Texts are put into Unicode normalisation form KC first: full-width letters are letters."""
    name_weight: float | None = None
    """Length of what inputs that name something have to say (an app), counted apart, beside the
    texts' 1; None counts them with the texts."""


@dataclass(frozen=True, eq=False)
class Regression:
    """What one field's value follows from."""

    weights: Floats
    """One row per value of the field, one column per place."""
    bias: Floats
    """One per value; minus infinity for one that the training rows never have."""
    settings: Settings | None = None
    """How it was fitted; None in files that do not say it."""


@dataclass(frozen=True, eq=False)
class TfidfModel:
    """A trained TF-IDF baseline."""

    task: Task
    hashing: Hashing
    idf: Floats
    """Places weigh the more, the fewer rows have something in them."""
    regressions: Mapping[str, Regression]
    """Field name -> its regression."""
    embeddings: Embeddings | None = None
    """What stands beside the counts."""

    @property
    def settings(self) -> Mapping[str, Settings]:
        """Field name -> how its regression was fitted, where the file says it."""
        return {name: r.settings for name, r in self.regressions.items() if r.settings}

    def answer(self, inputs: Sequence[Mapping[str, str]]) -> list[Answer]:
        """Say the most likely value of each field, with its probability.

        Of a multi-label field every value likelier than not is named, or else the likeliest one.
        A value that excludes others is named alone, where it is the likeliest. The set's
        probability takes its values for independent: it is the product over all of them.
        """
        counts = _count(self.task, inputs, self.hashing)
        vectors = _embed(self.task, inputs, self.hashing, self.embeddings)
        features = _weigh(counts, self.idf, self.hashing, vectors)
        labels: list[dict[str, Label]] = [{} for _ in inputs]
        confidences: list[dict[str, float]] = [{} for _ in inputs]
        for name, field in self.task.fields.items():
            for row, decided in enumerate(_decide(field, self.regressions[name], features)):
                labels[row][name], confidences[row][name] = decided
        return [Answer(*both) for both in zip(labels, confidences, strict=True)]

    def describe(self) -> Mapping[str, str | int]:
        """Name the kind, and how each field's regression was fitted."""
        fits = {f"fit of {name}": found.describe() for name, found in self.settings.items()}
        return {"engine": "embeddings" if self.embeddings else "tfidf"} | fits

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        from safetensors.numpy import save

        header = {
            "version": VERSION,
            "task": describe_task(self.task),
            "words": self.hashing.words,
            "characters": self.hashing.characters,
            "bits": self.hashing.bits,
            "sublinear": self.hashing.sublinear,
            "nfkc": self.hashing.nfkc,
            "name_weight": self.hashing.name_weight,
            "settings": {name: found.content() for name, found in self.settings.items()},
        }
        if self.embeddings:
            header["embeddings"] = dict(self.embeddings.identity)
        tensors = {"idf": self.idf}
        for name, regression in self.regressions.items():
            tensors |= {f"weights.{name}": regression.weights, f"bias.{name}": regression.bias}
        # One entry: safetensors writes several in an order of its own.
        path.write_bytes(save(tensors, {_HEADER: json.dumps(header, sort_keys=True)}))


def fit_tfidf(
    task: Task,
    examples: Sequence[Example],
    hashing: Hashing,
    *,
    c: float | None = None,
    class_weight: ClassWeight | None = None,
    groups: Sequence[int] | None = None,
    embeddings: Embeddings | None = None,
) -> TfidfModel:
    """Train a baseline; the same examples give the same model.

    Args:
        task: what is asked.
        examples: the training rows.
        hashing: how texts are counted.
        c: scikit-learn's C: how closely the regression follows the rows. None chooses it for
            each field by cross-validation on the rows.
        class_weight: `balanced` lets rare values weigh more; None chooses it likewise.
        groups: a number per row; rows of one number are near-duplicates, which cross-validation
            keeps together. Each row has its own by default.
        embeddings: what stands beside the counts.

    """
    import numpy as np

    inputs = [example.inputs for example in examples]
    counts = _count(task, inputs, hashing)
    idf = _idf(counts, len(examples)).astype(np.float16)
    features = _weigh(counts, idf, hashing, _embed(task, inputs, hashing, embeddings))
    groups = range(len(examples)) if groups is None else groups
    regressions = {}
    for name, field in task.fields.items():
        truth = [example.labels[name] for example in examples]
        settings = choose_settings(
            features, truth, groups, _predictor(field), c=c, class_weight=class_weight
        )
        fitted = _fit(features, truth, field, settings)
        regressions[name] = Regression(
            fitted.weights.astype(np.float16), fitted.bias.astype(np.float32), settings
        )
    return TfidfModel(task, hashing, idf, regressions, embeddings)


def out_of_fold(
    task: Task, examples: Sequence[Example], hashing: Hashing, groups: Sequence[int]
) -> dict[str, Floats]:
    """What the baseline makes of rows that it was not fitted on, for each field.

    Each row is asked of a model that was fitted on the other folds; settings are chosen as
    `fit_tfidf` does.

    Args:
        task: whose fields are predicted.
        examples: the rows.
        hashing: how texts are counted.
        groups: a number per row; rows of one number are near-duplicates and stay in one fold.

    Returns:
        Field -> a row per example and a column per value of the field: its probability, or for a
        multi-label field that it is in the set.

    Raises:
        InsufficientData: there are fewer groups than folds.
    """
    import numpy as np

    counts = _count(task, [example.inputs for example in examples], hashing)
    features = _weigh(counts, _idf(counts, len(examples)), hashing)
    folds = make_folds(groups, count=OUT_OF_FOLD, most=len(examples))
    if not folds:
        raise InsufficientData(f"{len(set(groups))} different rows are too few to hold any out")
    found: dict[str, Floats] = {}
    for name, field in task.fields.items():
        truth = [example.labels[name] for example in examples]
        settings = choose_settings(
            features, truth, groups, _predictor(field), c=None, class_weight=None
        )
        probabilities = _each if field.kind == "multi-label" else _one_of
        found[name] = np.zeros((len(examples), len(field.labels)))
        for fitted, asked in folds:
            model = _fit(features[fitted], [truth[row] for row in fitted], field, settings)
            found[name][asked] = probabilities(features[asked] @ model.weights.T + model.bias)
    return found


def load_tfidf(path: Path, task: Task, embeddings: Embeddings | None = None) -> TfidfModel:
    """Read what `TfidfModel.save` wrote.

    Raises:
        UserError: the file is broken, or was made for another task or beside other embeddings.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        check_header(header, VERSION, task, path)
        if header.get("embeddings") != (dict(embeddings.identity) if embeddings else None):
            raise UserError(
                f"{path} was trained with other embeddings than `base` names now, or with none. "
                "`evalkit train` makes it anew."
            )
        hashing = Hashing(
            words=_lengths(header["words"]),
            characters=_lengths(header["characters"]),
            bits=int(header["bits"]),
            sublinear=bool(header.get("sublinear", False)),
            nfkc=bool(header.get("nfkc", False)),
            name_weight=_weight(header.get("name_weight")),
        )
        if not 1 <= hashing.bits <= MAX_BITS:
            raise ValueError(f"it cannot have 2^{hashing.bits} places")
        places = 2 * 2**hashing.bits + (2**NAME_BITS if _names(task, hashing) else 0)
        shapes: dict[str, tuple[int, ...]] = {"idf": (places,)}
        columns = places + (embeddings.length if embeddings else 0)
        for name, field in task.fields.items():
            shapes[f"weights.{name}"] = (len(field.labels), columns)
            shapes[f"bias.{name}"] = (len(field.labels),)
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise ValueError("its tensors are not those it says it has")
        for name, tensor in tensors.items():
            _check_numbers(name, tensor)
        settings = {
            name: settings_of(content) for name, content in header.get("settings", {}).items()
        }
    except UserError:
        raise
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise broken(path, error) from error
    regressions = {
        name: Regression(tensors[f"weights.{name}"], tensors[f"bias.{name}"], settings.get(name))
        for name in task.fields
    }
    model = TfidfModel(task, hashing, tensors["idf"], regressions, embeddings)
    # The first answer imports scikit-learn; that is no part of how fast it answers.
    model.answer([dict.fromkeys(task.inputs, "")])
    return model


def _names(task: Task, hashing: Hashing) -> tuple[str, ...]:
    """The inputs that are counted apart."""
    found = tuple(name for name in task.inputs if name in NAME_INPUTS)
    return () if hashing.name_weight is None or len(found) == len(task.inputs) else found


def _texts(
    inputs: Sequence[Mapping[str, str]], names: Collection[str], hashing: Hashing
) -> list[str]:
    """What the inputs of these names say, a text per row."""
    joined = ["\n".join(given[name] for name in names) for given in inputs]
    return [unicodedata.normalize("NFKC", text) for text in joined] if hashing.nfkc else joined


def _embed(
    task: Task,
    inputs: Sequence[Mapping[str, str]],
    hashing: Hashing,
    embeddings: Embeddings | None,
) -> sparse.csr_matrix | None:
    return embeddings.encode(_texts(inputs, list(task.inputs), hashing)) if embeddings else None


def _count(task: Task, inputs: Sequence[Mapping[str, str]], hashing: Hashing) -> Counts:
    from sklearn.feature_extraction.text import HashingVectorizer  # type: ignore[import-untyped]

    places, apart = 2**hashing.bits, _names(task, hashing)
    texts = _texts(inputs, [name for name in task.inputs if name not in apart], hashing)
    words = HashingVectorizer(
        n_features=places, norm=None, token_pattern=WORD, ngram_range=hashing.words
    )
    characters = HashingVectorizer(
        n_features=places, norm=None, analyzer="char_wb", ngram_range=hashing.characters
    )
    counts = [words.transform(texts), characters.transform(texts)]
    if apart:
        of_names = characters.set_params(n_features=2**NAME_BITS)
        counts.append(of_names.transform(_texts(inputs, apart, hashing)))
    return [_dampen(block) for block in counts] if hashing.sublinear else counts


def _dampen(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Runs whose hashes differ in sign take each other away in one place; 0 stays 0."""
    import numpy as np

    times = np.abs(counts.data)
    counts.data = np.sign(counts.data) * (1 + np.log(np.maximum(times, 1)))
    return counts


def _idf(counts: Counts, rows: int) -> Floats:
    import numpy as np

    rows_with = np.concatenate([np.bincount(c.indices, minlength=c.shape[1]) for c in counts])
    found: Floats = np.log((1 + rows) / (1 + rows_with)) + 1
    return found


def _weigh(
    counts: Counts, idf: Floats, hashing: Hashing, vectors: sparse.csr_matrix | None = None
) -> sparse.csr_matrix:
    """Counts -> TF-IDF features; words and characters have length 1 each, names their weight.

    Embeddings, where there are any, stand beside them as they are.
    """
    from scipy import sparse
    from sklearn.preprocessing import normalize  # type: ignore[import-untyped]

    blocks = []
    start = 0
    for block, length in zip(counts, (1, 1, hashing.name_weight), strict=False):
        end = start + block.shape[1]
        weighed = block @ sparse.diags(idf[start:end].astype("float64"))
        blocks.append(length * normalize(weighed))
        start = end
    return sparse.csr_matrix(sparse.hstack(blocks if vectors is None else [*blocks, vectors]))


def _predictor(field: Field) -> Predict:
    def predict(
        features: sparse.csr_matrix,
        truth: Sequence[Label],
        settings: Settings,
        asked: sparse.csr_matrix,
    ) -> list[Label]:
        return [label for label, _ in _decide(field, _fit(features, truth, field, settings), asked)]

    return predict


def _fit(
    features: sparse.csr_matrix, truth: Sequence[Label], field: Field, settings: Settings
) -> Regression:
    import numpy as np
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    # Most places are those of words in no row; their weight is 0, whoever computes it.
    places = np.union1d(features.indices, [0])
    narrow = features[:, places]

    def regress(values: Sequence[int | bool]) -> Any:
        weight = None if settings.class_weight == "none" else settings.class_weight
        # Newton's method is several times as fast as the default here, for the same weights.
        model = LogisticRegression(
            C=settings.c, class_weight=weight, solver="newton-cg", max_iter=MAX_ITERATIONS
        )
        return model.fit(narrow, values)

    fit = _fit_each if field.kind == "multi-label" else _fit_one_of
    fitted, bias = fit(regress, len(places), truth, field)
    weights = np.zeros((len(fitted), features.shape[1]))
    weights[:, places] = fitted
    return Regression(weights, bias, settings)


def _fit_one_of(
    regress: Callable[[Sequence[int]], Any], places: int, truth: Sequence[Label], field: Field
) -> tuple[Floats, Floats]:
    """One multinomial regression over a field's values."""
    import numpy as np

    values = list(field.labels)
    seen = [value for value in values if value in set(truth)]
    weights = np.zeros((len(values), places))
    bias = np.full(len(values), -np.inf)
    rows = [values.index(value) for value in seen]
    bias[rows] = 0.0
    if len(seen) > 1:
        model = regress([seen.index(label) for label in truth])  # type: ignore[arg-type]
        # Of two values scikit-learn has one row: the second against the first.
        fitted = rows if len(seen) > 2 else rows[1:]
        weights[fitted], bias[fitted] = model.coef_, model.intercept_
    return weights, bias


def _fit_each(
    regress: Callable[[Sequence[bool]], Any], places: int, truth: Sequence[Label], field: Field
) -> tuple[Floats, Floats]:
    """One regression per value: in the set or not."""
    import numpy as np

    weights = np.zeros((len(field.labels), places))
    bias = np.zeros(len(field.labels))
    for row, value in enumerate(field.labels):
        there = [value in label for label in truth]  # type: ignore[operator]
        if len(set(there)) < 2:
            bias[row] = np.inf if there[0] else -np.inf
            continue
        model = regress(there)
        weights[row], bias[row] = model.coef_[0], model.intercept_[0]
    return weights, bias


def _decide(
    field: Field, regression: Regression, features: sparse.csr_matrix
) -> list[tuple[Label, float]]:
    """Each row's value or set, with its probability."""
    scores = features @ regression.weights.T.astype("float64") + regression.bias
    if field.kind == "multi-label":
        return [likely_set(field, given) for given in _each(scores).tolist()]
    return [_likeliest(field, given) for given in _one_of(scores).tolist()]


def _one_of(scores: Floats) -> Floats:
    from scipy.special import softmax

    result: Floats = softmax(scores, axis=1)
    return result


def _each(scores: Floats) -> Floats:
    from scipy.special import expit

    result: Floats = expit(scores)
    return result


def _likeliest(field: Field, probabilities: Sequence[float]) -> tuple[Label, float]:
    highest = max(probabilities)
    return field.labels[probabilities.index(highest)], highest


def likely_set(field: Field, probabilities: Sequence[float]) -> tuple[Label, float]:
    """The values likelier than not, or else the likeliest one, and the set's probability."""
    likeliest = field.labels[probabilities.index(max(probabilities))]
    if likeliest in field.exclusive:
        named = {likeliest}
    else:
        of = dict(zip(field.labels, probabilities, strict=True))
        named = {v for v, p in of.items() if p > 0.5 and v not in field.exclusive} | {likeliest}
    confidence = 1.0
    for value, probability in zip(field.labels, probabilities, strict=True):
        confidence *= probability if value in named else 1 - probability
    return tuple(str(value) for value in field.labels if value in named), confidence


def _lengths(given: Sequence[int]) -> tuple[int, int]:
    shortest, longest = map(int, given)
    if not 1 <= shortest <= longest:
        raise ValueError(f"there are no runs of {shortest} to {longest}")
    return shortest, longest


def _weight(given: float | None) -> float | None:
    if given is None:
        return None
    if not 0 < float(given) < math.inf:
        raise ValueError(f"names cannot weigh {given}")
    return float(given)


def _check_numbers(name: str, tensor: Floats) -> None:
    """Refuse what would make every probability meaningless."""
    import numpy as np

    numbers = not np.isnan(tensor).any()
    finite = name.startswith("bias.") or bool(np.isfinite(tensor).all())
    if tensor.dtype.kind != "f" or not numbers or not finite:
        raise ValueError(f"{name} is not made of numbers")


def _build(system: System, options: EngineOptions) -> BaselineEngine:
    base = system.source.locate() if system.source else None
    embeddings = load_embeddings(base) if base else None
    model = load_tfidf(system.trained_files[0], system.task, embeddings)
    return BaselineEngine(model, system.task, system.format)


ENGINE = EngineKind(
    _build, is_baseline=True, trained_file="baseline.safetensors", trained_elsewhere=False
)
WITH_EMBEDDINGS = replace(ENGINE, reads_weights=True)
