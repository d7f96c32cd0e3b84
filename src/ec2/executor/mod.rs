//! The executor, without I/O: what to send next, and what an answer means for the rest.
//!
//! One executor carries one action in one region. It is asked [`Executor::next`] at an instant and told
//! [`Executor::answered`] or [`Executor::looked`]; instants are durations since the run began. EC2 takes or refuses a
//! call as a whole, so a refused batch gives up the instances that the refusal names and is sent again at once; without
//! names it is halved; throttled it waits and is sent as it is. Every path settles an instance, halves a batch, or uses
//! up one of a bounded number of tries, so the executor always comes to an end.

mod batch;
mod capacity;
mod doubt;
mod ledger;
mod look;
mod step;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::action::{Action, Outcome};
use crate::ec2::pace::{Buckets, Pause};
use crate::ec2::refusal::{Cause, Refusal};
use crate::reason::Reason;
use crate::resource::{InstanceId, Pool, State};
use crate::settled::Settled;
use batch::{Batch, Verdict};
use capacity::{Full, Room};
pub use doubt::UNTRIED;
use doubt::{Doubt, NAMED_DENIALS};
use ledger::Ledger;
use look::{Look, UnderWay};
pub use step::{IDS_A_CALL, Step, Target};

/// How often a batch is sent whose fate stayed uncertain, before it is parted.
const TRIES: u32 = 3;
/// How often in a row EC2 may throttle: with these pauses half an hour, longer than Lambda lets anybody wait.
const THROTTLED_IN_A_ROW: u32 = 35;
/// So long before the deadline the last call goes out, to be looked at once; at most a tenth of the time that there is.
const LAST_CALL: Duration = Duration::from_secs(2);
/// The executor for one action in one region.
///
/// ```
/// use stopinator::action::{Action, Outcome};
/// use stopinator::ec2::executor::{Executor, Step, Target};
/// use stopinator::ec2::refusal::Refusal;
/// use stopinator::resource::{InstanceId, Launch};
///
/// let target = |id| Target { id, launch: Launch::default(), due_until: None };
/// let (web, db) = (InstanceId::try_from("i-0000000a").unwrap(), InstanceId::try_from("i-0000000b").unwrap());
/// let mut executor = Executor::new(Action::Stop, vec![target(web), target(db)], false, std::time::Duration::MAX, 1);
/// let now = std::time::Duration::ZERO;
/// // One of two is protected, and EC2 refuses the call for both.
/// let Step::Send { ids, .. } = executor.next(now) else { panic!() };
/// assert_eq!(ids.len(), 2);
/// let text = "The instance 'i-0000000b' may not be stopped. Modify its 'disableApiStop' instance attribute.";
/// executor.answered(now, Err(Refusal::new(Some("OperationNotPermitted"), text, false)));
/// // The other one is sent again at once.
/// assert_eq!(executor.next(now), Step::Send { ids: vec![web], hibernate: false });
/// executor.answered(now, Ok(()));
/// assert_eq!(executor.next(now), Step::Done);
/// let (targets, settled) = executor.into_settled();
/// let of = |id| settled.iter().find(|settled| targets[settled.target].id == id).unwrap().outcome;
/// assert_eq!((of(web), of(db)), (Outcome::Accepted, Outcome::Refused));
/// ```
#[derive(Debug)]
pub struct Executor {
    ledger: Ledger,
    deadline: Duration,
    /// Nothing is sent from here on.
    last_call: Duration,
    waiting: VecDeque<Batch>,
    under_way: Option<UnderWay>,
    looks: VecDeque<Look>,
    /// Named as being in a state that forbids the action; looked at together, at the end.
    offenders: Vec<(usize, Box<str>)>,
    /// Whether a call has passed, or was seen to have worked.
    passed: bool,
    /// How many were refused permission, by name or alone, while nothing had passed.
    denied: usize,
    /// Whether anything passes at all; until that is known, all that waits is in here, but for the one that is tried.
    doubt: Option<Doubt>,
    full: Full<Option<Arc<Pool>>>,
    /// Instance types of which the account may not run more.
    at_limit: Full<Option<Box<str>>>,
    throttled_in_a_row: u32,
    buckets: Buckets,
    pause: Pause,
    random: Rng,
}

impl Executor {
    /// An executor that settles `targets` before `deadline`, or without one for [`Duration::MAX`].
    ///
    /// `seed` spreads its pauses and draws who is tried first, so that no two runs err about the same ones.
    #[must_use]
    pub fn new(action: Action, mut targets: Vec<Target>, hibernate: bool, deadline: Duration, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        random.shuffle(&mut targets);
        // Neighbours in a batch share a pool, so that a batch without capacity falls apart at few places.
        targets.sort_by(|a, b| a.launch.pool.cmp(&b.launch.pool));
        let hibernates = |place: &usize| hibernate && action == Action::Stop && targets[*place].launch.hibernation;
        let (asleep, plain): (Vec<usize>, Vec<usize>) = (0..targets.len()).partition(hibernates);
        let batches = |members: Vec<usize>, hibernate| -> Vec<Batch> {
            members.chunks(IDS_A_CALL).map(|some| Batch::new(some.to_vec(), hibernate)).collect()
        };
        let mut waiting = VecDeque::from(batches(plain, false));
        waiting.extend(batches(asleep, true));
        Self {
            ledger: Ledger::new(action, targets),
            deadline,
            last_call: deadline.saturating_sub(LAST_CALL.min(deadline / 10)),
            waiting,
            under_way: None,
            looks: VecDeque::new(),
            offenders: Vec::new(),
            passed: false,
            denied: 0,
            doubt: None,
            full: Full::default(),
            at_limit: Full::default(),
            throttled_in_a_row: 0,
            buckets: Buckets::of(action),
            pause: Pause::new(seed),
            random,
        }
    }

    /// The targets, and what became of them: each once, after [`Step::Done`].
    #[must_use]
    pub fn into_settled(self) -> (Vec<Target>, Vec<Settled>) {
        (self.ledger.targets, self.ledger.settled)
    }

    /// What to do at the instant `now`. Everything asked for before has been answered.
    pub fn next(&mut self, now: Duration) -> Step {
        if now >= self.deadline {
            self.run_out_of_time();
        }
        loop {
            if let (Some(Look::Uncertain(..)), true) = (self.looks.front(), self.pause.until() > now) {
                // EC2 needs a moment before it shows what came of a call.
                return Step::WaitUntil(self.pause.until().min(self.deadline));
            }
            if let Some(look) = self.looks.pop_front() {
                let ids = self.ledger.ids(&look.members());
                self.under_way = Some(UnderWay::Look(look));
                return Step::Look(ids);
            }
            let doubted = self.doubt.iter_mut().flat_map(|doubt| &mut doubt.rest);
            self.ledger.drop_what_is_no_longer_due(now, self.waiting.iter_mut().chain(doubted));
            self.waiting.retain(|batch| !batch.members.is_empty());
            if let Some(step) = self.next_call(now) {
                return step;
            }
            if self.doubt.is_some() {
                self.pursue_doubt();
            } else if self.offenders.is_empty() {
                return Step::Done;
            } else {
                let some = self.offenders.split_off(self.offenders.len().saturating_sub(IDS_A_CALL));
                self.looks.push_back(Look::Offenders(some));
            }
        }
    }

    /// What came of the last [`Step::Send`], at the instant `now`.
    pub fn answered(&mut self, now: Duration, answer: Result<(), Refusal>) {
        let Some(UnderWay::Call(mut batch)) = self.under_way.take() else { return };
        batch.throttled = false;
        let refusal = match answer {
            Ok(()) => return self.pass(&batch),
            Err(refusal) => refusal,
        };
        if !matches!(refusal.cause, Cause::Lost | Cause::Fault) {
            self.buckets.give_back(batch.members.len());
        }
        if refusal.cause != Cause::Throttled {
            self.throttled_in_a_row = 0;
            batch.refused = None;
        }
        let said = &*refusal.said;
        let named = self.ledger.named(&batch.members, &refusal.named);
        match refusal.cause {
            Cause::Throttled => self.wait_and_send_again(now, batch, refusal.said),
            Cause::Lost | Cause::Fault => {
                if batch.tries >= TRIES {
                    // Who is to blame is searched for without longer pauses.
                    self.pause.reset();
                }
                self.pause.lengthen(now);
                batch.tries += 1;
                batch.said = Some(refusal.said);
                self.looks.push_back(Look::Uncertain(batch, refusal.cause));
            }
            Cause::Call => {
                self.ledger.settle_all(&batch.members, (Outcome::Failed, Reason::Ec2Error), said);
                // Nobody's call passes now, so none that is tried alone tells anything.
                self.waiting.extend(self.doubt.take().into_iter().flat_map(|doubt| doubt.rest));
            }
            Cause::Capacity if named.is_empty() => self.lack_capacity(&batch, &refusal),
            Cause::Capacity => self.eject(batch, &named, (Outcome::Failed, Reason::NoCapacity), said),
            Cause::Limit => self.meet_limit(batch, said),
            Cause::NotPermitted => self.deny(batch, &named, said),
            Cause::State if named.is_empty() => {
                batch.said = Some(refusal.said);
                self.looks.push_back(Look::FindOffenders(batch));
            }
            Cause::State => {
                self.offenders.extend(named.iter().map(|member| (*member, said.into())));
                self.send_again_without(batch, &named);
            }
            Cause::Hibernation if batch.hibernate && named.is_empty() && batch.members.len() > 1 => {
                self.halve(batch, (Outcome::Refused, Reason::Ec2Error), said);
            }
            Cause::Hibernation if batch.hibernate => {
                let awake = if named.is_empty() { batch.members.clone() } else { named };
                self.send_again_without(batch, &awake);
                self.stop_plainly(awake);
            }
            Cause::Hibernation => self.eject(batch, &named, (Outcome::Refused, Reason::Ec2Error), said),
            Cause::Instance(outcome, reason) => self.eject(batch, &named, (outcome, reason), said),
        }
    }

    /// The states that the last [`Step::Look`] saw, or none where the look failed. An id that EC2 does not know is
    /// left out.
    pub fn looked(&mut self, seen: Option<&BTreeMap<InstanceId, State>>) {
        let Some(UnderWay::Look(look)) = self.under_way.take() else { return };
        match look {
            Look::Uncertain(mut batch, cause) => {
                let on_its_way = self.ledger.settle_what_shows(&mut batch.members, seen);
                if on_its_way {
                    self.pause.reset();
                    self.something_passed();
                }
                if seen.is_some() {
                    self.buckets.give_back(batch.members.len());
                }
                self.send_again_or_part(batch, cause, on_its_way);
            }
            Look::FindOffenders(mut batch) => {
                let before = batch.members.len();
                self.ledger.settle_what_shows(&mut batch.members, seen);
                let fits = |member: usize| seen.is_none_or(|seen| self.ledger.is_ready(member, seen));
                let (fit, unfit): (Vec<usize>, Vec<usize>) = batch.members.iter().partition(|member| fits(**member));
                self.ledger.settle_all(&unfit, (Outcome::Refused, Reason::InTransition), batch.said());
                batch.members = fit;
                if batch.members.len() == before {
                    let said = batch.said.clone().unwrap_or_default();
                    self.halve(batch, (Outcome::Refused, Reason::InTransition), &said);
                } else {
                    self.send_next(batch);
                }
            }
            Look::Offenders(offenders) => {
                let mut members = offenders.iter().map(|(member, _)| *member).collect();
                self.ledger.settle_what_shows(&mut members, seen);
                for (member, said) in offenders.into_iter().filter(|(member, _)| members.contains(member)) {
                    self.ledger.settle(member, Outcome::Refused, Some(Reason::InTransition), Some(said));
                }
            }
        }
    }

    /// The next call, or how long to wait for it; none where nothing waits.
    fn next_call(&mut self, now: Duration) -> Option<Step> {
        while let Some(batch) = self.waiting.front_mut() {
            let size = batch.members.len();
            let ready = self.pause.until().max(self.buckets.ready_at(now, size));
            if now < self.last_call && ready <= now {
                return self.send_first(now);
            }
            if ready < self.last_call {
                return Some(Step::WaitUntil(ready));
            }
            // There will not be tokens for all of it in time, but perhaps for a part.
            let latest = self.last_call.saturating_sub(Duration::from_secs(1));
            let part = if self.pause.until() <= latest { self.buckets.instances_at(latest) } else { 0 };
            if now >= self.last_call || part == 0 || part >= size {
                self.give_up_waiting();
            } else {
                let rest = batch.split_off(part);
                self.waiting.insert(1, rest);
            }
        }
        None
    }

    fn send_first(&mut self, now: Duration) -> Option<Step> {
        let batch = self.waiting.pop_front()?;
        self.buckets.take(now, batch.members.len());
        let (ids, hibernate) = (self.ledger.ids(&batch.members), batch.hibernate);
        self.under_way = Some(UnderWay::Call(batch));
        Some(Step::Send { ids, hibernate })
    }

    fn pass(&mut self, batch: &Batch) {
        self.pause.reset();
        self.throttled_in_a_row = 0;
        self.at_limit = Full::default();
        for member in &batch.members {
            self.full.passed(&self.ledger.pool(*member));
            self.ledger.settle(*member, Outcome::Accepted, None, None);
        }
        self.something_passed();
    }

    fn wait_and_send_again(&mut self, now: Duration, mut batch: Batch, said: Box<str>) {
        self.pause.lengthen(now);
        self.throttled_in_a_row += 1;
        batch.throttled = true;
        if batch.refused.is_none() {
            batch.said = Some(said);
        }
        self.waiting.push_front(batch);
        if self.throttled_in_a_row >= THROTTLED_IN_A_ROW {
            self.give_up_waiting();
        }
    }

    /// A fault of EC2's that outlives the tries has to do with one instance, or with all.
    fn send_again_or_part(&mut self, mut batch: Batch, cause: Cause, passes: bool) {
        let verdict = (Outcome::Failed, Reason::Ec2Error);
        if batch.members.is_empty() {
            return;
        }
        if batch.tries < TRIES {
            return self.send_next(batch);
        }
        let said = batch.said.take().unwrap_or_default();
        if batch.members.len() == 1 || cause == Cause::Lost {
            self.ledger.settle_all(&batch.members, verdict, &said);
            self.count_probe();
        } else if passes || (self.passed && batch.tries > TRIES) {
            self.halve(batch, verdict, &said);
        } else {
            // What passed before the tries tells nothing of now.
            self.passed = false;
            self.open_doubt(Batch { refused: Some(verdict), said: Some(said), ..batch }, verdict);
        }
    }

    /// Permission is refused to those that the text names, or to one that is alone, or to somebody in the batch, or to
    /// all. While something has passed, it is not to all.
    fn deny(&mut self, mut batch: Batch, named: &[usize], said: &str) {
        let verdict = (Outcome::Refused, Reason::NotPermitted);
        if self.passed {
            return self.eject(batch, named, verdict, said);
        }
        let certain = if named.is_empty() && batch.members.len() == 1 { batch.members.clone() } else { named.to_vec() };
        self.ledger.settle_all(&certain, verdict, said);
        self.denied += certain.len();
        batch.members.retain(|member| !certain.contains(member));
        if batch.members.is_empty() {
            self.count_probe();
        } else if certain.is_empty() {
            self.open_doubt(Batch { refused: Some(verdict), said: Some(said.into()), ..batch }, verdict);
        } else if self.denied > NAMED_DENIALS {
            self.open_doubt(batch, verdict);
        } else {
            self.waiting.push_front(batch);
        }
    }

    fn open_doubt(&mut self, batch: Batch, verdict: Verdict) {
        let before = self.doubt.take().into_iter().flat_map(|doubt| doubt.rest);
        let rest = std::iter::once(batch).chain(self.waiting.drain(..)).chain(before).collect();
        self.doubt = Some(Doubt::new(verdict, rest, self.random.f64()));
    }

    /// One that was tried alone was refused.
    fn count_probe(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.refused += 1;
        }
    }

    /// Tries the next one alone; where enough were, and none has passed, nothing does.
    fn pursue_doubt(&mut self) {
        let Some(mut doubt) = self.doubt.take() else { return };
        if let Some(probe) = doubt.draw() {
            self.waiting.push_front(probe);
            self.doubt = Some(doubt);
            return;
        }
        let said = format!("{UNTRIED}: of {} that were, none has passed", doubt.refused);
        for batch in doubt.rest {
            self.ledger.settle_all(&batch.members, doubt.verdict, &said);
        }
    }

    /// So the doubt is about one instance, and the others go on.
    fn something_passed(&mut self) {
        self.passed = true;
        let Some(Doubt { rest, refused, .. }) = self.doubt.take() else { return };
        self.waiting.extend(rest.into_iter().filter(|batch| !batch.members.is_empty()));
        let Some(first) = self.waiting.pop_front() else { return };
        match first.refused {
            // Those that were tried alone were not the ones meant, so somebody in here still is.
            Some(verdict) if refused == 0 && first.members.len() > 1 => {
                let said = first.said.clone().unwrap_or_default();
                self.halve(first, verdict, &said);
            }
            _ => self.waiting.push_front(first),
        }
    }

    /// Capacity lacks in the pools that the text tells of, or else in some pool of the batch. The others go on.
    fn lack_capacity(&mut self, batch: &Batch, refusal: &Refusal) {
        let pool = |member: &usize| self.ledger.pool(*member);
        let told = refusal.lacking(&batch.members.iter().filter_map(pool).collect());
        let lacks = |member: &usize| told.is_empty() || pool(member).is_some_and(|pool| told.contains(&pool));
        let (lacking, others): (Vec<usize>, Vec<usize>) = batch.members.iter().partition(|member| lacks(member));
        let pools: Vec<_> = lacking.iter().map(pool).collect();
        let room = self.full.room_for(&pools);
        self.part(batch.with(lacking), room, (Outcome::Failed, Reason::NoCapacity), &refusal.said);
        self.send_next(batch.with(others));
    }

    /// A limit of the account: nobody is to blame, and smaller types may still fit.
    fn meet_limit(&mut self, batch: Batch, said: &str) {
        let kind = |member: &usize| self.ledger.pool(*member).map(|pool| pool.instance_type.clone());
        let types: Vec<_> = batch.members.iter().map(kind).collect();
        let room = self.at_limit.room_for(&types);
        self.part(batch, room, (Outcome::Failed, Reason::Ec2Error), said);
    }

    fn part(&mut self, mut batch: Batch, room: Room, verdict: Verdict, said: &str) {
        match room {
            Room::None => self.ledger.settle_all(&batch.members, verdict, said),
            Room::PartAt(at) => {
                (batch.refused, batch.said) = (Some(verdict), Some(said.into()));
                let second = batch.split_off(at);
                self.waiting.push_front(second);
                self.waiting.push_front(batch);
            }
        }
    }

    /// Somebody in this batch is meant; one that is alone is the one.
    fn halve(&mut self, batch: Batch, verdict: Verdict, said: &str) {
        let middle = batch.members.len() / 2;
        let room = if middle == 0 { Room::None } else { Room::PartAt(middle) };
        self.part(batch, room, verdict, said);
    }

    /// All who are not configured for hibernation go together, after the others.
    fn stop_plainly(&mut self, awake: Vec<usize>) {
        match self.waiting.back_mut() {
            Some(last) if last.is_untried() && last.members.len() + awake.len() <= IDS_A_CALL => {
                last.members.extend(awake);
            }
            _ => self.waiting.push_back(Batch::new(awake, false)),
        }
    }

    /// Gives up the named ones and sends the rest again; nobody named, halves.
    fn eject(&mut self, batch: Batch, named: &[usize], verdict: Verdict, said: &str) {
        if named.is_empty() {
            return self.halve(batch, verdict, said);
        }
        self.ledger.settle_all(named, verdict, said);
        self.send_again_without(batch, named);
    }

    fn send_again_without(&mut self, mut batch: Batch, named: &[usize]) {
        batch.members.retain(|member| !named.contains(member));
        self.send_next(batch);
    }

    fn send_next(&mut self, batch: Batch) {
        if !batch.members.is_empty() {
            self.waiting.push_front(batch);
        }
    }

    /// What has not been sent will not be.
    fn give_up_waiting(&mut self) {
        let doubted = self.doubt.take().into_iter().flat_map(|doubt| doubt.rest);
        self.ledger.give_up(self.waiting.drain(..).chain(doubted));
    }

    fn run_out_of_time(&mut self) {
        self.give_up_waiting();
        for look in std::mem::take(&mut self.looks) {
            match look {
                Look::Uncertain(batch, _) | Look::FindOffenders(batch) => {
                    self.ledger.settle_all(&batch.members, (Outcome::Failed, Reason::Ec2Error), batch.said());
                }
                Look::Offenders(offenders) => self.offenders.extend(offenders),
            }
        }
        for (member, said) in std::mem::take(&mut self.offenders) {
            self.ledger.settle(member, Outcome::Refused, Some(Reason::InTransition), Some(said));
        }
    }
}
