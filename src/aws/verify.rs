//! Did it arrive? Looks again at what EC2 accepted, with growing pauses.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Ec2;
use super::observe::look;
use crate::arrival::judge;
use crate::executor::IDS_A_CALL;
use crate::instance::{Action, InstanceId, Outcome, State};
use crate::report::Row;

/// The first pause; each one after is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// Longer than this after a call, EC2 is taken not to show the state from before it: a guess, on the long side.
const STALE: Duration = Duration::from_secs(25);

/// Looks at the accepted rows of one action in one region until all have arrived, the budget is used up, or the
/// deadline is near. One call looks at up to 1,000 instances.
pub async fn verify(ec2: &Ec2, budget: Duration, action: Action, rows: &mut [&mut Row]) {
    let clock = &ec2.clock;
    let began = clock.now();
    let end = clock.deadline().min(began + budget);
    let mut pause = FIRST_PAUSE;
    let mut were_starting = BTreeSet::new();
    while clock.now() < end {
        let mut open: Vec<&mut Row> =
            rows.iter_mut().map(|row| &mut **row).filter(|row| row.outcome == Some(Outcome::Accepted)).collect();
        if open.is_empty() {
            break;
        }
        clock.wait_until(end.min(clock.now() + pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        for some in open.chunks_mut(IDS_A_CALL) {
            let ids: Vec<InstanceId> = some.iter().map(|row| row.id).collect();
            // A look that fails proves nothing; the next one may.
            let Some(Ok(seen)) = clock.before_deadline(look(ec2, &ids)).await else { continue };
            let since = clock.now().saturating_sub(began);
            for row in some {
                let seen = seen.get(&row.id);
                if seen.is_some_and(|seen| seen.state == State::Pending) {
                    were_starting.insert(row.id);
                }
                let is_new = since >= STALE || were_starting.contains(&row.id);
                let (outcome, reason, detail) = judge(action, &row.launch, seen, is_new);
                row.settle(outcome, reason, detail);
            }
        }
    }
}
