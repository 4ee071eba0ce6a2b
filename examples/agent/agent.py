"""A support agent. Where a model would think about what to do next, it waits and then follows rules."""
import time

import forerun

import tools

TOPICS = {"broken": "damage", "where": "delivery", "exchange": "exchange"}


def answer(letter, think_s):
    """Answers one letter with its tools."""
    time.sleep(think_s)  # A model's turn.
    customer = tools.find_customer(letter["from"])
    time.sleep(think_s)
    latest = tools.orders_of(customer["id"])[0]
    time.sleep(think_s)
    order, parcel = forerun.together([(tools.order, {"order_id": latest["order_id"]}),
                                      (tools.track, {"parcel": latest["parcel"]})])
    time.sleep(think_s)
    topic = next(topic for word, topic in TOPICS.items() if word in letter["text"])
    rule = tools.policy(topic)
    time.sleep(think_s)
    if topic == "damage" and parcel["state"] == "delivered" and not order["refunded"]:
        tools.refund(order["order_id"], order["amount"])
        text = f"We gave back {order['amount']}. {rule}"
        time.sleep(think_s)
    elif topic == "exchange":
        left = tools.stock(order["article"])["left"]
        text = f"{left} left of {order['article']}. {rule}"
        time.sleep(think_s)
    else:
        text = f"Your parcel {latest['parcel']} is {parcel['state']}. {rule}"
    tools.reply(letter["from"], text)
