"""Consumes events and applies each once. docs/consumers.md explains what is done when, and why."""

import json
import logging
import os
import random
import signal
import time

import pika
import psycopg
from pika.exceptions import AMQPError, ConsumerCancelled

from queues import Queues

# The prefetch: how many unacknowledged messages this process may have at a time.
PREFETCH = 20
FIRST_DELAY, LONGEST_DELAY = 0.5, 5.0

log = logging.getLogger("consumer")
stopping = False


class NotYet(Exception):
    """Raised by `apply` when an event can't be applied now, but later may be."""


def consume_forever(name, keys, apply):
    """Consumes from the queue `name`, bound with `keys`, until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # What it logs is raised here, too.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    broker_parameters = pika.URLParameters(os.environ["RABBITMQ_URL"])
    # A broker that is short of memory or disk blocks publishing connections.
    broker_parameters.blocked_connection_timeout = 60
    delay = FIRST_DELAY
    while not stopping:
        started = time.monotonic()
        try:
            # The database first: while it is down, nothing is consumed. When one connection is
            # lost, both are closed, so that no message is held here unacknowledged.
            with connect_database() as db, pika.BlockingConnection(broker_parameters) as broker:
                check_writable(db)
                channel = broker.channel()
                channel.basic_qos(prefetch_count=PREFETCH)
                queues = Queues(channel, name)
                queues.declare(keys)
                log.info("consuming from %s", name)
                consume(db, channel, queues, apply)
        except (psycopg.Error, AMQPError, OSError) as error:
            # The wait grows after each failure, and resets after a while without one: each
            # reconnect returns messages to the queue, which counts that.
            if time.monotonic() - started > LONGEST_DELAY:
                delay = FIRST_DELAY
            log.warning("interrupted, trying again in at most %.1f s: %r", delay, error)
            wait(delay * random.uniform(0.5, 1))
            delay = min(2 * delay, LONGEST_DELAY)
    log.info("stopped")


def consume(db, channel, queues, apply):
    for method, properties, body in channel.consume(queues.name, inactivity_timeout=0.5):
        if stopping:
            return  # Closing the connection returns the messages that are not acknowledged.
        if method:
            handle(db, queues, apply, method, properties, body)
            # After the commit, or after the broker has confirmed the copy in the next queue: a
            # crash before this line makes a duplicate, never a loss.
            channel.basic_ack(method.delivery_tag)
    raise ConsumerCancelled("the queue was deleted")


def handle(db, queues, apply, method, properties, body):
    try:
        event = json.loads(body)
        with db.transaction():
            # The id and the effect are saved together or not at all. For a copy of an applied event
            # the INSERT returns no row; if another consumer is applying the event right now, the
            # INSERT waits for its end.
            remember = "INSERT INTO inbox (event_id) VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1"
            if db.execute(remember, (event["event_id"],)).fetchone():
                apply(db, event)
    except (NotYet, psycopg.Error) as error:
        check_writable(db)  # Otherwise the message is not to blame, and no retry is charged.
        can_retry = not isinstance(error, psycopg.DataError)
        queues.redirect(method, properties, body, str(error), can_retry)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        queues.redirect(method, properties, body, f"malformed: {error!r}", can_retry=False)


def connect_database():
    # With autocommit, psycopg opens no transactions besides those written here.
    return psycopg.connect(
        os.environ["DATABASE_URL"], autocommit=True, connect_timeout=10,
        options="-c statement_timeout=10s",
    )


def check_writable(db):
    """Raises if the database is down, read-only or full."""
    with db.transaction(force_rollback=True):
        db.execute("INSERT INTO inbox (event_id) VALUES (gen_random_uuid())")


def wait(seconds):
    end = time.monotonic() + seconds
    while not stopping and time.monotonic() < end:
        time.sleep(0.1)


def stop(_signal, _frame):
    global stopping
    stopping = True
