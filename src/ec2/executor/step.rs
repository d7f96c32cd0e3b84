//! What the executor is given, and what it wants done.

use std::time::Duration;

use crate::resource::{InstanceId, Launch};

/// The most ids in one call: the size of EC2's bucket of resource tokens, beyond which a call could never pass.
///
/// Source: <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>
pub const IDS_A_CALL: usize = 1000;

/// One instance to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: InstanceId,
    /// How it was launched.
    pub launch: Launch,
    /// Until when the action is due, where that is known; since the run began, like all instants here.
    pub due_until: Option<Duration>,
}

/// What the executor wants done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send the action for these instances; then tell `answered`.
    Send {
        /// The instances, 1 to [`IDS_A_CALL`].
        ids: Vec<InstanceId>,
        /// Ask for hibernation, where the action is to stop.
        hibernate: bool,
    },
    /// Look at these instances; then tell `looked`.
    Look(Vec<InstanceId>),
    /// Come back at this instant.
    WaitUntil(Duration),
    /// Everything is settled.
    Done,
}
