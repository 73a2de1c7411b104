"""Reads a topic of Waybill to its end: each event once, no hole, each value by its schema.

usage: consumer.py BROKERS TOPIC CONTRACTS      pip install confluent-kafka jsonschema
"""
import json
import pathlib
import sys

from confluent_kafka import Consumer, KafkaError
from jsonschema import Draft202012Validator, FormatChecker

brokers, topic, contracts = sys.argv[1:]
consumer = Consumer({
    "bootstrap.servers": brokers,
    "group.id": "my-team",
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
})
partitions = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
consumer.subscribe([topic])

last = {}  # of each partition; keep it in one transaction with what you do
validators = {}  # of each ce_type; None: newer than the schemas you have
counts = {}
ended = set()


def validator(ce_type):
    if ce_type not in validators:
        _, kind, event = ce_type.split(".", 2)
        path = pathlib.Path(contracts, "events", kind, f"{event}.schema.json")
        known = path.is_file()
        schema = json.loads(path.read_text()) if known else None
        validators[ce_type] = Draft202012Validator(schema, format_checker=FormatChecker()) if known else None
    return validators[ce_type]


while len(ended) < partitions:
    record = consumer.poll(1.0)
    if record is None:
        continue
    if record.error():
        if record.error().code() != KafkaError._PARTITION_EOF:
            sys.exit(str(record.error()))
        ended.add(record.partition())
        continue
    headers = {name: value.decode() for name, value in record.headers()}
    incarnation = int(headers["waybill-incarnation"])
    place = (incarnation, int(headers["waybill-position"]))
    before = last.get(record.partition(), (0, 0))
    if place <= before:
        continue  # had it
    prev = int(headers["waybill-prev"])
    prev = (int(headers.get("waybill-prev-incarnation", incarnation)), prev) if prev else (0, 0)
    if prev != before:
        sys.exit(f"{place} follows {prev}, but {before} was read before it")
    last[record.partition()] = place
    event = json.loads(record.value())
    by = validator(headers["ce_type"])
    if by is None:
        continue  # a type or a version that is new to you
    by.validate(event)
    counts[headers["ce_type"]] = counts.get(headers["ce_type"], 0) + 1

consumer.close()
for ce_type in sorted(counts):
    print(ce_type, counts[ce_type])
