"""Characters as tokens: the tokenizer of LocalPlatform."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from triptych_bundles.manifest import Bundle
from triptych_gateway.tasks import Input, TextOptions, TokenIds
from triptych_servicekit.errors import InvalidArgument

START: Final = 1
END: Final = 2
SPECIAL: Final = 3
"""Ids below are special; a character's id is its code point and this."""
VOCAB_SIZE: Final = 0x110000 + SPECIAL


@dataclass(frozen=True, slots=True)
class Part:
    """The ids of one text, from its character `start` on."""

    ids: Sequence[int]
    start: int = 0

    def cut(self, room: int, left: bool) -> "Part":
        """At most `room` of the ids, without the beginning where `left`."""
        dropped = len(self.ids) - room
        if dropped <= 0:
            return self
        return Part(self.ids[dropped:], dropped) if left else Part(self.ids[:room])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token is: its text (0, or 1 for the second of a pair), start, end."""

    type_id: int
    start: int
    end: int
    special: bool


@dataclass(frozen=True, slots=True)
class Sequenced:
    """Tokens of one input, or why it has none. `total` counts them before cutting."""

    total: int
    ids: Sequence[int] = ()
    prompt: int = 0
    parts: Sequence[Part] = ()
    framed: bool = False
    error: InvalidArgument | None = field(default=None)

    def places(self) -> Iterator[Place]:
        """Of every token; those of a prompt have none in the text."""
        if self.framed:
            yield Place(0, 0, 0, True)
        for _ in range(self.prompt):
            yield Place(0, 0, 0, False)
        for number, part in enumerate(self.parts):
            for position in range(part.start, part.start + len(part.ids)):
                yield Place(number, position, position + 1, False)
            if self.framed:
                yield Place(number, 0, 0, True)


def tokenize(model: Bundle, item: Input, text: TextOptions) -> Sequenced:
    """START a END, or START a END b END; the tokens of a prompt come before `a`."""
    prompt = _codes(model.prompts[text.prompt_name]) if text.prompt_name else []
    parts = _parts(item)
    framed = text.add_special_tokens
    frame = len(parts) + 1 if framed else 0
    limit = text.max_length or model.max_length
    total = frame + len(prompt) + sum(len(part.ids) for part in parts)
    if total > limit:
        if text.truncation == "error":
            return Sequenced(total, error=_too_long(total, limit))
        parts = _cut(parts, limit - frame - len(prompt), text.truncation == "left")
    return Sequenced(total, _ids(prompt, parts, framed), len(prompt), parts, framed)


def decode(ids: Sequence[int], include_special_tokens: bool) -> str:
    """The characters; special tokens as their names in angle brackets, or not at all."""
    return "".join(_character(number, include_special_tokens) for number in ids)


def _character(number: int, include_special_tokens: bool) -> str:
    if number >= SPECIAL:
        return chr(number - SPECIAL)
    return ("<pad>", "<start>", "<end>")[number] if include_special_tokens else ""


def _parts(item: Input) -> list[Part]:
    if isinstance(item, str):
        return [Part(_codes(item))]
    if isinstance(item, TokenIds):
        return [Part([number for number in item.ids if number >= SPECIAL])]
    return [Part(_codes(item.first)), Part(_codes(item.second))]


def _codes(text: str) -> list[int]:
    return [ord(character) + SPECIAL for character in text]


def _cut(parts: list[Part], room: int, left: bool) -> list[Part]:
    """The parts within `room` tokens, the longer of two cut first."""
    if len(parts) == 1:
        return [parts[0].cut(room, left)]
    first, second = parts
    half = max(room - len(second.ids), (room + 1) // 2)
    kept = first.cut(half, left)
    return [kept, second.cut(room - len(kept.ids), left)]


def _ids(prompt: list[int], parts: list[Part], framed: bool) -> list[int]:
    ids = [START, *prompt] if framed else prompt
    for part in parts:
        ids.extend(part.ids)
        if framed:
            ids.append(END)
    return ids


def _too_long(total: int, limit: int) -> InvalidArgument:
    message = f"input has {total} tokens, the maximum is {limit}"
    return InvalidArgument(message, reason="INPUT_TOO_LONG", field="input")
