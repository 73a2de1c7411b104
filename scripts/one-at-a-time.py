#!/usr/bin/env python3
"""Places orders of three lines one at a time with `Prefer: wait` and prints how long each took: HOST:PORT KEY COUNT."""
import http.client
import json
import sys
import time

host, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = http.client.HTTPConnection(host)
skus = ["1082185", "6534178", "995242"]
run = str(time.time_ns())
millis = []
for number in range(count):
    ref = f"floor-{run}-{number}"
    lines = [{"sku": sku, "quantity": 1, "line_total": "19.99"} for sku in skus]
    body = {"order_ref": ref, "customer_ref": "c-1", "currency": "USD", "lines": lines}
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Idempotency-Key": ref,
        "Prefer": "wait=10",
    }
    started = time.perf_counter()
    connection.request("POST", "/v1/orders", json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    millis.append((time.perf_counter() - started) * 1e3)
    if answer.status != 200 or json.loads(text)["status"] != "COMPLETED":
        sys.exit(f"{answer.status}: {text.decode()}")
millis.sort()
quantile = lambda q: millis[int((len(millis) - 1) * q)]
print(f"one at a time: p50 {quantile(0.5):.1f} ms, p90 {quantile(0.9):.1f} ms, p99 {quantile(0.99):.1f} ms")
