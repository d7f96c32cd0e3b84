//! What EC2 tells of an instance: what forbids an action, and its last start and stop, read from codes and texts.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>, which has a failed start whose
//! code is `Server.InternalError` and whose message begins with `Client.VolumeLimitExceeded`: so a message is read too.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::reason::{FailedStart, Why};
use crate::resource::{LastStop, State, StateReason};

/// The tag that every Auto Scaling group sets on its members.
const AUTO_SCALING_TAG: &str = "aws:autoscaling:groupName";

/// What one description tells of an instance, as far as it may forbid an action.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// Whether it carries the deployment's tag: then what belongs to other machinery is its owner's choice.
    pub is_tagged: bool,
    /// `Operator.Managed`: an AWS service owns it.
    pub operator_managed: bool,
    /// `RootDeviceType` is `instance-store`: stopping is not possible.
    pub instance_store_root: bool,
    /// `InstanceLifecycle`; none for On-Demand Instances.
    pub lifecycle: Option<&'a str>,
    /// `StateTransitionReason`.
    pub transition_reason: &'a str,
    /// `StateReason`.
    pub reason: Option<&'a StateReason>,
}

/// The only other lifecycle than On-Demand that can be stopped.
const SPOT: &str = "spot";

impl Told<'_> {
    /// All that forbids any action on an instance in this state, with these tag keys.
    pub fn forbids<'k>(&self, state: State, tag_keys: impl IntoIterator<Item = &'k str>) -> Vec<Why> {
        let mut why = Vec::new();
        for key in tag_keys {
            if key == AUTO_SCALING_TAG {
                why.push(Why::AsgMember);
            } else if !self.is_tagged && is_service_tag(key) {
                why.push(Why::ServiceManaged);
            }
        }
        if self.operator_managed {
            why.push(Why::ServiceManaged);
        }
        if self.instance_store_root {
            why.push(Why::InstanceStoreRoot);
        }
        if self.lifecycle.is_some_and(|lifecycle| lifecycle != SPOT) {
            why.push(Why::CannotStop);
        }
        if state == State::Stopped && self.was_interrupted() {
            let told = self.reason.map_or_else(|| self.transition_reason.to_owned(), ToString::to_string);
            why.push(Why::SpotInterrupted(told.into()));
        }
        why
    }

    /// Whether the last start of an instance that runs was EC2's own: of a Spot Instance that EC2 interrupted, only EC2
    /// can start it again.
    ///
    /// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/interruption-behavior.html>
    #[must_use]
    pub fn started_by_aws(&self, state: State) -> bool {
        state == State::Running && self.was_interrupted()
    }

    fn was_interrupted(&self) -> bool {
        let code = code(self.transition_reason, self.reason);
        self.lifecycle == Some(SPOT) && code.is_some_and(|code| code.starts_with(SPOT_CODES))
    }

    /// Who stopped it last, and when.
    ///
    /// The code tells who it was; the transition's reason may bear the date, as in
    /// `User initiated (2026-11-20 12:00:00 GMT)`. Only the codes of Spot and of scheduled events are stops by AWS.
    /// Every other code that is not that of somebody's stop is of a start that failed.
    #[must_use]
    pub fn last_stop(&self) -> LastStop {
        let date = date_in(self.transition_reason);
        match code(self.transition_reason, self.reason) {
            Some(code) if is_somebodys(code) => LastStop::BySomebody(date),
            Some(code) if code == "Server.ScheduledStop" || code.starts_with(SPOT_CODES) => LastStop::ByAws,
            Some(code) => {
                let reason = self.reason.cloned().unwrap_or_default();
                let told = if reason.is_empty() { code.to_owned() } else { reason.to_string() };
                LastStop::FailedStart(FailedStart { told: told.into(), advice: advice(&reason) }.into())
            }
            None if date.is_some() => LastStop::BySomebody(date),
            None => LastStop::Unknown,
        }
    }
}

/// How the codes of Spot interruptions begin.
const SPOT_CODES: &str = "Server.SpotInstance";

/// Whether a tag key says that other machinery owns the instance.
fn is_service_tag(key: &str) -> bool {
    SERVICE_TAGS.iter().any(|(tag, ..)| match tag.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == *tag,
    })
}

/// The tag keys of other machinery, `*` for any end; whose they are; and where that is documented.
const SERVICE_TAGS: [(&str, &str, &str); 16] = [
    ("aws:elasticmapreduce:*", "EMR", "https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-tags.html"),
    ("aws:ec2:fleet-id", "EC2 Fleet", "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet.html"),
    ("aws:ec2spot:*", "Spot Fleet", "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-fleet.html"),
    ("aws:eks:*", "EKS", "https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html"),
    ("eks:*", "EKS", "https://docs.aws.amazon.com/eks/latest/userguide/eks-using-tags.html"),
    ("karpenter.sh/*", "Karpenter", "https://karpenter.sh/docs/concepts/nodeclasses/"),
    ("kubernetes.io/cluster/*", "Kubernetes", "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"),
    ("KubernetesCluster", "kOps", "https://kops.sigs.k8s.io/labels/"),
    ("k8s.io/role/*", "kOps", "https://kops.sigs.k8s.io/labels/"),
    ("kops.k8s.io/*", "kOps", "https://kops.sigs.k8s.io/labels/"),
    (
        "aws:pcs:*",
        "Parallel Computing Service",
        "https://docs.aws.amazon.com/pcs/latest/userguide/working-with_cng.html",
    ),
    (
        "parallelcluster:*",
        "ParallelCluster",
        "https://docs.aws.amazon.com/parallelcluster/latest/ug/resources-tagging.html",
    ),
    ("AWSRDSCustom", "RDS Custom", "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/custom-setup-orcl.html"),
    (
        "AWSApplicationMigrationServiceManaged",
        "Application Migration Service",
        "https://docs.aws.amazon.com/mgn/latest/ug/using-service-linked-roles.html",
    ),
    (
        "AWSElasticDisasterRecoveryManaged",
        "Elastic Disaster Recovery",
        "https://docs.aws.amazon.com/drs/latest/userguide/using-service-linked-roles.html",
    ),
    (
        "Ec2ImageBuilderArn",
        "EC2 Image Builder",
        "https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_CreateInfrastructureConfiguration.html",
    ),
];

/// The code that tells why an instance is in its state, wherever it stands.
fn code<'a>(transition_reason: &'a str, reason: Option<&'a StateReason>) -> Option<&'a str> {
    let texts = reason.map_or([""; 2], |reason| [&*reason.code, &*reason.message]);
    texts.into_iter().chain([transition_reason]).find_map(leading_code)
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

    fn last_stop(transition_reason: &str, reason: Option<&StateReason>) -> LastStop {
        Told { transition_reason, reason, ..Told::default() }.last_stop()
    }

    fn failed_start(told: &str) -> LastStop {
        LastStop::FailedStart(FailedStart { told: told.into(), advice: None }.into())
    }

    #[test]
    fn who_stopped_it() {
        const API: &str = "User initiated (2026-11-20 12:00:00 GMT)";
        let noon = || LastStop::BySomebody(Some("2026-11-20T12:00:00Z".parse().unwrap()));
        let undated = || LastStop::BySomebody(None);
        let user = "Client.UserInitiatedShutdown";
        for (transition, code, message, expected) in [
            (API, user, "Client.UserInitiatedShutdown: User initiated shutdown", noon()),
            (API, "", "", noon()),
            (API, "Client.InstanceInitiatedShutdown", "", noon()),
            ("User initiated (2026-11-20 12:00:00 UTC)", user, "", noon()),
            ("User initiated", user, "", undated()),
            ("User initiated (2026-11-20 12:00:00 KST)", user, "", undated()),
            ("User initiated (2026-13-20 12:00:00 GMT)", user, "", undated()),
            ("Server.SpotInstanceShutdown: reclaimed (soon)", user, "", undated()),
            ("", "Client.UserInitiatedHibernate", "", undated()),
            ("", user, "", undated()),
            ("", "", "Client.UserInitiatedShutdown: User initiated shutdown", undated()),
            (
                API,
                "Server.ScheduledStop",
                "Server.ScheduledStop: Stopped due to a scheduled retirement",
                LastStop::ByAws,
            ),
            (API, "Server.SpotInstanceShutdown", "", LastStop::ByAws),
            ("", "Server.SpotInstanceStop", "Spot instance stop", LastStop::ByAws),
            ("Server.SpotInstanceShutdown: Instance stopped", "", "", LastStop::ByAws),
            (API, "Server.InternalError", "Client.VolumeLimitExceeded: Volume limit exceeded", failed_start("")),
            (API, "Server.InternalError", "Client.InternalError: Client error on launch", failed_start("")),
            (API, "Server.InternalError", "Server.InternalError: Internal error on launch", failed_start("")),
            (API, "Server.InsufficientInstanceCapacity", "", failed_start("")),
            (API, "Server.SomethingNew", "", failed_start("")),
            (API, "Client.InternalError", "", failed_start("")),
            (API, "Client.VolumeLimitExceeded", "", failed_start("")),
            (API, "Client.InvalidKMSKey.InvalidState", "", failed_start("")),
            (API, "", "Client.InternalError: Client error on launch", failed_start("")),
            ("Server.InternalError: Client.InternalError (2026-11-20 12:00:00 GMT)", "", "", failed_start("")),
            ("", "", "", LastStop::Unknown),
            ("User initiated", "pending", "", LastStop::Unknown),
        ] {
            let told = reason(code, message);
            let read = match last_stop(transition, Some(&told)) {
                LastStop::FailedStart(_) => failed_start(""),
                read => read,
            };
            assert_eq!(read, expected, "{transition:?} {code:?} {message:?}");
        }
        assert_eq!(last_stop(API, None), noon());
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

    #[test]
    fn a_failed_start_bears_its_cause() {
        for (transition, code, message, told) in [
            (
                "",
                "Server.InternalError",
                "Client.VolumeLimitExceeded: so",
                "Server.InternalError: Client.VolumeLimitExceeded: so",
            ),
            ("", "", "Client.SomethingNew: so", "Client.SomethingNew: so"),
            ("Server.SomethingNew: so", "", "", "Server.SomethingNew"),
        ] {
            assert_eq!(last_stop(transition, Some(&reason(code, message))), failed_start(told));
        }
        let kms = reason("Client.InternalError", "");
        let LastStop::FailedStart(start) = last_stop("", Some(&kms)) else { panic!("{kms}") };
        assert_eq!(start.advice, advice(&kms));
    }

    #[test]
    fn what_forbids_any_action() {
        let interruption = reason("Server.SpotInstanceShutdown", "");
        let spot = Told { lifecycle: Some("spot"), reason: Some(&interruption), ..Told::default() };
        let none: [&str; 0] = [];
        let tagged = Told { is_tagged: true, ..Told::default() };
        for (told, state, keys, expected) in [
            (Told::default(), State::Running, vec![], vec![]),
            (Told { operator_managed: true, ..tagged }, State::Running, vec![], vec![Why::ServiceManaged]),
            (Told::default(), State::Running, vec!["eks:cluster-name"], vec![Why::ServiceManaged]),
            (tagged, State::Running, vec!["eks:cluster-name"], vec![]),
            (tagged, State::Running, vec!["Name", "aws:autoscaling:groupName"], vec![Why::AsgMember]),
            (Told { instance_store_root: true, ..tagged }, State::Running, vec![], vec![Why::InstanceStoreRoot]),
            (Told { lifecycle: Some("capacity-block"), ..tagged }, State::Running, vec![], vec![Why::CannotStop]),
            (Told { lifecycle: Some("something-new"), ..tagged }, State::Stopped, vec![], vec![Why::CannotStop]),
            (spot, State::Running, vec![], vec![]),
            (spot, State::Stopped, vec![], vec![Why::SpotInterrupted("Server.SpotInstanceShutdown".into())]),
            (Told { lifecycle: None, ..spot }, State::Stopped, vec![], vec![]),
            (Told { reason: None, ..spot }, State::Stopped, vec![], vec![]),
            (
                Told { reason: None, transition_reason: "Server.SpotInstanceShutdown: so", ..spot },
                State::Stopped,
                vec![],
                vec![Why::SpotInterrupted("Server.SpotInstanceShutdown: so".into())],
            ),
        ] {
            assert_eq!(told.forbids(state, keys.clone()), expected, "{told:?} {keys:?}");
        }
        assert_eq!(spot.forbids(State::Stopped, none).len(), 1);
    }

    #[test]
    fn whose_start_it_was() {
        let (interruption, user) =
            (reason("Server.SpotInstanceShutdown", ""), reason("Client.UserInitiatedShutdown", ""));
        for (lifecycle, told, state, by_aws) in [
            (Some("spot"), &interruption, State::Running, true),
            (Some("spot"), &interruption, State::Stopped, false),
            (Some("spot"), &interruption, State::Pending, false),
            (Some("spot"), &user, State::Running, false),
            (None, &interruption, State::Running, false),
        ] {
            let told = Told { lifecycle, reason: Some(told), ..Told::default() };
            assert_eq!(told.started_by_aws(state), by_aws, "{told:?}");
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
            "KubernetesCluster",
            "k8s.io/role/master",
            "kops.k8s.io/instancegroup",
            "aws:pcs:cluster-id",
            "aws:pcs:compute-node-group-id",
            "parallelcluster:cluster-name",
            "AWSRDSCustom",
            "AWSApplicationMigrationServiceManaged",
            "AWSElasticDisasterRecoveryManaged",
            "Ec2ImageBuilderArn",
        ] {
            assert!(is_service_tag(theirs), "{theirs}");
        }
        for ours in [
            "Name",
            "aws:cloudformation:stack-name",
            "aws:ec2launchtemplate:id",
            "aws:ec2:fleet-id-2",
            "weeks:",
            "kubernetescluster",
            "my:KubernetesCluster",
            "parallelcluster",
            "awsrdscustom",
            "AWSRDSCustom2",
            "CreatedBy",
            "aws:autoscaling:groupName",
        ] {
            assert!(!is_service_tag(ours), "{ours}");
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
        let launch_time_fits = match (fact["what"].as_str().unwrap(), fact["expect"].as_str().unwrap()) {
            (_, "failed-start") => true, // nobody knows
            ("launch" | "api-start", _) => since_start < 10,
            _ => since_start > 0,
        };
        let reads_right = match fact["expect"].as_str().unwrap() {
            "running" => fact["state"] == "running",
            "stopped-by-aws" => read == LastStop::ByAws,
            "failed-start" => matches!(read, LastStop::FailedStart(_)),
            "stopped-by-somebody" => match read {
                LastStop::BySomebody(Some(date)) => date.duration_since(by).abs().as_mins() < 2,
                other => other == LastStop::BySomebody(None),
            },
            other => panic!("{other} is nothing to expect"),
        };
        reads_right && launch_time_fits
    }
}
