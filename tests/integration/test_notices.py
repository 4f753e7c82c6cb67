"""Notifiers of Airflow's on what fails: the mails and messages that arrive, from instances and fan-ins that ran."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pendulum
import pytest
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

import airflows
from airflow_mapping_kit.compat import AIRFLOW_3
from airflow_mapping_kit.fan_in import collect, failure_subject, failure_text, report_markdown
from airflow_mapping_kit.generators import product
from mails import mail_server

if AIRFLOW_3:
    from airflow.sdk import BaseNotifier
else:
    from airflow.notifications.basenotifier import BaseNotifier

START = pendulum.datetime(2024, 1, 1)
BASE = "https://airflow.example.com"


class PostNotifier(BaseNotifier):
    """Posts a text, as notifiers of chats do."""

    template_fields = ("text",)

    def __init__(self, url, text):
        super().__init__()
        self.url, self.text = url, text

    def notify(self, context):
        import urllib.request

        body = json.dumps({"text": self.text}).encode()
        urllib.request.urlopen(urllib.request.Request(self.url, data=body), timeout=30).close()


@pytest.fixture(scope="module")
def told(metadata_db):
    """Run a DAG whose instances and fan-in tell of it; give the mails and the messages, and its run."""
    posted = []

    class Posted(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    chat = HTTPServer(("127.0.0.1", 0), Posted)
    thread = threading.Thread(target=chat.serve_forever)
    thread.start()
    with mail_server() as (port, mails), pytest.MonkeyPatch.context() as patch:
        connection = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": port,
            "extra": {"disable_ssl": True, "disable_tls": True},
        }
        patch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        patch.setenv("AIRFLOW__API__BASE_URL" if AIRFLOW_3 else "AIRFLOW__WEBSERVER__BASE_URL", BASE)

        # A notifier renders itself, once: every task has a process of its own, but not so in a test.
        def mail(context):
            SmtpNotifier(
                from_email="airflow@example.com",
                to="team@example.com",
                subject=failure_subject(),
                html_content=failure_text("html"),
            )(context)

        def post(context):
            PostNotifier(f"http://127.0.0.1:{chat.server_port}", failure_text("slack"))(context)

        with airflows.DAG("tells", schedule=None, start_date=START) as dag:

            @airflows.task(on_failure_callback=[mail, post])
            def load(partition):
                if partition["origin"] != "JFK":
                    raise ValueError(f"no file <{partition['origin']}>\nlook there")

            @airflows.task(on_failure_callback=mail)
            def alone():
                raise ValueError("alone")

            @airflows.task(trigger_rule="all_done")
            def tell(report):
                return report_markdown(report, task="load")

            loaded = load.expand(partition=product(origin=["EWR", "JFK", "L&A"]))
            tell(collect(loaded, on_failure_callback=[mail, post]))
            alone()
        run = airflows.dag_test(dag)
    chat.shutdown()
    thread.join()
    chat.server_close()
    return mails, posted, run


def bodies(mails):
    return {mail["subject"]: mail.get_body(("html", "plain")).get_content() for mail in mails}


def test_a_mail_on_a_failed_instance_names_its_piece_its_try_and_its_error(told):
    mails, _, run = told
    found = bodies(mails)
    assert set(found) == {
        "tells.load failed: origin=EWR",
        "tells.load failed: origin=L&A",
        "tells.collect_load: 2 of 3 pieces failed",
        "tells.alone failed",
    }
    body = found["tells.load failed: origin=EWR"]
    assert "<code>tells.load</code> <b>failed</b>: <code>origin=EWR</code>, try 1 of 1" in body
    assert "<code>ValueError: no file &lt;EWR&gt;</code>" in body
    assert "<code>look there</code>" in body
    assert f'<a href="{BASE}/' in body
    assert "piece=origin%3DEWR" in body
    assert "<code>ValueError: alone</code>" in found["tells.alone failed"]


def test_a_mail_on_a_fan_in_names_the_pieces_that_failed_with_links(told):
    mails, _, _ = told
    body = bodies(mails)["tells.collect_load: 2 of 3 pieces failed"]
    assert "<code>tells.collect_load</code>: <b>2 of 3 pieces failed</b> (1 succeeded, 2 failed)" in body
    for key in ("origin=EWR", "origin=L&amp;A"):
        assert f"<code>{key}</code></a>" in body
    assert "JFK" not in body
    assert "task=load&amp;run=" in body


def test_a_message_is_in_the_words_of_the_chat(told):
    _, posted, _ = told
    assert len(posted) == 3
    fan_in = next(text for text in posted if "collect_load" in text)
    assert "*2 of 3 pieces failed* (1 succeeded, 2 failed)" in fan_in
    assert f"<{BASE}/" in fan_in
    assert "|origin=L&amp;A>" in fan_in
    assert any("`ValueError: no file &lt;L&amp;A&gt;`" in text for text in posted)


def test_a_task_gets_the_report_as_markdown(told):
    _, _, run = told
    text = airflows.xcom_of(run, "tell")
    assert text.startswith(
        "**2 of 3 pieces failed** (1 succeeded, 2 failed)\n- 1 × `ValueError: no file <EWR>`\n"
    )
    assert "[`origin=L&A`](https://airflow.example.com/" in text
