//! What a look says of a database after a call.

use super::facts::is_unhealthy;
use crate::action::{Action, Outcome};
use crate::reason::Reason;
use crate::resource::State;

/// What became of it, why, and more where there is more to say.
pub type Verdict = (Outcome, Option<Reason>, Option<Box<str>>);

/// What a look says of a database whose call RDS took; `None` is one that it does not know any more.
///
/// Stopping takes up to an hour and starting hours, and right after a call RDS may still show the state from before it:
/// so what has not arrived is on its way.
#[must_use]
pub fn judge(action: Action, seen: Option<(State, &str)>) -> Verdict {
    let Some((state, status)) = seen else { return (Outcome::Refused, Some(Reason::Gone), None) };
    match (action, state) {
        (_, State::ShuttingDown | State::Terminated) => (Outcome::Refused, Some(Reason::Gone), None),
        (Action::Stop, State::Stopped) | (Action::Start, State::Running | State::Busy) => {
            (Outcome::Confirmed, None, None)
        }
        _ if is_unhealthy(status) => (Outcome::Refused, Some(Reason::Unhealthy), Some(told(status))),
        (Action::Stop, _) => (Outcome::Accepted, Some(Reason::StillStopping), None),
        (Action::Start, _) => (Outcome::Accepted, Some(Reason::StillStarting), None),
    }
}

/// What a look says of a database whose call RDS refused for its state, or may have taken; nothing where it is not on
/// its way, since what was told of it stands then.
#[must_use]
pub fn judge_in_doubt(action: Action, seen: Option<(State, &str)>) -> Option<Verdict> {
    let arrives = matches!(
        (action, seen.map(|(state, _)| state)),
        (Action::Stop, Some(State::Stopping | State::Stopped))
            | (Action::Start, Some(State::Pending | State::Running | State::Busy))
            | (_, None)
    );
    arrives.then(|| judge(action, seen))
}

fn told(status: &str) -> Box<str> {
    format!("RDS calls it `{status}`").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_look_says() {
        use Action::{Start, Stop};
        use Outcome::{Accepted, Confirmed, Refused};
        for (action, seen, taken, refused) in [
            (Stop, Some("stopped"), (Confirmed, None), (Confirmed, None)),
            (Stop, Some("stopping"), (Accepted, Some(Reason::StillStopping)), (Accepted, Some(Reason::StillStopping))),
            (Stop, Some("available"), (Accepted, Some(Reason::StillStopping)), (Refused, Some(Reason::InTransition))),
            (Stop, Some("backing-up"), (Accepted, Some(Reason::StillStopping)), (Refused, Some(Reason::InTransition))),
            (Stop, Some("deleting"), (Refused, Some(Reason::Gone)), (Refused, Some(Reason::InTransition))),
            (Stop, None, (Refused, Some(Reason::Gone)), (Refused, Some(Reason::Gone))),
            (Start, Some("available"), (Confirmed, None), (Confirmed, None)),
            (Start, Some("configuring-x"), (Confirmed, None), (Confirmed, None)),
            (Start, Some("starting"), (Accepted, Some(Reason::StillStarting)), (Accepted, Some(Reason::StillStarting))),
            (Start, Some("stopped"), (Accepted, Some(Reason::StillStarting)), (Refused, Some(Reason::InTransition))),
            (
                Start,
                Some("incompatible-network"),
                (Refused, Some(Reason::Unhealthy)),
                (Refused, Some(Reason::InTransition)),
            ),
        ] {
            let seen = seen.map(|status| (super::super::facts::state(status), status));
            let (outcome, reason, _) = judge(action, seen);
            assert_eq!((outcome, reason), taken, "{action} {seen:?}");
            let in_doubt = judge_in_doubt(action, seen).map(|(outcome, reason, _)| (outcome, reason));
            let kept = refused == (Refused, Some(Reason::InTransition));
            assert_eq!(in_doubt, (!kept).then_some(refused), "{action} {seen:?}, in doubt");
        }
    }
}
