"""The shop's tasks: one call as JSON on stdin, its answer as JSON on stdout."""
import json
import os
import pathlib
import sys
import time

call = json.load(sys.stdin)
refunds = pathlib.Path(os.environ.get("HOME", "."), "refunds")


def order_lookup():
    time.sleep(0.3)
    order = call["order_id"]
    return {"order_id": order, "amount": 10 * len(order), "refunded": (refunds / order).exists()}


def refund():
    refunds.mkdir(exist_ok=True)
    # The key is the same when this write has to run again, so a second run changes nothing.
    (refunds / call["order_id"]).write_text(os.environ["FORERUN_OUTSIDE_KEY"])
    return {"refunded": call["order_id"]}


def fraud_rules():
    return {"fraud": False, "confidence": 0.95 if call.get("amount", 0) < 100 else 0.5}


def fraud_model():
    time.sleep(0.5)
    return {"fraud": call.get("amount", 0) > 1000, "confidence": 0.8}


print(json.dumps(globals()[sys.argv[1]]()))
