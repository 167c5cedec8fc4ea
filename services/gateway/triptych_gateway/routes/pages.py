"""The page for people, and the state for machines that only speak to this port."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from string import Template
from typing import Final

from fastapi.openapi.docs import get_swagger_ui_html

from triptych_bundles.manifest import Bundle
from triptych_gateway.platform import Platform
from triptych_gateway.routes.answers import dump
from triptych_gateway.routes.exchange import Answer, Exchange

HTML: Final = b"text/html; charset=utf-8"
# Its static files are Swagger UI's own, kept up to date.
ASSETS_PACKAGE: Final = ("fastapi_offline", "static")
ASSETS: Final = "/docs-assets"


def _read_page() -> Template:
    return Template(resources.files(__package__).joinpath("index.html").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Pages:
    """Endpoints."""

    platform: Platform
    page: Template = field(default_factory=_read_page)

    async def index(self, exchange: Exchange) -> Answer:
        """What this is, how to try it, and the models."""
        models = self.platform.catalog.models()
        text = self.page.substitute(
            url=html.escape(str(exchange.base_url).rstrip("/")),
            model=html.escape(models[-1].name if models else "MODEL"),
            models="\n".join(_rows(models)),
        )
        return Answer(text.encode(), content_type=HTML)

    async def docs(self, exchange: Exchange) -> Answer:  # noqa: ARG002
        """Swagger UI; its parts come from a package, since this machine may know no network."""
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title="Triptych: all routes",
            swagger_js_url=f"{ASSETS[1:]}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS[1:]}/swagger-ui.css",
            swagger_favicon_url="data:,",
        )
        return Answer(bytes(page.body), content_type=HTML)

    async def health(self, exchange: Exchange) -> Answer:  # noqa: ARG002
        """200 while requests can be answered, else 503 and why."""
        problems = list(self.platform.unready())
        state = {"status": "unavailable" if problems else "ok", "problems": problems}
        headers = ((b"retry-after", b"1"),) if problems else ()
        return Answer(dump(state), 503 if problems else 200, headers=headers)


def _rows(models: Sequence[Bundle]) -> Iterator[str]:
    for model in models:
        cells = (model.name, model.version, model.task, model.hidden_size, model.max_length)
        yield "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
