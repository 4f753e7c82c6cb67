"""The provider's hook, with what an operator says of its session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_mapping_kit.compat import BaseHook
from airflow_mapping_kit.exceptions import TargetError
from airflow_mapping_kit.partitions.sequences import shown

MAX_QUERY_TAG = 2000
# What the operators have arguments of their own for.
_OWN = ("snowflake_conn_id", "warehouse", "database", "schema", "role")


def connect(operator: Any) -> Any:
    """Open the connection that an operator names, with what it says of the session.

    :raises TargetError: if the hook doesn't take what `hook_params` gives it
    """
    return hook_of(operator).get_conn()


def hook_of(operator: Any) -> Any:
    """Return the provider's hook of an operator, with what it says of the session.

    :raises TargetError: if the hook doesn't take what `hook_params` gives it
    """
    from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook

    params = dict(operator.hook_params or {})
    if operator.query_tag:
        # What is given to the hook takes the place of all that the connection has.
        stored = BaseHook.get_connection(operator.snowflake_conn_id).extra_dejson.get("session_parameters")
        given = params.get("session_parameters") or stored or {}
        params["session_parameters"] = {**given, "QUERY_TAG": operator.query_tag}
    hook = SnowflakeHook(**{name: getattr(operator, name) for name in _OWN}, **params)
    # It takes what it doesn't know, and does nothing with it.
    if unknown := [name for name in params if name not in vars(hook)]:
        raise TargetError(
            f"hook_params has {shown(unknown)}, which this provider's SnowflakeHook doesn't take: check the "
            f"spelling, or write it into the connection {operator.snowflake_conn_id!r}"
        )
    return hook


def check_session(query_tag: Any, hook_params: Any) -> None:
    """Check what an operator says of its session, as far as that can be known without the provider.

    :raises TargetError: if it can't be
    """
    if query_tag is not None and (not isinstance(query_tag, str) or len(query_tag) > MAX_QUERY_TAG):
        raise TargetError(
            f"query_tag is {shown(query_tag)}: write text of {MAX_QUERY_TAG:,} characters at most"
        )
    if hook_params is None:
        return
    if not isinstance(hook_params, Mapping):
        raise TargetError(f"hook_params is {shown(hook_params)}: write a dict of what SnowflakeHook takes")
    if own := [name for name in _OWN if name in hook_params]:
        raise TargetError(f"hook_params has {shown(own)}: write {own[0]}=, an argument of the operator")


def query_url(organization: str | None, account: str | None, query_id: str | None) -> str | None:
    """Return where Snowsight shows a query, `None` where it isn't known.

    Example: `query_url("ACME", "EU", "01b2")` gives
    `"https://app.snowflake.com/acme/eu/#/compute/history/queries/01b2/detail"`.
    """
    if not (organization and account and query_id):
        return None
    path = "/".join(quote(part.lower(), safe="") for part in (organization, account))
    return f"https://app.snowflake.com/{path}/#/compute/history/queries/{quote(query_id, safe='')}/detail"
