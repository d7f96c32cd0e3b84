//! What is decided about one instance.

use jiff::Timestamp;

use crate::action::Action;
use crate::reason::Why;
use crate::resource::{LastStop, RDS_KEEPS_STOPPED, Resource};

/// What to do with an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Act on it.
    Act(Action),
    /// Leave it alone.
    Keep(Why),
}

/// A decision, and how long it holds.
pub(super) struct Decided {
    pub(super) decision: Decision,
    /// Since when an action is due, where that is known.
    pub(super) due_since: Option<Timestamp>,
    /// Until when an action is due, where that is known.
    pub(super) due_until: Option<Timestamp>,
    /// Until when a stop saves the instance's hours, where that is known.
    pub(super) off_until: Option<Timestamp>,
    /// When what is stopped is turned on again, where that is known.
    pub(super) on_at: Option<Timestamp>,
}

impl From<Why> for Decided {
    fn from(why: Why) -> Self {
        Self { decision: Decision::Keep(why), due_since: None, due_until: None, off_until: None, on_at: None }
    }
}

impl From<Action> for Decided {
    fn from(action: Action) -> Self {
        Self { decision: Decision::Act(action), due_since: None, due_until: None, off_until: None, on_at: None }
    }
}

impl Decided {
    pub(super) fn due_since(self, due_since: Timestamp) -> Self {
        Self { due_since: Some(due_since), ..self }
    }

    pub(super) fn due_until(self, due_until: Option<Timestamp>) -> Self {
        Self { due_until, ..self }
    }

    pub(super) fn off_until(self, off_until: Option<Timestamp>) -> Self {
        Self { off_until, ..self }
    }
}

/// It is stopped already; of a database, until AWS starts it.
pub(super) fn already_stopped(resource: &Resource) -> Why {
    match resource.last_stop {
        LastStop::BySomebody(Some(stopped)) if resource.id.database().is_some() => {
            Why::StoppedUntil(stopped.saturating_add(RDS_KEEPS_STOPPED).unwrap_or(Timestamp::MAX))
        }
        _ => Why::AlreadyStopped,
    }
}

/// It takes no call now; of a database, with RDS's own word for why.
pub(super) fn in_transition(resource: &Resource) -> Why {
    resource.status.clone().map_or(Why::InTransition, Why::Busy)
}
