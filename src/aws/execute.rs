//! Does what the [`executor`](crate::ec2::executor) wants: sends, waits, answers back.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use super::call::chain;
use super::clients::Ec2;
use super::observe;
use crate::action::Action;
use crate::ec2::executor::{Executor, Step};
use crate::ec2::refusal::Refusal;
use crate::resource::InstanceId;

/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(20);

/// Drives an executor to its end.
pub async fn execute(ec2: &Ec2, action: Action, mut executor: Executor) -> Executor {
    let clock = &ec2.clock;
    loop {
        // First the way, then the question: what was due may no longer be once there is a way.
        let way = ec2.through_gate().await;
        match executor.next(clock.now()) {
            Step::Send { ids, hibernate } => {
                let answer = send(ec2, action, &ids, hibernate).await;
                executor.answered(clock.now(), answer);
            }
            Step::Look(ids) => {
                drop(way);
                let seen = clock.before_deadline(observe::look(ec2, &ids)).await.and_then(Result::ok);
                let states = seen.map(|seen| seen.into_iter().map(|(id, seen)| (id, seen.state)).collect());
                executor.looked(states.as_ref());
            }
            Step::WaitUntil(then) => {
                drop(way);
                clock.wait_until(then).await;
            }
            Step::Done => return executor,
        }
    }
}

/// Stops or starts instances in one call. Never forced, nothing skipped.
///
/// The SDK's retries are off: whether to try again, and with which ids, is the executor's to say.
async fn send(ec2: &Ec2, action: Action, ids: &[InstanceId], hibernate: bool) -> Result<(), Refusal> {
    let Ec2 { client, clock, .. } = ec2;
    let ids = Some(ids.iter().map(ToString::to_string).collect());
    let longest = CALL.min(clock.deadline().saturating_sub(clock.now()));
    let once = ec2
        .config()
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(longest).operation_attempt_timeout(longest).build());
    match action {
        Action::Stop => {
            let hibernate = hibernate.then_some(true);
            let call = client.stop_instances().set_instance_ids(ids).set_hibernate(hibernate).customize();
            call.config_override(once).send().await.map(drop).map_err(|error| refusal(&error))
        }
        Action::Start => {
            let call = client.start_instances().set_instance_ids(ids).customize();
            call.config_override(once).send().await.map(drop).map_err(|error| refusal(&error))
        }
    }
}

fn refusal<E>(error: &SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let server_side = error.raw_response().is_some_and(|response| response.status().is_server_error());
    match error.code() {
        Some(code) => Refusal::new(Some(code), error.message().unwrap_or_default(), server_side),
        None => Refusal::new(None, &chain(error), server_side),
    }
}
