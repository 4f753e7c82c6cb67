"""Where what an instance wrote can be looked at in its store's own console, as the button *Store* of the instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow_mapping_kit.compat import AIRFLOW_3, BaseOperatorLink, pushed_value, set_plain_xcom

if TYPE_CHECKING:
    from airflow.utils.context import Context

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
    """Have the button lead to an address. Where there is none Airflow 3 is spared to keep that."""
    operator.store = url
    operator.operator_extra_links = (StoreLink(),) if url else ()
    if url and not AIRFLOW_3:
        set_plain_xcom(context["ti"], _KEY, url)
