//! An event bus of our own: it reads JSON 1.1, and keeps what is put on it.
//!
//! It behaves as EventBridge documents it: ten entries and 256 KB a call, entries that fail one by one in a call that
//! does not. Any other operation it refuses, and at a field that it does not know it panics.
//!
//! Source: <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>

use std::sync::{Arc, Mutex, MutexGuard};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use super::router::scope;

/// An event as it lies on the bus.
#[derive(Debug, Clone)]
pub struct Told {
    pub region: String,
    pub source: String,
    pub detail_type: String,
    pub resources: Vec<String>,
    pub detail: Value,
}

/// What may go wrong.
#[derive(Debug, Default)]
pub struct Whims {
    /// Every call is answered with this error.
    pub refuses: Option<(&'static str, &'static str)>,
    /// The first entry of every call fails, with this code.
    pub drops_one: Option<&'static str>,
    /// Calls are taken and never answered.
    pub silent: bool,
}

/// The default bus of every region, shared by all who hold a clone.
#[derive(Debug, Clone, Default)]
pub struct Bus(Arc<Mutex<Model>>);

#[derive(Debug, Default)]
struct Model {
    /// What lies on the bus, call by call.
    calls: Vec<Vec<Told>>,
    attempts: usize,
    whims: Whims,
}

impl Bus {
    pub fn set_whims(&self, whims: Whims) {
        self.model().whims = whims;
    }

    /// How many calls came, answered or not.
    pub fn attempts(&self) -> usize {
        self.model().attempts
    }

    /// How many events each call held.
    pub fn sizes(&self) -> Vec<usize> {
        self.model().calls.iter().map(Vec::len).collect()
    }

    /// All that was told, in order.
    pub fn told(&self) -> Vec<Told> {
        self.model().calls.iter().flatten().cloned().collect()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().expect("no test panics inside the bus")
    }

    /// Answers a request of JSON 1.1 with a status and JSON.
    pub fn answer(&self, signature: &str, target: &str, body: &[u8]) -> (u16, String) {
        let region = scope(signature).region;
        assert_eq!(target, "AWSEvents.PutEvents", "only this is allowed");
        let mut model = self.model();
        model.attempts += 1;
        if let Some((code, message)) = model.whims.refuses {
            return (
                if code == "InternalException" { 500 } else { 400 },
                json!({"__type": code, "message": message}).to_string(),
            );
        }
        let request: Value = serde_json::from_slice(body).expect("JSON");
        assert!(body.len() < 256_000, "too large a call");
        let entries = request["Entries"].as_array().expect("entries");
        assert!((1..=10).contains(&entries.len()), "{} entries", entries.len());
        let mut told: Vec<Told> = entries.iter().map(|entry| read(entry, region)).collect();
        let mut answers = vec![json!({"EventId": "11710aed-b79e-4468-a20b-bb3c0c3b4860"}); told.len()];
        if let Some(code) = model.whims.drops_one {
            told.remove(0);
            answers[0] = json!({"ErrorCode": code, "ErrorMessage": "not now"});
        }
        let failed = entries.len() - told.len();
        model.calls.push(told);
        (200, json!({"FailedEntryCount": failed, "Entries": answers}).to_string())
    }
}

fn read(entry: &Value, region: &str) -> Told {
    for field in entry.as_object().expect("an object").keys() {
        let known = ["Source", "DetailType", "Resources", "Detail"];
        assert!(known.contains(&field.as_str()), "no entry needs {field}, or the bus by name");
    }
    let text = |field: &str| entry[field].as_str().expect("a text").to_owned();
    Told {
        region: region.to_owned(),
        source: text("Source"),
        detail_type: text("DetailType"),
        resources: serde_json::from_value(entry["Resources"].clone()).expect("a list of texts"),
        detail: serde_json::from_str(&text("Detail")).expect("a detail is JSON"),
    }
}

impl HttpConnector for Bus {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name: &str| request.headers().get(name).unwrap_or_default();
        if self.model().whims.silent {
            self.model().attempts += 1;
            return HttpConnectorFuture::new(std::future::pending());
        }
        let body = request.body().bytes().expect("its body is in memory");
        let (status, body) = self.answer(header("authorization"), header("x-amz-target"), body);
        let status = StatusCode::try_from(status).expect("a status code");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}
