"""Keeps what is due on each invoice, from the events invoice.issued and invoice.paid.

    python balances.py
"""

import sys
from decimal import Decimal

from consumer import NotYet, consume_forever


EVENTS = ["invoice.issued", "invoice.paid"]


def apply(db, event):
    """Applies an event in the transaction that remembers its id."""
    if event["event"] not in EVENTS:
        return  # Somebody has bound the queue with more keys.
    data = event["data"]
    invoice, amount = int(data["invoice"]), Decimal(data["amount"])
    if event["event"] == "invoice.issued":
        db.execute("INSERT INTO balances (invoice, due) VALUES (%s, %s)", (invoice, amount))
    else:
        pay = "UPDATE balances SET due = due - %s WHERE invoice = %s"
        if not db.execute(pay, (amount, invoice)).rowcount:
            # Retries change the order: the event that issued this invoice may still be on its way.
            raise NotYet(f"invoice {invoice} is not known yet")


if __name__ == "__main__":
    sys.exit(consume_forever("balances", EVENTS, apply))
