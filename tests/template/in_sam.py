"""Runs in SAM's own environment: what the template becomes, and what `sam local` makes of it.

It reads the template as SAM does, and nothing of ours: it has neither our code nor our packages.
"""

import json  # noqa: TID251  msgspec is not in SAM's environment.
import sys
from pathlib import Path
from typing import Any


def transformed(path: Path) -> Any:
    from samtranslator.translator.transform import transform
    from samtranslator.yaml_helper import yaml_parse

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    template = yaml_parse(path.read_text())
    # Code on this disk has no place in CloudFormation: `sam deploy` uploads it first.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    return transform(template, {}, NoPolicies())


def source(path: Path) -> Any:
    from samtranslator.yaml_helper import yaml_parse

    return yaml_parse(path.read_text())


def routes(path: Path) -> Any:
    """As `sam local start-api` finds them."""
    from samcli.lib.providers.api_provider import ApiProvider
    from samcli.lib.providers.provider import Stack

    stack = Stack("", "", str(path), {}, source(path))
    provider = ApiProvider([stack])
    return [[route.path, sorted(route.methods), route.function_name] for route in provider.routes]


if __name__ == "__main__":
    found = globals()[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.write(json.dumps(found, default=str))
