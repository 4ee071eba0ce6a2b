#!/usr/bin/env python3
"""How soon a slot is free after its call was cancelled, in what people use beside Forerun: prints one JSON object.

One slot. A call that needs 50 ms has begun, is cancelled, and the next call waits for the slot: measured are the milliseconds from
the cancel until that one has begun. Dask (python3-distributed) and gRPC (python3-grpcio) are measured where they are installed.
"""
import argparse
import asyncio
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile
import time

NEEDS_S = 0.05
BEGINS_WITHIN_S = 30.0


def loser(mark):
    pathlib.Path(mark).touch()
    time.sleep(NEEDS_S)


def now(*_):
    return time.monotonic()  # One clock for all processes of a machine.


async def coroutine_loser(mark):
    pathlib.Path(mark).touch()
    await asyncio.sleep(NEEDS_S)


async def has_begun(mark):
    until = time.monotonic() + BEGINS_WITHIN_S
    while not os.path.exists(mark):
        if time.monotonic() > until:
            raise TimeoutError("the call did not begin")
        await asyncio.sleep(0.0005)
    os.unlink(mark)
    await asyncio.sleep(0.003)


async def cancel_many(count, mark, start, cancel, begun_at):
    """Milliseconds. `start()` gives a running call, `cancel(call)` cancels it, `begun_at()` when the next one began."""
    times = []
    for _ in range(count):
        call = start()
        await has_begun(mark)
        begin = time.monotonic()
        cancel(call)
        times.append(1000 * (await begun_at() - begin))
    return times


async def coroutines(count, mark):
    slot = asyncio.Semaphore(1)

    async def in_slot(function, *given):
        async with slot:
            return await function(*given)

    async def later():
        return now()

    return await cancel_many(count, mark, lambda: asyncio.ensure_future(in_slot(coroutine_loser, mark)), lambda call: call.cancel(),
                             lambda: in_slot(later))


async def in_pool(pool, count, mark):
    loop = asyncio.get_running_loop()
    with pool:
        await loop.run_in_executor(pool, now)
        return await cancel_many(count, mark, lambda: loop.run_in_executor(pool, loser, mark), lambda call: call.cancel(),
                                 lambda: loop.run_in_executor(pool, now))


async def dask(count, mark):
    import distributed
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, \
            distributed.Client(cluster) as client:
        client.submit(now, pure=False).result()

        async def begun_at():
            future = client.submit(now, pure=False)
            return await asyncio.get_running_loop().run_in_executor(None, future.result)

        return await cancel_many(count, mark, lambda: client.submit(loser, mark, pure=False), lambda future: future.cancel(), begun_at)


async def grpc(count, mark):
    import grpc as library
    handlers = {"lose": library.unary_unary_rpc_method_handler(lambda request, _: loser(request.decode()) or b""),
                "now": library.unary_unary_rpc_method_handler(lambda *_: repr(now()).encode())}
    server = library.server(concurrent.futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((library.method_handlers_generic_handler("peer", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with library.insecure_channel(f"127.0.0.1:{port}") as channel:
        lose, begin = channel.unary_unary("/peer/lose"), channel.unary_unary("/peer/now")

        async def begun_at():
            return float(await asyncio.get_running_loop().run_in_executor(None, begin, b""))

        times = await cancel_many(count, mark, lambda: lose.future(mark.encode()), lambda call: call.cancel(), begun_at)
    server.stop(None).wait()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40, help="cancellations of each kind")
    count = parser.parse_args().count
    kinds = {
        "asyncio_coroutine": coroutines,
        "asyncio_thread_pool": lambda count, mark: in_pool(concurrent.futures.ThreadPoolExecutor(1), count, mark),
        "asyncio_process_pool": lambda count, mark: in_pool(
            concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")), count, mark),
        "dask": dask,
        "grpc_python_server": grpc,
    }
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, measure in kinds.items():
            try:
                times = sorted(asyncio.run(measure(count, os.path.join(folder, "mark"))))
            except ImportError as missing:
                report[kind] = {"not_measured": f"{missing.name} is not installed"}
                continue
            report[kind] = {"count": count, "free_ms_p50": round(statistics.median(times), 3),
                            "free_ms_p99": round(times[int(0.99 * (count - 1))], 3), "free_ms_max": round(times[-1], 3)}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    sys.exit(main())
