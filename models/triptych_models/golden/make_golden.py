"""Compute the committed golden vectors of the default model with transformers and torch.

Neither is a dependency of Triptych, so this runs in an environment of its own, once for each
change of texts.json (the hand-written input beside this file):

    python3 -m venv golden-env
    golden-env/bin/pip install torch==2.13.0
    golden-env/bin/pip install transformers
    golden-env/bin/python make_golden.py MODEL_FOLDER

MODEL_FOLDER is a Hugging Face folder, such as `triptych-models fetch` prints. Each text goes
through the model alone, in fp32 and without padding, cut on the right to the model's maximum.
Written are `input_ids` [T], `lengths` [N] and, raw and never normalised, `pooled.cls`,
`pooled.mean` and `pooled.last_token`, each [N, hidden].
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.numpy import save_file

HERE = Path(__file__).parent
# both sides of the cut must stay covered when texts are added
BOUNDARIES = {254, 255, 256, 257, 1000}


def main() -> None:
    """Write `all-minilm-l6-v2.safetensors` beside this file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="Hugging Face folder of the model")
    parser.add_argument("--max-length", type=int, default=256, help="tokens (default: 256)")
    arguments = parser.parse_args()
    texts = json.loads((HERE / "texts.json").read_text(encoding="utf-8"))
    tensors = compute(arguments.folder, texts, arguments.max_length)
    made_by = f"transformers {transformers.__version__}, torch {torch.__version__}"
    target = HERE / "all-minilm-l6-v2.safetensors"
    save_file(tensors, target, metadata={"source": made_by})
    print(f"{len(texts)} texts, {tensors['input_ids'].size} tokens, by {made_by}: {target.name}")


def compute(folder: Path, texts: list[str], max_length: int) -> dict[str, NDArray[np.generic]]:
    """The tensors to save, by name."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    missing = BOUNDARIES - {len(ids) for ids in tokenizer(texts)["input_ids"]}
    if missing:
        raise SystemExit(f"texts.json has no text of these lengths: {sorted(missing)}")
    ids = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    rows = [pool(model, text_ids) for text_ids in ids]
    return {
        "input_ids": np.concatenate(ids).astype(np.int32),
        "lengths": np.array([len(text_ids) for text_ids in ids], np.int32),
        **{f"pooled.{name}": np.stack([row[name] for row in rows]) for name in rows[0]},
    }


@torch.inference_mode()
def pool(model: torch.nn.Module, ids: list[int]) -> dict[str, NDArray[np.float32]]:
    """The three raw vectors of one text."""
    hidden = model(torch.tensor([ids])).last_hidden_state[0]
    vectors = {"cls": hidden[0], "mean": hidden.mean(dim=0), "last_token": hidden[-1]}
    return {name: vector.numpy() for name, vector in vectors.items()}


if __name__ == "__main__":
    main()
