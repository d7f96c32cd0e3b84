//! What RDS's errors mean for the one database that a call names.
//!
//! Source: <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_StopDBInstance.html> and its neighbours, and
//! texts that RDS was seen to send.

use crate::action::{Action, Outcome};
use crate::reason::Reason;

/// The most characters of an error's text that are passed on.
const LONGEST_TEXT: usize = 500;

/// A call that RDS did not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means.
    pub cause: Cause,
    /// RDS's code and text.
    pub said: Box<str>,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// RDS is busy: the same call again, later.
    Throttled,
    /// This database, with this outcome.
    Settled(Outcome, Reason),
    /// It is there already.
    Arrived,
    /// It is on its way there already.
    UnderWay,
    /// It is not in a state for it; which one, only a look tells.
    WrongState,
    /// Whether it was carried out is not known.
    Uncertain,
}

impl Refusal {
    /// Reads an error. `code` is none where RDS gave no answer.
    #[must_use]
    pub fn new(action: Action, code: Option<&str>, text: &str, server_side: bool) -> Self {
        let text: String = text.chars().take(LONGEST_TEXT).collect();
        let said = code.map_or(text.clone(), |code| format!("{code}: {text}")).into();
        Self { cause: cause(action, code, &text, server_side), said }
    }
}

fn cause(action: Action, code: Option<&str>, text: &str, server_side: bool) -> Cause {
    let refused = |reason| Cause::Settled(Outcome::Refused, reason);
    let failed = |reason| Cause::Settled(Outcome::Failed, reason);
    let Some(code) = code else { return Cause::Uncertain };
    let has = |words: &str| text.to_ascii_lowercase().contains(words);
    // Codes come with and without this ending.
    match code.strip_suffix("Fault").unwrap_or(code) {
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => Cause::Throttled,
        _ if has("read-replica") || has("read replica") => refused(Reason::ReadReplica),
        "InvalidDBInstanceState" | "InvalidDBClusterState" => by_state(action, text),
        "DBInstanceNotFound" | "DBClusterNotFound" => refused(Reason::Gone),
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => refused(Reason::NotPermitted),
        "KMSKeyNotAccessible" => refused(Reason::KmsKey),
        "InsufficientDBInstanceCapacity" | "InsufficientDBClusterCapacity" | "InsufficientStorageClusterCapacity" => {
            failed(Reason::NoCapacity)
        }
        "InvalidSubnet"
        | "InvalidVPCNetworkState"
        | "DBSubnetGroupDoesNotCoverEnoughAZs"
        | "DBSubnetGroupNotFound"
        | "VpcEncryptionControlViolationException"
        | "InvalidDBShardGroupState" => refused(Reason::CannotStart),
        "InvalidParameterCombination" if has("not eligible for stopping") => refused(Reason::ClusterMember),
        "InvalidParameterCombination" | "InvalidParameterValue" if action == Action::Stop => {
            refused(Reason::CannotStop)
        }
        _ if server_side => failed(Reason::RdsError),
        _ => refused(Reason::RdsError),
    }
}

/// A cluster's text names its state: `DbCluster orders is in stopping state but expected it to be one of available.`
fn by_state(action: Action, text: &str) -> Cause {
    let state = text.split_once(" is in ").and_then(|(_, rest)| rest.split_once(" state"));
    match (action, state.map(|(state, _)| state)) {
        (Action::Stop, Some("stopped")) | (Action::Start, Some("available")) => Cause::Arrived,
        (Action::Stop, Some("stopping")) | (Action::Start, Some("starting")) => Cause::UnderWay,
        (_, Some(_)) => Cause::Settled(Outcome::Refused, Reason::InTransition),
        (_, None) => Cause::WrongState,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rds_says() {
        use Action::{Start, Stop};
        use Outcome::{Failed, Refused};
        for (action, code, text, expected) in [
            (Stop, "InvalidDBInstanceState", "Instance orders is not in available state.", Cause::WrongState),
            (
                Stop,
                "InvalidDBClusterStateFault",
                "DbCluster orders is in stopping state but expected it to be one of available.",
                Cause::UnderWay,
            ),
            (
                Stop,
                "InvalidDBClusterStateFault",
                "DbCluster orders is in stopped state but expected it to be one of available.",
                Cause::Arrived,
            ),
            (
                Start,
                "InvalidDBClusterStateFault",
                "DbCluster orders is in available state but expected it to be one of stopped,inaccessible-encryption-credentials-recoverable.",
                Cause::Arrived,
            ),
            (
                Stop,
                "InvalidDBClusterStateFault",
                "DbCluster orders is in backing-up state but expected it to be one of available.",
                Cause::Settled(Refused, Reason::InTransition),
            ),
            (
                Stop,
                "InvalidParameterCombination",
                "aurora-mysql DB instances are not eligible for stopping and starting.",
                Cause::Settled(Refused, Reason::ClusterMember),
            ),
            (Stop, "InvalidParameterCombination", "Cannot stop this", Cause::Settled(Refused, Reason::CannotStop)),
            (
                Stop,
                "InvalidDBInstanceState",
                "Cannot stop or start a Read-Replica instance",
                Cause::Settled(Refused, Reason::ReadReplica),
            ),
            (Stop, "DBInstanceNotFound", "DBInstance orders not found.", Cause::Settled(Refused, Reason::Gone)),
            (Stop, "DBClusterNotFoundFault", "no", Cause::Settled(Refused, Reason::Gone)),
            (Start, "KMSKeyNotAccessibleFault", "no", Cause::Settled(Refused, Reason::KmsKey)),
            (Start, "InsufficientDBInstanceCapacity", "no", Cause::Settled(Failed, Reason::NoCapacity)),
            (Start, "InvalidSubnet", "no", Cause::Settled(Refused, Reason::CannotStart)),
            (Start, "InvalidVPCNetworkStateFault", "no", Cause::Settled(Refused, Reason::CannotStart)),
            (Stop, "Throttling", "Rate exceeded", Cause::Throttled),
            (Stop, "ThrottlingException", "Rate exceeded", Cause::Throttled),
            (Stop, "AccessDenied", "no", Cause::Settled(Refused, Reason::NotPermitted)),
            (Stop, "SomethingNew", "no", Cause::Settled(Refused, Reason::RdsError)),
        ] {
            let refusal = Refusal::new(action, Some(code), text, false);
            assert_eq!((refusal.cause, &*refusal.said), (expected, &*format!("{code}: {text}")), "{code}");
        }
        let internal = Refusal::new(Stop, Some("InternalFailure"), "oh", true);
        assert_eq!(internal.cause, Cause::Settled(Failed, Reason::RdsError));
        assert_eq!(Refusal::new(Stop, None, "no answer", false).cause, Cause::Uncertain);
        assert!(Refusal::new(Stop, Some("X"), &"x".repeat(10_000), false).said.len() < 600);
    }

    /// The table in `docs/databases.md`.
    #[test]
    fn the_docs_tell_what_each_code_means() {
        let table =
            include_str!("../../docs/databases.md").split("with or without `Fault` | outcome |").nth(1).unwrap();
        let mut codes = 0;
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let [told, becomes] = row.trim_matches('|').split(" | ").collect::<Vec<_>>()[..] else { panic!("{row}") };
            let text =
                told.split('"').nth(1).unwrap_or(if told.contains("read replica") { "a read replica" } else { "no" });
            let named: Vec<&str> = told.split('`').skip(1).step_by(2).collect();
            let named = if named.is_empty() { vec!["SomethingNew"] } else { named };
            let (outcome, reason) = becomes.trim().split_once(": ").unwrap_or_default();
            for code in named.iter().flat_map(|code| [(*code).to_owned(), format!("{code}Fault")]) {
                let cause = Refusal::new(Action::Stop, Some(&code), text, false).cause;
                match cause {
                    Cause::Throttled => assert!(becomes.contains("sent again"), "{row}"),
                    Cause::WrongState => assert!(becomes.contains("by a look"), "{row}"),
                    Cause::Settled(_, Reason::RdsError) => assert!(becomes.contains("`rds-error`"), "{row}"),
                    Cause::Settled(is, why) => {
                        assert_eq!(
                            (outcome, reason),
                            (&*format!("`{}`", is.as_str()), &*format!("`{}`", why.as_str())),
                            "{code}"
                        );
                    }
                    other => panic!("{code}: {other:?}"),
                }
                codes += 1;
            }
        }
        assert!(codes > 40, "{codes}");
    }
}
