//! Why an instance was kept, or why what was planned for it is not as planned: stable codes, and what they bear.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::schedule::{Edge, ParseError};

/// Makes the list of reasons: each with its code, and one sentence that ends "the instance is kept, or not as planned,
/// because …".
macro_rules! reasons {
    ($($name:ident $code:literal $sentence:literal)+) => {
        /// Why an instance was kept, or why what was planned for it is not as planned.
        ///
        /// The codes are the same in response, logs and docs, and change only with a changelog entry. Of those that
        /// keep, the order is that in which they are tried.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $sentence] $name,)+
        }

        impl Reason {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as it stands in responses and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// One sentence for people, without its full stop: it is kept, or not as planned, because …
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }
        }
    };
}

reasons! {
    NotSelected "not-selected"
        "the command names it (or, on `start` and `schedule`, the scope is `all`), but it does not carry the tag"
    OptedOut "opted-out" "its tag says so"
    Gone "gone" "it is terminated, or about to be, or its id is not known"
    NotFoundWhereLooked "not-found-where-looked"
        "the command names it, it was not found, and some account or region could not be looked in"
    ServiceManaged "service-managed" "an AWS service or a cluster owns it"
    AsgMember "asg-member" "it is a member of an Auto Scaling group, which would replace it"
    ClusterMember "cluster-member" "it is a member of a database cluster, whose tag counts"
    InstanceStoreRoot "instance-store-root" "its root device is an instance store, so it cannot be stopped"
    InstanceStoreData "instance-store-data"
        "it is untagged, and its type has instance-store disks, which a stop erases"
    CannotStop "cannot-stop"
        "its lifecycle cannot be stopped, as that of a capacity block, or its engine, as SQL Server in several zones"
    ReadReplica "read-replica" "it is a read replica, or has one, and RDS stops neither"
    SpotInterrupted "spot-interrupted" "it is a Spot Instance that EC2 stopped, and only EC2 may start it again"
    Unhealthy "unhealthy" "RDS shows a fault that somebody has to mend; `detail` has its word for it"
    InvalidSchedule "invalid-schedule"
        "its tag does not parse; `detail` names the piece that does not fit, and what is expected there"
    PlainTag "plain-tag" "on `schedule`: its tag is plain"
    OwnSchedule "own-schedule" "on `stop` and `start`: its tag has a schedule"
    InvalidHold "invalid-hold" "its hold does not parse"
    Held "held" "its hold is in force; `detail` says until when"
    InTransition "in-transition" "it is on its way, or takes no call now"
    AlreadyStopped "already-stopped" "there is nothing to stop"
    AlreadyRunning "already-running" "there is nothing to start"
    StartedByHand "started-by-hand"
        "it started at or after the trigger's time, or its schedule's latest edge, so somebody may want it"
    StoppedByHand "stopped-by-hand"
        "somebody stopped it at or after the trigger's time, or its schedule's latest edge"
    StartTimeUnknown "start-time-unknown"
        "RDS does not tell whether it was started before its schedule's latest edge, or the trigger's time"
    StopTimeUnknown "stop-time-unknown"
        "nobody knows whether it was stopped before its schedule's latest edge, which was 60 minutes ago or more"
    Bounced "bounced" "it was started, and fell back"
    NotDue "not-due" "its schedule has only moments, and none of them counts now"
    StopProtected "stop-protected" "whoever owns it protects it against stopping"
    SpotOneTime "spot-one-time" "it is a Spot Instance whose request is for one time only"
    NotPermitted "not-permitted" "the function's role may not do this"
    KmsKey "kms-key" "RDS cannot use the key that encrypts it"
    CannotStart "cannot-start" "something that it needs to start is not as it was; `detail` has what RDS said"
    Ec2Error "ec2-error" "of what EC2 said, which is in `detail`"
    RdsError "rds-error" "of what RDS said, which is in `detail`"
    Throttled "throttled" "AWS had no tokens to spare"
    NoCapacity "no-capacity" "AWS has no room for it"
    TooMany "too-many" "the plan has more actions than the breaker lets through"
    NoTimeLeft "no-time-left"
        "the time of the run was over, or its schedule's action was no longer due when its turn came"
    StillStopping "still-stopping" "it is on its way to stopped"
    StillStarting "still-starting" "it is on its way to running"
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Why an instance is kept: the reason, with what it bears. Its text is the detail, empty where there is no more to say.
///
/// There is one for each instance of a fleet, so what is large is boxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// [`Reason::NotSelected`].
    NotSelected,
    /// [`Reason::OptedOut`].
    OptedOut,
    /// [`Reason::Gone`]: terminated, or about to be.
    Gone,
    /// [`Reason::Gone`]: an id of the request that was not found.
    UnknownId,
    /// [`Reason::NotFoundWhereLooked`].
    NotFoundWhereLooked,
    /// [`Reason::ServiceManaged`].
    ServiceManaged,
    /// [`Reason::AsgMember`].
    AsgMember,
    /// [`Reason::ClusterMember`], of this cluster.
    ClusterMember(Box<str>),
    /// [`Reason::InstanceStoreRoot`].
    InstanceStoreRoot,
    /// [`Reason::InstanceStoreData`].
    InstanceStoreData,
    /// [`Reason::CannotStop`].
    CannotStop,
    /// [`Reason::CannotStop`], of a database: what RDS does not stop.
    EngineCannotStop(&'static str),
    /// [`Reason::ReadReplica`].
    ReadReplica,
    /// [`Reason::SpotInterrupted`], with what EC2 says of the interruption.
    SpotInterrupted(Box<str>),
    /// [`Reason::Unhealthy`], with RDS's word for it.
    Unhealthy(Box<str>),
    /// [`Reason::InvalidSchedule`].
    InvalidSchedule(Box<ParseError>),
    /// [`Reason::PlainTag`].
    PlainTag,
    /// [`Reason::OwnSchedule`].
    OwnSchedule,
    /// [`Reason::InvalidHold`].
    InvalidHold(Box<ParseError>),
    /// [`Reason::Held`], until an instant.
    Held(Timestamp),
    /// [`Reason::InTransition`].
    InTransition,
    /// [`Reason::InTransition`], of a database, with RDS's word for it.
    Busy(Box<str>),
    /// [`Reason::InTransition`], of a database that ought to have arrived long since: RDS's word, and at what it ought to.
    Unsettled(Box<(Box<str>, Mark)>),
    /// [`Reason::InTransition`]: it was listed twice, and not alike.
    ListedTwice,
    /// [`Reason::AlreadyStopped`].
    AlreadyStopped,
    /// [`Reason::AlreadyStopped`], of a database: until AWS starts it.
    StoppedUntil(Timestamp),
    /// [`Reason::AlreadyRunning`].
    AlreadyRunning,
    /// [`Reason::StartedByHand`]: when, and what that is held against.
    StartedByHand(Box<(Timestamp, Mark)>),
    /// [`Reason::StartedByHand`], in doubt: when it started is not known.
    StartTimeUnknown,
    /// [`Reason::StoppedByHand`]: when, and what that is held against.
    StoppedByHand(Box<(Timestamp, Mark)>),
    /// [`Reason::StoppedByHand`]: it started at this instant, which is not before the mark, and was stopped since.
    StoppedSince(Box<(Timestamp, Mark)>),
    /// [`Reason::StartTimeUnknown`].
    StartUnclear(Box<Mark>),
    /// [`Reason::StopTimeUnknown`].
    StopTimeUnknown(Box<Mark>),
    /// [`Reason::Bounced`].
    Bounced(Box<FailedStart>),
    /// [`Reason::NotDue`]: the schedule's latest moment and the next edge, where there are such.
    NotDue(Box<(Option<Timestamp>, Option<Timestamp>)>),
}

/// What the last start or stop of an instance is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The trigger's time.
    Trigger(Timestamp),
    /// When a schedule turned on or off.
    Edge {
        /// When; the least of all instants where it was so for ever.
        at: Timestamp,
        /// On, or off.
        on: bool,
    },
}

/// A start that fell back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStart {
    /// What is told of the cause.
    pub told: Box<str>,
    /// What to do about it, where that is known.
    pub advice: Option<&'static str>,
}

impl Why {
    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotSelected => Reason::NotSelected,
            Self::OptedOut => Reason::OptedOut,
            Self::Gone | Self::UnknownId => Reason::Gone,
            Self::NotFoundWhereLooked => Reason::NotFoundWhereLooked,
            Self::ServiceManaged => Reason::ServiceManaged,
            Self::AsgMember => Reason::AsgMember,
            Self::ClusterMember(_) => Reason::ClusterMember,
            Self::InstanceStoreRoot => Reason::InstanceStoreRoot,
            Self::InstanceStoreData => Reason::InstanceStoreData,
            Self::CannotStop | Self::EngineCannotStop(_) => Reason::CannotStop,
            Self::ReadReplica => Reason::ReadReplica,
            Self::Unhealthy(_) => Reason::Unhealthy,
            Self::SpotInterrupted(_) => Reason::SpotInterrupted,
            Self::InvalidSchedule(_) => Reason::InvalidSchedule,
            Self::PlainTag => Reason::PlainTag,
            Self::OwnSchedule => Reason::OwnSchedule,
            Self::InvalidHold(_) => Reason::InvalidHold,
            Self::Held(_) => Reason::Held,
            Self::InTransition | Self::Busy(_) | Self::Unsettled(_) | Self::ListedTwice => Reason::InTransition,
            Self::AlreadyStopped | Self::StoppedUntil(_) => Reason::AlreadyStopped,
            Self::AlreadyRunning => Reason::AlreadyRunning,
            Self::StartedByHand(_) | Self::StartTimeUnknown => Reason::StartedByHand,
            Self::StoppedByHand(_) | Self::StoppedSince(_) => Reason::StoppedByHand,
            Self::StartUnclear(_) => Reason::StartTimeUnknown,
            Self::StopTimeUnknown(_) => Reason::StopTimeUnknown,
            Self::Bounced(_) => Reason::Bounced,
            Self::NotDue(_) => Reason::NotDue,
        }
    }

    /// Whether it is about a database that ought to have arrived long since.
    #[must_use]
    pub const fn is_unsettled(&self) -> bool {
        matches!(self, Self::Unsettled(_))
    }

    /// The detail, where there is more to say.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        Some(self.to_string()).filter(|detail| !detail.is_empty())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownId => f.write_str("AWS does not know this id here"),
            Self::NotFoundWhereLooked => f.write_str("it may be where nobody could look"),
            Self::ClusterMember(cluster) => write!(f, "tag cluster:{cluster} instead"),
            Self::EngineCannotStop(what) => write!(f, "RDS does not stop {what}"),
            Self::Unhealthy(status) | Self::Busy(status) => write!(f, "RDS calls it `{status}`"),
            Self::Unsettled(late) => write!(f, "RDS still calls it `{}`, although {}", late.0, late.1),
            Self::StoppedUntil(then) => write!(f, "AWS starts it at {then}"),
            Self::SpotInterrupted(told) => write!(f, "{told}: only EC2 may start it again"),
            Self::InvalidSchedule(error) | Self::InvalidHold(error) => error.fmt(f),
            Self::Held(until) => write!(f, "until {until}"),
            Self::ListedTwice => f.write_str("AWS listed it twice, and not alike"),
            Self::StartedByHand(hand) => write!(f, "started at {}, not before {}", hand.0, hand.1),
            Self::StartTimeUnknown => f.write_str("EC2 does not tell when it started"),
            Self::StoppedByHand(hand) => write!(f, "stopped at {}, not before {}", hand.0, hand.1),
            Self::StoppedSince(start) => {
                write!(f, "started at {}, not before {}, and stopped since", start.0, start.1)
            }
            Self::StartUnclear(mark) => write!(f, "RDS does not tell whether it was started before {mark}"),
            Self::StopTimeUnknown(mark) => write!(f, "AWS does not tell whether it was stopped before {mark}"),
            Self::Bounced(start) => {
                write!(f, "{}: the last start fell back; ", start.told)?;
                if let Some(advice) = start.advice {
                    write!(f, "{advice}; ")?;
                }
                f.write_str("start it by hand once the cause is mended")
            }
            Self::NotDue(moments) => {
                let (latest, next) = &**moments;
                match latest {
                    Some(latest) => write!(f, "its latest moment, {latest}, has passed; ")?,
                    None => f.write_str("it has had no moment; ")?,
                }
                match next {
                    Some(next) => write!(f, "the next is {next}"),
                    None => f.write_str("there is no next one"),
                }
            }
            Self::NotSelected
            | Self::OptedOut
            | Self::Gone
            | Self::ServiceManaged
            | Self::AsgMember
            | Self::InstanceStoreRoot
            | Self::InstanceStoreData
            | Self::CannotStop
            | Self::ReadReplica
            | Self::PlainTag
            | Self::OwnSchedule
            | Self::InTransition
            | Self::AlreadyStopped
            | Self::AlreadyRunning => Ok(()),
        }
    }
}

impl From<Edge> for Mark {
    fn from(edge: Edge) -> Self {
        Self::Edge { at: edge.from, on: edge.on }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turn = |on| if on { "on" } else { "off" };
        match *self {
            Self::Trigger(time) => write!(f, "the trigger's time {time}"),
            Self::Edge { at, on } if at == Timestamp::MIN => write!(f, "its schedule was {} for ever", turn(on)),
            Self::Edge { at, on } => write!(f, "its schedule turned {} at {at}", turn(on)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_reason_is_small() {
        assert!(size_of::<Why>() <= 24, "{}", size_of::<Why>());
    }

    #[test]
    fn the_docs_tell_each_by_its_sentence() {
        let row = |reason: &Reason| format!("| `{}` | {} |", reason.as_str(), reason.sentence());
        let head = "| reason | it is kept, or not as planned, because |\n|---|---|\n";
        testing::hold_tables("reasons.md", head, |_| Reason::ALL.iter().map(row).collect());
    }
}
