"""Writes docs/figures.json, from what the benchmarks have measured, and the tables of docs/figures.md from that.

    make bench bench-cli bench-accounts

What a benchmark did not measure this time stays as it was. Costs are reckoned here, from the prices below.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures.json"
PAGE = ROOT / "docs" / "figures.md"
UNITS = {"memory": ("MB", 1e6, ".1f"), "zip": ("MB", 1e6, ".2f")}
MILLISECONDS = ("ms", 1e-3, ".1f")

# USD, us-east-1, no free tier: https://aws.amazon.com/lambda/pricing/ and https://aws.amazon.com/cloudwatch/pricing/
GIGABYTE_SECOND, REQUEST = 0.0000133334, 0.20e-6  # arm64
LOG_BYTE, METRIC, ALARM, DASHBOARD = 0.50e-9, 0.30, 0.10, 3.00
DAYS, MEMORY_GIGABYTES = 31, 0.25
RUN_SECONDS, TICK_SECONDS = 60, 1
LINES, LINE_BYTES, TICK_BYTES, PLATFORM_BYTES = 101, 300, 887, 450
ALARMS = 9


def measured() -> dict:
    """All figures, by benchmark."""
    return json.loads(FIGURES.read_text())


def costs() -> list:
    """The rows of the table of costs: title, dollars a month, for one account and for 200."""
    run = RUN_SECONDS * MEMORY_GIGABYTES * GIGABYTE_SECOND + REQUEST
    run_log = (LINES * LINE_BYTES + PLATFORM_BYTES) * LOG_BYTE
    tick = TICK_SECONDS * MEMORY_GIGABYTES * GIGABYTE_SECOND + REQUEST
    ticks = DAYS * 24 * 60 // 5
    tick_log = (TICK_BYTES + PLATFORM_BYTES) * LOG_BYTE
    always, sometimes = 2 * METRIC, 3 * METRIC / 24
    in_all = DAYS * (run + run_log) + ticks * (tick + tick_log) + always + sometimes
    rows = [
        (f"Lambda, one run a day ({DAYS} runs)", DAYS * run),
        (f"Lambda, two runs a day ({2 * DAYS} runs)", 2 * DAYS * run),
        ("its log, one run a day", DAYS * run_log),
        ("its log, two runs a day", 2 * DAYS * run_log),
        (f"Lambda, a tick every five minutes that finds nothing to do ({ticks:,} ticks)", ticks * tick),
        ("their log", ticks * tick_log),
        (f"the metrics `Found` and `Duration`, at ${METRIC:.2f}", always),
        ("`Stopped`, `Started` and `InstanceHoursSaved`, each in one hour of 24", sometimes),
        (
            f"nine alarms at ${ALARM:.2f} (two more with the start rule on, one more with databases)"
            " and the metric `StopRuns`, if somebody listens",
            ALARMS * ALARM + METRIC / 24,
        ),
        ("dashboard, if on", DASHBOARD),
        ("in all, with one run a day and ticks, and neither alarms nor dashboard", in_all),
    ]
    return [(title, dollars, 200 * dollars) for title, dollars in rows]


def dollars(amount: float) -> str:
    return f"${amount:.2f}" if amount >= 0.1 else f"${amount:.4f}"


def table(head: list, rows: list) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" if row[0] != "---" else f"|{'|'.join(row)}|" for row in lines)


def function(figures: dict) -> str:
    def cells(title, measure, ours, python):
        unit, factor, form = UNITS.get(measure, MILLISECONDS)
        show = lambda value: "" if value is None else f"{value / factor:{form}} {unit}"  # noqa: E731
        return [title, show(ours), show(python), f"1/{python / ours:.1f}" if python else ""]

    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    return (
        table(["", "Stopinator", "Python", "Stopinator to Python"], [cells(*row) for row in figures["rows"]])
        + f"\n\nMedians on {figures['machine']}, {versions}; the ratios are what carries over to another machine. CPU is"
        " that of a process that serves 4 invocations (Python at 50,000: 1), its start included, divided by them."
        f" {figures['due']} instances are due, the others opted out, and neither program looks again."
    )


def calls(figures: dict) -> str:
    def cell(calls, seconds, left):
        return f"{calls} calls, {seconds:.0f} s" + (f", {left} left undone" if left else "")

    head = [f"{figures['instances']:,} instances", "this executor", "halving on any error", "one call for each"]
    return table(head, [[title, *(cell(*one) for one in cells)] for title, cells in figures["rows"]])


def decisions(plan: dict, tick: dict) -> str:
    return (
        f"The plan for {plan['instances']:,} instances, a quarter of them badly tagged, takes"
        f" {plan['milliseconds']:.1f} ms. That of a tick for {tick['instances']:,} instances with schedules of ten kinds"
        f" takes {tick['tick_milliseconds']:.1f} ms, reading their tags included, and reading one tag"
        f" {tick['tag_microseconds']:.2f} µs. The worst of some hostile tags takes {tick['hostile_milliseconds']:.2f} ms."
    )


def command_line(figures: dict) -> str:
    return table(["", "measured", "bar"], figures["rows"])


def many_accounts(figures: dict) -> str:
    return (
        table(["", "measured", "bar"], figures["rows"])
        + f"\n\nOne run on {figures['machine']}, which the stand-in shares. It answers each call after"
        f" {figures['latency'] * 1e3:.0f} ms. Cold is from the start of the program, with the list of accounts and the"
        " credentials of each; warm is the next tick in the same process."
    )


def cost() -> str:
    return table(
        ["a month", "1 account", "200 accounts"], [[title, dollars(one), dollars(many)] for title, one, many in costs()]
    )


def page(text: str, figures: dict) -> str:
    """The page with its blocks as they should be."""
    blocks = {
        "function": function(figures["function"]),
        "calls": calls(figures["calls"]),
        "decisions": decisions(figures["plan"], figures["tick"]),
        "command line": command_line(figures["command-line"]),
        "many accounts": many_accounts(figures["accounts"]),
        "cost": cost(),
    }
    for name, block in blocks.items():
        mark = re.compile(rf"(<!-- {name}: made by scripts/figures.py -->\n\n)(?:.*?\n\n)??(<!-- end of {name} -->)", re.DOTALL)
        text, times = mark.subn(lambda match, block=block: f"{match[1]}{block}\n\n{match[2]}", text)
        if times != 1:
            raise SystemExit(f"{PAGE.name} needs one block `{name}`, and has {times}.")
    return text


def main() -> None:
    figures = measured() if FIGURES.exists() else {}
    for file in sorted((ROOT / "target" / "figures").glob("*.json")):
        figures[file.stem] = json.loads(file.read_text())
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(), figures))


if __name__ == "__main__":
    main()
