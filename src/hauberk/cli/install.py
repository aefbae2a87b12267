"""hauberk install: what is to be applied to a cluster, or put on a host."""

import sys
from typing import Annotated

import typer

from hauberk import install as installation
from hauberk.errors import ConfigError


def install(
    print_it: Annotated[
        bool, typer.Option("--print", help="Write to standard output; nothing is changed.")
    ] = False,
    host: Annotated[
        bool, typer.Option("--host", help="The systemd unit for a host without Kubernetes.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="Where the agent lives.")] = installation.NAMESPACE,
    changes: Annotated[
        list[str],
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as config.cluster=production."),
    ] = [],  # noqa: B006
) -> None:
    """Print what an installation consists of: manifests for `kubectl apply`, or a systemd unit."""
    if not print_it:
        raise ConfigError("install changes nothing itself: `hauberk install --print | kubectl apply -f -`")
    if host:
        sys.stdout.write(installation.template("hauberk.service"))
    else:
        sys.stdout.write(installation.render(installation.read_values(changes), namespace))
