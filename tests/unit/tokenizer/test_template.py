import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from triptych_tokenizer.template import Template, read_template


def tokenizer(single: str, pair: str) -> Tokenizer:
    made = Tokenizer(WordLevel({"a": 0, "<s>": 1, "</s>": 2}, unk_token="a"))
    made.post_processor = TemplateProcessing(
        single=single, pair=pair, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return made


def test_bert() -> None:
    made = tokenizer("<s> $A </s>", "<s> $A </s> $B:1 </s>:1")
    assert read_template(made, pair=False) == Template((1,), (2,), (), (0, 0, 0, 0, 0))
    assert read_template(made, pair=True) == Template((1,), (2,), (2,), (0, 0, 0, 1, 1))


def test_roberta_has_two_tokens_between_texts() -> None:
    made = tokenizer("<s> $A </s>", "<s> $A </s> </s> $B </s>")
    assert read_template(made, pair=True) == Template((1,), (2, 2), (2,), (0, 0, 0, 0, 0))


def test_none() -> None:
    made = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    assert len(read_template(made, pair=False)) == 0
    assert read_template(made, pair=True).type_ids == (0, 0, 0, 1, 0)


def test_texts_in_another_order_are_refused() -> None:
    made = tokenizer("<s> $A </s>", "<s> $B </s> $A </s>")
    with pytest.raises(ValueError, match="special tokens"):
        read_template(made, pair=True)


@pytest.mark.parametrize(
    ("ids", "bare"),
    [
        ([1, 7, 8, 2], [7, 8]),
        ([1, 2], []),
        ([7, 8], [7, 8]),
        ([1, 7], [1, 7]),
        ([7, 2], [7, 2]),
        ([1], [1]),
        ([], []),
    ],
)
def test_special_tokens_are_stripped_only_where_they_surround(
    ids: list[int], bare: list[int]
) -> None:
    template = Template((1,), (2,), (), (0, 0, 0, 0, 0))
    assert template.strip(np.array(ids, np.int32)).tolist() == bare
