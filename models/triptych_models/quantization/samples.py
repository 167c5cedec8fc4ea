"""Inputs of a tagger's own task, by which it is chosen what of it is in int8; no tag is read."""

from collections.abc import Sequence
from pathlib import Path

from triptych_models.conll import read_conll
from triptych_models.errors import TrainingDataError, UnsupportedModel
from triptych_models.plan import Plan
from triptych_models.runtime import Ids
from triptych_models.tokenization import encode, load_tokenizer


def read_samples(plan: Plan, sentences: Path | None, texts: Path | None) -> Sequence[Ids]:
    """Token ids of a CoNLL file's sentences, as a client would send them, or of a text a line.

    None of neither. Raises TrainingDataError for the file, UnsupportedModel for a plan that has
    nothing to choose.
    """
    if sentences is None and texts is None:
        return ()
    if plan.task != "tag":
        named = f"{plan.name}@{plan.version}"
        raise UnsupportedModel(f"{named} does not tag: nothing is chosen by samples")
    read = [one.text for one in read_conll(sentences)] if sentences else []
    read += _lines(texts) if texts else []
    tokenizer = load_tokenizer(plan.source.path / "tokenizer.json", plan.settings.max_length)
    return encode(tokenizer, read)


def _lines(path: Path) -> list[str]:
    """Those that are not blank."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise TrainingDataError(f"{path.name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingDataError(f"{path.name}: is not UTF-8: {error}") from error
    found = [line for line in lines if line.strip()]
    if not found:
        raise TrainingDataError(f"{path.name}: holds no text")
    return found
