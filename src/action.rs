//! What can be done, what a run is asked to do, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What can be done with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Stop it.
    Stop,
    /// Start it.
    Start,
}

/// What a run is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestedAction {
    /// Stop the running instances that follow the rule.
    Stop,
    /// Start the stopped instances that follow the rule.
    Start,
    /// Let each instance's own schedule decide.
    Schedule,
}

impl RequestedAction {
    /// The word as it stands in requests, responses and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => Action::Stop.as_str(),
            Self::Start => Action::Start.as_str(),
            Self::Schedule => "schedule",
        }
    }
}

impl Serialize for RequestedAction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for RequestedAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Action {
    /// The word as it stands in requests, responses and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
        }
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of one planned action. The order is that of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Another try may succeed.
    Failed,
    /// Refused for good.
    Refused,
    /// Not tried.
    NotAttempted,
    /// EC2 took the call.
    Accepted,
    /// Seen stopped, or running.
    Confirmed,
}

impl Outcome {
    /// The word as it stands in responses and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::NotAttempted => "not-attempted",
            Self::Accepted => "accepted",
            Self::Confirmed => "confirmed",
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
