"""What a request's `model` was resolved to: once, for all stages."""

from dataclasses import dataclass

from triptych_bundles.manifest import Bundle, HeadBundle


@dataclass(frozen=True, slots=True)
class Target:
    """The bundles that answer a request.

    `head` is the bundle of a head that was asked for by name; None: the model's own, if it has one.
    `fallback` answers instead while a stage does not hold one of these bundles, `shadow` is asked
    as well and never heard.
    """

    model: Bundle
    head: HeadBundle | None = None
    fallback: "Target | None" = None
    shadow: "Target | None" = None
