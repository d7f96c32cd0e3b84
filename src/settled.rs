//! What became of one target of an executor: what it tells in the end.

use crate::action::Outcome;
use crate::reason::Reason;

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its place among the targets.
    pub target: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it is not as planned.
    pub reason: Option<Reason>,
    /// What AWS said.
    pub detail: Option<Box<str>>,
}
