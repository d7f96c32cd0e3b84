//! An AWS Organizations of our own: it reads JSON 1.1, and lists the accounts of one organization.
//!
//! It behaves as Organizations documents it: one place for all the world, 20 accounts a page however many are asked
//! for, pages that may be empty with more to come. Any other operation it refuses, and at a field that it does not know
//! it panics, so that no test passes by luck.
//!
//! The rules and their sources: pages and error codes from
//! <https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html>; `State` and `Paths` from
//! <https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html>.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::clock::Clock;
use super::router::scope;

const PAGE: usize = 20;
const LIST_ACCOUNTS: &str = "AWSOrganizationsV20161128.ListAccounts";

/// An account of the organization.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: String,
    /// Not every answer has one.
    pub state: Option<&'static str>,
    /// Where it is, each `o-…/r-…/ou-…/`.
    pub paths: Option<Vec<String>>,
}

impl Member {
    /// Active, at this place of the organization `o-aaaaaaaaaa`, such as `r-abcd/ou-abcd-11111111/`.
    pub fn active(id: impl Into<String>, place: &str) -> Self {
        let paths = Some(vec![format!("o-aaaaaaaaaa/{place}")]);
        Self { id: id.into(), state: Some("ACTIVE"), paths }
    }

    pub fn in_state(self, state: &'static str) -> Self {
        Self { state: Some(state), ..self }
    }
}

/// A call as Organizations saw it.
#[derive(Debug, Clone)]
pub struct OrganizationsCall {
    /// When it came, by the scenario's clock.
    pub at: Duration,
    pub region: String,
    /// The operation, after the name of the service.
    pub action: String,
    pub parameters: Value,
    /// Whether it was carried out.
    pub taken: bool,
}

/// What may go wrong.
#[derive(Debug, Default)]
pub struct Whims {
    /// There is an empty page with a token between any two pages, and before the first.
    pub empty_pages: bool,
    /// The token of the first page comes again with every page.
    pub repeats_its_token: bool,
    /// Calls are taken and never answered. In process only.
    pub silent: bool,
}

/// One organization, shared by all who hold a clone.
#[derive(Debug, Clone)]
pub struct Organizations(Arc<Mutex<Model>>);

#[derive(Debug)]
struct Model {
    clock: Clock,
    members: Vec<Member>,
    calls: Vec<OrganizationsCall>,
    /// For how many calls, the code and the message.
    refusal: (usize, &'static str, &'static str),
    whims: Whims,
}

type Answer = Result<Value, (&'static str, String)>;

impl Organizations {
    pub fn new(clock: Clock) -> Self {
        let (members, calls, refusal) = (Vec::new(), Vec::new(), (0, "", ""));
        Self(Arc::new(Mutex::new(Model { clock, members, calls, refusal, whims: Whims::default() })))
    }

    pub fn set_members(&self, members: impl IntoIterator<Item = Member>) {
        self.model().members = members.into_iter().collect();
    }

    /// So many calls from now on are answered with this error; `usize::MAX` is for ever, and 0 is over.
    pub fn refuse(&self, times: usize, code: &'static str, message: &'static str) {
        self.model().refusal = (times, code, message);
    }

    pub fn set_whims(&self, whims: Whims) {
        self.model().whims = whims;
    }

    /// How many calls there have been.
    pub fn count_calls(&self) -> usize {
        self.model().calls.len()
    }

    /// Every call from the given number on, in order.
    pub fn calls_from(&self, number: usize) -> Vec<OrganizationsCall> {
        self.model().calls[number..].to_vec()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().expect("no test panics inside Organizations")
    }

    /// Answers a request of JSON 1.1 with a status and JSON; the header `x-amz-target` names the operation.
    pub fn answer(&self, signature: &str, target: &str, body: &[u8]) -> (u16, String) {
        let scope = scope(signature);
        assert_eq!(scope.service, "organizations", "not signed for Organizations: {signature}");
        let parameters: Value = serde_json::from_slice(body).expect("JSON");
        let action = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut model = self.model();
        let at = model.clock.now();
        let call = OrganizationsCall { at, region: scope.region.to_owned(), action, parameters, taken: false };
        let answer = if target == LIST_ACCOUNTS {
            model.answer(scope.key, &call)
        } else {
            Err(("UnknownOperationException", format!("{target} is not known here")))
        };
        model.calls.push(OrganizationsCall { taken: answer.is_ok(), ..call });
        match answer {
            Ok(body) => (200, body.to_string()),
            Err((code, message)) => {
                let status = if code == "ServiceException" { 500 } else { 400 };
                (status, json!({"__type": code, "Message": message}).to_string())
            }
        }
    }
}

impl HttpClient for Organizations {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Organizations {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name: &str| request.headers().get(name).unwrap_or_default();
        let body = request.body().bytes().expect("its body is in memory");
        let (status, body) = self.answer(header("authorization"), header("x-amz-target"), body);
        if self.model().whims.silent {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let status = StatusCode::try_from(status).expect("a status code");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Model {
    fn answer(&mut self, key: &str, call: &OrganizationsCall) -> Answer {
        if call.region != "us-east-1" {
            return Err(("InvalidSignatureException", "Credential should be scoped to a valid region.".to_owned()));
        }
        let (times, code, message) = self.refusal;
        if times > 0 {
            self.refusal.0 -= 1;
            return Err((code, message.to_owned()));
        }
        if key != "key" {
            let text = "You don't have permissions to access this resource.";
            return Err(("AccessDeniedException", text.to_owned()));
        }
        self.list_accounts(call)
    }

    fn list_accounts(&self, call: &OrganizationsCall) -> Answer {
        let parameters = call.parameters.as_object().expect("an object");
        for name in parameters.keys() {
            assert!(["NextToken", "MaxResults"].contains(&name.as_str()), "ListAccounts has no field {name}");
        }
        let asked = parameters.get("MaxResults").and_then(Value::as_u64).and_then(|asked| usize::try_from(asked).ok());
        let size = asked.unwrap_or(PAGE).min(PAGE);
        let first_token = if self.whims.empty_pages { "empty-0" } else { "page-0" };
        let token = parameters.get("NextToken").map_or(Some(first_token), Value::as_str).unwrap_or_default();
        let (is_empty, first) = match token.split_once('-') {
            Some((kind @ ("page" | "empty"), number)) => {
                (kind == "empty", number.parse::<usize>().expect("our own token"))
            }
            _ => return Err(("InvalidInputException", format!("{token} is not a token"))),
        };
        let last = if is_empty { first } else { self.members.len().min(first + size) };
        let accounts: Vec<Value> = self.members[first..last].iter().map(written).collect();
        let mut answer = json!({"Accounts": accounts});
        if self.whims.repeats_its_token {
            answer["NextToken"] = "page-0".into();
        } else if last < self.members.len() {
            let next = if self.whims.empty_pages && !is_empty { "empty" } else { "page" };
            answer["NextToken"] = format!("{next}-{last}").into();
        }
        Ok(answer)
    }
}

fn written(member: &Member) -> Value {
    let id = &member.id;
    let mut account = json!({
        "Id": id,
        "Arn": format!("arn:aws:organizations::123456789012:account/o-aaaaaaaaaa/{id}"),
        "Email": format!("{id}@example.com"),
        "Name": format!("account {id}"),
        "JoinedMethod": "CREATED",
        "JoinedTimestamp": 1_763_715_610.25,
    });
    if let Some(state) = member.state {
        account["State"] = state.into();
    }
    if let Some(paths) = &member.paths {
        account["Paths"] = json!(paths);
    }
    account
}
