"""Words by transformers' rule, held against the rule told token by token."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel, Metaspace, Split
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from triptych_bundles import Repository
from triptych_tokenizer.finishing import finish
from triptych_tokenizer.items import Item, TextPair
from triptych_tokenizer.loading import load_tokenizer
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.options import Columns, Options, Truncation, Vocabulary, resolve
from triptych_tokenizer.template import read_template
from triptych_tokenizer.words import NO_WORD, read_word_rule

PROMPTS = {"query": "ask: ", "joined": "un"}
WORDS = Columns(word_ids=True)
reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
# what scripts without spaces, marks that combine and characters of several code points are made of
letters = st.sampled_from("abuné e\u0301 ñ.,'-  \t東京タワーが한국👍🏽👩‍👩‍👧ﬁİßﷺ\u200d\u0301[]#<>")
texts = st.lists(letters | st.sampled_from(["un", "able", "[UNK]", "<unk>"]), min_size=1).map(
    "".join
)


def wordpiece() -> Tokenizer:
    pieces = ["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "a", "##a", "e", "##e", "tokyo"]
    pieces += [
        "東",
        "京",
        "タ",
        "##ワ",
        "##ー",
        "##か",
        ".",
        ",",
        "'",
        "-",
        "👍",
        "fi",
        "##n",
        "##b",
    ]
    tokenizer = Tokenizer(WordPiece(dict(zip(pieces, range(len(pieces)))), unk_token="[UNK]"))  # noqa: B905
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    return tokenizer


def byte_level() -> Tokenizer:
    """RoBERTa's kind: spaces belong to the tokens, and are trimmed off their offsets."""
    alphabet = ["<s>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    merges = [("u", "n"), ("Ġ", "un"), ("a", "b"), ("l", "e"), ("ab", "le")]
    vocabulary |= {a + b: len(alphabet) + index for index, (a, b) in enumerate(merges)}
    tokenizer = Tokenizer(BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.post_processor = RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    return tokenizer


def unigram() -> Tokenizer:
    """XLM-RoBERTa's kind."""
    pieces = ["<s>", "</s>", "<unk>", "▁", "▁un", "un", "able", "a", "b", "東", "京", "▁東京"]
    tokenizer = Tokenizer(
        Unigram([(piece, -float(len(pieces) - len(piece))) for piece in pieces], 2)
    )
    tokenizer.pre_tokenizer = Metaspace()
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 1)],
    )
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    return tokenizer


MAKERS = {"wordpiece": wordpiece, "byte-level": byte_level, "unigram": unigram}


@pytest.fixture(params=list(MAKERS), scope="module")
def library(request: pytest.FixtureRequest) -> Tokenizer:
    return MAKERS[request.param]()


def model_of(library: Tokenizer) -> ModelTokenizer:
    single, pair = read_template(library, pair=False), read_template(library, pair=True)
    size = library.get_vocab_size()
    return ModelTokenizer(library, Vocabulary(size, 512, single, pair, PROMPTS))


def numbered(model: ModelTokenizer, items: list[Item], options: Options) -> list[list[int]]:
    plan = resolve(options, model.vocabulary)
    made = finish(model.encode(items, plan), items, plan, 10**6).sequences
    assert made.word_ids is not None
    assert made.offsets is None
    return [row.tolist() for row in np.split(made.word_ids, np.cumsum(made.lengths)[:-1])]


def told(library: Tokenizer, text: str) -> list[int]:
    """The rule as transformers tells it, for the tokens of one text and their special tokens."""
    encoding = library.encode(text)
    words, word = [], -1
    for token_id, (start, end), special in zip(
        encoding.ids, encoding.offsets, encoding.special_tokens_mask, strict=True
    ):
        token = str(library.id_to_token(token_id))
        if special:
            words.append(-1)
            continue
        if getattr(library.model, "continuing_subword_prefix", None):
            goes_on = len(token) != len(text[start:end])
        else:
            goes_on = start > 0 and " " not in text[start - 1 : start + 1]
        word += word < 0 or not goes_on or token in ("[UNK]", "<unk>")
        words.append(word)
    return words


@reuse
@given(st.lists(texts, min_size=1, max_size=4))
def test_words_are_those_of_the_rule(library: Tokenizer, items: list[Item]) -> None:
    made = numbered(model_of(library), items, Options(columns=WORDS))
    assert made == [told(library, str(text)) for text in items]


def test_a_word_goes_on_in_pieces_of_it() -> None:
    (made,) = numbered(model_of(wordpiece()), ["Unaffable una."], Options(columns=WORDS))
    assert made == [-1, 0, 0, 0, 1, 1, 2, -1]


def test_signs_stand_alone_and_syllables_go_on() -> None:
    (made,) = numbered(model_of(wordpiece()), ["東京タワーが"], Options(columns=WORDS))
    assert made == [-1, 0, 1, 2, 2, 2, 2, -1]


def test_a_mark_that_normalising_drops_makes_a_token_go_on() -> None:
    """So it is in transformers: `un` is shorter than `ún` in three code points."""
    (made,) = numbered(model_of(wordpiece()), ["a u\u0301n a ún"], Options(columns=WORDS))
    assert made == [-1, 0, 0, 1, 2, -1]


def test_the_unknown_token_is_a_word() -> None:
    (made,) = numbered(model_of(wordpiece()), ["a👩‍👩‍👧 👍🏽 a"], Options(columns=WORDS))
    assert made == [-1, 0, 1, 2, -1]


def test_bytes_of_one_character_go_on_unless_it_follows_a_space() -> None:
    """So it is in transformers: each byte of a word's first character looks like its beginning."""
    model = model_of(byte_level())
    (emoji,) = numbered(model, ["a👍🏽 b"], Options(columns=WORDS))
    assert emoji == [-1, 0, *[0] * 8, 1, 2, -1]
    (japanese,) = numbered(model, ["東京"], Options(columns=WORDS))
    assert japanese == [-1, 0, 1, 2, 2, 2, 2, -1]


def test_texts_of_a_pair_are_counted_each_for_itself() -> None:
    pair = TextPair("unable a", "a a unaffable")
    (made,) = numbered(model_of(wordpiece()), [pair], Options(columns=WORDS))
    assert made == [-1, 0, 0, 1, -1, 0, 1, 2, 2, 2, -1]


@pytest.mark.parametrize("name", list(PROMPTS))
@reuse
@given(text=texts)
def test_a_prompt_has_no_words_and_shifts_none(library: Tokenizer, text: str, name: str) -> None:
    options = Options(prompt_name=name, columns=WORDS)
    (made,) = numbered(model_of(library), [text], options)
    own = [word for word in made if word != NO_WORD]
    assert own == sorted(own)
    assert not own or own[0] == 0
    encoding = library.encode(PROMPTS[name] + text)
    within = [
        special or end <= len(PROMPTS[name])
        for (_, end), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    ]
    assert [word == NO_WORD for word in made] == [bool(inside) for inside in within]


def test_what_is_cut_keeps_the_numbers_of_the_whole_text() -> None:
    model, text = model_of(wordpiece()), "a unaffable a"
    left = Options(truncation=Truncation.LEFT, max_length=5, columns=WORDS)
    assert numbered(model, [text], left) == [[-1, 1, 1, 2, -1]]
    windows = Options(truncation=Truncation.WINDOW, max_length=5, stride=1, columns=WORDS)
    assert numbered(model, [text], windows) == [[-1, 0, 1, 1, -1], [-1, 1, 1, 2, -1]]


def test_ready_ids_have_no_words() -> None:
    items: list[Item] = ["una", np.array([3, 7], np.int32)]
    made = numbered(model_of(wordpiece()), items, Options(columns=WORDS))
    assert made == [[-1, 0, 0, -1], [-1, -1, -1, -1]]


@pytest.mark.parametrize(
    ("make", "unknown"), [(wordpiece, "[UNK]"), (byte_level, "<unk>"), (unigram, "<unk>")]
)
def test_the_unknown_token_is_found(make: Callable[[], Tokenizer], unknown: str) -> None:
    library = make()
    assert read_word_rule(library).unknown_id == library.token_to_id(unknown)


def test_a_tokenizer_without_unknown_token() -> None:
    library: Any = Tokenizer(BPE({"a": 0}, []))
    library.pre_tokenizer = Split(Regex("."), "isolated")
    assert read_word_rule(library).unknown_id == -1


@pytest.fixture(scope="module")
def real(bundle_repository: Path) -> tuple[Tokenizer, ModelTokenizer]:
    """The default bundle's tokenizer, bare and as it serves."""
    bundle = Repository(bundle_repository).bundles()[0]
    library = Tokenizer.from_file(str(bundle.file("tokenizer.json")))
    library.no_padding()
    library.no_truncation()
    return library, load_tokenizer(bundle)


@reuse
@given(items=st.lists(st.text(min_size=1, max_size=60) | texts, min_size=1, max_size=3))
def test_the_real_tokenizer(real: tuple[Tokenizer, ModelTokenizer], items: list[Item]) -> None:
    library, model = real
    made = numbered(model, items, Options(columns=WORDS))
    assert made == [told(library, str(text)) for text in items]
