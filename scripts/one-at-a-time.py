#!/usr/bin/env python3
"""Places orders of three lines one at a time with `Prefer: wait` and prints how long they took: HOST:PORT DEV-KEYS.json COUNT."""
import http.client
import json
import sys
import time

host, keys, count = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
connection = http.client.HTTPConnection(host)
run = str(time.time_ns())


def post(path, role, body, key, **headers):
    """The status, the answer, and how many milliseconds it took."""
    headers |= {"Authorization": f"Bearer {keys[role]}", "Content-Type": "application/json", "Idempotency-Key": key}
    started = time.perf_counter()
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text), (time.perf_counter() - started) * 1e3


# Goods of its own, so that it takes nothing from other orders.
skus = [f"floor-{run}-{number}" for number in range(3)]
goods = [{"sku": sku, "quantity": count} for sku in skus]
status, answer, _ = post("/v1/stock/receipts", "warehouse", {"ref": f"floor-{run}", "location": "main", "lines": goods}, f"floor-{run}")
if status != 200:
    sys.exit(f"{status}: {answer}")
millis = []
for number in range(count):
    ref = f"floor-{run}-{number}"
    lines = [{"sku": sku, "quantity": 1, "line_total": "19.99"} for sku in skus]
    body = {"order_ref": ref, "customer_ref": "c-1", "currency": "USD", "lines": lines}
    status, answer, took = post("/v1/orders", "shop", body, ref, Prefer="wait=10")
    millis.append(took)
    if status != 200 or answer["status"] != "COMPLETED":
        sys.exit(f"{status}: {answer}")
millis.sort()
quantile = lambda q: millis[int((len(millis) - 1) * q)]
print(f"one at a time: p50 {quantile(0.5):.1f} ms, p90 {quantile(0.9):.1f} ms, p99 {quantile(0.99):.1f} ms")
