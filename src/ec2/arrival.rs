//! What a look says of an instance that was accepted: has it arrived, is it on its way, has it fallen back?

use jiff::Timestamp;

use crate::action::{Action, Outcome};
use crate::ec2::facts::{advice, blames_ec2};
use crate::reason::Reason;
use crate::resource::{Launch, State, StateReason};

/// What a look at an instance shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its state.
    pub state: State,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// Why it is in that state.
    pub reason: StateReason,
}

/// What became of it, why, and more where there is more to say.
pub type Verdict = (Outcome, Option<Reason>, Option<Box<str>>);

/// What a look says of an instance that was accepted.
///
/// Right after a call EC2 may still show the old state, so a stopped instance has fallen back only where it `is_new`
/// (long after the call, or seen starting before) or something about it is: its last start, or why it stopped.
#[must_use]
pub fn judge(action: Action, before: &Launch, seen: Option<&Seen>, is_new: bool) -> Verdict {
    let Some(seen) = seen else { return (Outcome::Refused, Some(Reason::Gone), None) };
    // Of a start that nobody knew of before, nobody can say that it is a new one.
    let started_since = before.started_at.zip(seen.started_at).is_some_and(|(before, now)| now > before);
    let another_reason =
        !seen.reason.code.is_empty() && before.stop_code.as_ref().is_none_or(|code| *code != seen.reason.code);
    match (action, seen.state) {
        (_, State::ShuttingDown | State::Terminated) => (Outcome::Refused, Some(Reason::Gone), None),
        (Action::Stop, State::Stopped) | (Action::Start, State::Running) => (Outcome::Confirmed, None, None),
        (Action::Stop, State::Pending | State::Running) if started_since => {
            (Outcome::Confirmed, None, Some("stopped, and started again since".into()))
        }
        (Action::Start, State::Stopped | State::Stopping) if is_new || started_since || another_reason => {
            bounced(&seen.reason)
        }
        (Action::Stop, _) => (Outcome::Accepted, Some(Reason::StillStopping), None),
        (Action::Start, _) => (Outcome::Accepted, Some(Reason::StillStarting), None),
    }
}

/// It started, and fell back: on EC2's side another try may succeed, otherwise something must be changed first.
fn bounced(reason: &StateReason) -> Verdict {
    let outcome = if blames_ec2(reason) { Outcome::Failed } else { Outcome::Refused };
    let detail = match advice(reason) {
        Some(advice) => format!("{reason}; {advice}"),
        None => reason.to_string(),
    };
    (outcome, Some(Reason::Bounced), Some(detail.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str) -> StateReason {
        StateReason { code: code.into(), message: format!("{code}: so").into() }
    }

    fn seen(state: State, code: Option<&str>) -> Seen {
        let code = code.unwrap_or_default();
        Seen { state, started_at: None, reason: reason(code) }
    }

    fn judged(action: Action, before: Option<&str>, seen: &Seen, is_new: bool) -> (Outcome, Option<Reason>) {
        let before = Launch {
            stop_code: before.map(Into::into),
            started_at: "2026-11-21T08:00:00Z".parse().ok(),
            ..Launch::default()
        };
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
    fn the_start_that_was_known_is_no_new_one() {
        let same = Seen { started_at: "2026-11-21T08:00:00Z".parse().ok(), ..seen(State::Stopped, None) };
        assert_eq!(judged(Action::Start, None, &same, false), (Outcome::Accepted, Some(Reason::StillStarting)));
        let runs = Seen { state: State::Running, ..same };
        assert_eq!(judged(Action::Stop, None, &runs, false), (Outcome::Accepted, Some(Reason::StillStopping)));
    }

    #[test]
    fn of_an_unknown_start_nobody_says_that_it_is_new() {
        let unknown = Launch::default();
        let running = Seen { started_at: "2026-11-21T09:00:00Z".parse().ok(), ..seen(State::Running, None) };
        assert_eq!(judge(Action::Stop, &unknown, Some(&running), false).1, Some(Reason::StillStopping));
        let stopped = Seen { state: State::Stopped, ..running };
        assert_eq!(judge(Action::Start, &unknown, Some(&stopped), false).1, Some(Reason::StillStarting));
    }

    #[test]
    fn a_key_that_may_be_the_cause_is_named() {
        for (code, names_it) in
            [("Client.InternalError", true), ("Server.InternalError", false), ("Client.UserInitiatedShutdown", false)]
        {
            let (_, _, detail) = bounced(&reason(code));
            let detail = detail.unwrap();
            assert!(detail.starts_with(&format!("{code}: so")), "{detail}");
            assert_eq!(detail.contains("kms:CreateGrant"), names_it, "{detail}");
        }
    }
}
