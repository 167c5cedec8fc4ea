"""sentence-transformers behind litserve; run with the Python of its environment."""

import argparse
from itertools import accumulate, chain, pairwise
from typing import Any

import litserve
import orjson
import torch
from fastapi import Response
from sentence_transformers import SentenceTransformer

BATCH_WAIT = 0.002
"""Seconds for which litserve waits for more requests. With none at all it spins on its queue."""


class Embeddings(litserve.LitAPI):  # type: ignore[misc]
    """OpenAI's route: requests that wait are embedded together, however many texts they bring."""

    def __init__(self, model: str, dtype: str, batch_size: int) -> None:
        super().__init__(max_batch_size=batch_size, batch_timeout=BATCH_WAIT)
        self.api_path = "/v1/embeddings"
        self._folder, self._dtype, self._size = model, getattr(torch, dtype), batch_size

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        options = {"dtype": self._dtype}
        self._model = SentenceTransformer(self._folder, device=device, model_kwargs=options)

    def decode_request(self, request: dict[str, Any]) -> list[str]:
        """Texts of a request."""
        asked = request["input"]
        return [asked] if isinstance(asked, str) else asked

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        """Requests as they are: they differ in their number of texts."""
        return inputs

    def predict(self, asked: Any) -> Any:
        """Answers to all of the requests."""
        requests = asked if isinstance(asked[0], list) else [asked]
        texts = list(chain.from_iterable(requests))
        vectors = self._model.encode(
            texts, batch_size=self._size, convert_to_tensor=True, show_progress_bar=False
        )
        rows = vectors.float().numpy()
        bounds = pairwise(accumulate(map(len, requests), initial=0))
        made = [(rows[start:end], texts[start:end]) for start, end in bounds]
        return made if isinstance(asked[0], list) else made[0]

    def unbatch(self, output: Any) -> Any:
        """An answer for each request."""
        return output

    def encode_response(self, output: Any) -> Response:
        """OpenAI's answer, written by orjson; the count is in characters."""
        rows, texts = output
        data = [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": sum(map(len, texts))}
        document = {"object": "list", "data": data, "usage": usage}
        content = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(content, media_type="application/json")


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    for name in ("--model", "--dtype"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--batch-size", "--workers"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    server = litserve.LitServer(
        Embeddings(given.model, given.dtype, given.batch_size),
        accelerator="cpu",
        workers_per_device=given.workers,
        timeout=False,
    )
    server.run(host="127.0.0.1", port=given.port, generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
