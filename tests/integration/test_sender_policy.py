"""The sender policy, by logins that the real broker has checked."""

import json

from tests.support.broker import VirtualHost
from tests.support.consumer_process import consuming, wait_until
from tests.support.smtp_script import say
from tests.support.smtp_server import smtp_server


def email(sender: str) -> bytes:
    return json.dumps(
        {
            "email_to": "ada@example.org",
            "email_from": sender,
            "subject": "Hello",
            "message": {"text": "Hello"},
        }
    ).encode()


def test_each_login_sends_as_itself_at_the_first_attempt_and_later(vhost: VirtualHost) -> None:
    app = f"webapp-{vhost.name}"
    with (
        smtp_server({"MAIL": [say("451 4.7.1 later")]}) as relay,
        consuming(vhost.url, relay.url, sender_policy=f'{app} = ["@shop.example"]') as process,
    ):

        def publish(message_id: str, sender: str, **properties: str) -> None:
            vhost.publish_raw(email(sender), url=vhost.app_url, message_id=message_id, **properties)

        publish("own", "news@shop.example", user_id=app)
        publish("foreign", "ceo@bank.example", user_id=app)
        publish("nobody's", "news@shop.example")
        dead = {letter.properties.message_id: letter for letter in vhost.dead_letters(2)}
        wait_until(lambda: len(process.handled("own")) == 2, what="the second attempt")

        assert [line["outcome"] for line in process.handled("own")] == ["refused", "accepted"]
        (line,) = process.handled("foreign")
        assert (line["outcome"], line["reason"], line["level"]) == (
            "unauthorized",
            "sender_not_allowed",
            "WARNING",
        )
        assert app in line["text"]
    assert [mail.sender for mail in relay.mails] == ["news@shop.example"]
    reasons = {name: letter.headers["x-hopmail-reason"] for name, letter in dead.items()}
    assert reasons == {"foreign": "sender_not_allowed", "nobody's": "unauthenticated"}
    assert dead["foreign"].headers["x-hopmail-login"] == app
    assert dead["foreign"].body == email("ceo@bank.example")
    (violation,) = dead["nobody's"].detail["violations"]
    assert violation["pointer"] == "properties.user_id"
