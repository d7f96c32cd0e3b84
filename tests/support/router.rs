//! One way to all stand-ins, as the SDK's HTTP client: each request goes to the service that it is signed for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_ec2::config::AsyncSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::bus::Bus;
use super::clock::Clock;
use super::ec2::Ec2;
use super::organizations::Organizations;
use super::rds::Rds;
use super::sts::Sts;

/// What follows the account in the access key of a session that may only look.
const LOOKS: &str = "-looks";

/// What a signature says of itself: `Credential=key/date/region/service/aws4_request`. What is not signed says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    pub key: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

pub fn scope(signature: &str) -> Scope<'_> {
    let credential = signature.split("Credential=").nth(1).unwrap_or_default();
    let mut parts = credential.split('/');
    let key = parts.next().unwrap_or_default();
    let region = parts.nth(1).unwrap_or_default();
    Scope { key, region, service: parts.next().unwrap_or_default() }
}

/// The access key of a session in an account.
pub fn session_key(account: &str, only_looks: bool) -> String {
    format!("{account}{}", if only_looks { LOOKS } else { "" })
}

/// Whose access key it is, and whether its session may only look.
pub fn whose(key: &str) -> (&str, bool) {
    key.strip_suffix(LOOKS).map_or((key, false), |account| (account, true))
}

/// All the services of a scenario, at some distance.
#[derive(Debug, Clone)]
pub struct Router {
    pub clock: Clock,
    pub traffic: Arc<Mutex<Traffic>>,
    pub ec2: Ec2,
    pub rds: Rds,
    pub sts: Sts,
    pub organizations: Organizations,
    pub bus: Bus,
}

/// What is on the way to all services together.
#[derive(Debug, Default)]
pub struct Traffic {
    /// How long a call takes besides what the service does.
    pub latency: Duration,
    under_way: usize,
    /// How many calls were under way at most.
    pub most: usize,
}

/// A call that is under way until it is dropped.
struct UnderWay(Arc<Mutex<Traffic>>);

impl UnderWay {
    fn begin(traffic: &Arc<Mutex<Traffic>>) -> Self {
        let mut here = traffic.lock().expect("nobody panics while counting");
        here.under_way += 1;
        here.most = here.most.max(here.under_way);
        Self(traffic.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().expect("nobody panics while counting").under_way -= 1;
    }
}

impl HttpClient for Router {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The first door: in process, for the SDK.
impl HttpConnector for Router {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let router = self.clone();
        HttpConnectorFuture::new(async move {
            let _under_way = UnderWay::begin(&router.traffic);
            let latency = router.traffic.lock().expect("nobody panics while counting").latency;
            if !latency.is_zero() {
                router.clock.sleep(latency).await;
            }
            let signature = request.headers().get("authorization").expect("a signed request");
            let answer = match scope(signature).service {
                "ec2" => router.ec2.call(request),
                "rds" => router.rds.call(request),
                "sts" => router.sts.call(request),
                "organizations" => router.organizations.call(request),
                "events" => router.bus.call(request),
                other => panic!("nobody here is {other}: {signature}"),
            };
            answer.await
        })
    }
}

impl Router {
    /// Answers a request with a status and a body; `target` is the operation, where a header names it.
    pub fn answer(&self, signature: &str, target: &str, body: &[u8]) -> (u16, String) {
        match scope(signature).service {
            "rds" => self.rds.answer(signature, body),
            "sts" => self.sts.answer(signature, body),
            "organizations" => self.organizations.answer(signature, target, body),
            "events" => self.bus.answer(signature, target, body),
            _ => self.ec2.answer(signature, body),
        }
    }
}
