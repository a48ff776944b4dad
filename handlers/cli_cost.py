"""`cutwater cost`: what a deployment in AWS costs a month. It asks nobody."""

from typing import Annotated

import typer

from core import cost_estimate
from core.cost_estimate import Load, LoadError
from handlers import cost_report
from handlers.cli_common import remark, show_json, show_table
from handlers.terminal import Json, stop


def cost(  # noqa: PLR0913, PLR0917  options of a command line
    rps: Annotated[float, typer.Option(help="Requests a second, on average.")] = 1.0,
    seconds: Annotated[float, typer.Option(help="How long a model's answer takes.")] = 5.0,
    cache_hit: Annotated[float, typer.Option(help="Share of the requests it answers.")] = 0.0,
    stored: Annotated[
        float | None,
        typer.Option(help="Share of the other answers that are stored: all, if any is hit."),
    ] = None,
    answer_kb: Annotated[
        float | None, typer.Option(help="Of an answer; 5 for each second without.")
    ] = None,
    request_kb: Annotated[float, typer.Option(help="Of a request.")] = 8.0,
    memory_mb: Annotated[int, typer.Option(help="The parameter MemoryMb.")] = 512,
    organisations: Annotated[int, typer.Option(help="Each has a secret.")] = 1,
    regions: Annotated[int, typer.Option(help="Stacks that share one table.")] = 1,
    log_days: Annotated[int, typer.Option(help="The parameter LogDays.")] = 14,
    nat_gateways: Annotated[int, typer.Option(help="Of your VPC, in each region.")] = 0,
    realtime_minutes: Annotated[
        float, typer.Option(help="Of realtime sessions by API Gateway, a month.")
    ] = 0.0,
    *,
    waf: Annotated[bool, typer.Option("--waf", help="With a firewall.")] = False,
    tracing: Annotated[bool, typer.Option("--tracing", help="With X-Ray.")] = False,
    admin: Annotated[bool, typer.Option(help="With the admin routes.")] = True,
    snapstart: Annotated[bool, typer.Option(help="The parameter SnapStart.")] = True,
    alarms: Annotated[bool, typer.Option(help="The parameter Alarms.")] = True,
    dashboard: Annotated[bool, typer.Option(help="The parameter Dashboard.")] = True,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    json: Json = False,
) -> None:
    """Estimate what a deployment in AWS costs a month, line by line."""
    load = Load(
        rps=rps,
        seconds=seconds,
        cache_hit=cache_hit,
        stored=stored,
        answer_kb=answer_kb,
        request_kb=request_kb,
        memory_mb=memory_mb,
        organisations=organisations,
        regions=regions,
        log_days=log_days,
        waf=waf,
        tracing=tracing,
        nat_gateways=nat_gateways,
        admin=admin,
        snapstart=snapstart,
        alarms=alarms,
        dashboard=dashboard,
        realtime_minutes=realtime_minutes,
    )
    try:
        found = cost_estimate.estimate(load)
    except LoadError as error:
        raise stop(str(error)) from error
    if json:
        show_json(cost_report.plain(found))
    elif markdown:
        print(cost_report.markdown(found), end="")
    else:
        show_table(cost_report.COLUMNS, cost_report.rows(found))
        for said in cost_report.remarks(found):
            print(said)
        remark("List prices of us-east-1. What providers charge for their models is not in it.")
