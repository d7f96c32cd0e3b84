//! The hold's tag: set, or taken away, on the instances and databases of one region.

use aws_sdk_ec2::types::Tag;

use super::call::CallError;
use super::clients::{Ec2, Rds};
use crate::resource::InstanceId;

/// How many ids a call names. EC2 takes up to 1,000.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html>
const IDS_A_CALL: usize = 500;

/// Sets tags, or takes them away where there is no value. Those before a call that fails keep what was done.
///
/// # Errors
///
/// The first call that EC2 refuses; it refuses one as a whole.
pub async fn tag(ec2: &Ec2, ids: &[InstanceId], keys: &[String], value: Option<&str>) -> Result<(), CallError> {
    let tag = |key: &String| Tag::builder().key(key).set_value(value.map(str::to_owned)).build();
    for some in ids.chunks(IDS_A_CALL) {
        let ids = Some(some.iter().map(ToString::to_string).collect());
        let tags = Some(keys.iter().map(tag).collect());
        if value.is_some() {
            let call = ec2
                .client
                .create_tags()
                .set_resources(ids)
                .set_tags(tags)
                .customize()
                .config_override(ec2.config())
                .send();
            call.await.map_err(|error| CallError::new("CreateTags", error))?;
        } else {
            let call = ec2
                .client
                .delete_tags()
                .set_resources(ids)
                .set_tags(tags)
                .customize()
                .config_override(ec2.config())
                .send();
            call.await.map_err(|error| CallError::new("DeleteTags", error))?;
        }
    }
    Ok(())
}

/// The same on one database, by its ARN.
///
/// # Errors
///
/// The call that RDS refuses.
pub async fn tag_database(rds: &Rds, arn: &str, keys: &[String], value: Option<&str>) -> Result<(), CallError> {
    let client = &rds.client;
    let _call = rds.to_call().await;
    if let Some(value) = value {
        let tag = |key: &String| aws_sdk_rds::types::Tag::builder().key(key).value(value).build();
        let call = client.add_tags_to_resource().resource_name(arn).set_tags(Some(keys.iter().map(tag).collect()));
        let call = call.customize().config_override(rds.config());
        call.send().await.map_err(|error| CallError::new("AddTagsToResource", error))?;
    } else {
        let call = client.remove_tags_from_resource().resource_name(arn).set_tag_keys(Some(keys.to_vec()));
        let call = call.customize().config_override(rds.config());
        call.send().await.map_err(|error| CallError::new("RemoveTagsFromResource", error))?;
    }
    Ok(())
}
