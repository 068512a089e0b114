"""Duplicates, and the set of digests that remembers them."""

import hashlib
import random

from audiotag.data.prepare.duplicates import RECENT, Digests, Duplicates


def test_digests_are_a_set():
    rng = random.Random(0)
    zeros = [bytes(1 + i % 3) for i in range(2 * RECENT + 9)]  # some digests end in zeros
    digests = [rng.randbytes(16 - len(end)) + end + b"rest" for end in zeros]
    ours, theirs = Digests(), set()
    for digest in digests + digests[:100]:
        assert (digest in ours) == (digest in theirs)
        ours.add(digest)
        theirs.add(digest)
    assert len(ours) == len(theirs)
    assert all(digest in ours for digest in digests)
    assert rng.randbytes(16) not in ours


def test_duplicates_by_samples_and_by_key():
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    strict, lenient = Duplicates(), Duplicates(keep=True)
    assert strict.reason("a", one) is None and lenient.reason("a", one) is None
    assert one in strict.reason("b", one) and lenient.reason("b", one) is None
    assert "key a" in strict.reason("a", two) and "key a" in lenient.reason("a", two)
    assert strict.reason("b", two) is None  # neither is there
