"""Make the small tokenizers of the tiny models: `tokenizers/<kind>.json`, committed.

One of each kind that the supported architectures use. Training breaks ties differently from release
to release, so the outcome is kept and this is run only when a kind is added or changes:

    .venv/bin/python tests/parity/make_tokenizers.py
"""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

HERE = Path(__file__).parent
CORPUS = HERE.parents[1] / "models" / "triptych_models" / "golden" / "texts.json"
VOCABULARY = 900
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MPNET_SPECIAL = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def corpus() -> list[str]:
    """Texts of many scripts."""
    texts = json.loads(CORPUS.read_bytes())
    inputs = json.loads((HERE / "inputs.json").read_bytes())
    # a long run of one character would become a token of its own
    pairs = chain.from_iterable(inputs["pairs"])
    return [text[:400] for text in (*texts[:80], *inputs["texts"] * 3, *pairs)]


def wordpiece() -> Tokenizer:
    """As BERT, DistilBERT and ELECTRA have it."""
    return _wordpiece(BERT_SPECIAL, "[CLS]", "[SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")


def mpnet() -> Tokenizer:
    """WordPiece between RoBERTa's special tokens, with two separators."""
    return _wordpiece(MPNET_SPECIAL, "<s>", "</s>", "<s> $A </s> </s> $B:1 </s>:1")


def _wordpiece(special: list[str], first: str, last: str, pair: str) -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=special, limit_alphabet=450, show_progress=False
    )
    made.train_from_iterator(corpus(), trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=pair,
        special_tokens=[_with_id(made, token) for token in (first, last)],
    )
    return made


def bytelevel() -> Tokenizer:
    """As RoBERTa has it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=ROBERTA_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(corpus(), trainer)
    made.post_processor = processors.RobertaProcessing(
        _with_id(made, "</s>"),
        _with_id(made, "<s>"),
        trim_offsets=True,
        add_prefix_space=False,
    )
    return made


def unigram() -> Tokenizer:
    """As XLM-RoBERTa has it, with plain NFKC in place of its table of characters."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY,
        special_tokens=ROBERTA_SPECIAL,
        unk_token="<unk>",
        max_piece_length=8,
        show_progress=False,
    )
    made.train_from_iterator(corpus(), trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[_with_id(made, token) for token in ("<s>", "</s>")],
    )
    return made


def _with_id(made: Tokenizer, token: str) -> tuple[str, int]:
    return token, made.get_vocab()[token]


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": wordpiece,
    "mpnet": mpnet,
    "bytelevel": bytelevel,
    "unigram": unigram,
}


def main() -> None:
    """Write every kind."""
    for kind, make in KINDS.items():
        path = HERE / "tokenizers" / f"{kind}.json"
        path.write_text(make().to_str(pretty=False), encoding="utf-8")
        print(f"{path.name}: {make().get_vocab_size()} tokens, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
