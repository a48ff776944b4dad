"""What `cutwater doctor` makes of what it has seen: passed, failed or skipped, and what to do.

Each check is a function of an observation; looking is done elsewhere. An
observation that could not be made is a Trouble, which names what refused and
quotes nothing. No check shows a secret: it is not told any.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

from msgspec import Struct

Verdict = Literal["passed", "failed", "skipped"]


class Check(Struct, frozen=True, kw_only=True):
    name: str
    verdict: Verdict
    found: str
    to_do: str = ""


class Trouble(Struct, frozen=True):
    """Why something could not be looked at: AWS's code for it, or a few words of ours."""

    why: str


def passed(name: str, found: str) -> Check:
    return Check(name=name, verdict="passed", found=found)


def failed(name: str, found: str, to_do: str) -> Check:
    return Check(name=name, verdict="failed", found=found, to_do=to_do)


def skipped(name: str, found: str, to_do: str = "") -> Check:
    return Check(name=name, verdict="skipped", found=found, to_do=to_do)


def well(checks: Sequence[Check]) -> bool:
    """Nothing failed. What was skipped is no failure."""
    return all(check.verdict != "failed" for check in checks)


# --- AWS ------------------------------------------------------------------------------------------


class Identity(Struct, frozen=True):
    account: str
    arn: str


def credentials(seen: Identity | Trouble) -> Check:
    name = "AWS credentials"
    if isinstance(seen, Trouble):
        return failed(name, seen.why, "Run `aws sso login` or set AWS_PROFILE.")
    return passed(name, f"{seen.arn} in the account {seen.account}")


WANTED: Final = ("Url", "TableName", "SecretsPrefix", "ProxyFunctionName")
_AT_REST: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


def stack(status: str, outputs: Mapping[str, str]) -> Check:
    name = "stack"
    if missing := [output for output in WANTED if output not in outputs]:
        lacking = ", ".join(missing)
        return failed(name, f"no output {lacking}", "Deploy this version: `make deploy`.")
    if status not in _AT_REST:
        return failed(name, status, "Wait for the deployment, or see why it failed: `sam list`.")
    return passed(name, f"{status}, {outputs['Url']}")


class TableSeen(Struct, frozen=True, kw_only=True):
    status: str
    keys: tuple[str, ...]
    billing: str
    replicas: tuple[str, ...] = ()


def table(seen: TableSeen | Trouble) -> Check:
    name = "table"
    if isinstance(seen, Trouble):
        to_do = "Deploy the stack again, or ask for dynamodb:DescribeTable on its table."
        return failed(name, seen.why, to_do)
    if seen.keys != ("pk", "sk"):
        return failed(name, f"its key is {', '.join(seen.keys)}", "Is it another one's table?")
    if seen.status not in ("ACTIVE", "UPDATING"):
        return failed(name, seen.status, "Wait until it is ACTIVE, then again.")
    beside = f", replicas in {', '.join(seen.replicas)}" if seen.replicas else ""
    return passed(name, f"{seen.status}, {seen.billing}{beside}")


def expiry(status: str | Trouble, attribute: str = "") -> Check:
    """`status` and `attribute` as DescribeTimeToLive says them."""
    name = "expired rows"
    if isinstance(status, Trouble):
        return failed(name, status.why, "Ask for dynamodb:DescribeTimeToLive on the table.")
    if status not in ("ENABLED", "ENABLING"):
        to_do = "Turn TTL on, on the attribute expires_at: rows are kept and paid for else."
        return failed(name, f"TTL is {status}", to_do)
    if attribute != "expires_at":
        return failed(name, f"TTL is on `{attribute}`", "Put it on the attribute expires_at.")
    return passed(name, "TTL deletes them by expires_at")


class FunctionSeen(Struct, frozen=True, kw_only=True):
    state: str
    memory_mb: int
    snapshot: str
    """`On` where SnapStart has a snapshot of this version."""


def function(seen: FunctionSeen | Trouble) -> Check:
    name = "function"
    if isinstance(seen, Trouble):
        to_do = "Deploy the stack again, or ask for lambda:GetFunctionConfiguration."
        return failed(name, seen.why, to_do)
    if seen.state != "Active":
        return failed(name, f"the alias live is {seen.state}", "Wait, or deploy again.")
    if seen.snapshot != "On":
        to_do = "Deploy again: without a snapshot each cold start imports everything."
        return failed(name, f"SnapStart is {seen.snapshot}", to_do)
    return passed(name, f"Active, {seen.memory_mb} MB, started from a snapshot")


class OrgSeen(Struct, frozen=True, kw_only=True):
    name: str
    endpoints: int = 0
    trouble: str | None = None
    """Why its settings cannot be read or used; it names fields and never their values."""


def organisations(seen: Sequence[OrgSeen] | Trouble, *, where: str) -> list[Check]:
    if isinstance(seen, Trouble):
        to_do = "See that you may list and read what is kept there."
        return [failed("organisations", f"{where}: {seen.why}", to_do)]
    if not seen:
        to_do = "Make one: `cutwater org apply acme.json`."
        return [skipped("organisations", f"none yet in {where}", to_do)]
    return [_organisation(org) for org in seen]


def _organisation(org: OrgSeen) -> Check:
    name = f"organisation {org.name}"
    if org.trouble is not None:
        return failed(name, org.trouble, "Mend its document, then `cutwater org apply`.")
    return passed(name, f"readable, {org.endpoints} endpoints")


# --- Quotas ---------------------------------------------------------------------------------------


class Expected(Struct, frozen=True):
    """The load that is asked about, at its peak."""

    rps: float
    seconds: float

    @property
    def executions(self) -> float:
        return self.rps * self.seconds


def concurrency(limit: float | Trouble, reserved: int | None, expected: Expected) -> Check:
    """`reserved` is what the function has been given of the account's `limit`."""
    name = "Lambda concurrency"
    if reserved is not None:
        most, whose = float(reserved), "this function"
        to_do = "Raise the parameter ReservedConcurrency."
    elif isinstance(limit, Trouble):
        to_do = "Ask for servicequotas:GetServiceQuota or lambda:GetAccountSettings."
        return skipped(name, limit.why, to_do)
    else:
        most, whose = limit, "the account in this region"
        to_do = "Ask for more: Service Quotas, AWS Lambda, Concurrent executions."
    needed = expected.executions
    found = f"{most:,.0f} for {whose}; {expected.rps:g}/s of {expected.seconds:g} s need "
    found += f"{needed:,.0f}"
    if needed > most:
        return failed(name, found, to_do)
    return passed(name, found)


class ThrottleSeen(Struct, frozen=True, kw_only=True):
    rate: float
    burst: float


def throttle(seen: ThrottleSeen | Trouble, stage: float | None, expected: Expected) -> Check:
    """`stage` is the stack's own limit, its parameter ThrottleRate."""
    name = "API Gateway throttle"
    if isinstance(seen, Trouble):
        to_do = "Ask for servicequotas:GetServiceQuota or apigateway:GET on /account."
        return skipped(name, seen.why, to_do)
    found = f"{seen.rate:,.0f}/s for the account, burst {seen.burst:,.0f}"
    if stage is not None:
        found += f"; {stage:,.0f}/s for this stack"
    found += f"; {expected.rps:g}/s are needed"
    if stage is not None and expected.rps > stage:
        return failed(name, found, "Raise the parameter ThrottleRate.")
    if expected.rps > seen.rate:
        return failed(name, found, "Ask for more: Service Quotas, API Gateway, Throttle rate.")
    return passed(name, found)


MOST_SKEW_S: Final = 60.0
"""AWS refuses signatures that are 5 minutes off; credentials are issued by the clock."""


def clock(skew_s: float | Trouble) -> Check:
    """`skew_s`: this machine's clock less the other side's; a Date header has whole seconds."""
    name = "clock"
    if isinstance(skew_s, Trouble):
        return skipped(name, skew_s.why)
    found = f"{abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) > MOST_SKEW_S:
        return failed(name, found, "Set this machine's clock (NTP): signatures depend on it.")
    return passed(name, "within a second" if abs(skew_s) < 2 else found)


# --- A running Cutwater ---------------------------------------------------------------------------


class Answer(Struct, frozen=True, kw_only=True):
    """What an address answered; neither its text nor its headers are kept."""

    status: int
    code: str = ""
    """Of an error."""
    version: str = ""
    arrivals: tuple[float, ...] = ()
    """When each piece of the body came, in seconds since the request was sent."""


def health(seen: Answer | Trouble, url: str, version: str, *, needed: bool) -> Check:
    """`needed`: somebody said that it runs there; `version` is this command line's."""
    name = "server"
    if isinstance(seen, Trouble):
        if needed:
            return failed(name, f"{url}: {seen.why}", "See that it runs, and is reached from here.")
        return skipped(name, f"nothing answers at {url}", "Start it: `cutwater serve`.")
    if seen.status != 200:
        to_do = "Is it Cutwater's address? It ends with /v1."
        return failed(name, f"{url}: status {seen.status} at /health", to_do)
    if seen.version != version:
        to_do = f"This command is version {version}: deploy it, or use the other one."
        return failed(name, f"{url}: version {seen.version or 'unknown'}", to_do)
    return passed(name, f"{url}, version {seen.version}")


LEAST_SPAN_S: Final = 1.0
"""The demo's slow model says its words over more than two seconds."""
LEAST_PIECES: Final = 4


def streaming(seen: Answer | Trouble) -> Check:
    """Whether the words came as they were said, and not all of them at the end."""
    name = "streaming"
    if isinstance(seen, Trouble):
        return failed(name, seen.why, "See the server's log.")
    if seen.status != 200:
        return _no_stream(name, seen)
    times = seen.arrivals
    span = times[-1] - times[0] if times else 0.0
    gaps = [after - before for before, after in pairwise(times)]
    found = f"{len(times)} pieces over {span:.1f} s, at most {max(gaps, default=0.0):.1f} s apart"
    if len(times) < LEAST_PIECES or span < LEAST_SPAN_S:
        to_do = "Something on the way holds answers back: a proxy, or a stage without STREAM."
        return failed(name, found, to_do)
    return passed(name, found)


def _no_stream(name: str, seen: Answer) -> Check:
    if seen.status == 404:
        return skipped(name, "the demo provider is switched off", "Set Demo=on to check it.")
    to_do = "Give a Cutwater key in CUTWATER_KEY." if seen.status == 401 else "See its log."
    return failed(name, _said(seen), to_do)


def endpoint(org: str, label: str, model: str, seen: Answer | Trouble) -> Check:
    """One call of one token to one endpoint of an organisation."""
    name = f"endpoint {org} / {label}"
    if isinstance(seen, Trouble):
        return failed(name, f"{model}: {seen.why}", "See the server's log.")
    if seen.status == 200:
        took = seen.arrivals[-1] if seen.arrivals else 0.0
        return passed(name, f"{model} answered in {took:.1f} s")
    return failed(name, f"{model}: {_said(seen)}", _advice(seen.status))


def _said(seen: Answer) -> str:
    return f"status {seen.status}" + (f" ({seen.code})" if seen.code else "")


_ADVICE: Final = {
    400: "The provider does not take this request: name a model of this endpoint by --model.",
    401: "Cutwater does not know the key, or the provider refuses its own.",
    403: "The provider's key may not use this model, or the caller's key not this endpoint.",
    404: "The endpoint does not have this model: name one by --model.",
    408: "The provider was too slow: look at its status page.",
    429: "The provider's limit is reached: look at its quota and its bill.",
    502: "The provider refused its key, or could not be reached: look at secret and api_base.",
    503: "Cutwater could not read its store or its secrets: see its log.",
    504: "The provider was too slow: look at its status page, and at timeouts.",
}


def _advice(status: int) -> str:
    return _ADVICE.get(status, "See the server's log, and the provider's status page.")


# --- This machine ---------------------------------------------------------------------------------


class FolderSeen(Struct, frozen=True, kw_only=True):
    exists: bool
    writable: bool = False
    open_files: tuple[str, ...] = ()
    """Files with secrets that others than their owner may read."""


def folder(seen: FolderSeen, path: str) -> Check:
    name = "data folder"
    if not seen.exists:
        return skipped(name, f"{path} is not there yet", "`cutwater serve` makes it.")
    if not seen.writable:
        return failed(name, f"{path} cannot be written", "Give its owner the right to write.")
    if seen.open_files:
        names = ", ".join(seen.open_files)
        return failed(name, f"others may read {names}", f"chmod 600 in {path}.")
    return passed(name, f"{path} can be written, its secrets are for its owner only")


class FileSeen(Struct, frozen=True, kw_only=True):
    exists: bool
    said: str = ""
    """What SQLite says of it; `ok` where nothing is wrong."""
    rows: int = 0


def database(seen: FileSeen, path: str) -> Check:
    name = "store"
    if not seen.exists:
        return skipped(name, f"{path} is not there yet", "It is made when it is first used.")
    if seen.said != "ok":
        to_do = "Move it away: keys must be made anew, answers will be."
        return failed(name, f"{path}: {seen.said}", to_do)
    return passed(name, f"{path}, {seen.rows} rows")
