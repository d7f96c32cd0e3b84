//! How many calls, and how long, it takes to stop or start 1,000 instances of which some are bad: this executor beside
//! the two others that are in use. Everyone meets the same EC2, with its token buckets, on a clock of their own. The table is also
//! a line of JSON on standard output: calls, seconds and what was left undone.
#![expect(clippy::print_stdout, reason = "what was measured is for a program to read")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use stopinator::action::Action;
use stopinator::ec2::executor::{Executor, Step, Target};
use stopinator::ec2::refusal::{Cause, Refusal};
use stopinator::resource::{InstanceId, Launch};

const INSTANCES: usize = 1000;
/// Calls that halving may take to find one of them.
const LOG2: usize = 10;
const DEADLINE: Duration = Duration::from_mins(15);

/// What is wrong with the fleet.
#[derive(Clone, Copy)]
enum Trouble {
    None,
    /// So many are protected against stopping; a text names all of a call, or the first.
    Protected(usize, Names),
    /// The role may not stop so many.
    Denied(usize, Names),
    /// There is room to start so many.
    Room(usize),
    /// EC2 is busy with others.
    Throttled,
}

#[derive(Clone, Copy, PartialEq)]
enum Names {
    All,
    First,
    Nobody,
}

/// One bad id fails the call, which draws on buckets: `StopInstances` 50 calls and 5 a second more, 1,000 instances and
/// 20 a second more; `StartInstances` 5 and 2, 1,000 and 2.
struct Ec2 {
    trouble: Trouble,
    now: Duration,
    requests: f64,
    instances: f64,
    bad: BTreeSet<InstanceId>,
    calls: usize,
    done: usize,
}

impl Ec2 {
    fn new(trouble: Trouble) -> Self {
        let bad = match trouble {
            Trouble::Protected(bad, _) | Trouble::Denied(bad, _) => bad,
            _ => 0,
        };
        // Spread over all.
        let bad = (0..bad).map(|n| id(n * INSTANCES / bad.max(1))).collect();
        let requests = if matches!(trouble, Trouble::Room(_)) { 5.0 } else { 50.0 };
        Self { trouble, now: Duration::ZERO, requests, instances: 1000.0, bad, calls: 0, done: 0 }
    }

    fn action(&self) -> Action {
        if matches!(self.trouble, Trouble::Room(_)) { Action::Start } else { Action::Stop }
    }

    fn wait_until(&mut self, then: Duration) {
        let seconds = then.saturating_sub(self.now).as_secs_f64();
        let (requests, most, instances) = match self.action() {
            Action::Stop => (5.0, 50.0, 20.0),
            Action::Start => (2.0, 5.0, 2.0),
        };
        self.requests = (self.requests + seconds * requests).min(most);
        self.instances = (self.instances + seconds * instances).min(1000.0);
        self.now = self.now.max(then);
    }

    fn call(&mut self, ids: &[InstanceId]) -> Result<(), Refusal> {
        self.calls += 1;
        let size = f64::from(u32::try_from(ids.len()).expect("a thousand at most"));
        if matches!(self.trouble, Trouble::Throttled) || self.requests < 1.0 || self.instances < size {
            return Err(Refusal::new(Some("RequestLimitExceeded"), "Request limit exceeded.", true));
        }
        self.requests -= 1.0;
        let bad: Vec<String> = ids.iter().filter(|id| self.bad.contains(id)).map(ToString::to_string).collect();
        let offenders = |names: Names| match names {
            Names::All => bad.join(", "),
            Names::First => bad[0].clone(),
            Names::Nobody => String::new(),
        };
        match self.trouble {
            Trouble::Protected(_, names) if !bad.is_empty() => {
                let text = format!("'{}' may not be stopped. Modify its 'disableApiStop' attribute", offenders(names));
                Err(Refusal::new(Some("OperationNotPermitted"), &text, false))
            }
            Trouble::Denied(_, names) if !bad.is_empty() => {
                let text = format!("You are not authorized to perform this operation. {}", offenders(names));
                Err(Refusal::new(Some("UnauthorizedOperation"), &text, false))
            }
            Trouble::Room(room) if self.done + ids.len() > room => {
                Err(Refusal::new(Some("InsufficientInstanceCapacity"), "Insufficient capacity.", true))
            }
            _ => {
                self.instances -= size;
                self.done += ids.len();
                Ok(())
            }
        }
    }

    /// As an SDK does that knows nothing of buckets: throttled, it tries again after a second, ten times in all.
    fn call_with_retries(&mut self, ids: &[InstanceId]) -> bool {
        for _ in 0..10 {
            if self.now >= DEADLINE {
                return false;
            }
            match self.call(ids) {
                Ok(()) => return true,
                Err(refusal) if refusal.cause == Cause::Throttled => self.wait_until(self.now + Duration::from_secs(1)),
                Err(_) => return false,
            }
        }
        false
    }

    /// How many can be done at all.
    fn possible(&self) -> usize {
        match self.trouble {
            Trouble::Room(room) => room,
            Trouble::Throttled => 0,
            _ => INSTANCES - self.bad.len(),
        }
    }
}

fn id(n: usize) -> InstanceId {
    InstanceId::try_from(format!("i-{n:017x}")).expect("an id")
}

fn ids() -> Vec<InstanceId> {
    (0..INSTANCES).map(id).collect()
}

fn this_executor(ec2: &mut Ec2) {
    let targets = ids().into_iter().map(|id| Target { id, launch: Launch::default(), due_until: None }).collect();
    let mut executor = Executor::new(ec2.action(), targets, false, DEADLINE, 1);
    loop {
        match executor.next(ec2.now) {
            Step::Send { ids, .. } => {
                let answer = ec2.call(&ids);
                executor.answered(ec2.now, answer);
            }
            Step::Look(_) => executor.looked(None),
            Step::WaitUntil(then) => ec2.wait_until(then),
            Step::Done => break,
        }
    }
}

/// Halves on any error that outlives the retries, throttling among it.
fn bisection(ec2: &mut Ec2) {
    fn halve(ec2: &mut Ec2, ids: &[InstanceId]) {
        if ids.is_empty() || ec2.call_with_retries(ids) || ids.len() == 1 {
            return;
        }
        let (first, second) = ids.split_at(ids.len() / 2);
        halve(ec2, first);
        halve(ec2, second);
    }
    halve(ec2, &ids());
}

fn one_by_one(ec2: &mut Ec2) {
    for id in ids() {
        ec2.call_with_retries(&[id]);
    }
}

fn main() -> ExitCode {
    use Names::{All, First, Nobody};
    use Trouble::{Denied, None, Protected, Room, Throttled};

    eprintln!("| {INSTANCES} instances | this executor | halving on any error | one call for each |");
    eprintln!("|---|---|---|---|");
    let mut kept = true;
    let mut rows = Vec::new();
    for (title, trouble, most) in [
        ("none bad", None, 1),
        ("1 protected", Protected(1, First), 2),
        ("10 protected, named one at a time", Protected(10, First), 11),
        ("27 protected, named one at a time", Protected(27, First), 28),
        ("27 protected, named in one error", Protected(27, All), 2),
        ("2 denied, nobody named", Denied(2, Nobody), 2 * 2 * LOG2 + 12),
        ("10 denied, nobody named", Denied(10, Nobody), 2 * 10 * LOG2 + 12),
        ("50 denied, named one at a time", Denied(50, First), 50 + 10),
        ("nothing permitted, nobody named", Denied(INSTANCES, Nobody), 12),
        ("nothing permitted, named one at a time", Denied(INSTANCES, First), 40),
        ("start: room for 750", Room(750), 2 * LOG2 + 4),
        ("start: room for 1", Room(1), 2 * LOG2 + 4),
        ("throttled for 15 minutes", Throttled, 25),
    ] {
        let cells = [this_executor, bisection, one_by_one].map(|strategy| {
            let mut ec2 = Ec2::new(trouble);
            strategy(&mut ec2);
            ec2
        });
        let [ours, ..] = &cells;
        kept &= ours.calls <= most && ours.done == ours.possible();
        let measured =
            cells.each_ref().map(|ec2| (ec2.calls, ec2.now.as_secs_f64().round(), ec2.possible() - ec2.done));
        rows.push((title, measured));
        let cells = cells.map(|ec2| {
            let left = ec2.possible() - ec2.done;
            let left = if left == 0 { String::new() } else { format!(", {left} left undone") };
            format!("{} calls, {:.0} s{left}", ec2.calls, ec2.now.as_secs_f64())
        });
        eprintln!("| {title} | {} |", cells.join(" | "));
    }
    eprintln!("\nthis executor within its bars: {}", if kept { "PASS" } else { "MISS" });
    println!("{}", serde_json::json!({ "instances": INSTANCES, "rows": rows }));
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
