//! Did it arrive? Looks again at what EC2 accepted, with growing pauses.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Ec2;
use super::observe::{Seen, look};
use crate::batch::IDS_A_CALL;
use crate::instance::{Action, InstanceId, Launch, Outcome, Reason, State, stopped_by_somebody};
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

type Verdict = (Outcome, Option<Reason>, Option<Box<str>>);

/// What a look says of an instance that was accepted.
///
/// Right after a call EC2 may still show the old state, so a stopped instance has fallen back only where it `is_new`
/// (long after the call, or seen starting before) or something about it is: its last start, or why it stopped.
fn judge(action: Action, before: &Launch, seen: Option<&Seen>, is_new: bool) -> Verdict {
    let Some(seen) = seen else { return (Outcome::Refused, Some(Reason::Gone), None) };
    let started_since = seen.started_at > before.started_at;
    match (action, seen.state) {
        (_, State::ShuttingDown | State::Terminated) => (Outcome::Refused, Some(Reason::Gone), None),
        (Action::Stop, State::Stopped) | (Action::Start, State::Running) => (Outcome::Confirmed, None, None),
        (Action::Stop, State::Pending | State::Running) if started_since => {
            (Outcome::Confirmed, None, Some("stopped, and started again since".into()))
        }
        (Action::Start, State::Stopped | State::Stopping)
            if is_new || started_since || (seen.code.is_some() && seen.code != before.stop_code) =>
        {
            bounced(seen)
        }
        (Action::Stop, _) => (Outcome::Accepted, Some(Reason::StillStopping), None),
        (Action::Start, _) => (Outcome::Accepted, Some(Reason::StillStarting), None),
    }
}

/// It started, and fell back: on EC2's side another try may succeed, otherwise something must be changed first.
fn bounced(seen: &Seen) -> Verdict {
    let code = seen.code.as_deref().unwrap_or("no reason given");
    let mut detail = seen.message.as_deref().map_or_else(
        || code.to_owned(),
        |message| {
            if message.starts_with(code) { message.to_owned() } else { format!("{code}: {message}") }
        },
    );
    let lower = detail.to_ascii_lowercase();
    if !stopped_by_somebody(code)
        && (code == "Client.InternalError" || lower.contains("kms") || lower.contains("encrypt"))
    {
        detail.push_str(
            ". If its volumes are encrypted with a customer managed key, give this function's role kms:CreateGrant on \
             that key",
        );
    }
    let outcome = if code.starts_with("Server.") { Outcome::Failed } else { Outcome::Refused };
    (outcome, Some(Reason::Bounced), Some(detail.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: State, code: Option<&str>) -> Seen {
        Seen {
            state,
            started_at: None,
            code: code.map(Into::into),
            message: code.map(|code| format!("{code}: so").into()),
        }
    }

    fn judged(action: Action, before: Option<&str>, seen: &Seen, is_new: bool) -> (Outcome, Option<Reason>) {
        let before = Launch { stop_code: before.map(Into::into), ..Launch::default() };
        let (outcome, reason, _) = judge(action, &before, Some(seen), is_new);
        (outcome, reason)
    }

    #[test]
    fn arrivals() {
        let user = Some("Client.UserInitiatedShutdown");
        let kms = Some("Client.InternalError");
        let aws = Some("Server.InsufficientInstanceCapacity");
        let confirmed = (Outcome::Confirmed, None);
        let gone = (Outcome::Refused, Some(Reason::Gone));
        let refused = (Outcome::Refused, Some(Reason::Bounced));
        let failed = (Outcome::Failed, Some(Reason::Bounced));
        let stopping = (Outcome::Accepted, Some(Reason::StillStopping));
        let starting = (Outcome::Accepted, Some(Reason::StillStarting));
        for (action, before, state, code, is_new, expected) in [
            (Action::Stop, None, State::Stopped, user, false, confirmed),
            (Action::Stop, None, State::Stopping, user, false, stopping),
            (Action::Stop, None, State::Running, None, false, stopping),
            (Action::Stop, None, State::Running, None, true, stopping),
            (Action::Stop, None, State::Terminated, None, false, gone),
            (Action::Start, user, State::Running, None, false, confirmed),
            (Action::Start, user, State::Pending, None, false, starting),
            (Action::Start, user, State::Pending, None, true, starting),
            (Action::Start, user, State::Stopped, user, false, starting),
            (Action::Start, user, State::Stopped, None, false, starting),
            (Action::Start, user, State::Stopped, user, true, refused),
            (Action::Start, user, State::Stopped, kms, false, refused),
            (Action::Start, user, State::Stopping, aws, false, failed),
            (Action::Start, kms, State::Stopped, kms, false, starting),
            (Action::Start, kms, State::Stopped, kms, true, refused),
            (Action::Start, user, State::ShuttingDown, None, false, gone),
        ] {
            let verdict = judged(action, before, &seen(state, code), is_new);
            assert_eq!(verdict, expected, "{action} {before:?} {state:?} {code:?} {is_new}");
        }
        assert_eq!(judge(Action::Stop, &Launch::default(), None, false).1, Some(Reason::Gone));
    }

    #[test]
    fn a_newer_start_that_is_over_has_fallen_back() {
        let later = Seen { started_at: "2026-11-21T09:00:00Z".parse().ok(), ..seen(State::Stopped, None) };
        assert_eq!(judged(Action::Start, None, &later, false), (Outcome::Refused, Some(Reason::Bounced)));
        let again = Seen { state: State::Running, ..later };
        assert_eq!(judged(Action::Stop, None, &again, false), (Outcome::Confirmed, None), "and somebody started it");
    }

    #[test]
    fn a_key_that_may_be_the_cause_is_named() {
        for (code, names_it) in
            [("Client.InternalError", true), ("Server.InternalError", false), ("Client.UserInitiatedShutdown", false)]
        {
            let (_, _, detail) = bounced(&seen(State::Stopped, Some(code)));
            let detail = detail.unwrap();
            assert!(detail.starts_with(&format!("{code}: so")), "{detail}");
            assert_eq!(detail.contains("kms:CreateGrant"), names_it, "{detail}");
        }
    }
}
