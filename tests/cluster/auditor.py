"""An independent auditor of a ledger's export: uses nothing of Forerun, only its published formats (docs/ledger.md)."""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile


class Refused(Exception):
    pass


def canonical(value):
    """RFC 8785 for what entries and tests hold: no numbers that Python and ECMAScript write differently."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha(data):
    return hashlib.sha256(data).digest()


def tree_root(leaves):
    """RFC 9162 section 2.1.1."""
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return sha(b"\x00" + leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha(b"\x01" + tree_root(leaves[:split]) + tree_root(leaves[split:]))


def demand(fact, place, what):
    if not fact:
        raise Refused(f"{place}: {what}")


def verify_signature(public_key, message, signature):
    """Ed25519 through the openssl program. Returns False when the machine has none."""
    if shutil.which("openssl") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "key").write_bytes(bytes.fromhex("302a300506032b6570032100") + bytes.fromhex(public_key))
        (path / "message").write_bytes(message)
        (path / "signature").write_bytes(bytes.fromhex(signature))
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", path / "key", "-rawin",
                               "-in", path / "message", "-sigfile", path / "signature"], capture_output=True)
    demand(done.returncode == 0, "signature", "does not verify")
    return True


def winner_of(entry, chain):
    names, validities = entry["branch_names"], entry["branch_validities"]
    order = list(range(len(names)))
    if entry["select"] == "ranked":
        order.sort(key=lambda i: (sha(chain + names[i].encode()), i))
    if entry["select"] == "seeded":
        valid = [i for i in order if validities[i]]
        return valid[int.from_bytes(chain[:8], "big") % len(valid)] if valid else -1
    if entry["select"] == "first":
        order = entry["arrival_order"]
    for rank, i in enumerate(order):
        if validities[i]:
            demand(all(validities[j] is None for j in order[rank + 1:]), "validities", "known behind the winner")
            return i
        demand(validities[i] is False, "validities", "unknown ahead of the winner")
    return -1


def check_commit(entry, calls, outputs, chains, place):
    run_id, step = entry["run_id"], entry["step"]
    call = canonical(calls[entry["input_hash"]])
    demand(sha(call).hex() == entry["input_hash"], place, "input_hash")
    demand(calls[entry["input_hash"]]["task"] == entry["task"], place, "task")
    before, expected_step = chains.get(run_id, (None, 0))
    demand(step == expected_step, place, f"step {step}, expected {expected_step}")
    chain = sha(call + run_id.encode()) if step == 0 else sha(before + call)
    chains[run_id] = (chain, step + 1)
    demand(chain.hex() == entry["seed_chain"], place, "seed_chain")
    demand(chain[:8].hex() == entry["deterministic_tie_breaker_seed"], place, "seed")
    demand(winner_of(entry, chain) == entry["winning_branch_index"], place, "winner")
    if entry["winning_branch_index"] >= 0:
        demand(sha(canonical(outputs[entry["output_hash"]])).hex() == entry["output_hash"], place, "output_hash")
    else:
        demand(entry["output_hash"] is None, place, "output_hash of a failed step")
    decided = {name: entry[name] for name in (
        "run_id", "step", "task", "input_hash", "branch_names", "branch_validities", "select",
        "deterministic_tie_breaker_seed", "winning_branch_index", "output_hash", "writes_hash", "effects_hash")}
    demand(sha(canonical(decided)).hex() == entry["decision_hash"], place, "decision_hash")


def check_term(entry, leaves, key, place):
    if key is None:
        return
    demand(entry["root"] == tree_root(leaves).hex(), place, "root")
    verify_signature(key, canonical({name: entry[name] for name in ("epoch", "public_key", "root", "seq")}),
                     entry["previous_signature"])


def rows(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def audit(folder):
    """Returns counts; raises Refused, naming the entry, when anything does not hold."""
    folder = pathlib.Path(folder)
    leaves = folder.joinpath("ledger.jsonl").read_bytes().splitlines()
    calls = {row["input_hash"]: row["call"] for row in rows(folder / "inputs.jsonl")}
    outputs = {row["output_hash"]: row["output"] for row in rows(folder / "outputs.jsonl")}
    head = json.loads(folder.joinpath("head.json").read_text())
    counts = {"entries": len(leaves), "commit": 0, "discard": 0, "epoch": 0, "terms": 0}
    key, epoch, chains, ended = None, 0, {}, set()
    for seq, leaf in enumerate(leaves):
        entry = json.loads(leaf)
        place = f"entry {seq}"
        demand(entry["seq"] == seq, place, "seq")
        counts[entry["kind"]] = counts.get(entry["kind"], 0) + 1
        if entry["kind"] == "epoch":
            demand(entry["epoch"] > epoch, place, "epoch does not rise")
            check_term(entry, leaves[:seq], key, place)
            key, epoch = entry["public_key"], entry["epoch"]
            ended = set()
        demand(entry["epoch"] == epoch, place, "epoch")
        if entry["kind"] == "commit":
            check_commit(entry, calls, outputs, chains, place)
        if "speculation" in entry:
            demand((entry["run_id"], entry["speculation"]) not in ended, place, "speculation ended twice")
            ended.add((entry["run_id"], entry["speculation"]))
    demand(head["size"] == len(leaves), "head", "size")
    demand(head["root"] == tree_root(leaves).hex(), "head", "root")
    demand(head["public_key"] == key, "head", "key")
    verify_signature(key, canonical({name: head[name] for name in ("epoch", "root", "size")}), head["signature"])
    return counts


if __name__ == "__main__":
    print(json.dumps(audit(sys.argv[1])))
