"""Where what an instance wrote can be looked at in its store's own console, as the button *Store* of the instance."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow_mapping_kit.compat import AIRFLOW_3, BaseOperatorLink, pushed_value, set_plain_xcom
from airflow_mapping_kit.failures import said
from airflow_mapping_kit.reading.records import error_of

if TYPE_CHECKING:
    from airflow.utils.context import Context

log = logging.getLogger(__name__)

# As an XCom of the instance, which Airflow 2's web server reads.
_KEY = "mapping_kit_store"
_AWS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def s3_console(client: Any, bucket: str, prefix: str) -> str | None:
    """Return where AWS shows a prefix; `None` of a server that isn't AWS's.

    `https://console.aws.amazon.com/s3/buckets/lake?prefix=flights/date%3D2013-01-01/`.

    :param client: boto3's client for S3
    """
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    console = _AWS.get(client.meta.partition)
    if console is None or not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return None
    return f"https://{console}/s3/buckets/{quote(bucket)}?prefix={quote(prefix)}"


def google_console(bucket: str, prefix: str) -> str:
    """Return where Google Cloud shows a prefix."""
    return f"https://console.cloud.google.com/storage/browser/{quote(bucket)}/{quote(prefix)}"


class StoreLink(BaseOperatorLink):
    """The button *Store*: what an instance wrote, in the console of AWS or Google Cloud."""

    name = "Store"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address; nothing where there is none.

        :param operator: on Airflow 3 that of the instance, which has just run; in Airflow 2's web server any.
        :param ti_key: the key of the instance, or on Airflow 3 the instance.
        """
        return str((operator.store if AIRFLOW_3 else pushed_value(ti_key, _KEY)) or "")


def show(operator: Any, url: str | None, context: Context) -> None:
    """Have the button lead to an address. Where there is none Airflow 3 is spared to keep that. Never raises."""
    operator.store = url
    operator.operator_extra_links = (StoreLink(),) if url else ()
    if not url or AIRFLOW_3:
        return
    try:
        set_plain_xcom(context["ti"], _KEY, url)
    except Exception as error:  # noqa: BLE001 -- what is written is written: a button is no reason to do it again
        log.warning("The button to the store can't be kept: %s", said(error_of(error)))
