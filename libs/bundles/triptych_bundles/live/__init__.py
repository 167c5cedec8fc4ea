"""Bundles that are loaded, replaced and unloaded while they serve.

`LiveRepository` looks at the folder, `LiveModels` holds what is made of one kind of bundle. Needs
the extra `live`, which brings the error tree and the settings that services share.
"""

from triptych_bundles.live.models import LiveModels
from triptych_bundles.live.repository import LiveRepository
from triptych_bundles.live.watch import Look, RepositoryWatch, Sighting, Unreadable

__all__ = ["LiveModels", "LiveRepository", "Look", "RepositoryWatch", "Sighting", "Unreadable"]
