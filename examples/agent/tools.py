"""What the agent can do: a database, files and two HTTP services. Each tool is a plain function with one decorator."""
import contextlib
import json
import pathlib
import sqlite3
import urllib.parse
import urllib.request

import forerun

HERE = pathlib.Path(__file__).resolve().parent
SERVICE = json.loads((HERE / "service.json").read_text())["url"]
forerun.allow_effects(f"{SERVICE}/mail")


def database(mode):
    connection = sqlite3.connect(f"file:{HERE / 'data' / 'shop.db'}?mode={mode}", uri=True, timeout=5)
    connection.row_factory = sqlite3.Row
    return connection


def rows(query, *values):
    with contextlib.closing(database("ro")) as connection:
        return [dict(row) for row in connection.execute(query, values)]


def fetched(path):
    with urllib.request.urlopen(SERVICE + path, timeout=10) as answer:
        return json.load(answer)


@forerun.task(effect="read", reads=["customer/{email}"], readable=["data"])
def find_customer(email: str) -> dict:
    """Who writes from this address."""
    found = rows("SELECT id, email, town FROM customers WHERE email = ?", email)
    if not found:
        raise LookupError(f"no customer {email}")
    return found[0]


@forerun.task(effect="read", reads=["orders of/{customer_id}"], readable=["data"])
def orders_of(customer_id: int) -> list:
    """A customer's orders, the newest first."""
    return rows("SELECT id AS order_id, article, parcel FROM orders WHERE customer_id = ? ORDER BY id DESC", customer_id)


@forerun.task(effect="read", reads=["order/{order_id}"], readable=["data"])
def order(order_id: str) -> dict:
    """One order, and whether it was refunded."""
    return rows("SELECT id AS order_id, article, amount, EXISTS (SELECT 1 FROM refunds WHERE order_id = orders.id) AS refunded "
                "FROM orders WHERE id = ?", order_id)[0]


@forerun.task(effect="read", reads=["parcel/{parcel}"], network=True)
def track(parcel: str) -> dict:
    """Where the carrier has a parcel."""
    return fetched("/parcels/" + urllib.parse.quote(parcel))


@forerun.task(effect="read", reads=["stock/{article}"], network=True)
def stock(article: str) -> dict:
    """How many of an article the warehouse has."""
    return fetched("/stock/" + urllib.parse.quote(article))


@forerun.task(effect="read", reads=[])
def policy(topic: str) -> str:
    """What the shop's handbook says."""
    return (HERE / "policies" / f"{topic}.md").read_text().strip()


@forerun.task(effect="write", writes=["order/{order_id}"], idempotent=True, writable=["data"])
def refund(order_id: str, amount: float, context: forerun.Context) -> dict:
    """Gives the money back; with the same key only once."""
    with contextlib.closing(database("rw")) as connection, connection:
        connection.execute("INSERT OR IGNORE INTO refunds (key, order_id, amount) VALUES (?, ?, ?)",
                           (context.key, order_id, amount))
    return {"order_id": order_id, "refunded": amount}


@forerun.task(effect="write", writes=["mail to/{to}"], idempotent=True)
def reply(to: str, text: str) -> forerun.Answer:
    """Sends a letter, once this step is decided for good."""
    mail = forerun.http_effect("POST", f"{SERVICE}/mail", body={"to": to, "text": text})
    return forerun.Answer({"queued": True}, effects=[mail])
