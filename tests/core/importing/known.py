"""Support for the importers' tests: what a deployment knows, and what comes out."""

from typing import Any

import msgspec

from core import orgs
from core.importing.common import Imported, Known
from core.orgs import Org
from providers import catalog

KNOWN = Known(
    types=frozenset(catalog.PROVIDERS),
    rules=catalog.rules(),
    key_variables={
        name: tuple(v for v in (row.key_variable, row.other_key_variable) if v)
        for name, row in catalog.PROVIDERS.items()
    },
)


def loaded(imported: Imported) -> Org:
    """As Cutwater would load it: whatever an importer returns is accepted."""
    body = msgspec.json.encode(imported.document)
    return orgs.parse(body, source="imported", types=KNOWN.types, rules=KNOWN.rules)


def endpoints(imported: Imported) -> list[dict[str, Any]]:
    loaded(imported)
    found: list[dict[str, Any]] = imported.document["endpoints"]
    return found


def said(imported: Imported) -> dict[str, str]:
    """Path -> reason."""
    assert "sentinel" not in repr(imported)
    assert "sentinel" not in str(imported.untaken)
    return {one.path: one.reason for one in imported.untaken}
