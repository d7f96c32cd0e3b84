//! Did it arrive? Looks again at what EC2 accepted, with growing pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::clients::Ec2;
use super::observe::look;
use crate::action::{Action, Outcome};
use crate::ec2::arrival::judge;
use crate::ec2::executor::{IDS_A_CALL, Target};
use crate::resource::{InstanceId, State};
use crate::settled::Settled;

/// The first pause; each one after is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// Longer than this after a call, EC2 is taken not to show the state from before it: a guess, on the long side.
const STALE: Duration = Duration::from_secs(25);

/// Looks at the accepted ones among the targets of one action in one region until all have arrived, the budget is used
/// up, or the deadline is near; what the last look said of each, if there was one. One call looks at up to 1,000.
pub async fn verify(
    ec2: &Ec2,
    budget: Duration,
    action: Action,
    targets: &[Target],
    mut accepted: Vec<usize>,
) -> Vec<Settled> {
    let clock = &ec2.clock;
    let began = clock.now();
    let end = clock.deadline().min(began + budget);
    let mut pause = FIRST_PAUSE;
    let mut were_starting = BTreeSet::new();
    let mut settled = BTreeMap::new();
    while clock.now() < end && !accepted.is_empty() {
        clock.wait_until(end.min(clock.now() + pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        for some in accepted.chunks(IDS_A_CALL) {
            let ids: Vec<InstanceId> = some.iter().map(|target| targets[*target].id).collect();
            // A look that fails proves nothing; the next one may.
            let Some(Ok(seen)) = clock.before_deadline(look(ec2, &ids)).await else { continue };
            let since = clock.now().saturating_sub(began);
            for &target in some {
                let Target { id, launch, .. } = &targets[target];
                let seen = seen.get(id);
                if seen.is_some_and(|seen| seen.state == State::Pending) {
                    were_starting.insert(target);
                }
                let is_new = since >= STALE || were_starting.contains(&target);
                let (outcome, reason, detail) = judge(action, launch, seen, is_new);
                settled.insert(target, Settled { target, outcome, reason, detail });
            }
        }
        let arrived = |target: &usize| settled.get(target).is_some_and(|settled| settled.outcome != Outcome::Accepted);
        accepted.retain(|target| !arrived(target));
    }
    settled.into_values().collect()
}
