"""Bodies and answers of the tasks that make more than vectors of texts."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from triptych_gateway.routes.bodies import ClosedBody
from triptych_gateway.routes.native_schemas import (
    DocumentBody,
    EmbedFields,
    Entry,
    NativeAnswer,
    TextBody,
)
from triptych_gateway.routes.schemas import Inputs, PlainTexts, Vector

INPUTS: Final = "A text, its token ids or a pair of texts; or a list of those."
CUT: Final = "Present and true where the input was cut."


class ClassifyFields(ClosedBody):
    """How classes are chosen."""

    head: str = Field(
        "", description="Name of a head, `name@version` for one version. Default: the model's own."
    )
    top_k: int | None = Field(None, ge=1, description="Best classes to return. Default: all.")
    raw_scores: bool = Field(False, description="Scores are logits instead of probabilities.")
    window_scores: Literal["mean", "max"] = Field(
        "mean",
        description="What becomes of the scores of several windows: their mean, weighted by tokens,"
        " or the highest. Those need not add up to 1.",
    )


class ClassifyBody(DocumentBody, ClassifyFields):
    """Inputs to classify."""

    inputs: Inputs = Field(description=INPUTS)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "banking77", "inputs": ["Where is my card?"], "top_k": 2}]
        }
    )


class TagFields(ClosedBody):
    """How tags of tokens become entities."""

    aggregation: Literal["none", "simple", "first", "average", "max"] = Field(
        "simple",
        description="none: an entity a token; simple: neighbours with one tag are joined; the rest:"
        " a word takes the tag of its first token, the best mean, or that of its surest token.",
    )
    ignore_labels: list[str] | None = Field(
        None, description='Labels that are not returned. Default: "O".', examples=[["O"]]
    )


class TagBody(DocumentBody, TagFields):
    """Texts to find entities in."""

    inputs: PlainTexts = Field(description="A text, or a list of texts.")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputs": ["Marie Curie was born in Warsaw."]}]}
    )


class RankBody(TextBody):
    """A query and documents to rank for it."""

    query: str = Field(description="What is looked for.")
    documents: list[str] = Field(description="Texts to put in order.")
    top_n: int | None = Field(None, ge=1, description="Documents to return. Default: all.")
    return_documents: bool = Field(False, description="Whether the texts come back.")
    raw_scores: bool = Field(
        False, description="Scores of a cross-encoder are logits instead of probabilities."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": "a small cat", "documents": ["rain", "a kitten"], "top_n": 1}]
        }
    )


class EmbedTask(EmbedFields):
    """Make an embedding."""

    type: Literal["embed"]


class ClassifyTask(ClassifyFields):
    """Choose classes."""

    type: Literal["classify"]


class TagTask(TagFields):
    """Find entities."""

    type: Literal["tag"]


AnyTask = EmbedTask | ClassifyTask | TagTask
TASKS: Final[dict[str, type[AnyTask]]] = {
    "embed": EmbedTask,
    "classify": ClassifyTask,
    "tag": TagTask,
}
_ANY_TASK: Final = {"oneOf": [kind.model_json_schema() for kind in TASKS.values()]}
Tasks = Annotated[list[Any], WithJsonSchema({"type": "array", "minItems": 1, "items": _ANY_TASK})]


class AnalyzeBody(DocumentBody):
    """Inputs, and several tasks on them."""

    inputs: Inputs = Field(description=f"{INPUTS} Texts only where a task is to tag.")
    tasks: Tasks = Field(description="What to do; every result has the task's place.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "inputs": ["Where is my card?"],
                    "tasks": [
                        {"type": "embed"},
                        {"type": "classify", "head": "banking77", "top_k": 1},
                    ],
                }
            ]
        }
    )


class Label(BaseModel):
    """A class and how sure it is."""

    label: str = Field(examples=["card_arrival"])
    score: float = Field(examples=[0.93])


class ClassifyEntry(Entry):
    """Classes, best first."""

    labels: list[Label] | None = None
    truncated: bool = Field(False, description=CUT)


class EntityFound(Label):
    """An entity and its place in the text, in code points."""

    start: int
    end: int
    text: str


class TagEntry(Entry):
    """Entities, in the order of the text."""

    entities: list[EntityFound] | None = None
    truncated: bool = Field(False, description=CUT)


class RankEntry(Entry):
    """A document, by its index among the documents of the request."""

    score: float | None = Field(None, description="Relevance: cosine, or what the model says.")
    text: str | None = Field(None, description="Where `return_documents` asks for it.")
    truncated: bool = Field(False, description=CUT)


class TaskFound(BaseModel):
    """The result of one task: what the route of its type answers."""

    type: Literal["embed", "classify", "tag"]
    embedding: Vector | None = None
    labels: list[Label] | None = None
    entities: list[EntityFound] | None = None


class AnalyzeEntry(Entry):
    """The results of all tasks, in their order."""

    results: list[TaskFound] | None = None
    truncated: bool = Field(False, description=CUT)


class ClassifyAnswer(NativeAnswer):
    """An entry for each input."""

    data: list[ClassifyEntry]


class TagAnswer(NativeAnswer):
    """An entry for each text."""

    data: list[TagEntry]


class RankAnswer(NativeAnswer):
    """The documents in order of relevance, and after them those that failed."""

    data: list[RankEntry]


class AnalyzeAnswer(NativeAnswer):
    """An entry for each input."""

    data: list[AnalyzeEntry]
