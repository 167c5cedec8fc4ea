"""How a call wants its items tokenized, and what that means for a model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from triptych_servicekit.errors import InvalidArgument
from triptych_tokenizer.items import ItemRules
from triptych_tokenizer.template import Template

# The prompt that a bundle means for texts whose caller names none.
DEFAULT_PROMPT = "default"


class Truncation(Enum):
    """What happens to an item with too many tokens."""

    ERROR = "error"
    RIGHT = "right"
    LEFT = "left"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Columns:
    """What is returned beside lengths, ids and types."""

    offsets: bool = False
    word_ids: bool = False
    special_tokens_mask: bool = False
    sequence_ids: bool = False

    @property
    def traced(self) -> bool:
        """Whether tokens must be traced back to their text, which costs about a fifth more."""
        return self.offsets or self.word_ids


@dataclass(frozen=True, slots=True)
class Options:
    """Options for all items of a call. `max_length` 0 is the model's; `stride` is in tokens;
    `max_windows` 0 is any number.
    """

    add_special_tokens: bool = True
    truncation: Truncation = Truncation.RIGHT
    max_length: int = 0
    stride: int = 0
    prompt_name: str = ""
    columns: Columns = Columns()
    max_windows: int = 0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What options are held against: a model's limits, special tokens and prompts."""

    vocab_size: int
    max_length: int
    single: Template
    pair: Template
    prompts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Options resolved for a model. `max_length` is in tokens, special tokens included."""

    max_length: int
    truncation: Truncation
    stride: int
    prompt: str
    single: Template
    pair: Template
    columns: Columns
    max_windows: int = 0

    def item_rules(self, max_characters: int, vocab_size: int) -> ItemRules:
        """What the items of the call must keep to."""
        return ItemRules(max_characters, vocab_size, self._pair_refusal())

    def without_prompt(self) -> "Plan":
        """The same for bare texts."""
        return replace(self, prompt="")

    def _pair_refusal(self) -> str:
        if self.truncation is Truncation.WINDOW:
            return "is a pair, which cannot be cut into windows"
        if self.max_length <= len(self.pair):
            return f"is a pair, which needs a max_length of at least {len(self.pair) + 1}"
        return ""


def resolve(options: Options, vocabulary: Vocabulary) -> Plan:
    """What options mean for a model. Raises InvalidArgument naming the option at fault."""
    single, pair = vocabulary.single, vocabulary.pair
    if not options.add_special_tokens:
        single, pair = single.without_special_tokens(), pair.without_special_tokens()
    max_length = _max_length(options.max_length, vocabulary.max_length, len(single))
    if options.truncation is Truncation.WINDOW:
        _check_stride(options.stride, max_length - len(single))
    return Plan(
        max_length,
        options.truncation,
        options.stride,
        _prompt(options.prompt_name, vocabulary.prompts),
        single,
        pair,
        options.columns,
        options.max_windows,
    )


def _max_length(wanted: int, limit: int, special_tokens: int) -> int:
    if wanted > limit:
        message = f"options.max_length is {wanted}, the model's maximum is {limit}"
        raise InvalidArgument(message, field="options.max_length")
    if 0 < wanted <= special_tokens:
        message = f"options.max_length must be at least {special_tokens + 1}"
        raise InvalidArgument(message, field="options.max_length")
    return wanted or limit


def _check_stride(stride: int, room: int) -> None:
    if stride >= room:
        message = f"options.stride must be below {room}, a window's room for text"
        raise InvalidArgument(message, field="options.stride")


def _prompt(name: str, prompts: Mapping[str, str]) -> str:
    if not name:
        return prompts.get(DEFAULT_PROMPT, "")
    try:
        return prompts[name]
    except KeyError:
        known = ", ".join(sorted(prompts)) or "none"
        message = f"options.prompt_name is unknown; the model's prompts: {known}"
        raise InvalidArgument(message, field="options.prompt_name") from None
