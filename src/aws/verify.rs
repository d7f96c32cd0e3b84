//! Did it arrive? Looks again at what EC2 accepted, with growing pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Ec2;
use super::observe::{Seen, look};
use crate::batch::IDS_A_CALL;
use crate::instance::{Action, InstanceId, Launch, Outcome, Reason, State, stopped_by_somebody};
use crate::report::Row;

/// The first pause; each one after is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// Looks at the accepted rows of one action in one region until all have arrived, the budget is used up, or the
/// deadline is near. One call looks at up to 1,000 instances.
pub async fn verify(ec2: &Ec2, budget: Duration, action: Action, rows: &mut [&mut Row]) {
    let clock = &ec2.clock;
    let end = clock.deadline().min(clock.now() + budget);
    let mut pause = FIRST_PAUSE;
    let mut were_starting = BTreeSet::new();
    let mut looked = false;
    loop {
        let now = clock.now();
        if now >= end || !rows.iter().any(|row| row.outcome == Some(Outcome::Accepted)) {
            break;
        }
        clock.wait_until(end.min(now + pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let mut open: Vec<&mut Row> =
            rows.iter_mut().map(|row| &mut **row).filter(|row| row.outcome == Some(Outcome::Accepted)).collect();
        for some in open.chunks_mut(IDS_A_CALL) {
            let ids: Vec<InstanceId> = some.iter().map(|row| row.id).collect();
            // A look that fails proves nothing; the next one may.
            if let Some(Ok(seen)) = clock.before_deadline(look(ec2, &ids)).await {
                settle(action, some, &seen, &mut were_starting);
                looked = true;
            }
        }
    }
    if !looked {
        return;
    }
    for row in rows.iter_mut().filter(|row| row.outcome == Some(Outcome::Accepted)) {
        let reason = match action {
            Action::Stop => Reason::StillStopping,
            Action::Start => Reason::StillStarting,
        };
        row.settle(Outcome::Accepted, Some(reason), None);
    }
}

fn settle(
    action: Action,
    rows: &mut [&mut Row],
    seen: &BTreeMap<InstanceId, Seen>,
    were_starting: &mut BTreeSet<InstanceId>,
) {
    for row in rows {
        let seen = seen.get(&row.id);
        if seen.is_some_and(|seen| seen.state == State::Pending) {
            were_starting.insert(row.id);
        }
        if let Some((outcome, reason, detail)) = judge(action, &row.launch, seen, were_starting.contains(&row.id)) {
            row.settle(outcome, reason, detail);
        }
    }
}

type Verdict = (Outcome, Option<Reason>, Option<Box<str>>);

/// What a look says of an instance that was accepted; nothing while it is on its way.
///
/// Right after a call EC2 may still show the old state, so a stopped instance has fallen back only where something
/// about it is new: its last start, the reason why it stopped, or that it was seen starting.
fn judge(action: Action, before: &Launch, seen: Option<&Seen>, was_starting: bool) -> Option<Verdict> {
    let Some(seen) = seen else { return Some((Outcome::Refused, Some(Reason::Gone), None)) };
    match (action, seen.state) {
        (_, State::ShuttingDown | State::Terminated) => Some((Outcome::Refused, Some(Reason::Gone), None)),
        (Action::Stop, State::Stopped) | (Action::Start, State::Running) => Some((Outcome::Confirmed, None, None)),
        (Action::Start, State::Stopped | State::Stopping)
            if was_starting || seen.started_at > before.started_at || seen.code != before.stop_code =>
        {
            Some(bounced(seen))
        }
        _ => None,
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

    fn judged(
        action: Action,
        before: Option<&str>,
        seen: &Seen,
        was_starting: bool,
    ) -> Option<(Outcome, Option<Reason>)> {
        let before = Launch { stop_code: before.map(Into::into), ..Launch::default() };
        judge(action, &before, Some(seen), was_starting).map(|(outcome, reason, _)| (outcome, reason))
    }

    #[test]
    fn arrivals() {
        let user = Some("Client.UserInitiatedShutdown");
        let kms = Some("Client.InternalError");
        let aws = Some("Server.InsufficientInstanceCapacity");
        let confirmed = Some((Outcome::Confirmed, None));
        let gone = Some((Outcome::Refused, Some(Reason::Gone)));
        let refused = Some((Outcome::Refused, Some(Reason::Bounced)));
        let failed = Some((Outcome::Failed, Some(Reason::Bounced)));
        for (action, before, state, code, was_starting, expected) in [
            (Action::Stop, None, State::Stopped, user, false, confirmed),
            (Action::Stop, None, State::Stopping, user, false, None),
            (Action::Stop, None, State::Running, None, false, None),
            (Action::Stop, None, State::Terminated, None, false, gone),
            (Action::Start, user, State::Running, None, false, confirmed),
            (Action::Start, user, State::Pending, None, false, None),
            (Action::Start, user, State::Stopped, user, false, None),
            (Action::Start, user, State::Stopped, user, true, refused),
            (Action::Start, user, State::Stopped, kms, false, refused),
            (Action::Start, user, State::Stopping, aws, false, failed),
            (Action::Start, kms, State::Stopped, kms, false, None),
            (Action::Start, user, State::ShuttingDown, None, false, gone),
        ] {
            let verdict = judged(action, before, &seen(state, code), was_starting);
            assert_eq!(verdict, expected, "{action} {before:?} {state:?} {code:?} {was_starting}");
        }
        assert_eq!(judge(Action::Stop, &Launch::default(), None, false).map(|v| v.1), Some(Some(Reason::Gone)));
    }

    #[test]
    fn a_newer_start_that_is_over_has_fallen_back() {
        let later = Seen { started_at: "2026-11-21T09:00:00Z".parse().ok(), ..seen(State::Stopped, None) };
        assert_eq!(judged(Action::Start, None, &later, false), Some((Outcome::Refused, Some(Reason::Bounced))));
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
