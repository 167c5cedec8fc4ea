"""What /api/v1/models answers."""

from pydantic import BaseModel, Field

from triptych_gateway.routes.schemas import ModelIdentity


class ModelCard(ModelIdentity):
    """A model that is served and what it can do, or a head and the model that it goes with."""

    task: str = Field(examples=["embed"])
    max_length: int = Field(description="Most tokens of an input.", examples=[256])
    dimensions: int | None = Field(
        None, description="Of an embedding; 0 for a model that makes none.", examples=[384]
    )
    pooling: str | None = Field(None, examples=["mean"])
    normalize: bool | None = None
    prompts: list[str] | None = Field(None, description="Names for `prompt_name`.")
    labels: list[str] = Field(description="Classes of whole inputs.")
    token_labels: list[str] | None = Field(None, description="Classes of tokens.")
    trunk: ModelIdentity | None = Field(None, description="Of a head: the model it goes with.")


class AliasTargetCard(BaseModel):
    """A bundle that an alias stands for."""

    model: str = Field(examples=["all-minilm-l6-v2@2"])
    weight: int = Field(description="Its part of the requests, relative to the others'.")


class AliasShadowCard(BaseModel):
    """A bundle that is asked as well and never heard."""

    model: str
    share: float = Field(description="Share of the requests, from 0 to 1.")


class AliasCard(BaseModel):
    """A name that stands for bundles."""

    name: str = Field(examples=["support"])
    targets: list[AliasTargetCard]
    shadow: AliasShadowCard | None


class ModelCards(BaseModel):
    """All models and heads that are served, and the aliases for them."""

    data: list[ModelCard]
    aliases: list[AliasCard]
