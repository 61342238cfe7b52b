"""``s3kit conformance``: what an endpoint, any endpoint, does with each of S3's operations."""

from __future__ import annotations

import json
import sys

import click

from ..config import ConfigError
from ..config import nearest
from ..conformance import CannotBegin
from ..conformance import Endpoint
from ..conformance import Report
from ..conformance import Result
from ..conformance import run
from ..conformance.report import as_mapping
from ..conformance.report import markdown_table
from ..conformance.report import summary
from ..conformance.report import text_table
from ..model import Account
from ..model import Key
from ..wire.service_model import OPERATIONS


@click.command()
@click.argument("url")
@click.option("--access-key", envvar=["S3KIT_ACCESS_KEY", "AWS_ACCESS_KEY_ID"], required=True)
@click.option("--secret-key", envvar=["S3KIT_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"], required=True)
@click.option("--session-token", envvar="AWS_SESSION_TOKEN", help="Of a temporary key.")
@click.option(
    "--region", default="us-east-1", show_default=True, help="What requests are signed for."
)
@click.option(
    "--operation",
    "operations",
    multiple=True,
    metavar="NAME",
    help="Try only this operation. May be repeated. [default: all]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an answer.",
)
@click.option("--insecure", is_flag=True, help="Do not check the certificate of an https URL.")
@click.option("--json", "style", flag_value="json", help="Print one JSON document.")
@click.option("--markdown", "style", flag_value="markdown", help="Print a table for a page.")
@click.pass_context
def conformance(
    context: click.Context,
    /,
    url: str,
    access_key: str,
    secret_key: str,
    session_token: str | None,
    region: str,
    operations: tuple[str, ...],
    timeout: float,
    insecure: bool,
    style: str | None,
) -> None:
    """Try every S3 operation against an endpoint and print what it really does.

    Each operation is tried in scratch buckets of its own (s3kit-conformance-...), which are removed
    afterwards; nothing else is touched. The verdicts:

    \b
    right    the answer is the operation's, and its effect can be read back
    refused  an S3 error with a code, 501 or 4xx, and nothing was changed
    wrong    the answer or the effect is another operation's, or there is none
    error    5xx other than 501, no XML where S3 has XML, no answer

    The exit code is 0 when nothing was wrong or an error, 1 otherwise, 2 when nothing could be
    measured.
    """
    known = [row.name for row in OPERATIONS]
    for name in operations:
        if name not in known:
            raise ConfigError(f'S3 has no operation "{name}". {nearest(name, known)}')
    key = Key(access_key, secret_key, Account("conformance", "conformance"), session_token)
    try:
        endpoint = Endpoint(url, key, region=region, timeout=timeout, verify=not insecure)
        report = _run(endpoint, operations)
    except (CannotBegin, ValueError) as error:
        raise ConfigError(str(error)) from None
    if style == "json":
        click.echo(json.dumps(as_mapping(report), indent=2))
    elif style == "markdown":
        click.echo(f"{markdown_table(report)}\n\n{summary(report)}")
    else:
        click.echo(text_table(report))
    for name in report.left_behind:
        click.echo(f"The scratch bucket {name} could not be removed.", err=True)
    context.exit(0 if report.passed else 1)


def _run(endpoint: Endpoint, operations: tuple[str, ...]) -> Report:
    """With a bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        return run(endpoint, operations)
    total = len(set(operations)) or len(OPERATIONS)
    with click.progressbar(length=total, label="Trying", file=sys.stderr, show_pos=True) as bar:

        def advance(result: Result) -> None:
            bar.update(1)

        return run(endpoint, operations, on_result=advance)
