"""A support agent. Where a model would think about what to do next, it waits and then follows rules."""
import time

import tools

TOPICS = {"broken": "damage", "where": "delivery", "exchange": "exchange"}


def answer(client, letter, think_s, speculation="on"):
    """Answers one letter in a session of its own; returns the steps."""
    steps = []

    def call(tool, **given):
        time.sleep(think_s)  # A model's turn.
        steps.append(session.step(tool, given))
        return steps[-1].result()

    with client.session(letter["text"], speculation=speculation) as session:
        customer = call(tools.find_customer, email=letter["from"])
        latest = call(tools.orders_of, customer_id=customer["id"])[0]
        time.sleep(think_s)
        steps += session.steps([(tools.order, {"order_id": latest["order_id"]}), (tools.track, {"parcel": latest["parcel"]})])
        order, parcel = (step.result() for step in steps[-2:])
        topic = next(topic for word, topic in TOPICS.items() if word in letter["text"])
        rule = call(tools.policy, topic=topic)
        if topic == "damage" and parcel["state"] == "delivered" and not order["refunded"]:
            call(tools.refund, order_id=order["order_id"], amount=order["amount"])
            text = f"We gave back {order['amount']}. {rule}"
        elif topic == "exchange":
            left = call(tools.stock, article=order["article"])["left"]
            text = f"{left} left of {order['article']}. {rule}"
        else:
            text = f"Your parcel {latest['parcel']} is {parcel['state']}. {rule}"
        call(tools.reply, to=letter["from"], text=text)
    return steps
