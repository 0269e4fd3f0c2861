"""Probes of what object services alone have: parts, metadata, the order of their own listings."""

from __future__ import annotations

import contextlib
import os
from itertools import islice
from typing import TYPE_CHECKING, Final

import xxhash

from cm4storage.core.units import KIB, MIB
from cm4storage.storage.diagnosis.findings import Observation, Probe
from cm4storage.storage.diagnosis.operations import expect
from cm4storage.storage.objects.failure import ObjectFailure
from cm4storage.storage.objects.faults import object_fault
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cm4storage.storage.diagnosis.bench import Bench
    from cm4storage.storage.diagnosis.ledger import Writing

PART_BYTES: Final = 5 * MIB  # the least that S3 allows, but for the last part
_LAST_BYTES: Final = 100 * KIB
ABORTED: Final = "aborted"


class _Abort(Exception):
    """What the source of an upload raises in its middle."""


def _write_in_parts(bench: Bench) -> Observation:
    key = bench.key("parts")
    parts = [os.urandom(PART_BYTES), os.urandom(PART_BYTES), os.urandom(_LAST_BYTES)]
    content = b"".join(parts)
    try:
        with bench.writing("parts") as writing:
            bench.client.put_parts(key, _while_wanted(writing, parts), PART_BYTES)
    except ObjectFailure as failure:
        raise object_fault(
            failure, "write an object in parts", bench.where(key), bench.service
        ) from failure
    with bench.store.read(key) as view:
        expect(bench, key, "writing it in parts", is_right=view == content)
    return Observation("three parts make one object")


def _while_wanted(writing: Writing, parts: list[bytes]) -> Iterator[bytearray]:
    for part in parts:
        yield bytearray(b"".join(writing.pieces(part)))


def _abort(bench: Bench) -> Observation:
    key = bench.key(ABORTED)

    def source(writing: Writing) -> Iterator[bytearray]:
        for _ in range(2):
            writing.check()
            yield bytearray(PART_BYTES)
        raise _Abort

    with bench.writing(ABORTED) as writing, contextlib.suppress(ObjectFailure, _Abort):
        bench.client.put_parts(key, source(writing), PART_BYTES)
    try:
        bench.store.stat(key)
    except MissingObject:
        return Observation("an upload that breaks off leaves no object")
    expect(bench, key, "breaking the upload off", is_right=False)
    raise AssertionError("unreachable")


def _look_at_order(bench: Bench) -> Observation:
    pages = bench.client.pages(f"{bench.folder}/list")
    try:
        keys = [item.key for item in islice((item for page in pages for item in page), 100)]
    except ObjectFailure as failure:
        raise object_fault(failure, "list the objects", bench.where(), bench.service) from failure
    if keys == sorted(keys):
        return Observation("in the order of keys", {"in_key_order": True})
    return Observation("by folders; brought into the order of keys here", {"in_key_order": False})


def _keep_digest(bench: Bench) -> Observation:
    key, content = bench.key("digest"), bytearray(os.urandom(KIB))
    digest = xxhash.xxh3_128_hexdigest(content)
    try:
        with bench.writing("digest"):
            bench.client.put(key, content, digest)
        kept = bench.client.get(key, 0, None).digest
    except ObjectFailure as failure:
        raise object_fault(
            failure, "keep metadata with an object", bench.where(key), bench.service
        ) from failure
    if kept != digest:
        return Observation("not kept: reads cannot be compared with it", {"keeps_digest": False})
    return Observation(
        "kept beside the object: what is read can be verified", {"keeps_digest": True}
    )


PROBES: Final = (
    Probe("listing", _look_at_order, ("list",)),
    Probe("multipart", _write_in_parts, ("write",), limit_s=60.0),
    Probe("abort", _abort, ("multipart",), limit_s=30.0),
    Probe("digest", _keep_digest, ("write",)),
)
