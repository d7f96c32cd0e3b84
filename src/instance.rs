//! The project's own words for EC2: what an instance is, what may be done to it, and why it is left alone.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

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
        let error = || InstanceIdError { text: text.to_owned() };
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

/// A region's name, such as `ap-northeast-2`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Region(Arc<str>);

impl Region {
    /// The name as AWS writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;

    /// Checks the shape only (`ap-northeast-2`, `us-gov-west-1`): regions are added every year.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts: Vec<&str> = text.split('-').collect();
        let shaped = match parts.as_slice() {
            [words @ .., number] => {
                words.len() >= 2
                    && words.iter().all(|w| w.len() >= 2 && w.bytes().all(|b| b.is_ascii_lowercase()))
                    && !number.is_empty()
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            [] => false,
        };
        if shaped { Ok(Self(text.into())) } else { Err(RegionError { text }) }
    }
}

/// A text that is no region's name.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a region; one is written like `ap-northeast-2`")]
pub struct RegionError {
    text: String,
}

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

/// What EC2 reported about one instance, reduced to what a decision needs.
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
    /// How it was launched.
    pub launch: Launch,
    /// Who stopped it last.
    pub last_stop: LastStop,
    /// The facts that forbid an action.
    pub facts: Facts,
}

/// Who stopped an instance last, and when, as far as EC2 tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastStop {
    /// Somebody, by the API or from within; not every way leaves a date.
    BySomebody(Option<Timestamp>),
    /// AWS, to retire a host or for maintenance.
    ByAws,
    /// EC2, which needed the capacity of a Spot Instance, and may start it again by itself.
    Interrupted,
    /// Nobody: it was started, and fell back.
    FailedStart,
    /// EC2 does not tell.
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
    /// Why it is stopped; a start that falls back shows another reason. Boxed, since most instances run.
    pub stop_reason: Option<Box<StateReason>>,
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

/// Facts about an instance that forbid an action whatever its tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each read on its own by the plan")]
pub struct Facts {
    /// `Operator.Managed`: an AWS service owns the instance.
    pub operator_managed: bool,
    /// A tag says that a service or a cluster owns the instance ([`is_service_tag`]).
    pub service_tag: bool,
    /// A member of an Auto Scaling group, by the tag that the group sets.
    pub auto_scaling: bool,
    /// `RootDeviceType` is `instance-store`: stopping is not possible.
    pub instance_store_root: bool,
    /// Its type has instance-store disks, which a stop erases; true as well where that could not be learned.
    /// Only looked up where the answer decides: in scope `all`, for untagged instances.
    pub instance_store_data: bool,
    /// `InstanceLifecycle` is one that cannot be stopped.
    pub unstoppable_lifecycle: bool,
    /// `InstanceLifecycle` is `spot`.
    pub spot: bool,
}

/// The tag that every Auto Scaling group sets on its members.
pub const AUTO_SCALING_TAG: &str = "aws:autoscaling:groupName";

/// Whether a tag key says that other machinery owns the instance: EMR, EC2 Fleet, Spot Fleet, EKS, Karpenter
/// or a Kubernetes cluster.
#[must_use]
pub fn is_service_tag(key: &str) -> bool {
    const PREFIXES: [&str; 6] =
        ["aws:elasticmapreduce:", "aws:ec2spot:", "aws:eks:", "eks:", "karpenter.sh/", "kubernetes.io/cluster/"];
    key == "aws:ec2:fleet-id" || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// Why an instance was kept, or why what was planned for it is not as planned.
///
/// The codes are the same in response, logs and docs, and change only with a changelog entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Kept: named in the request, but neither tagged nor in scope.
    NotSelected,
    /// Kept: the tag opts it out.
    OptedOut,
    /// Kept: EC2 does not know it, or it is terminated or about to be.
    Gone,
    /// Kept: an AWS service or a cluster owns it.
    ServiceManaged,
    /// Kept: a member of an Auto Scaling group, which would replace it.
    AsgMember,
    /// Kept: its root device is an instance store, so it cannot be stopped.
    InstanceStoreRoot,
    /// Kept: untagged, and its type has instance-store disks, which a stop erases.
    InstanceStoreData,
    /// Kept: its lifecycle cannot be stopped.
    CannotStop,
    /// Kept: a Spot Instance that EC2 stopped, and that only EC2 may start again.
    SpotInterrupted,
    /// Kept: the tag's value does not parse.
    InvalidSchedule,
    /// Kept by a `schedule` run: the tag follows the rule.
    PlainTag,
    /// Kept by a `stop` or `start` run: the tag has a schedule.
    OwnSchedule,
    /// Kept: the hold's tag does not parse.
    InvalidHold,
    /// Kept: by the hold that its owner put on it.
    Held,
    /// Kept: on its way from one state to another.
    InTransition,
    /// Kept: nothing to stop.
    AlreadyStopped,
    /// Kept: nothing to start.
    AlreadyRunning,
    /// Kept: it started at or after the trigger's time, or its schedule's last edge, so somebody wants it.
    StartedByHand,
    /// Kept: it was stopped at or after the trigger's time, or its schedule's last edge, so somebody wants it off.
    StoppedByHand,
    /// Kept: nobody knows whether it was stopped before or after its schedule's last edge, and that is long ago.
    StopTimeUnknown,
    /// Kept: its schedule has no edge that counts now.
    NotDue,
    /// Refused: protected against stopping by whoever owns it.
    StopProtected,
    /// Refused: a Spot instance whose request is for one time only.
    SpotOneTime,
    /// Refused: the role may not do this.
    NotPermitted,
    /// Refused, failed, or kept long after the edge: it started, and fell back.
    Bounced,
    /// Refused or failed: what EC2 said is in the detail.
    Ec2Error,
    /// Failed: EC2 had no tokens to spare.
    Throttled,
    /// Failed: EC2 has no room for this type in this zone.
    NoCapacity,
    /// Not attempted: the plan has more actions than the breaker lets through.
    TooMany,
    /// Not attempted: the deadline came first, or an edge of its schedule, after which it was no longer due.
    NoTimeLeft,
    /// Accepted: still on its way to stopped.
    StillStopping,
    /// Accepted: still on its way to running.
    StillStarting,
}

impl Reason {
    /// The code as it stands in responses and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSelected => "not-selected",
            Self::OptedOut => "opted-out",
            Self::Gone => "gone",
            Self::ServiceManaged => "service-managed",
            Self::AsgMember => "asg-member",
            Self::InstanceStoreRoot => "instance-store-root",
            Self::InstanceStoreData => "instance-store-data",
            Self::CannotStop => "cannot-stop",
            Self::SpotInterrupted => "spot-interrupted",
            Self::InvalidSchedule => "invalid-schedule",
            Self::PlainTag => "plain-tag",
            Self::OwnSchedule => "own-schedule",
            Self::InvalidHold => "invalid-hold",
            Self::Held => "held",
            Self::StopTimeUnknown => "stop-time-unknown",
            Self::NotDue => "not-due",
            Self::InTransition => "in-transition",
            Self::AlreadyStopped => "already-stopped",
            Self::AlreadyRunning => "already-running",
            Self::StartedByHand => "started-by-hand",
            Self::StoppedByHand => "stopped-by-hand",
            Self::StopProtected => "stop-protected",
            Self::SpotOneTime => "spot-one-time",
            Self::NotPermitted => "not-permitted",
            Self::Bounced => "bounced",
            Self::Ec2Error => "ec2-error",
            Self::Throttled => "throttled",
            Self::NoCapacity => "no-capacity",
            Self::TooMany => "too-many",
            Self::NoTimeLeft => "no-time-left",
            Self::StillStopping => "still-stopping",
            Self::StillStarting => "still-starting",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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
    fn regions() {
        for good in ["ap-northeast-2", "us-gov-west-1", "us-iso-east-1", "mx-central-1", "us-east-12"] {
            assert!(Region::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "seoul", "ap-northeast", "ap--2", "AP-NORTHEAST-2", "ap-northeast-2a", "ap-northeast-2 ", "-2"]
        {
            assert!(Region::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn service_tags() {
        for theirs in [
            "aws:elasticmapreduce:job-flow-id",
            "aws:ec2:fleet-id",
            "aws:ec2spot:fleet-request-id",
            "aws:eks:cluster-name",
            "eks:cluster-name",
            "karpenter.sh/nodepool",
            "kubernetes.io/cluster/blue",
        ] {
            assert!(is_service_tag(theirs), "{theirs}");
        }
        for ours in [
            "Name",
            "aws:cloudformation:stack-name",
            "aws:ec2launchtemplate:id",
            "aws:ec2:fleet-id-2",
            "weeks:",
            "aws:autoscaling:groupName",
        ] {
            assert!(!is_service_tag(ours), "{ours}");
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
}
