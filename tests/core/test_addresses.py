"""What a deployment connects to for an organisation, and what it never does."""

from typing import Any

import msgspec
import pytest

from core import addresses, orgs
from core.addresses import Reach
from core.orgs import SettingsError

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
OWN_NETWORK = [
    "10.0.0.1",
    "100.64.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "fd12:3456::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "224.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "ff02::1",
    "2001:db8::1",
    "no-address",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_always_asked(address: str):
    assert addresses.allows("public", address)
    assert addresses.allows("network", address)


@pytest.mark.parametrize("address", OWN_NETWORK)
def test_ones_own_network_is_asked_where_that_is_set(address: str):
    assert not addresses.allows("public", address)
    assert addresses.allows("network", address)


@pytest.mark.parametrize("address", NEVER)
def test_this_machine_and_what_tells_its_secrets_are_asked_on_a_laptop_only(address: str):
    assert not addresses.allows("public", address)
    assert not addresses.allows("network", address)
    assert addresses.allows("any", address)


@pytest.mark.parametrize(
    ("said", "deployed", "reach"),
    [
        (None, False, "any"),
        ("", False, "any"),
        ("on", False, "any"),
        ("off", False, "public"),
        ("any", False, "any"),
        (None, True, "public"),
        ("", True, "public"),
        ("off", True, "public"),
        ("on", True, "network"),
        ("any", True, "any"),
    ],
)
def test_the_setting_means_less_where_others_may_write_settings(
    said: str | None, deployed: bool, reach: Reach
):
    assert addresses.reach(said, deployed=deployed) == reach


@pytest.mark.parametrize("said", ["false", "0", "no", "ON", "public"])
def test_a_setting_that_means_nothing_is_refused(said: str):
    with pytest.raises(ValueError, match="CUTWATER_PRIVATE_ENDPOINTS"):
        addresses.reach(said, deployed=True)


def settings(reach: Reach = "public", *, secret: str | None = None, **metadata: Any) -> None:
    document = {
        "name": "acme",
        "endpoints": [{"type": "openai", "secret": secret, "metadata": metadata}],
    }
    body = msgspec.json.encode(document)
    orgs.parse(body, source="acme.json", types=frozenset({"openai"}), reach=reach)


def hosts(names: list[str]) -> list[str]:
    return [f"[{name}]" if ":" in name else name for name in names if "%" not in name]


ATTACKS = [
    *hosts([name for name in NEVER if "." in name or ":" in name]),
    "127.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "2852039166",
    "169.254.169.254.",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "x.localhost",
    "metadata.google.internal",
    "Metadata.Google.Internal.",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
    ".",
]
MALFORMED = [
    "https://key@169.254.169.254/",
    "https://api.test:443@169.254.169.254/",
    "https://api.test\\@169.254.169.254/",
    "https://api.test#@169.254.169.254/",
    "https://169。254。169。254/",
    "https://\uff11\uff16\uff19.254.169.254/",
    "https://api.test/a b",
    "https://api.test/\r\nx: y",
    "https://api.test/\x00",
    "https:///v1",
    "https://",
    "https://[::1",
    "https://[fe80::1%25eth0]/",
    "https://api.test:99999999/",
    "file:///etc/passwd",
    "gopher://169.254.169.254/",
    "HTTP://169.254.169.254/",
    "//169.254.169.254/",
    "unix:/run/docker.sock",
]
FIELDS = ["api_base", "token_base"]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("reach", ["public", "network"])
@pytest.mark.parametrize("host", ATTACKS)
def test_settings_that_lead_into_the_machine_are_refused_when_deployed(
    reach: Reach, host: str, field: str
):
    for scheme in ("http", "https"):
        for rest in ("", ":8080", "/v1", ":80/latest/meta-data?a=b", "?x"):
            with pytest.raises(SettingsError, match=rf"endpoints\[0\].metadata.{field}"):
                settings(reach, **{field: f"{scheme}://{host}{rest}"})


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("reach", ["public", "network", "any"])
@pytest.mark.parametrize("url", MALFORMED)
def test_an_address_that_parsers_may_disagree_about_is_refused_everywhere(
    reach: Reach, url: str, field: str
):
    with pytest.raises(SettingsError, match=rf"endpoints\[0\].metadata.{field}"):
        settings(reach, **{field: url})


@pytest.mark.parametrize("host", ["10.1.2.3", "192.168.0.7", "[fd12::7]"])
def test_a_private_address_is_refused_unless_it_is_set(host: str):
    with pytest.raises(SettingsError, match="CUTWATER_PRIVATE_ENDPOINTS"):
        settings("public", api_base=f"https://{host}/v1")
    settings("network", api_base=f"https://{host}/v1")


@pytest.mark.parametrize("host", [*hosts(OWN_NETWORK), "127.0.0.1:8080", "localhost:11434"])
def test_a_laptop_reaches_all(host: str):
    settings("any", api_base=f"http://{host}/v1", token_base=f"http://{host}")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://my-azure.openai.azure.com",
        "http://93.184.216.34:8080/v1?key=1",
        "https://[2606:4700::1111]/v1",
        "https://vpce-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "https://under_score.test/",
    ],
)
def test_public_addresses_and_names_are_taken(url: str):
    settings("public", api_base=url, token_base=url)


def credential(**fields: Any) -> str:
    return msgspec.json.encode({"type": "external_account", **fields}).decode()


METADATA_URL = "http://169.254.169.254/latest/api/token?key=sk-sentinel"
SMUGGLED = [
    {"token_uri": METADATA_URL},
    {"token_url": METADATA_URL},
    {"service_account_impersonation_url": METADATA_URL},
    {"service_account_impersonation_url": "file:///etc/passwd"},
    {"credential_source": {"url": METADATA_URL}},
    {"credential_source": {"url": "http://localhost:9001/2018-06-01/runtime/invocation/next"}},
    {"token_uri": 7},
    {"token_uri": ["http://a"]},
    {"credential_source": {"url": "https://a.test", "headers": {"host": "b.test"}}},
    {"credential_source": {"url": "https://a.test", "headers": {"x": "1\r\ny: 2"}}},
]
SIGNED = [
    "https://sts.{region}.amazonaws.com?Action=AssumeRole&Version=2011-06-15&RoleArn=arn:x",
    "https://sts.{region}.amazonaws.com.evil.test?Action=GetCallerIdentity&Version=2011-06-15",
    "https://iam.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15&Action=x",
]


@pytest.mark.parametrize("fields", SMUGGLED, ids=str)
def test_addresses_in_a_credential_file_are_looked_at_too(fields: dict[str, Any]):
    with pytest.raises(SettingsError, match=r"endpoints\[0\].secret") as caught:
        settings("network", secret=credential(**fields))
    assert "sentinel" not in str(caught.value)
    assert "169.254" not in str(caught.value)


@pytest.mark.parametrize("url", SIGNED)
def test_the_role_of_the_process_signs_nothing_but_who_it_is(url: str):
    source = {"environment_id": "aws1", "regional_cred_verification_url": url}
    with pytest.raises(SettingsError, match="GetCallerIdentity only"):
        settings("any", secret=credential(credential_source=source))


def test_credential_files_as_google_makes_them_are_taken():
    who = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
    service = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generate"
    settings(
        secret=credential(
            token_url="https://sts.googleapis.com/v1/token",
            service_account_impersonation_url=service,
            credential_source={
                "environment_id": "aws1",
                # Not asked: this process knows its own keys.
                "region_url": "http://169.254.169.254/latest/meta-data/placement",
                "regional_cred_verification_url": who,
            },
        )
    )
    settings(secret=credential(token_uri="https://oauth2.googleapis.com/token"))
    settings(secret="{not a document")
    settings(secret="{" * 100_000)
