"""Compute what transformers makes of the tiny models: `golden/`, committed.

`make parity` runs this in an environment of its own with torch and transformers. Every model is
loaded without a missing or an unexpected tensor, and each input goes through it alone, in fp32 and
without padding, cut on the right to MAX_LENGTH tokens. README.md tells what is in the files.

    python -m tests.parity.make_golden
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sentence_transformers import CrossEncoder

from tests.parity.tiny_models import ARCHITECTURES, HERE, MAX_LENGTH, TASKS, write_model

AGGREGATIONS = ("none", "simple", "first", "average", "max")
INPUTS = json.loads((HERE / "inputs.json").read_bytes())
TEXTS, PAIRS = INPUTS["texts"], [tuple(pair) for pair in INPUTS["pairs"]]
CUT = {"truncation": True, "max_length": MAX_LENGTH}


class Golden:
    """Numbers and answers of one architecture."""

    def __init__(self, architecture: str, folder: Path) -> None:
        self.tensors: dict[str, NDArray[np.float32]] = {}
        self.answers: dict[str, object] = {}
        for task in TASKS:
            path = write_model(folder, architecture, task)
            tokenizer = transformers.AutoTokenizer.from_pretrained(path)
            model = strict(path)
            for kind, inputs in (("texts", TEXTS), ("pairs", PAIRS)):
                self._add_outputs(task, kind, model, tokenizer, inputs)
            self._add_answers(task, path, model, tokenizer)

    def _add_outputs(self, task, kind, model, tokenizer, inputs) -> None:
        if task == "embed":
            self.answers[kind] = [encoding(tokenizer, one) for one in inputs]
        rows = [run(model, tokenizer, one) for one in inputs]
        for name in rows[0]:
            join = np.concatenate if name == "token_logits" else np.stack
            label = name if task in ("embed", "tag") else task
            self.tensors[f"{kind}.{label}"] = join([row[name] for row in rows])

    def _add_answers(self, task, path, model, tokenizer) -> None:
        if task == "tag":
            self.answers["token_classification"] = entities(model, tokenizer)
        elif task != "embed":
            self.answers.setdefault("text_classification", {})[task] = classes(model, tokenizer)
        if task == "rank":
            scores = CrossEncoder(str(path), device="cpu", max_length=MAX_LENGTH).predict(PAIRS)
            self.answers["cross_encoder"] = [round(float(score), 7) for score in scores]


def strict(path: Path) -> torch.nn.Module:
    """The model, all of whose tensors are in the checkpoint, and no others."""
    kind = getattr(transformers, transformers.AutoConfig.from_pretrained(path).architectures[0])
    model, info = kind.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    wrong = {name: found for name, found in info.items() if found}
    if wrong:
        raise SystemExit(f"{path.name}: {wrong}")
    return model.eval()


def arguments(one: str | tuple[str, str]) -> tuple[str, ...]:
    """A text or a pair as a tokenizer's arguments."""
    return (one,) if isinstance(one, str) else one


def encoding(tokenizer, one: str | tuple[str, str]) -> dict[str, list[object]]:
    """What the tokenizer says of one input."""
    made = tokenizer(*arguments(one), return_offsets_mapping=True, **CUT).encodings[0]
    return {
        "input_ids": made.ids,
        "token_type_ids": made.type_ids,
        "sequence_ids": made.sequence_ids,
        "word_ids": made.word_ids,
        "special_tokens_mask": made.special_tokens_mask,
        "offsets": [list(offset) for offset in made.offsets],
    }


@torch.inference_mode()
def run(model, tokenizer, one: str | tuple[str, str]) -> dict[str, NDArray[np.float32]]:
    """The outputs of one input."""
    outputs = model(**tokenizer(*arguments(one), return_tensors="pt", **CUT))
    if "logits" in outputs:
        name = "token_logits" if outputs.logits.ndim == 3 else "logits"
        return {name: outputs.logits[0].numpy()}
    hidden = outputs.last_hidden_state[0]
    vectors = {"cls": hidden[0], "mean": hidden.mean(dim=0), "last_token": hidden[-1]}
    return {f"pooled.{name}": vector.numpy() for name, vector in vectors.items()}


def entities(model, tokenizer) -> dict[str, list[list[dict[str, object]]]]:
    """The token-classification pipeline's entities of every text by aggregation."""
    pipeline = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer)
    return {
        aggregation: [
            [entity(found) for found in pipeline(text, aggregation_strategy=aggregation)]
            for text in TEXTS
        ]
        for aggregation in AGGREGATIONS
    }


def entity(found: dict[str, object]) -> dict[str, object]:
    """The same names for every aggregation."""
    label = found.get("entity_group", found.get("entity"))
    score = round(float(found["score"]), 7)
    return {"label": label, "start": found["start"], "end": found["end"], "score": score}


def classes(model, tokenizer) -> dict[str, object]:
    """The text-classification pipeline's answers: all classes, the best two, and logits."""
    pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    kinds = {"texts": TEXTS, "pairs": [{"text": one, "text_pair": two} for one, two in PAIRS]}
    manners = {
        "all": {"top_k": None},
        "top_2": {"top_k": 2},
        "raw": {"top_k": None, "function_to_apply": "none"},
    }
    return {
        kind: {
            manner: [rounded(pipeline(one, **options, **CUT)) for one in inputs]
            for manner, options in manners.items()
        }
        for kind, inputs in kinds.items()
    }


def rounded(found: list[dict[str, object]]) -> list[dict[str, object]]:
    """Scores with as many digits as float32 has."""
    return [{"label": one["label"], "score": round(one["score"], 7)} for one in found]


def main() -> None:
    """Write two files an architecture."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    made_by = f"transformers {transformers.__version__}, torch {torch.__version__}"
    for architecture in ARCHITECTURES:
        with TemporaryDirectory() as folder:
            golden = Golden(architecture, Path(folder))
        target = HERE / "golden" / f"{architecture}.json"
        document = {"source": made_by} | golden.answers
        target.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
        save_file(golden.tensors, target.with_suffix(".safetensors"), metadata={"source": made_by})
        print(f"{architecture}: {len(golden.tensors)} tensors, by {made_by}")


if __name__ == "__main__":
    main()
