//! What EC2 tells of an instance's last start and stop, read from its codes and texts.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>, which has a failed start whose
//! code is `Server.InternalError` and whose message begins with `Client.VolumeLimitExceeded`: so a message is read too.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::instance::{LastStop, StateReason};

/// Who stopped an instance last, and when, from EC2's `StateReason` and `StateTransitionReason`.
///
/// The code tells who it was; the transition's reason may bear the date, as in
/// `User initiated (2026-11-20 12:00:00 GMT)`. Only the codes of Spot and of scheduled events are stops by AWS. Every
/// other code that is not that of somebody's stop is of a start that failed.
#[must_use]
pub fn last_stop(transition_reason: &str, reason: Option<&StateReason>) -> LastStop {
    let date = date_in(transition_reason);
    let texts = reason.map_or([""; 2], |reason| [&*reason.code, &*reason.message]);
    match texts.into_iter().chain([transition_reason]).find_map(leading_code) {
        Some(code) if is_somebodys(code) => LastStop::BySomebody(date),
        Some("Server.ScheduledStop") => LastStop::ByAws,
        Some(code) if code.starts_with("Server.SpotInstance") => LastStop::Interrupted,
        Some(_) => LastStop::FailedStart,
        None if date.is_some() => LastStop::BySomebody(date),
        None => LastStop::Unknown,
    }
}

/// Whether a code says that somebody stopped the instance, by the API or from within.
fn is_somebodys(code: &str) -> bool {
    ["Client.UserInitiatedShutdown", "Client.UserInitiatedHibernate", "Client.InstanceInitiatedShutdown"]
        .iter()
        .any(|somebodys| code.eq_ignore_ascii_case(somebodys))
}

/// Whether EC2's side is to blame for a start that failed: then another try may succeed.
#[must_use]
pub fn blames_ec2(reason: &StateReason) -> bool {
    cause(reason).starts_with("Server.")
}

/// What to do about a start that failed, where that is known.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html>
#[must_use]
pub fn advice(reason: &StateReason) -> Option<&'static str> {
    let told = reason.to_string().to_ascii_lowercase();
    let cause = cause(reason).to_ascii_lowercase();
    if is_somebodys(&cause) {
        None
    } else if cause.starts_with("client.invalidkmskey") {
        Some(
            "enable the KMS key of its volumes, or cancel that key's deletion, and see whether its policy lets EC2 use it",
        )
    } else if cause == "client.internalerror" || told.contains("kms") || told.contains("encrypt") {
        Some(
            "if its volumes are encrypted with a customer managed key, give this function's role kms:CreateGrant on \
             that key",
        )
    } else {
        None
    }
}

/// A message may begin with a code of its own, which is nearer to the cause.
fn cause(reason: &StateReason) -> &str {
    leading_code(&reason.message).unwrap_or(&reason.code)
}

/// The code that a text begins with.
fn leading_code(text: &str) -> Option<&str> {
    let code = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next()?.trim_end_matches('.');
    (code.starts_with("Client.") || code.starts_with("Server.")).then_some(code)
}

fn date_in(transition_reason: &str) -> Option<Timestamp> {
    let (_, rest) = transition_reason.rsplit_once('(')?;
    let text = rest.strip_suffix(" GMT)").or_else(|| rest.strip_suffix(" UTC)"))?;
    let time = strtime::parse("%Y-%m-%d %H:%M:%S", text).ok()?.to_datetime().ok()?;
    Some(time.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str, message: &str) -> StateReason {
        StateReason { code: code.into(), message: message.into() }
    }

    #[test]
    fn who_stopped_it() {
        const API: &str = "User initiated (2026-11-20 12:00:00 GMT)";
        let noon = LastStop::BySomebody(Some("2026-11-20T12:00:00Z".parse().unwrap()));
        let undated = LastStop::BySomebody(None);
        let user = "Client.UserInitiatedShutdown";
        for (transition, code, message, expected) in [
            (API, user, "Client.UserInitiatedShutdown: User initiated shutdown", noon),
            (API, "", "", noon),
            (API, "Client.InstanceInitiatedShutdown", "", noon),
            ("User initiated (2026-11-20 12:00:00 UTC)", user, "", noon),
            ("User initiated", user, "", undated),
            ("User initiated (2026-11-20 12:00:00 KST)", user, "", undated),
            ("User initiated (2026-13-20 12:00:00 GMT)", user, "", undated),
            ("Server.SpotInstanceShutdown: reclaimed (soon)", user, "", undated),
            ("", "Client.UserInitiatedHibernate", "", undated),
            ("", user, "", undated),
            ("", "", "Client.UserInitiatedShutdown: User initiated shutdown", undated),
            (
                API,
                "Server.ScheduledStop",
                "Server.ScheduledStop: Stopped due to a scheduled retirement",
                LastStop::ByAws,
            ),
            (API, "Server.SpotInstanceShutdown", "", LastStop::Interrupted),
            ("", "Server.SpotInstanceStop", "Spot instance stop", LastStop::Interrupted),
            ("Server.SpotInstanceShutdown: Instance stopped", "", "", LastStop::Interrupted),
            (API, "Server.InternalError", "Client.VolumeLimitExceeded: Volume limit exceeded", LastStop::FailedStart),
            (API, "Server.InternalError", "Client.InternalError: Client error on launch", LastStop::FailedStart),
            (API, "Server.InternalError", "Server.InternalError: Internal error on launch", LastStop::FailedStart),
            (API, "Server.InsufficientInstanceCapacity", "", LastStop::FailedStart),
            (API, "Server.SomethingNew", "", LastStop::FailedStart),
            (API, "Client.InternalError", "", LastStop::FailedStart),
            (API, "Client.VolumeLimitExceeded", "", LastStop::FailedStart),
            (API, "Client.InvalidKMSKey.InvalidState", "", LastStop::FailedStart),
            (API, "", "Client.InternalError: Client error on launch", LastStop::FailedStart),
            ("Server.InternalError: Client.InternalError (2026-11-20 12:00:00 GMT)", "", "", LastStop::FailedStart),
            ("", "", "", LastStop::Unknown),
            ("User initiated", "pending", "", LastStop::Unknown),
        ] {
            let told = reason(code, message);
            assert_eq!(last_stop(transition, Some(&told)), expected, "{transition:?} {code:?} {message:?}");
        }
        assert_eq!(last_stop(API, None), noon);
        assert_eq!(last_stop("", None), LastStop::Unknown);
    }

    #[test]
    fn whom_a_failed_start_blames_and_what_helps() {
        let (grant, enable) = (Some("kms:CreateGrant"), Some("enable the KMS key"));
        for (code, message, ec2, helps) in [
            ("Server.InternalError", "Client.VolumeLimitExceeded: Volume limit exceeded", false, None),
            ("Server.InternalError", "Client.InternalError: Client error on launch", false, grant),
            ("Client.InternalError", "Client.InternalError: Client error on launch", false, grant),
            ("Client.InternalError", "", false, grant),
            ("Client.InvalidKMSKey.InvalidState", "The KMS key is disabled.", false, enable),
            ("Client.InvalidKmsKey.InvalidState", "", false, enable),
            ("Server.InternalError", "Client.InvalidKMSKey.InvalidState: KMSInvalidState", false, enable),
            ("Client.SomethingNew", "The volume is encrypted with a key that is not accessible", false, grant),
            ("Server.InternalError", "Server.InternalError: Internal error on launch", true, None),
            ("Server.InsufficientInstanceCapacity", "", true, None),
            ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: by the kms team", false, None),
            ("", "", false, None),
        ] {
            let told = reason(code, message);
            assert_eq!(blames_ec2(&told), ec2, "{told:?}");
            let advice = advice(&told).unwrap_or_default();
            assert_eq!(helps.is_some(), !advice.is_empty(), "{told:?}: {advice}");
            assert!(advice.contains(helps.unwrap_or_default()), "{told:?}: {advice}");
        }
    }

    /// What `make aws-facts` has recorded on a real account; see `tests/facts`.
    #[test]
    fn who_stopped_it_in_fact() {
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/facts")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let fact = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                assert!(agrees(&fact), "{}: {fact}", path.display());
            }
        }
        let fact = |expect: &str| {
            serde_json::json!({
                "what": "api-stop", "expect": expect, "by": "2026-11-20T12:00:10Z", "state": "stopped",
                "launch_time": "2026-11-20T11:59:00Z",
                "state_transition_reason": "User initiated (2026-11-20 12:00:00 GMT)",
                "state_reason": { "code": "Client.UserInitiatedShutdown", "message": "" },
            })
        };
        assert!(agrees(&fact("stopped-by-somebody")) && !agrees(&fact("stopped-by-aws")), "the test itself");
        for (what, launch_time, expected) in [
            ("api-start", "2026-11-20T12:00:11Z", true),
            ("api-start", "2026-11-20T11:59:00Z", false),
            ("reboot", "2026-11-20T11:59:00Z", true),
            ("reboot", "2026-11-20T12:00:11Z", false),
        ] {
            let mut fact = fact("running");
            (fact["what"], fact["launch_time"], fact["state"]) = (what.into(), launch_time.into(), "running".into());
            assert_eq!(agrees(&fact), expected, "the test itself: {what} {launch_time}");
        }
    }

    fn agrees(fact: &serde_json::Value) -> bool {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().into();
        let told = &fact["state_reason"];
        let reason = StateReason { code: text(&told["code"]), message: text(&told["message"]) };
        let read = last_stop(&text(&fact["state_transition_reason"]), Some(&reason));
        let time = |name: &str| fact[name].as_str().unwrap().parse::<Timestamp>().unwrap();
        let by = time("by");
        // The decision table rests on this: LaunchTime is the last start, and no reboot or stop moves it.
        let since_start = by.duration_since(time("launch_time")).as_secs();
        let launch_time_fits = match fact["what"].as_str().unwrap() {
            "launch" | "api-start" => since_start < 10,
            "failed-start" => true, // nobody knows
            _ => since_start > 0,
        };
        let reads_right = match fact["expect"].as_str().unwrap() {
            "running" => fact["state"] == "running",
            "stopped-by-aws" => matches!(read, LastStop::ByAws | LastStop::Interrupted),
            "failed-start" => read == LastStop::FailedStart,
            "stopped-by-somebody" => match read {
                LastStop::BySomebody(Some(date)) => date.duration_since(by).abs().as_mins() < 2,
                other => other == LastStop::BySomebody(None),
            },
            other => panic!("{other} is nothing to expect"),
        };
        reads_right && launch_time_fits
    }
}
