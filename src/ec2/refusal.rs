//! What EC2's refusal of a Stop or Start call means, from its code and text.
//!
//! EC2's errors are untyped, a code can have several meanings, and both calls fail as a whole: so the ids that a
//! text names are what lets the others go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::action::Outcome;
use crate::reason::Reason;
use crate::resource::{InstanceId, Pool};

/// A call that was not carried out, or not for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to make of it.
    pub cause: Cause,
    /// The instances that the text names: sorted, each once, in the batch or not.
    pub named: Vec<InstanceId>,
    /// EC2's code and text.
    pub said: Box<str>,
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too many calls, or too many instances, for EC2's token buckets. The batch itself is sound.
    Throttled,
    /// EC2 has no room for an instance type in a zone.
    Capacity,
    /// The account may not have so many running.
    Limit,
    /// The role may not do this, to some instance or to any.
    NotPermitted,
    /// The call was not understood, authenticated or accepted, whatever it names.
    Call,
    /// No answer, or none from EC2 itself; some of it may have been carried out.
    Lost,
    /// EC2 failed at it, perhaps because of one instance; some of it may have been carried out.
    Fault,
    /// An instance is in a state that does not allow the action.
    State,
    /// An instance is not set up for hibernation.
    Hibernation,
    /// Something about an instance: what becomes of it, and why.
    Instance(Outcome, Reason),
}

impl Refusal {
    /// Reads a refusal. `server_side` is true where the HTTP status was 5xx; without a code the call found no answer.
    #[must_use]
    pub fn new(code: Option<&str>, text: &str, server_side: bool) -> Self {
        let (said, cause) = match code {
            Some(code) => (format!("{code}: {text}").into_boxed_str(), cause(code, text, server_side)),
            None => (text.into(), Cause::Lost),
        };
        Self { cause, named: instance_ids(text), said }
    }

    /// Those of the pools that a lack of capacity is said of: by their type, and by their zone in parentheses, since
    /// the other zones that a text lists have room. None where the text tells neither.
    #[must_use]
    pub fn lacking(&self, pools: &BTreeSet<Arc<Pool>>) -> BTreeSet<Arc<Pool>> {
        let type_told = |pool: &Pool| words(&self.said, ".-").any(|word| *word == *pool.instance_type);
        let zone_told = |pool: &Pool| !pool.zone.is_empty() && self.said.contains(&format!("({})", pool.zone));
        let (by_type, by_zone) = (pools.iter().any(|pool| type_told(pool)), pools.iter().any(|pool| zone_told(pool)));
        let told = |pool: &&Arc<Pool>| (!by_type || type_told(pool)) && (!by_zone || zone_told(pool));
        pools.iter().filter(|pool| (by_type || by_zone) && told(pool)).cloned().collect()
    }
}

/// The words of a text, of letters, digits and some other characters, which end none of them.
fn words<'a>(text: &'a str, others: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(move |c: char| !c.is_ascii_alphanumeric() && !others.contains(c))
        .map(move |word| word.trim_matches(|c| others.contains(c)))
        .filter(|word| !word.is_empty())
}

/// Codes come with and without the side that they blame. `docs/ec2-errors.md` has them all with what becomes of them.
///
/// Source: <https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html>, and texts that EC2 was seen to send.
fn cause(code: &str, text: &str, server_side: bool) -> Cause {
    let refused = |reason| Cause::Instance(Outcome::Refused, reason);
    let failed = |reason| Cause::Instance(Outcome::Failed, reason);
    let (bare, server_side) = match (code.strip_prefix("Client."), code.strip_prefix("Server.")) {
        (Some(bare), _) => (bare, server_side),
        (_, Some(bare)) => (bare, true),
        _ => (code, server_side),
    };
    match bare {
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "EC2ThrottledException"
        | "TooManyRequestsException"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
        | "SlowDown" => Cause::Throttled,
        // One of a Spot pool is told by its id, unlike those of the others.
        "InsufficientInstanceCapacity" | "Unsupported" if has(text, "no available Spot capacity") => {
            failed(Reason::NoCapacity)
        }
        "InsufficientInstanceCapacity" | "InsufficientCapacity" | "UnfulfillableCapacity" => Cause::Capacity,
        "InsufficientCapacityOnHost"
        | "InsufficientHostCapacity"
        | "IncompatibleHostRequirements"
        | "UnavailableHostRequirements"
        | "InvalidHostState"
        | "ReservationCapacityExceeded"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientReservedInstancesCapacity"
        | "InvalidCapacityReservationState.PendingActivation"
        | "InsufficientVolumeCapacity"
        | "InsufficientAddressCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "SpotMaxPriceTooLow" => failed(Reason::NoCapacity),
        "InstanceLimitExceeded"
        | "VcpuLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "ResourceLimitExceeded"
        | "HostLimitExceeded" => Cause::Limit,
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => Cause::NotPermitted,
        "OptInRequired" if has(text, "Marketplace") => refused(Reason::Ec2Error),
        "AccountDisabled"
        | "AuthFailure"
        | "Blocked"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidAction"
        | "InvalidCharacter"
        | "InvalidClientTokenId"
        | "InvalidInput"
        | "InvalidQueryParameter"
        | "InvalidRequest"
        | "InvalidSecurity.RequestHasExpired"
        | "MalformedQueryString"
        | "MissingAction"
        | "MissingAuthenticationToken"
        | "MissingInput"
        | "MissingParameter"
        | "NoSuchVersion"
        | "OptInRequired"
        | "PendingVerification"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnknownParameter"
        | "UnrecognizedClientException"
        | "UnsupportedProtocol"
        | "ValidationError" => Cause::Call,
        "IncorrectInstanceState" | "InvalidInstanceState" => Cause::State,
        "IncorrectSpotRequestState" if has(text, "only Amazon EC2 can restart") => refused(Reason::Ec2Error),
        // The first two say that the call is too large, and halving makes it smaller.
        "RequestResourceCountExceeded"
        | "ResourceCountExceeded"
        | "IncorrectSpotRequestState"
        | "IncorrectState"
        | "InvalidState"
        | "IncorrectModificationState"
        | "BundlingInProgress"
        | "CreditSpecificationUpdateInProgress"
        | "VolumeInUse" => failed(Reason::Ec2Error),
        // After its type was changed, for some seconds.
        "InvalidParameterValue" if has(text, "LaunchPlan") => failed(Reason::Ec2Error),
        "UnsupportedHibernationConfiguration" => Cause::Hibernation,
        "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" => refused(Reason::Gone),
        "OperationNotPermitted" if has(text, "disableApiStop") => refused(Reason::StopProtected),
        "NonEBSInstance" => refused(Reason::InstanceStoreRoot),
        "UnsupportedOperation" => unsupported(text),
        "RequestTimeout" | "RequestTimeoutException" | "ServiceUnavailable" | "Unavailable" => Cause::Lost,
        "InternalError" | "InternalFailure" | "ServerInternal" | "RetryableError" => Cause::Fault,
        _ if server_side => Cause::Fault,
        _ => refused(Reason::Ec2Error),
    }
}

/// One code, several meanings; only the text tells them apart.
fn unsupported(text: &str) -> Cause {
    let refused = |reason| Cause::Instance(Outcome::Refused, reason);
    if has(text, "one-time") {
        refused(Reason::SpotOneTime)
    } else if has(text, "root device type") {
        refused(Reason::InstanceStoreRoot)
    } else if has(text, "not ready to hibernate") {
        Cause::Instance(Outcome::Failed, Reason::Ec2Error)
    } else if ["can't stop", "cannot stop", "can't be stopped", "cannot be stopped"].iter().any(|no| has(text, no)) {
        refused(Reason::CannotStop)
    } else {
        refused(Reason::Ec2Error)
    }
}

fn has(text: &str, part: &str) -> bool {
    text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
}

/// Every instance id in a text: quoted or not, in a list, an ARN or at the end; `ami-…` and `eni-…` hold none.
fn instance_ids(text: &str) -> Vec<InstanceId> {
    let whole = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_';
    let mut ids: Vec<InstanceId> = text.split(whole).filter_map(|word| InstanceId::try_from(word).ok()).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "i-0123456789abcdef0";
    const B: &str = "i-0fedcba9876543210";

    fn refused(reason: Reason) -> Cause {
        Cause::Instance(Outcome::Refused, reason)
    }

    /// Every text that EC2 is known to answer with, and the traps between them.
    #[test]
    fn what_ec2_says() {
        let not_found = format!("The instance IDs '{A}, {B}' do not exist");
        let arn = format!(
            "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/r/f is not \
             authorized to perform: ec2:StopInstances on resource: arn:aws:ec2:ap-northeast-2:123456789012:instance/{A} \
             because no identity-based policy allows the ec2:StopInstances action. Encoded authorization failure \
             message: i-notAnId"
        );
        let failed = Cause::Instance(Outcome::Failed, Reason::Ec2Error);
        for (code, text, cause, named) in [
            ("IncorrectInstanceState", format!("The instance '{A}' is not in a state from which it can be stopped."), Cause::State, vec![A]),
            ("IncorrectInstanceState", format!("This instance '{A}' is not in a state from which it can be started."), Cause::State, vec![A]),
            ("InvalidInstanceID.NotFound", not_found, refused(Reason::Gone), vec![A, B]),
            ("InvalidInstanceID.NotFound", format!("The instance ID '{B}' does not exist"), refused(Reason::Gone), vec![B]),
            ("InvalidInstanceID.Malformed", "Invalid id: \"i-1\"".into(), refused(Reason::Gone), vec![]),
            ("UnsupportedOperation", format!("You can't stop the Spot Instance '{A}' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests."), refused(Reason::SpotOneTime), vec![A]),
            ("UnsupportedOperation", format!("You can't stop the Spot Instance '{A}' because it is in a fleet, which does not support stop."), refused(Reason::CannotStop), vec![A]),
            ("UnsupportedOperation", format!("The instance '{A}' does not have an 'ebs' root device type and cannot be stopped"), refused(Reason::InstanceStoreRoot), vec![A]),
            ("UnsupportedOperation", format!("Instance {A} is not ready to hibernate yet, retry in a few minutes"), failed, vec![A]),
            ("UnsupportedOperation", format!("Something new about: {A}"), refused(Reason::Ec2Error), vec![A]),
            ("OperationNotPermitted", format!("The instance '{A}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again."), refused(Reason::StopProtected), vec![A]),
            ("OperationNotPermitted", format!("The instance '{A}' belongs to a service."), refused(Reason::Ec2Error), vec![A]),
            ("UnsupportedHibernationConfiguration", format!("Instance {A} is not configured for hibernation."), Cause::Hibernation, vec![A]),
            ("UnauthorizedOperation", arn, Cause::NotPermitted, vec![A]),
            ("UnauthorizedOperation", "You are not authorized to perform this operation.".into(), Cause::NotPermitted, vec![]),
            ("RequestLimitExceeded", "Request limit exceeded.".into(), Cause::Throttled, vec![]),
            ("Throttling", format!("Rate exceeded for {A}"), Cause::Throttled, vec![A]),
            ("InsufficientInstanceCapacity", "We currently do not have sufficient m5.large capacity in the Availability Zone you requested (us-east-1a).".into(), Cause::Capacity, vec![]),
            ("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of 32 allows.".into(), Cause::Limit, vec![]),
            ("AuthFailure", "AWS was not able to validate the provided access credentials".into(), Cause::Call, vec![]),
            ("ExpiredToken", "The security token included in the request is expired".into(), Cause::Call, vec![]),
            ("InternalError", format!("An internal error has occurred on {A}"), Cause::Fault, vec![A]),
            ("ServiceUnavailable", String::new(), Cause::Lost, vec![]),
            ("InvalidState", "Resource vol-0123456789abcdef0 eni-0123456789abcdef0 ami-0123456789abcdef0 is broken".into(), failed, vec![]),
            ("InsufficientInstanceCapacity", format!("You can't start the Spot Instance '{A}' because there is no available Spot capacity."), Cause::Instance(Outcome::Failed, Reason::NoCapacity), vec![A]),
            ("InsufficientCapacityOnHost", "Dedicated host h-04cdeb3857121b990 has insufficient capacity to launch the instances in this request.".into(), Cause::Instance(Outcome::Failed, Reason::NoCapacity), vec![]),
            ("IncorrectSpotRequestState", format!("You can't start the Spot Instance '{A}' because the associated Spot Instance request is not in an appropriate state to support start."), failed, vec![A]),
            ("IncorrectSpotRequestState", "Only Amazon EC2 can restart an interrupted stopped Spot Instance.".into(), refused(Reason::Ec2Error), vec![]),
            ("IncorrectInstanceState", format!("Instance '{A}' cannot be stopped as it has never reached the 'running' state."), Cause::State, vec![A]),
            ("InvalidParameterValue", format!("Invalid value '{A}' for instanceId. Instance does not have a volume attached at root (/dev/sda1)"), refused(Reason::Ec2Error), vec![A]),
            ("UnauthorizedOperation", "User: arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform: ec2:StartInstances on resource: arn:aws:license-manager:eu-west-1:123456789012:license-configuration:lic-0123456789abcdef".into(), Cause::NotPermitted, vec![]),
            ("SomethingNew", format!("no {A}x, no {A}0, no x{A}, no -{A}; but ({B})."), refused(Reason::Ec2Error), vec![B]),
        ] {
            for prefix in ["", "Client."] {
                let refusal = Refusal::new(Some(&format!("{prefix}{code}")), &text, false);
                assert_eq!(refusal.cause, cause, "{prefix}{code}: {text}");
                let found: Vec<&str> = refusal.named.iter().map(InstanceId::as_str).collect();
                assert_eq!(found, named, "{text}");
                assert_eq!(*refusal.said, format!("{prefix}{code}: {text}"));
            }
        }
    }

    /// Every row of the table in `docs/ec2-errors.md`; a code stands there once, or once for each text.
    #[test]
    fn each_code_is_classed_once() {
        let mut rows = 0;
        let mut seen = BTreeSet::new();
        let table = include_str!("../../docs/ec2-errors.md").split("| code |").nth(1).unwrap();
        for row in table.lines().filter(|line| line.starts_with("| ") && !line.contains("with this text")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [code, text, becomes] = cells[..] else { panic!("{row}") };
            assert!(seen.insert((code, text)), "{row} stands there twice");
            let (code, server_side) = match code {
                "any other, with a 5xx status" => (Some("SomethingNew"), true),
                "any other" => (Some("SomethingNew"), false),
                "no answer" => (None, false),
                code => (Some(code.trim_matches('`')), false),
            };
            let expected = match becomes {
                "waits" => Cause::Throttled,
                "made smaller" => Cause::Capacity,
                "limit" => Cause::Limit,
                "looked at" => Cause::State,
                "again" => Cause::Lost,
                "again, then halved" => Cause::Fault,
                "permission" => Cause::NotPermitted,
                "the call" => Cause::Call,
                "plain stop" => Cause::Hibernation,
                other => {
                    let (outcome, reason) = other.split_once(", ").unwrap();
                    let outcome = if outcome == "failed" { Outcome::Failed } else { Outcome::Refused };
                    let reasons = [
                        Reason::NoCapacity,
                        Reason::Ec2Error,
                        Reason::Gone,
                        Reason::StopProtected,
                        Reason::SpotOneTime,
                        Reason::InstanceStoreRoot,
                        Reason::CannotStop,
                    ];
                    let known = |known: &&Reason| known.as_str() == reason.trim_matches('`');
                    Cause::Instance(outcome, *reasons.iter().find(known).expect(reason))
                }
            };
            let text = text.trim_matches('`');
            assert_eq!(Refusal::new(code, text, server_side).cause, expected, "{row}");
            for side in ["Client.", "Server."] {
                let prefixed = code.filter(|code| *code != "SomethingNew").map(|code| format!("{side}{code}"));
                if let Some(prefixed) = prefixed {
                    // On EC2's side what is not named is a fault of EC2.
                    let expected = match (side, expected) {
                        ("Server.", Cause::Instance(Outcome::Refused, Reason::Ec2Error)) => continue,
                        _ => expected,
                    };
                    assert_eq!(Refusal::new(Some(&prefixed), text, server_side).cause, expected, "{side} {row}");
                }
            }
            rows += 1;
        }
        assert!(rows > 100, "{rows}");
    }

    /// The type by its whole name, the zone in parentheses.
    #[test]
    fn what_lacks_capacity() {
        let pools: BTreeSet<Arc<Pool>> = [
            ("c7g.16xlarge", "us-east-1a"),
            ("hpc7g.16xlarge", "us-east-1a"),
            ("c7g.16xlarge", "us-east-1b"),
            ("", ""),
        ]
        .map(|(kind, zone)| Arc::new(Pool { instance_type: kind.into(), zone: zone.into(), ..Pool::default() }))
        .into();
        for (text, expected) in [
            (
                "sufficient hpc7g.16xlarge capacity in the zone you requested (us-east-1a), choose us-east-1b",
                vec!["hpc7g.16xlarge us-east-1a"],
            ),
            (
                "sufficient c7g.16xlarge capacity (us-east-1b). You can get c7g.16xlarge in us-east-1a.",
                vec!["c7g.16xlarge us-east-1b"],
            ),
            ("no c7g.16xlarge.", vec!["c7g.16xlarge us-east-1a", "c7g.16xlarge us-east-1b"]),
            ("'c7g.16xlarge'", vec!["c7g.16xlarge us-east-1a", "c7g.16xlarge us-east-1b"]),
            ("no room (us-east-1b)", vec!["c7g.16xlarge us-east-1b"]),
            ("no m5.large (us-east-1c)", vec![]),
            ("Insufficient capacity.", vec![]),
            ("choose us-east-1a", vec![]),
        ] {
            let lacking = Refusal::new(Some("InsufficientInstanceCapacity"), text, true).lacking(&pools);
            let lacking: Vec<String> =
                lacking.iter().map(|pool| format!("{} {}", pool.instance_type, pool.zone)).collect();
            assert_eq!(lacking, expected, "{text}");
        }
    }

    #[test]
    fn the_side_that_is_blamed() {
        for (code, server_side, cause) in [
            ("Server.InsufficientInstanceCapacity", false, Cause::Capacity),
            ("Server.InternalError", false, Cause::Fault),
            ("Server.RequestLimitExceeded", true, Cause::Throttled),
            ("Server.SomethingNew", false, Cause::Fault),
            ("SomethingNew", true, Cause::Fault),
            ("SomethingNew", false, refused(Reason::Ec2Error)),
        ] {
            assert_eq!(Refusal::new(Some(code), "", server_side).cause, cause, "{code}");
        }
        let lost = Refusal::new(None, "dispatch failure: connection reset", false);
        assert_eq!((lost.cause, &*lost.said), (Cause::Lost, "dispatch failure: connection reset"));
    }

    #[test]
    fn ids_wherever_they_stand() {
        for text in [
            format!("'{A}'"),
            format!("\"{A}\","),
            format!("[{A}]"),
            format!("instance/{A}"),
            format!("id={A};"),
            format!("at the end: {A}"),
            format!("{A}\n{A}"),
            A.to_owned(),
        ] {
            assert_eq!(instance_ids(&text).iter().map(InstanceId::as_str).collect::<Vec<_>>(), [A], "{text}");
        }
        assert!(instance_ids("").is_empty());
    }
}
