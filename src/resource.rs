//! What was found, in the project's own words: an instance, and what a decision about it and an action need to know.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::place::Region;
use crate::quote;
use crate::reason::{FailedStart, Why};

/// An EC2 instance id: `i-` and 8 or 17 lower-case hexadecimal digits.
///
/// Held in place, so that a fleet's ids cost no allocations.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct InstanceId {
    /// ASCII, then zeros, which sort before every digit.
    text: [u8; Self::LONGEST],
    len: u8,
}

impl InstanceId {
    const LONGEST: usize = "i-".len() + 17;

    /// The id as EC2 writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was a `str` when it came in, so the default never shows.
        str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl TryFrom<&str> for InstanceId {
    type Error = InstanceIdError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        let error = || InstanceIdError { text: quote::word(text) };
        let digits = text.strip_prefix("i-").ok_or_else(error)?;
        let hexadecimal = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !hexadecimal || !matches!(digits.len(), 8 | 17) {
            return Err(error());
        }
        let mut padded = [0; Self::LONGEST];
        padded[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { text: padded, len: u8::try_from(text.len()).map_err(|_| error())? })
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InstanceIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::try_from(text.as_str())
    }
}

/// A text that is no instance id.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an instance id; one is written `i-` and 8 or 17 digits of 0-9 and a-f")]
pub struct InstanceIdError {
    text: String,
}

/// The states of an instance.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On its way to running.
    Pending,
    /// Running, and billed for it.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Stopped; only its volumes are billed.
    Stopped,
    /// On its way to terminated.
    ShuttingDown,
    /// Gone; EC2 still shows it for about an hour.
    Terminated,
    /// A state that this version does not know.
    Unknown,
}

/// What was found out about one instance, reduced to what a decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Where it is.
    pub region: Region,
    /// The value of its `Name` tag.
    pub name: Option<Box<str>>,
    /// Its state when it was looked at.
    pub state: State,
    /// The value of the deployment's tag, as it was found; `None` where the instance does not carry the key.
    pub tag: Option<Box<str>>,
    /// The value of the hold's tag, as it was found.
    pub hold: Option<Box<str>>,
    /// How it was launched, and when it last started.
    pub launch: Launch,
    /// Whether its last start was AWS's own, and nobody's hand.
    pub started_by_aws: bool,
    /// Who stopped it last.
    pub last_stop: LastStop,
    /// What forbids any action, whatever its tag says: the first such reason.
    pub forbids: Option<Why>,
}

impl Instance {
    /// Notes what forbids any action. Of several, the first in the order of reasons stays.
    pub fn forbid(&mut self, why: Why) {
        if self.forbids.as_ref().is_none_or(|first| why.reason() < first.reason()) {
            self.forbids = Some(why);
        }
    }
}

/// Who stopped an instance last, and when, as far as that is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LastStop {
    /// Somebody, by the API or from within; not every way leaves a date.
    BySomebody(Option<Timestamp>),
    /// AWS.
    ByAws,
    /// Nobody: it was started, and fell back.
    FailedStart(Box<FailedStart>),
    /// That is not told.
    #[default]
    Unknown,
}

/// What acting on an instance, and seeing whether it worked, depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Launch {
    /// Where its capacity comes from; shared by all that have it in common.
    pub pool: Option<Arc<Pool>>,
    /// Whether it is configured for hibernation.
    pub hibernation: bool,
    /// When it last started. EC2's `LaunchTime` is the last start, not the first launch.
    pub started_at: Option<Timestamp>,
    /// The code of why it is stopped, where it is: a start that falls back shows another.
    pub stop_code: Option<Box<str>>,
}

/// EC2's `StateReason`: why an instance is in its state. Empty where EC2 does not tell.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateReason {
    /// Such as `Client.UserInitiatedShutdown`.
    pub code: Box<str>,
    /// Such as `Client.UserInitiatedShutdown: User initiated shutdown`.
    pub message: Box<str>,
}

impl StateReason {
    /// Whether nothing is told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.code.is_empty() && self.message.is_empty()
    }
}

/// Code and message in one text, the code once.
impl fmt::Display for StateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.code, &*self.message) {
            ("", "") => f.write_str("no reason given"),
            (text, "") | ("", text) => f.write_str(text),
            (code, message) if message.starts_with(code) => f.write_str(message),
            (code, message) => write!(f, "{code}: {message}"),
        }
    }
}

/// What EC2 takes an instance's capacity from, as far as it tells; empty where it does not. There are narrower pools
/// than these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pool {
    /// The instance type, such as `m5.large`.
    pub instance_type: Box<str>,
    /// The availability zone, such as `ap-northeast-2a`.
    pub zone: Box<str>,
    /// `default`, `dedicated` or `host`.
    pub tenancy: Box<str>,
    /// The Dedicated Host that it is bound to.
    pub host: Box<str>,
    /// The placement group that it was launched into.
    pub group: Box<str>,
    /// `windows`, or nothing.
    pub platform: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids() {
        for good in ["i-0123abcd", "i-0123456789abcdef0"] {
            assert_eq!(InstanceId::try_from(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "i-",
            "i-0123ABCD",
            "i-0123abc",
            "i-0123456789abcdef",
            "i-0123456789abcdef01",
            "x-0123abcd",
            " i-0123abcd",
            "i-0123abcg",
        ] {
            assert!(InstanceId::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_code_is_told_once() {
        for (code, message, told) in [
            ("Client.A", "Client.A: so", "Client.A: so"),
            ("Server.InternalError", "Client.A: so", "Server.InternalError: Client.A: so"),
            ("Client.A", "", "Client.A"),
            ("", "so", "so"),
            ("", "", "no reason given"),
        ] {
            assert_eq!(StateReason { code: code.into(), message: message.into() }.to_string(), told);
        }
    }

    #[test]
    fn of_several_the_first_reason_forbids() {
        let mut instance = crate::testing::instance();
        for (why, first) in [
            (Why::CannotStop, Why::CannotStop),
            (Why::InstanceStoreData, Why::InstanceStoreData),
            (Why::InstanceStoreRoot, Why::InstanceStoreRoot),
            (Why::CannotStop, Why::InstanceStoreRoot),
            (Why::ServiceManaged, Why::ServiceManaged),
            (Why::AsgMember, Why::ServiceManaged),
        ] {
            instance.forbid(why);
            assert_eq!(instance.forbids, Some(first));
        }
    }
}
