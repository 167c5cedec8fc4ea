"""The component that a release writes is the one that the overlay has, with its digests."""

import yaml

from deploy.k8s.release_images import HEAD, IMAGES, OVERLAY, component


def test_the_written_component_has_every_image_by_digest() -> None:
    digests = {name: f"sha256:{index:064x}" for index, name in enumerate(IMAGES)}
    written = component("registry.example.com/triptych", digests)
    images = yaml.safe_load(written)["images"]
    assert {one["name"]: one["digest"] for one in images} == {
        f"triptych/{name}": digest for name, digest in digests.items()
    }
    assert all(one["newName"].startswith("registry.example.com/triptych/") for one in images)


def test_the_overlay_holds_what_a_release_would_replace() -> None:
    present = OVERLAY.read_text()
    assert present.startswith(HEAD)
    assert {one["name"] for one in yaml.safe_load(present)["images"]} == {
        f"triptych/{name}" for name in IMAGES
    }
