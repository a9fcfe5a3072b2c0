"""Issues and pays invoices; each change is saved in one transaction with the event that tells of it.

    python invoices.py issue 4711 100.00
    python invoices.py pay 4711 60.00
"""

import os
import sys

import psycopg
from psycopg.types.json import Jsonb


def issue(conn, number, amount):
    with conn.transaction():
        # The invoice before its event: nobody can pay an invoice that is not committed, so "issued" comes first.
        conn.execute("INSERT INTO invoices (number, amount) VALUES (%s, %s)", (number, amount))
        announce(conn, number, "invoice.issued", {"invoice": number, "amount": amount})


def pay(conn, number, amount):
    with conn.transaction():
        # Locked before the event is written: two payments of one invoice take turns, so that their events get
        # their ids in the order in which they commit. That is the order in which the relay delivers them.
        if not conn.execute("SELECT FROM invoices WHERE number = %s FOR UPDATE", (number,)).rowcount:
            raise LookupError(f"there is no invoice {number}")
        announce(conn, number, "invoice.paid", {"invoice": number, "amount": amount})
        # The table refuses to be paid too much. Whatever fails in this block takes the event back with it.
        conn.execute("UPDATE invoices SET paid = paid + %s WHERE number = %s", (amount, number))


def announce(conn, number, event_type, data):
    # No id is asked for with RETURNING: it takes the right to read the outbox, which a writer need not have.
    conn.execute(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) VALUES ('invoice', %s, %s, %s)",
        (number, event_type, Jsonb(data)),
    )


def main():
    match sys.argv[1:]:
        case [("issue" | "pay") as command, number, amount]:
            work = {"issue": issue, "pay": pay}[command]
        case _:
            sys.exit(__doc__)
    try:
        # With autocommit the transactions are those written above, and no others.
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
            work(conn, number, amount)
    except (psycopg.Error, LookupError) as error:
        sys.exit(f"nothing was saved: {error}")


if __name__ == "__main__":
    main()
