//! What is decided about one instance.

use jiff::Timestamp;

use crate::action::Action;
use crate::reason::Why;

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
    /// Until when an action is due, where that is known.
    pub(super) due_until: Option<Timestamp>,
    /// Until when a stop saves the instance's hours, where that is known.
    pub(super) off_until: Option<Timestamp>,
}

impl From<Why> for Decided {
    fn from(why: Why) -> Self {
        Self { decision: Decision::Keep(why), due_until: None, off_until: None }
    }
}

impl From<Action> for Decided {
    fn from(action: Action) -> Self {
        Self { decision: Decision::Act(action), due_until: None, off_until: None }
    }
}

impl Decided {
    pub(super) fn due_until(self, due_until: Option<Timestamp>) -> Self {
        Self { due_until, ..self }
    }

    pub(super) fn off_until(self, off_until: Option<Timestamp>) -> Self {
        Self { off_until, ..self }
    }
}
