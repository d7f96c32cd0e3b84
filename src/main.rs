//! `stopinator-lambda`: what SAM deploys.

use std::env;
use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;
use stopinator::aws::Clients;
use stopinator::handler::{Handler, Invocation};
use stopinator::settings::Settings;
use stopinator::telemetry;

/// The time for an invocation that comes without a deadline, as under `cargo lambda watch`: the template's default.
const LOCAL_TIMEOUT: SignedDuration = SignedDuration::from_mins(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::start(|name| env::var(name).ok());
    // A value that is no Unicode is shown as well as can be, and refused by the setting it belongs to.
    let environment =
        env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    let settings = match Settings::from_environment(environment) {
        Ok(settings) => settings,
        Err(error) => {
            // Lambda itself would only say Runtime.ExitError.
            tracing::error!(error = "bad-settings", "{error}");
            return ExitCode::FAILURE;
        }
    };
    let clients = Clients::from_environment(&settings).await;
    let handler = &Handler::new(settings, clients);
    let service = service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let now = Timestamp::now();
        let deadline = i64::try_from(event.context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        // Lambda's deadline lies ahead; local emulators send any number.
        let deadline = deadline.filter(|deadline| *deadline > now).unwrap_or(now + LOCAL_TIMEOUT);
        let (trigger, request_id) = (event.payload.get(), &*event.context.request_id);
        let function_arn = &*event.context.invoked_function_arn;
        handler.handle(Invocation { trigger, request_id, function_arn, now, deadline }).await
    });
    match lambda_runtime::run(service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = "runtime", "{error}");
            ExitCode::FAILURE
        }
    }
}
