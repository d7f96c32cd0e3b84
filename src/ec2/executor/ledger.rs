//! Who is to be acted on, and what became of whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, Verdict};
use super::step::Target;
use crate::action::{Action, Outcome};
use crate::reason::Reason;
use crate::resource::{InstanceId, Pool, State};
use crate::settled::Settled;

/// The targets of one action, and what became of them so far.
#[derive(Debug)]
pub(super) struct Ledger {
    action: Action,
    pub(super) targets: Vec<Target>,
    places: BTreeMap<InstanceId, usize>,
    pub(super) settled: Vec<Settled>,
}

impl Ledger {
    pub(super) fn new(action: Action, targets: Vec<Target>) -> Self {
        let places = targets.iter().enumerate().map(|(place, target)| (target.id, place)).collect();
        Self { action, targets, places, settled: Vec::new() }
    }

    /// Where a member's capacity comes from.
    pub(super) fn pool(&self, member: usize) -> Option<Arc<Pool>> {
        self.targets[member].launch.pool.clone()
    }

    /// Those of the members that are named.
    pub(super) fn named(&self, members: &[usize], ids: &[InstanceId]) -> Vec<usize> {
        let named: Vec<usize> = ids.iter().filter_map(|id| self.places.get(id).copied()).collect();
        members.iter().copied().filter(|member| named.contains(member)).collect()
    }

    /// Whether an instance can be acted on as it was seen.
    pub(super) fn is_ready(&self, member: usize, seen: &BTreeMap<InstanceId, State>) -> bool {
        let ready = match self.action {
            Action::Stop => State::Running,
            Action::Start => State::Stopped,
        };
        seen.get(&self.targets[member].id) == Some(&ready)
    }

    /// Takes from batches, and settles, what has waited past an edge of its schedule.
    pub(super) fn drop_what_is_no_longer_due<'b>(
        &mut self,
        now: Duration,
        batches: impl Iterator<Item = &'b mut Batch>,
    ) {
        for batch in batches {
            let over = |member: &mut usize| self.targets[*member].due_until.is_some_and(|until| until <= now);
            let late: Vec<usize> = batch.members.extract_if(.., over).collect();
            if late.is_empty() {
                continue;
            }
            // What EC2 has refused, or may have taken after all, keeps what it said.
            let (verdict, said) = match batch.given_up() {
                ((Outcome::Failed, Reason::Throttled) | (Outcome::NotAttempted, _), _) => {
                    let said = "no longer due when its turn came".into();
                    ((Outcome::NotAttempted, Reason::NoTimeLeft), Some(said))
                }
                kept => kept,
            };
            self.settle_each(&late, verdict, said.as_deref());
        }
    }

    /// Settles what will not be sent.
    pub(super) fn give_up(&mut self, batches: impl Iterator<Item = Batch>) {
        for batch in batches {
            let (verdict, said) = batch.given_up();
            self.settle_each(&batch.members, verdict, said.as_deref());
        }
    }

    /// Settles, and takes from `members`, those that have arrived, are on their way, or are gone; whether one has
    /// arrived or is on its way.
    pub(super) fn settle_what_shows(
        &mut self,
        members: &mut Vec<usize>,
        seen: Option<&BTreeMap<InstanceId, State>>,
    ) -> bool {
        let Some(seen) = seen else { return false };
        let mut on_its_way = false;
        members.retain(|member| {
            let state = seen.get(&self.targets[*member].id);
            let (outcome, reason) = match (self.action, state) {
                (_, None | Some(State::ShuttingDown | State::Terminated)) => (Outcome::Refused, Some(Reason::Gone)),
                (Action::Stop, Some(State::Stopping | State::Stopped))
                | (Action::Start, Some(State::Pending | State::Running)) => (Outcome::Accepted, None),
                _ => return true,
            };
            on_its_way |= outcome == Outcome::Accepted;
            self.settled.push(Settled { target: *member, outcome, reason, detail: None });
            false
        });
        on_its_way
    }

    pub(super) fn settle_all(&mut self, members: &[usize], verdict: Verdict, said: &str) {
        self.settle_each(members, verdict, Some(said));
    }

    pub(super) fn settle_each(&mut self, members: &[usize], (outcome, reason): Verdict, said: Option<&str>) {
        for member in members {
            self.settle(*member, outcome, Some(reason), said.map(Into::into));
        }
    }

    pub(super) fn settle(&mut self, target: usize, outcome: Outcome, reason: Option<Reason>, detail: Option<Box<str>>) {
        self.settled.push(Settled { target, outcome, reason, detail });
    }

    pub(super) fn ids(&self, members: &[usize]) -> Vec<InstanceId> {
        members.iter().map(|member| self.targets[*member].id).collect()
    }
}
