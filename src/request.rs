//! What a run is asked for, whoever asks: an event, a command, or a person at a terminal.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::action::RequestedAction;
use crate::place::{AccountId, Region};
use crate::resource::{Kind, ResourceId};

/// What to do, for which instant, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do with the instances that are due.
    pub action: RequestedAction,
    /// The trigger's own time; who started or stopped an instance at or after it, did so on purpose.
    pub time: Timestamp,
    /// The instant decided for, in whole seconds: the handler's clock, or the time that a dry run asks for.
    pub instant: Timestamp,
    /// Plan and report only: by the settings or by the command.
    pub dry_run: bool,
    /// Only these, where given; never empty. They narrow and never widen.
    pub only: Option<BTreeSet<ResourceId>>,
    /// The regions to look in: sorted, each once, at least one.
    pub regions: Vec<Region>,
    /// Only these accounts, where given; never empty. They narrow and never widen.
    pub accounts: Option<BTreeSet<AccountId>>,
    /// How far ticks lie apart, where whoever sends them says so.
    pub tick: Option<SignedDuration>,
    /// Whether what is planned is to be told to people, as a notice.
    pub notice: bool,
    /// Whether the answer is to have sums alone, and no list.
    pub counts_alone: bool,
}

impl Request {
    /// Whether it may be about resources of this kind.
    #[must_use]
    pub fn is_about(&self, kind: Kind) -> bool {
        self.only.as_ref().is_none_or(|ids| ids.iter().any(|id| id.kind() == kind))
    }
}
