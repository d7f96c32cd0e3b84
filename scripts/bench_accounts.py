"""Measures the release binary as a hub of 500 accounts: time, calls, connections, memory, and what sick accounts cost.

    make bench-accounts

AWS is accounts_standin.py on this machine, which answers each call after 150 ms; the program asks for AWS's own host names,
by way of a proxy. Each bar is checked; what misses it ends in an error. With --figures FILE the table is written, for
docs/figures.md. Needs Linux: processor time and memory are read from /proc. --only runs some of the scenarios.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

from accounts_standin import UNIT, AccountsStandin, Scenario, account_id
from bench import machine, peak_memory
from runtime_api import Function

ACCOUNTS = 500  # with the hub
FOUR = ["ap-northeast-2", "eu-central-1", "us-east-1", "us-west-2"]  # the hub's is the first
# Those that an account has without switching anything on.
SEVENTEEN = [
    *FOUR, "ap-northeast-1", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1", "eu-north-1",
    "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-2", "us-west-1",
]
LATENCY = 0.15
NO_LIMITS = {"STOPINATOR_MAX_ACTIONS": "0", "STOPINATOR_MAX_ACTIONS_PER_ACCOUNT": "0"}
CORES_AT_256_MB = 256 / 1769  # Lambda gives a whole one at 1,769 MB
TICK, STOP = {"action": "schedule"}, {"action": "stop"}


class Hub:
    """The program with a stand-in of its own, until the block ends."""

    def __init__(self, bench, regions: list, scenario: Scenario, env: dict):
        self.bench, self.regions = bench, regions
        self.aws = AccountsStandin(SEVENTEEN)
        self.scenario, self.env = scenario, env

    def __enter__(self):
        self.aws.__enter__()
        self.aws.begin(self.scenario)
        env = {
            "STOPINATOR_ACCOUNTS": UNIT,
            "STOPINATOR_REGIONS": ",".join(self.regions),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            **self.aws.environment(self.bench.by_endpoint),
            **self.env,
        }
        self.function = Function([self.bench.binary], env, timeout=900)
        self.function.__enter__()
        self.is_cold = True
        return self

    def __exit__(self, *error):
        self.function.__exit__(*error)
        self.aws.__exit__(*error)

    def invoke(self, event: dict):
        """What came of it, and what it took. A cold invocation is timed from the start of the program."""
        self.aws.begin(self.scenario)
        before, began, of_standin = self.cpu(), time.monotonic(), self.aws.counts().cpu
        result = self.function.invoke(event)
        took = result.received - (self.function.spawned if self.is_cold else began)
        # The program has its answer taken before it is idle again.
        time.sleep(0.05)
        cpu = self.cpu() - (0 if self.is_cold else before)
        counts = self.aws.counts()
        if self.is_cold and not counts.hosts and not self.bench.by_endpoint:
            raise SystemExit(f"The program did not go by the proxy: {result}\n{self.function.stderr()}")
        self.is_cold = False
        self.bench.most_open = max(self.bench.most_open, counts.most_open)
        print(
            f"  {took:.2f} s, {cpu:.2f} s of CPU, {sum(counts.calls.values()):,} calls, {counts.most_at_once} at once,"
            f" {counts.most_open} connections, {counts.handshakes} new ones to {len(counts.hosts)} hosts; stand-in:"
            f" {counts.cpu - of_standin:.2f} s of CPU, at most {counts.late * 1e3:.0f} ms late",
            file=sys.stderr,
        )
        return result, took, cpu, counts

    def cpu(self) -> float:
        """Seconds of processor time so far, user and system."""
        fields = Path(f"/proc/{self.function.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        return peak_memory(self.function.pid)

    def looked_everywhere(self, result, counts) -> None:
        """Ends the benchmark where the program did not do the job that is measured."""
        if not result.ok:
            raise SystemExit(f"{result.error_type}: {result.error_message}\n{self.function.stderr()}")
        expect("accounts", result.payload["accounts"], {"looked_at": ACCOUNTS, "unreachable": 0})
        places = {(account_id(number), region) for number in range(ACCOUNTS) for region in self.regions}
        looked = {(account, region) for account, region, action in counts.calls if action == "DescribeInstances"}
        expect("accounts and regions", looked, places)


class Bench:
    def __init__(self, arguments: argparse.Namespace):
        self.binary, self.by_endpoint = os.path.abspath(arguments.binary), arguments.by_endpoint
        self.rows, self.missed = [], []
        self.most_open = 0

    def hub(self, regions: list, *, env: dict = {}, **scenario) -> Hub:
        return Hub(self, regions, Scenario(accounts=ACCOUNTS, latency=LATENCY, **scenario), env)

    def row(self, what: str, value: float, unit: str = "", form: str = ",.0f", most: float | None = None, exactly=None) -> None:
        """A line of the table; it is missed where there is more than `most`, or another number than `exactly`."""
        show = lambda number, form: f"{number:{form}}{' ' if unit else ''}{unit}"  # noqa: E731
        bar = "" if most is None and exactly is None else show(most if exactly is None else exactly, ",g")
        passed = value <= most if most is not None else exactly is None or value == exactly
        if not passed:
            self.missed.append(what)
        mark = "    " if not bar else "PASS" if passed else "MISS"
        print(f"{mark}  {what}: {show(value, form)}{f' (bar: {bar})' if bar else ''}")
        self.rows.append([what, show(value, form), bar])

    def nothing_due(self) -> None:
        """Bars 1 and 3."""
        with self.hub(FOUR) as hub:
            result, took, cpu, cold = hub.invoke(TICK)
            hub.looked_everywhere(result, cold)
            what = f"{ACCOUNTS} accounts × {len(FOUR)} regions, nothing due"
            self.row(f"{what}, cold", took, "s", ".1f", most=20)
            self.row(f"{what}, cold: CPU", cpu, "s", ".2f")
            entered = cold.of("AssumeRole")
            expect("accounts entered", set(entered), {account_id(number) for number in range(1, ACCOUNTS)})
            self.row("AssumeRole, for each account, cold", max(entered.values()), exactly=1)
            self.row("AssumeRole, the most in any second", cold.entered_in_a_second, most=100)
            result, took, cpu, warm = hub.invoke(TICK)
            hub.looked_everywhere(result, warm)
            self.row(f"{what}, warm", took, "s", ".1f", most=10)
            self.row(f"{what}, warm: CPU", cpu, "s", ".2f", most=1.5)
            self.row(f"{what}, warm, at 256 MB: reckoned from CPU", max(took, cpu / CORES_AT_256_MB), "s", ".1f", most=60)
            self.row(f"{what}, warm: calls", sum(warm.calls.values()))
            self.row("AssumeRole, in all, warm", sum(warm.of("AssumeRole").values()), exactly=0)
            self.row(f"{what}: connections", max(cold.most_open, warm.most_open), most=256)
            self.row(f"{what}: peak memory", hub.memory() / 1e6, "MB", ".1f", most=64)

    def many_regions(self) -> None:
        """Bar 2."""
        with self.hub(SEVENTEEN) as hub:
            what = f"{ACCOUNTS} accounts × {len(SEVENTEEN)} regions, nothing due"
            result, took, cpu, cold = hub.invoke(TICK)
            hub.looked_everywhere(result, cold)
            self.row(f"{what}, cold", took, "s", ".1f")
            result, took, cpu, warm = hub.invoke(TICK)
            hub.looked_everywhere(result, warm)
            self.row(f"{what}, warm", took, "s", ".1f", most=30)
            self.row(f"{what}, warm: CPU", cpu, "s", ".2f", most=5)
            self.row(f"{what}, warm, at 256 MB: reckoned from CPU", max(took, cpu / CORES_AT_256_MB), "s", ".1f", most=60)
            self.row(f"{what}: connections", max(cold.most_open, warm.most_open), most=256)
            self.row(f"{what}: peak memory", hub.memory() / 1e6, "MB", ".1f", most=64)

    def all_at_once(self) -> None:
        """Bar 4: all targets act."""
        with self.hub(FOUR, due=1, env={**NO_LIMITS, "STOPINATOR_VERIFY_SECONDS": "15"}) as hub:
            result, took, _, counts = hub.invoke(STOP)
            hub.looked_everywhere(result, counts)
            targets = ACCOUNTS * len(FOUR)
            expect("instances stopped", sum(counts.stopped.values()), targets)
            told = result.payload["counts"]
            expect("instances told", told["confirmed"] + told["accepted"], targets)
            what = f"{targets:,} targets stop one instance each"
            self.row(f"{what}, cold", took, "s", ".1f")
            self.row(f"{what}: connections", counts.most_open, most=256)
            self.row(f"{what}: peak memory", hub.memory() / 1e6, "MB", ".1f", most=128)

    def many_instances(self) -> None:
        """Bars 4 and 14: 50,000 instances, spread evenly, and in few accounts that fill a page each."""
        targets = ACCOUNTS * len(FOUR)
        every_tenth = {(number, number // 10 % len(FOUR)): 1000 for number in range(0, ACCOUNTS, 10)}
        for how, scenario in ("in all targets", {"kept": 50_000 // targets}), ("in 50 targets", {"kept_in": every_tenth}):
            with self.hub(FOUR, **scenario) as hub:
                what = f"50,000 instances {how}, all opted out"
                result, took, cpu, counts = hub.invoke(STOP)
                hub.looked_everywhere(result, counts)
                expect("instances found", result.payload["counts"]["found"], 50_000)
                self.row(f"{what}, cold", took, "s", ".1f")
                self.row(f"{what}, cold: CPU", cpu, "s", ".2f")
                self.row(f"{what}: response", size(result.payload) / 1e6, "MB", ".2f")
                result, _, _, counts = hub.invoke({**STOP, "report": "counts"})
                hub.looked_everywhere(result, counts)
                expect("instances found", result.payload["counts"]["found"], 50_000)
                self.row(f"{what}: response with `report: counts`", size(result.payload) / 1e3, "kB", ".2f", most=64)
                self.row(f"{what}: peak memory", hub.memory() / 1e6, "MB", ".1f", most=128)

    def sick_accounts(self) -> None:
        """Bars 3 and 5: one account may not be entered, one is silent, one throttles; all others have something to stop."""
        denied, silent, throttled = 101, 202, 303
        due = {(number, 0): 1 for number in range(ACCOUNTS)}
        env = {**NO_LIMITS, "STOPINATOR_VERIFY_SECONDS": "0"}
        with self.hub(FOUR, due_in=due, env=env) as hub:
            result, healthy, _, without = hub.invoke(STOP)
            hub.looked_everywhere(result, without)
            expect("instances stopped", sum(without.stopped.values()), ACCOUNTS)
        sick = {"denied": frozenset({denied}), "silent": frozenset({silent}), "throttled": frozenset({throttled})}
        with self.hub(FOUR, due_in=due, env=env, **sick) as hub:
            result, took, _, with_them = hub.invoke(STOP)
            expect("error", result.error_type, "unfinished")
            self.row("one account denied, one silent, one throttled: longer by", max(0, took - healthy), "s", ".1f", most=30)
            others = {account_id(number) for number in range(ACCOUNTS)} - {account_id(n) for n in (denied, silent, throttled)}
            differ = [account for account in others if self.did(without, account) != self.did(with_them, account)]
            self.row("the same: other accounts with other calls, or another outcome, than without", len(differ), exactly=0)
            asked = with_them.of("AssumeRole")[account_id(denied)]
            for _ in range(2):
                result, took, _, again = hub.invoke(STOP)
                asked += again.of("AssumeRole")[account_id(denied)]
                expect("instances stopped", sum(again.stopped[account] for account in others), len(others))
            self.row("the same, warm", took, "s", ".1f")
            self.row("AssumeRole for the denied one, in three runs", asked, exactly=1)

    def did(self, counts, account: str) -> tuple:
        calls = {(region, action): count for (name, region, action), count in counts.calls.items() if name == account}
        return calls, counts.stopped[account]

    def one_large(self) -> None:
        """Bar 6: one account has far more to do than all others."""
        due = {(number, 0): 1 for number in range(ACCOUNTS)} | {(250, 0): 5_000}
        with self.hub(FOUR, due_in=due, env={**NO_LIMITS, "STOPINATOR_VERIFY_SECONDS": "0"}) as hub:
            result, took, _, counts = hub.invoke(STOP)
            hub.looked_everywhere(result, counts)
            expect("instances stopped", sum(counts.stopped.values()), 5_000 + ACCOUNTS - 1)
            last = max(at for account, at in counts.last_call.items() if account != account_id(250))
            what = "5,000 stops in one account, one in each other"
            self.row(f"{what}, cold", took, "s", ".1f")
            self.row(f"{what}: the others' last call, after the first stop", last - counts.first_stop, "s", ".1f", most=5)


def expect(what: str, is_: object, should: object) -> None:
    if is_ != should:
        if isinstance(is_, set):
            is_, should = f"{sorted(is_ - should)[:5]} more", f"{sorted(should - is_)[:5]} more"
        raise SystemExit(f"This is not the job that is measured: {what}: {is_}, where there should be {should}")


def size(payload) -> int:
    return len(json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode())


def main() -> int:
    scenarios = ["nothing_due", "many_regions", "all_at_once", "many_instances", "sick_accounts", "one_large"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/stopinator-lambda")
    parser.add_argument("--only", action="append", choices=scenarios)
    parser.add_argument("--by-endpoint", action="store_true", help="one endpoint for all services and regions, and no proxy")
    parser.add_argument("--figures", type=Path, help="write them here, as JSON")
    arguments = parser.parse_args()
    if arguments.figures and arguments.only:
        parser.error("the figures are those of all scenarios")
    bench = Bench(arguments)
    for name in arguments.only or scenarios:
        print(f"{name}:", file=sys.stderr)
        getattr(bench, name)()
    bench.row("connections, the most in any of these", bench.most_open, most=256)
    print(f"\n{machine()}; {LATENCY * 1e3:.0f} ms to each answer")
    if arguments.figures:
        described = f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores"
        arguments.figures.write_text(json.dumps({"machine": described, "latency": LATENCY, "rows": bench.rows}))
    if bench.missed:
        print(f"Missed: {'; '.join(bench.missed)}")
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
