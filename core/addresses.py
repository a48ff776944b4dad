"""Where a deployment connects to for somebody else: an organisation's settings, a caller's URL.

A name says nothing; only the addresses that it resolves to do. What is checked
here before a connection is the early word: the last one is said about the very
address that the connection goes to.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal, TypeAlias

Reach: TypeAlias = Literal["public", "network", "any"]
"""What anyone may ask; one's own network too; this machine and the cloud's metadata as well."""

_PRIVATE_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        # https://www.iana.org/assignments/iana-ipv4-special-registry
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # Azure's own services, at a public address that only its machines reach.
        "168.63.129.16/32",
    )
)
_AZURE: Final = _PRIVATE_V4[-1]
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_PRIVATE_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo, ORCHID, benchmarks.
        "2001:db8::/32",
        "3fff::/20",
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_OWN_NETWORK: Final = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)
_METADATA: Final = (
    IPv4Network("100.100.100.200/32"),
    IPv6Network("fd00:ec2::/32"),
    IPv6Network("fd20:ce::/32"),
)
"""Where a cloud tells a machine its secrets, within what else is one's own network."""
_METADATA_NAMES: Final = frozenset(
    {"instance-data", "instance-data.ec2.internal", "metadata", "metadata.goog"}
)

_URL: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?(?=[/?]|$)")
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\#]")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def reach(said: str | None, *, deployed: bool) -> Reach:
    """What the setting CUTWATER_PRIVATE_ENDPOINTS means; ValueError where it means nothing.

    Deployed, even `on` leaves out the machine itself: in a Lambda its own
    runtime answers there, and gives away other callers' requests.
    """
    if said not in (None, "", "on", "off", "any"):
        raise ValueError("CUTWATER_PRIVATE_ENDPOINTS is `on`, `off` or `any`, nothing else.")
    if said in (None, ""):
        said = "off" if deployed else "on"
    if said == "on":
        return "network" if deployed else "any"
    return "public" if said == "off" else "any"


def allows(reach: Reach, address: str) -> bool:
    """Whether to connect to `address`, which is no name."""
    match reach:
        case "any":
            return True
        case "network":
            return is_public(address) or _is_of_own_network(address)
        case "public":
            return is_public(address)


def is_public(address: str) -> bool:
    """Whether anyone on the internet may ask there."""
    found = parsed(address)
    match found:
        case IPv4Address():
            return not any(found in network for network in _PRIVATE_V4)
        case IPv6Address():
            if found not in _GLOBAL_V6:
                return False
            return not any(found in network for network in _PRIVATE_V6)
        case None:
            return False


def is_reachable(address: str) -> bool:
    """Of one's own network and machine too; but never where a cloud tells a machine its secrets."""
    found = parsed(address)
    if found is None or any(found in network for network in (*_METADATA, _AZURE)):
        return False
    return not (found.is_link_local or found.is_multicast or found.is_unspecified)


def _is_of_own_network(address: str) -> bool:
    found = parsed(address)
    if found is None or any(found in network for network in _METADATA):
        return False
    return any(found in network for network in _OWN_NETWORK)


def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """What is behind an address that only wraps another one is what counts."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        if found in _NAT64:
            return IPv4Address(int(found) & 0xFFFFFFFF)
        return found.ipv4_mapped or found.sixtofour or found
    return found


def fault(url: str, reach: Reach) -> str | None:
    """Why an organisation may not have `url` for an address; None: it may.

    It never quotes the URL, which may hold a key.
    """
    if not url.startswith(("http://", "https://")):
        return "starts with http:// or https://"
    if _UNSAFE.search(url):
        return "holds a character that must be escaped in a URL"
    found = _URL.match(url)
    if found is None:
        # Also `https://user:password@host`: parsers disagree about what is the host.
        return "needs a host of letters, digits, `.` and `-`, without a user name"
    if reach == "any" or _may_be_asked(found[1], reach):
        return None
    where = "public address" if reach == "public" else "public address or one of your network"
    return f"leads to what is no {where} (CUTWATER_PRIVATE_ENDPOINTS)"


def _may_be_asked(host: str, reach: Reach) -> bool:
    """A name may, as far as can be said before it is resolved."""
    name = host.lower().rstrip(".")
    if name.startswith("["):
        return allows(reach, name.strip("[]"))
    # `127.1`, `0177.0.0.1`, `0x7f000001`, `2130706433`: C libraries read them all as addresses.
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return allows(reach, name)
    local = name == "localhost" or name.endswith(".localhost")
    google = name == "metadata.google.internal" or name.endswith(".metadata.google.internal")
    return bool(name) and not (local or google or name in _METADATA_NAMES)
