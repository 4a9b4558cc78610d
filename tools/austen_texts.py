#!/usr/bin/env python3
"""Texts for `dsv4 eval needles --haystack` from the Debian package r-cran-janeaustenr: six novels of
Jane Austen, which are in the public domain (the package is under the MIT licence).

    apt-get download r-cran-janeaustenr
    dpkg-deb -x r-cran-janeaustenr_*.deb package
    tools/austen_texts.py package OUT

writes OUT/emma.txt, OUT/persuasion.txt and so on: paragraphs on one line each, a blank line between
them, without title pages. R is not needed. The needle-text model never saw Emma; the other novels
were its training text.
"""
import pathlib
import re
import struct
import sys
import zlib

NOVELS = {
    "emma": "Emma Woodhouse, handsome",
    "mansfieldpark": "About thirty years ago",
    "northangerabbey": "No one who had ever seen Catherine",
    "persuasion": "Sir Walter Elliot, of Kellynch",
    "prideprejudice": "It is a truth universally",
    "sensesensibility": "The family of Dashwood",
}


def chunks(data):
    """Objects of an R lazy-load database: big-endian length, zlib stream."""
    at = 0
    while at + 4 < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        body = data[at + 4:]
        stream = zlib.decompressobj()
        yield size, stream.decompress(body)
        at += 4 + len(body) - len(stream.unused_data)


def lines(chunk):
    """The strings of a serialised character vector (CHARSXP records)."""
    for match in re.finditer(rb"\x00[\x00-\x0f]\x00\x09(....)", chunk, re.S):
        (size,) = struct.unpack(">I", match.group(1))
        if size < 200:
            yield chunk[match.end():match.end() + size].decode("utf-8", "replace")


def paragraphs(text_lines, opening):
    text = "\n".join(text_lines)
    text = text[text.index(opening):]
    for paragraph in re.split(r"\n\s*\n", text):
        paragraph = " ".join(paragraph.split()).replace("_", "")
        if paragraph and not re.fullmatch(r"(CHAPTER|VOLUME|Chapter|THE END|Finis|FINIS).{0,20}",
                                          paragraph):
            yield paragraph


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    package, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    (database,) = package.rglob("data/Rdata.rdb")
    for _, chunk in chunks(database.read_bytes()):
        text = list(lines(chunk))
        for name, opening in NOVELS.items():
            if any(line.startswith(opening) for line in text):
                novel = "\n\n".join(paragraphs(text, opening)) + "\n"
                (out / f"{name}.txt").write_text(novel, encoding="utf-8")
                print(f"{name}.txt: {len(novel)} bytes")


main()
