"""sentence-transformers, asked by lines of JSON; run with the Python of its environment.

A line in: `texts`, texts of a call, batch size, seconds, and whether vectors are wanted. A line
out: seconds of each call, and the vectors.
"""

import argparse
import json
import sys
import time
from typing import Any

import torch
from sentence_transformers import SentenceTransformer


def answer(model: SentenceTransformer, asked: dict[str, Any]) -> dict[str, Any]:
    """Encode call by call until the texts or the seconds are used up."""
    texts, size, calls, vectors = asked["texts"], asked["call"], [], []
    deadline = time.perf_counter() + asked["seconds"]
    for start in range(0, len(texts) - size + 1, size):
        begun = time.perf_counter()
        if begun > deadline:
            break
        made = model.encode(
            texts[start : start + size],
            batch_size=asked["batch_size"],
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        calls.append(time.perf_counter() - begun)
        if asked["vectors"]:
            vectors += made.float().tolist()
    return {"calls": calls, "vectors": vectors}


def main() -> None:
    """Answer until the input ends."""
    parser = argparse.ArgumentParser()
    for name in ("--model", "--dtype"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    options = {"dtype": getattr(torch, given.dtype)}
    model = SentenceTransformer(given.model, device="cpu", model_kwargs=options)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(model, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
