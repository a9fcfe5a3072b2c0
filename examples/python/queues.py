"""The consumer's three queues: events, those that wait for a retry, and dead letters."""

import logging
import os
import re
from datetime import datetime, timezone

EXCHANGE = os.environ.get("RELAY_EXCHANGE", "orders.events")
MAX_RETRIES = int(os.environ.get("RABBITMQ_MAX_RETRIES", "20"))
RETRY_TTL_MS = int(os.environ.get("RABBITMQ_RETRY_TTL_MS", "10000"))
# The delivery limit: a message that crashes the consumer this often is dead-lettered.
MAX_RETURNS = 20
# Headers that a copy must not have: the broker writes them, or would route by them.
BROKER_HEADERS = re.compile(r"x-death|x-(first|last)-death-.*|x-(opt-)?delivery-count|CC|BCC")

log = logging.getLogger("queues")


class Queues:
    def __init__(self, channel, name):
        self.channel = channel
        self.name, self.retry, self.dead_letters = name, f"{name}.retry", f"{name}.dlq"
        channel.confirm_delivery()  # From here on basic_publish returns when the broker confirms.

    def declare(self, keys):
        self._declare(self.dead_letters)
        # Expired messages return to this queue alone: through the exchange every subscriber would
        # get them again.
        self._declare(self.retry, forward_to=self.name)
        self._declare(self.name, forward_to=self.dead_letters, **{"x-delivery-limit": MAX_RETURNS})
        self.channel.exchange_declare(EXCHANGE, "topic", durable=True)
        for key in keys:
            self.channel.queue_bind(self.name, EXCHANGE, key)

    def _declare(self, queue, forward_to=None, **arguments):
        arguments["x-queue-type"] = "quorum"
        if forward_to:
            # at-least-once: a message is kept until the next queue has it. Needs reject-publish.
            arguments |= {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": forward_to,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            }
        self.channel.queue_declare(queue, durable=True, arguments=arguments)

    def redirect(self, method, properties, body, reason, can_retry):
        """Publishes a copy to the retry queue or, if no retry is left, to the dead-letter queue.

        Returns when the broker has confirmed it; raises if it was refused or no queue took it.
        """
        before = properties.headers or {}
        retries = before.get("x-retry-count")
        # A message with x-tries was moved back from the dead-letter queue, and starts again with
        # all its tries.
        if "x-tries" in before or not isinstance(retries, int):
            retries = 0
        now = datetime.now(timezone.utc).isoformat()
        headers = {
            name: value for name, value in before.items()
            if name != "x-tries" and not BROKER_HEADERS.fullmatch(str(name))
        }
        headers["x-reason"] = reason[:500]
        headers["x-last-failed-at"] = now
        headers.setdefault("x-first-failed-at", now)
        headers.setdefault("x-original-exchange", method.exchange)
        headers.setdefault("x-original-routing-key", method.routing_key)
        if can_retry and retries < MAX_RETRIES:
            queue, properties.expiration = self.retry, str(RETRY_TTL_MS)
            headers["x-retry-count"] = retries + 1
        else:
            queue, properties.expiration = self.dead_letters, None
            headers |= {"x-retry-count": retries, "x-tries": retries + 1}
        # Without user_id: the broker accepts only the connection's own user.
        properties.headers, properties.user_id, properties.delivery_mode = headers, None, 2
        self.channel.basic_publish("", queue, body, properties, mandatory=True)
        log.warning("event %r went to %s: %r", properties.message_id, queue, reason)
