//! Sends the plan's actions to EC2.

use aws_config::retry::RetryConfig;
use aws_sdk_ec2::Client;

use super::CallError;
use crate::instance::{Action, InstanceId};

/// The most ids in one call: the size of EC2's bucket of resource tokens, beyond which a call could never pass.
///
/// Source: <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>
pub const IDS_A_CALL: usize = 1000;

/// Stops or starts instances, 1 to [`IDS_A_CALL`] of them, in one call. Never forced, nothing skipped.
///
/// EC2 takes or refuses such a call as a whole. The SDK's retries are off: whether to try again, and with which ids,
/// is not for a layer that knows neither.
///
/// # Errors
///
/// What EC2 said, or what went wrong on the way; the call may have been carried out all the same.
pub async fn send(client: &Client, action: Action, ids: &[&InstanceId]) -> Result<(), CallError> {
    let ids = Some(ids.iter().map(ToString::to_string).collect());
    let once = aws_sdk_ec2::config::Config::builder().retry_config(RetryConfig::disabled());
    match action {
        Action::Stop => {
            let call = client.stop_instances().set_instance_ids(ids).customize().config_override(once);
            call.send().await.map(drop).map_err(|error| CallError::new("StopInstances", error))
        }
        Action::Start => {
            let call = client.start_instances().set_instance_ids(ids).customize().config_override(once);
            call.send().await.map(drop).map_err(|error| CallError::new("StartInstances", error))
        }
    }
}
