//! An STS of our own: it reads the query protocol, knows one hub, and gives out keys that bear their account.
//!
//! It behaves as STS documents it, and is strict where STS is: asked in the hub's region alone, sessions of an hour at
//! most for a caller that is in a session itself, a policy of at most 2,048 characters, and one answer to all whom it
//! denies, whatever the cause. The key of a session in the account 111111111111 is `111111111111`, that of one with a
//! session policy `111111111111-looks`; the other stand-ins know both. What it does not know (an action, a parameter,
//! a session policy that lets more than look) it panics at, so that no test passes by luck.
//!
//! The rules and their sources: parameters and error codes from
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>; the hour of a role that assumes a role
//! from <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_terms-and-concepts.html>; the texts of refusals from
//! people's logs. Where a comment says so, the words are our own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use serde_json::Value;

use super::clock::Clock;
use super::router::{scope, session_key};
use super::xml::{escape, put};

/// The account of the function.
pub const HUB: &str = "999999999999";
/// Who the function is: the only one who may ask, with the access key `key`.
const CALLER: &str = "arn:aws:sts::999999999999:assumed-role/hub/f";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// Of a role that assumes a role; STS gives less than a quarter of an hour to nobody.
const SESSION_SECONDS: std::ops::RangeInclusive<u64> = 900..=3600;
const POLICY_CHARACTERS: usize = 2048;

/// A call as STS saw it.
#[derive(Debug, Clone)]
pub struct StsCall {
    /// When it came, by the scenario's clock.
    pub at: Duration,
    pub action: String,
    /// The account of the role that it names.
    pub account: Option<String>,
    pub region: String,
    pub parameters: BTreeMap<String, String>,
    /// Whether it was carried out.
    pub taken: bool,
}

impl StsCall {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The actions that its session policy allows, sorted; none where it has no policy.
    pub fn policy_actions(&self) -> Vec<String> {
        let policy = self.parameter("Policy").map(|text| serde_json::from_str(text).expect("a policy is JSON"));
        let policy: Value = policy.unwrap_or_default();
        let statements = one_or_many(&policy["Statement"]).into_iter();
        let actions = statements.flat_map(|statement| one_or_many(&statement["Action"]));
        let mut actions: Vec<String> = actions.map(|action| action.as_str().expect("a name").to_owned()).collect();
        actions.sort();
        actions
    }
}

/// What may go wrong.
#[derive(Debug)]
pub struct Whims {
    /// Where the hub is; elsewhere nobody knows it.
    pub region: &'static str,
    /// So many calls are answered with a throttling error.
    pub throttled: usize,
    /// So many calls fail on STS's side.
    pub unavailable: usize,
    /// Accounts in which STS is switched off here.
    pub region_disabled: Vec<&'static str>,
    /// Accounts of which calls are taken and never answered. In process only.
    pub silent: Vec<&'static str>,
    /// Sessions end by the clock on the wall, for a program that cannot be given the scenario's.
    pub on_the_wall: bool,
}

impl Default for Whims {
    fn default() -> Self {
        Self {
            region: "ap-northeast-2",
            throttled: 0,
            unavailable: 0,
            region_disabled: Vec::new(),
            silent: Vec::new(),
            on_the_wall: false,
        }
    }
}

/// STS of the hub's region, shared by all who hold a clone.
#[derive(Debug, Clone)]
pub struct Sts(Arc<Mutex<Model>>);

#[derive(Debug)]
struct Model {
    clock: Clock,
    calls: Vec<StsCall>,
    /// Path and name of the role that the accounts have, such as `/StopinatorSpoke`.
    role: String,
    /// What its trust policy wants to hear.
    external_id: Option<String>,
    denied: BTreeSet<String>,
    /// The accounts that have the role; all have it where none is named.
    known: Option<BTreeSet<String>>,
    whims: Whims,
}

/// Status, code and message.
type Refused = (u16, &'static str, String);
type Answer = Result<String, Refused>;

impl Sts {
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(Model {
            clock,
            calls: Vec::new(),
            role: "/StopinatorSpoke".to_owned(),
            external_id: None,
            denied: BTreeSet::new(),
            known: None,
            whims: Whims::default(),
        })))
    }

    /// Accounts have a role of this path and name, such as `/team/StopinatorSpoke`.
    pub fn set_role(&self, role: &str) {
        role.clone_into(&mut self.model().role);
    }

    /// Their roles want to hear this.
    pub fn set_external_id(&self, external_id: &str) {
        self.model().external_id = Some(external_id.to_owned());
    }

    /// Only these accounts have the role.
    pub fn know(&self, accounts: &[&str]) {
        self.model().known = Some(accounts.iter().map(|account| (*account).to_owned()).collect());
    }

    /// Nobody may enter this account.
    pub fn deny(&self, account: &str) {
        self.model().denied.insert(account.to_owned());
    }

    /// The hub may enter it again.
    pub fn allow(&self, account: &str) {
        self.model().denied.remove(account);
    }

    pub fn set_whims(&self, whims: Whims) {
        self.model().whims = whims;
    }

    /// How many calls there have been.
    pub fn count_calls(&self) -> usize {
        self.model().calls.len()
    }

    /// Every call from the given number on, in order.
    pub fn calls_from(&self, number: usize) -> Vec<StsCall> {
        self.model().calls[number..].to_vec()
    }

    /// The accounts that were entered, as often and in the order in which they were.
    pub fn assumed(&self) -> Vec<String> {
        let model = self.model();
        let taken = model.calls.iter().filter(|call| call.action == "AssumeRole" && call.taken);
        taken.filter_map(|call| call.account.clone()).collect()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().expect("no test panics inside STS")
    }

    /// A status and XML, or nothing where it never answers.
    fn hear(&self, signature: &str, body: &[u8]) -> Option<(u16, String)> {
        let scope = scope(signature);
        assert_eq!(scope.service, "sts", "not signed for STS: {signature}");
        let mut parameters: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let action = parameters.remove("Action").expect("the query protocol names an action");
        let account = parameters.get("RoleArn").and_then(|arn| arn.split(':').nth(4)).map(str::to_owned);
        let mut model = self.model();
        let at = model.clock.now();
        let region = scope.region.to_owned();
        let call = StsCall { at, action, account, region, parameters, taken: false };
        if call.account.as_deref().is_some_and(|account| model.whims.silent.contains(&account)) {
            model.calls.push(call);
            return None;
        }
        let answer = model.answer(scope.key, &call);
        model.calls.push(StsCall { taken: answer.is_ok(), ..call });
        Some(match answer {
            Ok(body) => (200, body),
            Err((status, code, message)) => {
                let whose = if status < 500 { "Sender" } else { "Receiver" };
                let message = escape(&message);
                let body = format!(
                    "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{whose}</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
                );
                (status, body)
            }
        })
    }

    /// Answers a request of the query protocol with a status and XML.
    pub fn answer(&self, signature: &str, body: &[u8]) -> (u16, String) {
        self.hear(signature, body).expect("it is silent in process only")
    }
}

impl HttpClient for Sts {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Sts {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let signature = request.headers().get("authorization").expect("a signed request");
        let body = request.body().bytes().expect("the query protocol has its body in memory");
        let Some((status, body)) = self.hear(signature, body) else {
            return HttpConnectorFuture::new(std::future::pending());
        };
        let status = StatusCode::try_from(status).expect("a status code");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Model {
    fn answer(&mut self, key: &str, call: &StsCall) -> Answer {
        if self.whims.throttled > 0 {
            self.whims.throttled -= 1;
            return Err((400, "Throttling", "Rate exceeded".to_owned()));
        }
        if self.whims.unavailable > 0 {
            self.whims.unavailable -= 1;
            return Err((503, "ServiceUnavailable", "The service is unavailable".to_owned()));
        }
        if key != "key" || call.region != self.whims.region {
            let text = "The security token included in the request is invalid.";
            return Err((403, "InvalidClientTokenId", text.to_owned()));
        }
        match call.action.as_str() {
            "GetCallerIdentity" => {
                check(call, &[]);
                let result = format!("<Arn>{CALLER}</Arn><UserId>AROAHUB:f</UserId><Account>{HUB}</Account>");
                Ok(envelope(&call.action, &result))
            }
            "AssumeRole" => self.assume_role(call),
            other => panic!("this STS does not know the action {other}"),
        }
    }

    fn assume_role(&self, call: &StsCall) -> Answer {
        check(call, &["RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "Policy"]);
        let arn = call.parameter("RoleArn").unwrap_or_default();
        let (account, role) = parts_of(arn).ok_or_else(|| invalid(&format!("{arn} is invalid")))?;
        let session = call.parameter("RoleSessionName").unwrap_or_default();
        if !is_of(session, 2..=64, "_+=,.@-") {
            return Err(invalid(&format!("Value '{session}' at 'roleSessionName' failed to satisfy constraint")));
        }
        let external_id = call.parameter("ExternalId");
        if external_id.is_some_and(|id| !is_of(id, 2..=1224, "_+=,.@:/-")) {
            return Err(invalid("Value at 'externalId' failed to satisfy constraint"));
        }
        let seconds: u64 = call.parameter("DurationSeconds").unwrap_or("3600").parse().unwrap_or_default();
        if !SESSION_SECONDS.contains(&seconds) {
            let limit =
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
            return Err((400, "ValidationError", limit.to_owned()));
        }
        let only_looks = match call.parameter("Policy") {
            None => false,
            // The words are our own.
            Some(policy) if policy.chars().count() > POLICY_CHARACTERS => {
                return Err((400, "MalformedPolicyDocument", "The policy is too long".to_owned()));
            }
            Some(policy) if serde_json::from_str::<Value>(policy).is_err() => {
                return Err((400, "MalformedPolicyDocument", "This policy contains invalid Json".to_owned()));
            }
            Some(_) => true,
        };
        let actions = call.policy_actions();
        let looks = |action: &String| action.split_once(":Describe").is_some_and(|(_, what)| !what.contains('*'));
        assert!(!only_looks || !actions.is_empty(), "a session policy that allows nothing");
        assert!(actions.iter().all(looks), "this STS knows only session policies that look, not {actions:?}");
        if self.whims.region_disabled.contains(&account) {
            let text = format!(
                "STS is not activated in this region for account:{account}. Your account administrator can activate \
                 STS in this region using the IAM Console."
            );
            return Err((403, "RegionDisabledException", text));
        }
        // One text for all of these, on purpose: a stranger shall not learn which accounts and roles there are.
        let is_denied = self.denied.contains(account)
            || self.known.as_ref().is_some_and(|known| !known.contains(account))
            || role != self.role
            || self.external_id.as_deref().is_some_and(|wanted| external_id != Some(wanted));
        if is_denied {
            let text = format!("User: {CALLER} is not authorized to perform: sts:AssumeRole on resource: {arn}");
            return Err((403, "AccessDenied", text));
        }
        let now = if self.whims.on_the_wall { Timestamp::now() } else { super::at(super::NOW) + self.clock.now() };
        let ends = Timestamp::from_second((now + Duration::from_secs(seconds)).as_second()).expect("a time");
        let key = session_key(account, only_looks);
        let name = role.rsplit('/').next().unwrap_or_default();
        let mut result = String::new();
        put(
            &mut result,
            format_args!(
                "<AssumedRoleUser><AssumedRoleId>AROASPOKE:{session}</AssumedRoleId>\
                 <Arn>arn:aws:sts::{account}:assumed-role/{name}/{session}</Arn></AssumedRoleUser>\
                 <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
                 <SessionToken>token</SessionToken><Expiration>{ends}</Expiration></Credentials>"
            ),
        );
        Ok(envelope(&call.action, &result))
    }
}

/// Account, and path and name of the role, of `arn:aws:iam::111111111111:role/team/StopinatorSpoke`.
fn parts_of(arn: &str) -> Option<(&str, &str)> {
    let (account, role) = arn.strip_prefix("arn:aws:iam::")?.split_once(":role")?;
    let is_id = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_id && role.starts_with('/') && !role.ends_with('/') && !role.contains("//")).then_some((account, role))
}

/// Whether a text has one of these lengths, and letters, digits and these characters only.
fn is_of(text: &str, lengths: std::ops::RangeInclusive<usize>, others: &str) -> bool {
    lengths.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

/// The elements of a policy may be one, or a list of them.
fn one_or_many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(many) => many.iter().collect(),
        one => vec![one],
    }
}

/// Panics at a parameter that this STS does not know.
fn check(call: &StsCall, names: &[&str]) {
    assert_eq!(call.parameter("Version"), Some("2011-06-15"), "the API's version");
    for name in call.parameters.keys().map(String::as_str) {
        let is_known = name == "Version" || names.contains(&name);
        assert!(is_known, "this STS does not know the parameter {name} of {}", call.action);
    }
}

fn invalid(text: &str) -> Refused {
    (400, "ValidationError", format!("1 validation error detected: {text}"))
}

fn envelope(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
    )
}
