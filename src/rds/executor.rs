//! The executor for databases, without I/O: RDS takes one at a time, and what it refuses costs nobody else.
//!
//! One executor carries everything in one region, because all calls draw from one bucket. It is asked
//! [`Executor::next`] at an instant and told [`Executor::answered`]; instants are durations since the run began. Every
//! step settles a database, or uses up one of a bounded number of tries.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use super::refusal::{Cause, Refusal};
use crate::action::{Action, Outcome};
use crate::ec2::pace::Pause;
use crate::reason::Reason;
use crate::resource::DatabaseId;
use crate::settled::Settled;

/// How often one is tried whose fate stays uncertain.
const TRIES: u32 = 3;

/// One database to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: DatabaseId,
    /// What to do with it.
    pub action: Action,
    /// Until when the action is due, where that is known.
    pub due_until: Option<Duration>,
}

/// What the executor wants done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send the action for this target, by its place; then tell `answered`.
    Send(usize),
    /// Come back at this instant.
    WaitUntil(Duration),
    /// Everything is settled.
    Done,
}

/// What the executor tells in the end.
#[derive(Debug)]
pub struct Done {
    /// What it was given.
    pub targets: Vec<Target>,
    /// What became of each.
    pub settled: Vec<Settled>,
    /// The targets, by their place, of which a look may tell something better: RDS refused them for their state, or
    /// whether it took the call is not known.
    pub in_doubt: Vec<usize>,
}

/// Acts on the databases of one region, in turn.
#[derive(Debug)]
pub struct Executor {
    targets: Vec<Target>,
    /// Who is left, by place, with the tries whose fate is not known and what was said of the last one. Drawn by the
    /// seed: who hangs is not before the same others each time.
    queue: VecDeque<(usize, u32, Option<Box<str>>)>,
    settled: Vec<Settled>,
    in_doubt: Vec<usize>,
    pause: Pause,
    throttled: Option<Box<str>>,
    deadline: Duration,
}

impl Executor {
    /// An executor for these targets, which ends before the deadline.
    #[must_use]
    pub fn new(targets: Vec<Target>, deadline: Duration, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..targets.len()).collect();
        Rng::with_seed(seed).shuffle(&mut order);
        Self {
            targets,
            queue: order.into_iter().map(|place| (place, 0, None)).collect(),
            settled: Vec::new(),
            in_doubt: Vec::new(),
            pause: Pause::new(seed),
            throttled: None,
            deadline,
        }
    }

    /// What to do at an instant, where RDS has a token from `token_at` on.
    pub fn next(&mut self, now: Duration, token_at: Duration) -> Step {
        while let Some((place, tries, _)) = self.queue.front() {
            let ready = token_at.max(self.pause.until());
            let is_over = now.max(ready) >= self.deadline;
            let is_late = self.targets[*place].due_until.is_some_and(|due| now.max(ready) >= due);
            if !(is_over || is_late) {
                return if ready > now { Step::WaitUntil(ready) } else { Step::Send(*place) };
            }
            if *tries > 0 {
                self.settle_uncertain();
            } else if let Some(said) = self.throttled.take().filter(|_| is_over) {
                self.settle(Outcome::Failed, Some(Reason::Throttled), Some(said));
            } else if is_over {
                // Nobody asked RDS for it.
                self.settle(Outcome::NotAttempted, Some(Reason::NoTimeLeft), None);
            } else {
                let said = "no longer due when its turn came".into();
                self.settle(Outcome::NotAttempted, Some(Reason::NoTimeLeft), Some(said));
            }
        }
        Step::Done
    }

    /// Takes the answer to the call for the target whose turn it is.
    pub fn answered(&mut self, now: Duration, answer: Result<(), Refusal>) {
        let Err(Refusal { cause, said }) = answer else {
            self.pause.reset();
            return self.settle(Outcome::Accepted, None, None);
        };
        match cause {
            Cause::Throttled => {
                self.pause.lengthen(now);
                self.throttled = Some(said);
            }
            Cause::Uncertain => {
                self.pause.lengthen(now);
                let Some((place, tries, _)) = self.queue.pop_front() else { return };
                // The others first; and RDS says so where it was carried out after all.
                self.queue.push_back((place, tries + 1, Some(said)));
                if tries + 1 == TRIES {
                    self.queue.rotate_right(1);
                    self.settle_uncertain();
                }
            }
            Cause::Settled(outcome, reason) => {
                self.pause.reset();
                self.settle(outcome, Some(reason), Some(said));
            }
            Cause::Arrived => self.settle(Outcome::Confirmed, None, None),
            Cause::UnderWay => self.settle(Outcome::Accepted, None, None),
            Cause::WrongState => {
                self.pause.reset();
                self.in_doubt.extend(self.queue.front().map(|(place, ..)| *place));
                self.settle(Outcome::Refused, Some(Reason::InTransition), Some(said));
            }
        }
    }

    /// What it was given, and what became of it.
    #[must_use]
    pub fn into_done(self) -> Done {
        Done { targets: self.targets, settled: self.settled, in_doubt: self.in_doubt }
    }

    /// A target, by its place.
    #[must_use]
    pub fn target(&self, place: usize) -> &Target {
        &self.targets[place]
    }

    /// Settles the one whose turn it is, of which nobody knows whether RDS took the call.
    fn settle_uncertain(&mut self) {
        let Some((place, _, said)) = self.queue.front() else { return };
        let said = said.clone();
        self.in_doubt.push(*place);
        self.settle(Outcome::Failed, Some(Reason::RdsError), said);
    }

    fn settle(&mut self, outcome: Outcome, reason: Option<Reason>, detail: Option<Box<str>>) {
        if let Some((target, ..)) = self.queue.pop_front() {
            self.settled.push(Settled { target, outcome, reason, detail });
        }
        if outcome != Outcome::Failed {
            self.throttled = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;

    const SECOND: Duration = Duration::from_secs(1);

    fn targets(count: usize) -> Vec<Target> {
        let id = |n| DatabaseId::new(Kind::Db, &format!("db{n}")).unwrap();
        (0..count).map(|n| Target { id: id(n), action: Action::Stop, due_until: None }).collect()
    }

    fn refusal(code: &str) -> Refusal {
        Refusal::new(Action::Stop, Some(code), "so", false)
    }

    /// Drives an executor on a bucket of so many calls and so many a second more; calls, and when it was over.
    fn drive(
        executor: &mut Executor,
        (size, a_second): (f64, f64),
        mut answer: impl FnMut(usize, Duration) -> Result<(), Refusal>,
    ) -> (usize, Duration) {
        let (mut now, mut tokens, mut filled, mut calls) = (Duration::ZERO, size, Duration::ZERO, 0);
        loop {
            tokens = (tokens + now.saturating_sub(filled).as_secs_f64() * a_second).min(size);
            filled = now;
            let token_at = if tokens >= 1.0 {
                now
            } else {
                now + Duration::from_secs_f64((1.0 - tokens) / a_second) + Duration::from_millis(1)
            };
            match executor.next(now, token_at) {
                Step::Send(place) => {
                    calls += 1;
                    tokens -= 1.0;
                    let answer = answer(place, now);
                    executor.answered(now, answer);
                }
                Step::WaitUntil(then) => now = now.max(then),
                Step::Done => return (calls, now),
            }
        }
    }

    #[test]
    fn what_is_refused_costs_nobody_else() {
        let mut executor = Executor::new(targets(40), 300 * SECOND, 1);
        let (calls, _) =
            drive(
                &mut executor,
                (300.0, 12.0),
                |place, _| {
                    if place % 4 == 1 { Err(refusal("AccessDenied")) } else { Ok(()) }
                },
            );
        let settled = executor.into_done().settled;
        assert_eq!((calls, settled.len()), (40, 40));
        for Settled { target, outcome, .. } in settled {
            let expected = if target % 4 == 1 { Outcome::Refused } else { Outcome::Accepted };
            assert_eq!(outcome, expected, "{target}");
        }
    }

    #[test]
    fn a_thousand_take_what_the_bucket_allows() {
        let mut executor = Executor::new(targets(1000), 900 * SECOND, 1);
        let (calls, took) = drive(&mut executor, (300.0, 12.0), |_, _| Ok(()));
        let best = (1000.0 - 300.0) / 12.0;
        assert_eq!(calls, 1000);
        assert!((best * 0.98..best * 1.05).contains(&took.as_secs_f64()), "{took:?}, best {best}");
    }

    #[test]
    fn throttled_it_waits_and_is_sent_again() {
        let mut executor = Executor::new(targets(3), 300 * SECOND, 1);
        let mut refused = Vec::new();
        let (calls, took) = drive(&mut executor, (300.0, 12.0), |_, now| {
            if now < 30 * SECOND {
                refused.push(now);
                return Err(refusal("ThrottlingException"));
            }
            Ok(())
        });
        assert_eq!(calls, refused.len() + 3);
        assert!(
            refused.windows(2).all(|two| two[1].saturating_sub(two[0]) >= Duration::from_millis(800)),
            "{refused:?}"
        );
        assert!(took < 70 * SECOND, "{took:?}");
        assert!(executor.into_done().settled.iter().all(|settled| settled.outcome == Outcome::Accepted));
    }

    #[test]
    fn it_ends_before_the_deadline_and_says_of_what() {
        let mut executor = Executor::new(targets(3), 60 * SECOND, 1);
        let (_, took) = drive(&mut executor, (300.0, 12.0), |_, _| Err(refusal("Throttling")));
        assert!(took < 60 * SECOND, "{took:?}");
        let told: Vec<_> =
            executor.into_done().settled.iter().map(|settled| (settled.outcome, settled.reason)).collect();
        let failed = (Outcome::Failed, Some(Reason::Throttled));
        let untried = (Outcome::NotAttempted, Some(Reason::NoTimeLeft));
        assert_eq!(told, [failed, untried, untried]);
    }

    #[test]
    fn what_is_no_longer_due_is_not_sent() {
        let late = targets(2).into_iter().map(|target| Target { due_until: Some(Duration::ZERO), ..target });
        let mut executor = Executor::new(late.collect(), 60 * SECOND, 1);
        assert_eq!(executor.next(Duration::ZERO, Duration::ZERO), Step::Done);
        assert!(executor.into_done().settled.iter().all(|settled| settled.outcome == Outcome::NotAttempted));
    }

    #[test]
    fn what_is_uncertain_is_tried_three_times_and_nobody_waits_for_it() {
        let mut executor = Executor::new(targets(3), 300 * SECOND, 1);
        let mut order = Vec::new();
        let (calls, _) = drive(&mut executor, (300.0, 12.0), |place, _| {
            order.push(place);
            if place == 0 { Err(Refusal::new(Action::Stop, None, "no answer", false)) } else { Ok(()) }
        });
        assert_eq!(calls, 5);
        assert_eq!(order[3..], [0, 0], "the others came first: {order:?}");
        let Done { settled, in_doubt, .. } = executor.into_done();
        let of = |place| settled.iter().find(|settled| settled.target == place).unwrap();
        assert_eq!((of(0).outcome, of(0).reason), (Outcome::Failed, Some(Reason::RdsError)));
        assert_eq!((of(1).outcome, of(2).outcome), (Outcome::Accepted, Outcome::Accepted));
        assert_eq!((in_doubt, of(0).detail.as_deref()), (vec![0], Some("no answer")));
    }

    #[test]
    fn a_call_that_was_cut_off_is_no_call_that_was_not_made() {
        let mut executor = Executor::new(targets(1), 10 * SECOND, 1);
        assert_eq!(executor.next(9 * SECOND, Duration::ZERO), Step::Send(0));
        executor.answered(10 * SECOND, Err(Refusal::new(Action::Stop, None, "timed out", false)));
        assert_eq!(executor.next(10 * SECOND, Duration::ZERO), Step::Done);
        let Done { settled, in_doubt, .. } = executor.into_done();
        assert_eq!((settled[0].outcome, settled[0].reason), (Outcome::Failed, Some(Reason::RdsError)));
        assert_eq!(in_doubt.len(), 1);
    }

    #[test]
    fn a_wrong_state_is_for_a_look_to_tell() {
        let mut executor = Executor::new(targets(1), 300 * SECOND, 1);
        drive(&mut executor, (300.0, 12.0), |_, _| Err(refusal("InvalidDBInstanceState")));
        let Done { settled, in_doubt: looks, .. } = executor.into_done();
        assert_eq!((settled[0].outcome, settled[0].reason), (Outcome::Refused, Some(Reason::InTransition)));
        assert_eq!((looks, settled[0].detail.as_deref()), (vec![0], Some("InvalidDBInstanceState: so")));
    }
}
