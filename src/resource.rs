//! What was found, in the project's own words: an instance or a database, and what a decision about it and an action need
//! to know.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::place::Place;
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

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An EC2 instance.
    Instance,
    /// An RDS DB instance that is no member of a cluster.
    Db,
    /// A cluster of Aurora, `DocumentDB` or Neptune.
    Cluster,
}

impl Kind {
    /// The word as it stands in responses and logs, and before the name of a database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Db => "db",
            Self::Cluster => "cluster",
        }
    }
}

/// A database as its ARN names it: `db:orders`, or `cluster:orders`; the two have name spaces of their own.
///
/// Source: <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Tagging.ARN.html>
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DatabaseId(Box<str>);

impl DatabaseId {
    /// The id of a database of this kind.
    ///
    /// # Errors
    ///
    /// A name that RDS would not give: it has 1 to 63 letters, digits and hyphens, the first a letter.
    pub fn new(kind: Kind, name: &str) -> Result<Self, DatabaseIdError> {
        Self::try_from(format!("{}:{name}", kind.as_str()))
    }

    /// The id as it stands in responses and logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.0.starts_with("db:") { Kind::Db } else { Kind::Cluster }
    }

    /// RDS's own name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, name)| name)
    }
}

impl TryFrom<String> for DatabaseId {
    type Error = DatabaseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let name = text.strip_prefix("db:").or_else(|| text.strip_prefix("cluster:")).unwrap_or_default();
        let is_one = name.len() <= 63
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        // RDS keeps names in small letters.
        if is_one {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(DatabaseIdError { text: quote::word(&text) })
        }
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no database's id.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a database; one is written `db:orders`, or `cluster:orders`")]
pub struct DatabaseIdError {
    text: String,
}

/// The id of a resource. Instances come before databases.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceId {
    /// Of an EC2 instance.
    Instance(InstanceId),
    /// Of a database.
    Database(DatabaseId),
}

impl ResourceId {
    /// The id as it stands in responses and logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Instance(id) => id.as_str(),
            Self::Database(id) => id.as_str(),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Instance(_) => Kind::Instance,
            Self::Database(id) => id.kind(),
        }
    }

    /// The id, where it is an instance's.
    #[must_use]
    pub fn instance(&self) -> Option<InstanceId> {
        match self {
            Self::Instance(id) => Some(*id),
            Self::Database(_) => None,
        }
    }

    /// The id, where it is a database's.
    #[must_use]
    pub fn database(&self) -> Option<&DatabaseId> {
        match self {
            Self::Instance(_) => None,
            Self::Database(id) => Some(id),
        }
    }
}

impl From<InstanceId> for ResourceId {
    fn from(id: InstanceId) -> Self {
        Self::Instance(id)
    }
}

impl From<DatabaseId> for ResourceId {
    fn from(id: DatabaseId) -> Self {
        Self::Database(id)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The states of a resource: EC2's, and what RDS's come to.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On its way to running.
    Pending,
    /// Running, and billed for it.
    Running,
    /// A database that runs, and takes no call now: it is being backed up, modified, upgraded.
    Busy,
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

/// What was found out about one resource, reduced to what a decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// Where it is.
    pub place: Place,
    /// The value of its `Name` tag.
    pub name: Option<Box<str>>,
    /// Its state when it was looked at.
    pub state: State,
    /// RDS's own word for the state of a database.
    pub status: Option<Box<str>>,
    /// The value of the deployment's tag, as it was found; `None` where the resource does not carry the key.
    pub tag: Option<Box<str>>,
    /// The value of the hold's tag, as it was found.
    pub hold: Option<Box<str>>,
    /// Whom to tell of it: the value of the owner's tag.
    /// Boxed twice, since there are many and most have none.
    pub owner: Option<Box<Box<str>>>,
    /// How it was launched, and when it last started.
    pub launch: Launch,
    /// What is told of its last start.
    pub last_start: LastStart,
    /// Who stopped it last.
    pub last_stop: LastStop,
    /// What forbids any action, whatever its tag says: the first such reason.
    pub forbids: Option<Why>,
}

impl Resource {
    /// Whom to tell of it, where that is known.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| &***owner)
    }

    /// Whether it is a database of which RDS was not asked, or did not answer, what became of it before.
    #[must_use]
    pub fn log_was_not_read(&self) -> bool {
        self.id.database().is_some() && self.last_start == LastStart::NotTold
    }

    /// Notes what forbids any action. Of several, the first in the order of reasons stays.
    pub fn forbid(&mut self, why: Why) {
        if self.forbids.as_ref().is_none_or(|first| why.reason() < first.reason()) {
            self.forbids = Some(why);
        }
    }
}

/// What is told of the last start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastStart {
    /// Somebody's, at the time that [`Launch`] bears, where it bears one.
    #[default]
    BySomebody,
    /// AWS's own, and nobody's hand.
    ByAws,
    /// Of a database: before all that RDS remembers, which is [`RDS_REMEMBERS`].
    LongAgo,
    /// Of a database: what RDS remembers contradicts what it shows.
    Unclear,
    /// Of a database: RDS was not asked, or did not answer.
    NotTold,
}

/// How far back RDS's log of events reaches.
///
/// Source: <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeEvents.html>
pub const RDS_REMEMBERS: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How long RDS leaves a database stopped: then AWS starts it.
///
/// Source: <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_StopInstance.html>
pub const RDS_KEEPS_STOPPED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Who stopped a resource last, and when, as far as that is told.
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
    fn database_ids() {
        for (good, kind, name) in [
            ("db:orders", Kind::Db, "orders"),
            ("cluster:orders-2", Kind::Cluster, "orders-2"),
            ("db:Orders", Kind::Db, "orders"),
        ] {
            let id = DatabaseId::try_from(good.to_owned()).unwrap();
            assert_eq!((id.kind(), id.name()), (kind, name));
            assert_eq!(DatabaseId::new(kind, name).unwrap(), id);
        }
        let long = format!("db:{}", "a".repeat(64));
        for bad in ["", "orders", "db:", "db:1st", "db:-", "instance:i", "db:a b", "db:a:b", "Db:a", &long] {
            assert!(DatabaseId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(DatabaseId::try_from(long[..66].to_owned()).is_ok());
    }

    #[test]
    fn instances_come_before_databases() {
        let mut ids = ["cluster:a", "db:a", "i-0123abcd"].map(crate::testing::resource_id);
        ids.sort();
        assert_eq!(ids.map(|id| id.to_string()), ["i-0123abcd", "cluster:a", "db:a"]);
        assert!(size_of::<ResourceId>() <= 24, "there is one for each row of a fleet");
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
