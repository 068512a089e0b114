"""Escapes: nothing acts on a terminal, and what must come back does."""

import itertools
import unicodedata

import pytest

from audiotag.runtime.escapes import from_unicode_text, printable, unicode_text, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain – 音 é\t.wav", "plain – 音 é\t.wav"),
        ("a\x1b[31m\x07b", r"a\x1b[31m\x07b"),
        ("a\x9b2Jb\x7f", r"a\x9b2Jb\x7f"),
        ("a\nb\rc", r"a\nb\rc"),
        ("a\u202egpj.wav\u2066\u2028", r"a\u202egpj.wav\u2066\u2028"),
        ("caf\udce9.wav", r"caf\xe9.wav"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown(text, expected):
    assert visible(text) == expected


def test_every_control_character_is_shown():
    every = [chr(i) for i in range(0x11_0000)]
    acting = {"Cc", "Cs", "Zl", "Zp"}
    left = [x for x in every if visible(x) == x and unicodedata.category(x) in acting]
    assert left == ["\t"]
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert all(visible(x) != x for x in every if unicodedata.bidirectional(x) in turning)
    letters = [x for x in every if unicodedata.category(x)[0] in "LMNPS"]
    assert "".join(map(visible, letters)) == "".join(letters)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", r"é 音 \x1b"),
        ("iso-8859-1", r"é \u97f3 \x1b"),
        ("ascii", r"\xe9 \u97f3 \x1b"),
        (None, r"\xe9 \u97f3 \x1b"),
    ],
)
def test_an_encoding_gets_what_it_has(encoding, expected):
    assert printable("é 音 \x1b", encoding) == expected


def test_names_of_any_bytes_become_unicode_and_come_back():
    pieces = ("\\", "\\\\", "u", "ud", "udce9", "dce9", "\udce9", "\ud800", "\\udce9", "é", "a")
    texts = ["".join(x) for n in range(5) for x in itertools.product(pieces, repeat=n)]
    written = [unicode_text(text) for text in texts]
    assert [from_unicode_text(text.encode().decode()) for text in written] == texts
    same = {}
    for text, line in zip(texts, written, strict=True):
        assert same.setdefault(line, text) == text  # no two texts are written alike
    assert unicode_text(r"C:\music\udo.wav é") == r"C:\music\\udo.wav é"
    assert unicode_text(r"C:\music\a.wav") == r"C:\music\a.wav"
