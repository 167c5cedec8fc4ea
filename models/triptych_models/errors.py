"""What can keep a model from becoming a bundle; each message is one line for a person.

ModelError
├── FetchError
├── UnsupportedModel
├── GoldenMismatch
├── ImpreciseModel
├── TrainingDataError
└── BundleExists
"""


class ModelError(Exception):
    """The root: the command prints it and exits with 1."""


class FetchError(ModelError):
    """A source cannot be read, reached or trusted."""


class UnsupportedModel(ModelError):
    """A model whose vectors the compiled graph would not reproduce."""


class GoldenMismatch(ModelError):
    """Token ids or vectors on this machine differ from the golden ones."""


class ImpreciseModel(ModelError):
    """In fewer bits the model's vectors are farther from those of fp32 than is allowed."""


class TrainingDataError(ModelError):
    """What a head is to be trained from cannot be; the message begins with the option at fault."""


class BundleExists(ModelError):
    """The version is taken by other content."""
