import numpy as np

from triptych_gateway.chunk import Chunk
from triptych_gateway.work import StageTime, TokenizeResult


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_tokens_of_a_prompt_are_special_and_those_without_a_width_are_not() -> None:
    # <s> prompt: New, a space of its own, York </s>
    tokens = TokenizeResult(
        input_ids=ints(0, 7, 8, 9, 10, 2),
        lengths=ints(6),
        token_type_ids=None,
        offsets=ints(0, 0, 0, 0, 0, 3, 4, 4, 5, 9, 0, 0).reshape(6, 2),
        word_ids=ints(-1, -1, 0, 1, 2, -1),
        special_tokens_mask=ints(1, 0, 0, 0, 0, 1),
        total_tokens=ints(6),
        kept_tokens=ints(6),
        errors={},
        time=StageTime(0, 0),
    )
    chunk = Chunk(tokens, 0.0)
    chunk.keep_layout()
    assert chunk.layout is not None
    assert chunk.layout.special_tokens_mask.tolist() == [1, 1, 0, 0, 0, 1]
