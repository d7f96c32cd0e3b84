//! What EC2's refusal of a Stop or Start call means, from its code and text.
//!
//! EC2's errors are untyped, a code can have several meanings, and both calls fail as a whole: so the ids that a
//! text names are what lets the others go on.

use crate::instance::{InstanceId, Outcome, Reason};

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
    /// EC2 or the network failed on the way; some of it may have been carried out.
    Uncertain,
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
            None => (text.into(), Cause::Uncertain),
        };
        Self { cause, named: instance_ids(text), said }
    }
}

/// Codes come with and without the side that they blame.
///
/// Source: <https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html>, and texts that EC2 was seen to send.
fn cause(code: &str, text: &str, server_side: bool) -> Cause {
    let refused = |reason| Cause::Instance(Outcome::Refused, reason);
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
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientCapacity" => Cause::Capacity,
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => Cause::NotPermitted,
        "AuthFailure"
        | "Blocked"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "PendingVerification"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Cause::Call,
        "IncorrectInstanceState" => Cause::State,
        "UnsupportedHibernationConfiguration" => Cause::Hibernation,
        "InvalidInstanceID" | "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" => refused(Reason::Gone),
        "OperationNotPermitted" if has(text, "disableApiStop") => refused(Reason::StopProtected),
        "UnsupportedOperation" => unsupported(text),
        "InstanceLimitExceeded" | "VcpuLimitExceeded" | "MaxSpotInstanceCountExceeded" => Cause::Limit,
        "InternalError"
        | "InternalFailure"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceUnavailable"
        | "Unavailable" => Cause::Uncertain,
        _ if server_side => Cause::Uncertain,
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
    let mut ids: Vec<InstanceId> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
        .filter_map(|word| InstanceId::try_from(word.to_owned()).ok())
        .collect();
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
            ("UnsupportedOperation", format!("You can't stop the Spot Instance '{A}' because it belongs to a fleet."), refused(Reason::CannotStop), vec![A]),
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
            ("InternalError", format!("An internal error has occurred on {A}"), Cause::Uncertain, vec![A]),
            ("ServiceUnavailable", String::new(), Cause::Uncertain, vec![]),
            ("InvalidState", "Resource vol-0123456789abcdef0 eni-0123456789abcdef0 ami-0123456789abcdef0 is broken".into(), refused(Reason::Ec2Error), vec![]),
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

    #[test]
    fn the_side_that_is_blamed() {
        for (code, server_side, cause) in [
            ("Server.InsufficientInstanceCapacity", false, Cause::Capacity),
            ("Server.InternalError", false, Cause::Uncertain),
            ("Server.RequestLimitExceeded", true, Cause::Throttled),
            ("Server.SomethingNew", false, Cause::Uncertain),
            ("SomethingNew", true, Cause::Uncertain),
            ("SomethingNew", false, refused(Reason::Ec2Error)),
        ] {
            assert_eq!(Refusal::new(Some(code), "", server_side).cause, cause, "{code}");
        }
        let lost = Refusal::new(None, "dispatch failure: connection reset", false);
        assert_eq!((lost.cause, &*lost.said), (Cause::Uncertain, "dispatch failure: connection reset"));
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
