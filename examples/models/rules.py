"""A fast classifier: words that give a letter's topic away. Sure where one of them occurs, else a guess."""
import json
import re
import sys

WORDS = {"damage": {"broken", "crack", "defective", "leaks", "scratch", "scratched", "shattered", "torn"},
         "delivery": {"carrier", "courier", "delivery", "parcel", "shipping", "tracking", "warehouse"},
         "exchange": {"exchange", "larger", "model", "return", "size", "swap"},
         "invoice": {"bill", "charged", "fee", "invoice", "receipt", "reminder", "tax", "voucher"}}


def classify(text):
    found = set(re.findall(r"[a-z]+", text.lower()))
    counts = {topic: len(words & found) for topic, words in WORDS.items()}
    best = max(counts, key=counts.get)
    rivals = sum(count > 0 for count in counts.values())
    return {"topic": best, "confidence": 0.95 if rivals == 1 else 0.3, "by": "rules"}


if __name__ == "__main__":
    print('{"ready":true}', flush=True)
    for line in sys.stdin:
        call = json.loads(line)
        if "id" in call:  # A cancel needs no answer: this one is quick.
            print(json.dumps({"id": call["id"], "output": classify(call["input"]["text"])}), flush=True)
