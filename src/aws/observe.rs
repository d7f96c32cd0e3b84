//! `DescribeInstances` to [`Instance`]: pages are reduced and dropped as they come.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{self, Filter, InstanceLifecycleType, InstanceStateName};
use jiff::Timestamp;

use super::CallError;
use crate::instance::{self, Action, Facts, Instance, InstanceId, Region, State};
use crate::schedule::Tag;
use crate::settings::{Scope, Settings};
use crate::trigger::Request;

/// Instances a page: the most that EC2 gives.
const INSTANCES_A_PAGE: i32 = 1000;
/// Instance types a page: the most that EC2 gives.
const TYPES_A_PAGE: i32 = 100;
/// The most values that one filter may have.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>
const VALUES_A_FILTER: usize = 200;

/// Finds the instances of one region that the request may be about.
///
/// Without explicit ids those that carry the tag, or all in scope `all`. With them those instances, tagged or not:
/// why one is left alone is for the plan to say.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
pub async fn observe(
    client: &Client,
    region: &Region,
    settings: &Settings,
    request: &Request,
) -> Result<Vec<Instance>, CallError> {
    let mut found = Found::default();
    for filters in selections(settings, request) {
        let mut pages = client
            .describe_instances()
            .set_filters(Some(filters))
            .max_results(INSTANCES_A_PAGE)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::new("DescribeInstances", error))?;
            let reservations = page.reservations.unwrap_or_default();
            for instance in reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default()) {
                found.add(&instance, region, settings);
            }
        }
    }
    if settings.scope == Scope::All && request.action == Action::Stop {
        found.look_up_instance_stores(client).await?;
    }
    Ok(found.instances)
}

/// The filters to ask with, one list for each round of pages.
fn selections(settings: &Settings, request: &Request) -> Vec<Vec<Filter>> {
    match (&request.instance_ids, settings.scope) {
        (Some(ids), _) => {
            let ids: Vec<&str> = ids.iter().map(InstanceId::as_str).collect();
            // A filter, and not the list of ids that EC2 also takes: one unknown id would fail that call as a whole.
            ids.chunks(VALUES_A_FILTER).map(|some| vec![filter("instance-id", some.iter().copied())]).collect()
        }
        (None, Scope::Tagged) => vec![vec![filter("tag-key", [escaped(&settings.tag_key)])]],
        (None, Scope::All) => vec![Vec::new()],
    }
}

fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().map(Into::into).collect())).build()
}

/// Filter values are patterns; this is the pattern for one text alone.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '*' | '?' | '\\').then_some('\\').into_iter().chain([c])).collect()
}

#[derive(Default)]
struct Found {
    instances: Vec<Instance>,
    /// The types of running untagged instances, each with their places in `instances`.
    types: BTreeMap<String, Vec<usize>>,
}

impl Found {
    fn add(&mut self, described: &types::Instance, region: &Region, settings: &Settings) {
        let Some(instance) = reduce(described, region, settings) else {
            tracing::warn!(id = described.instance_id, region = region.as_str(), "skipped: not an instance id");
            return;
        };
        if instance.tag.is_none() && instance.state == State::Running {
            let instance_type = described.instance_type().map_or("", types::InstanceType::as_str).to_owned();
            self.types.entry(instance_type).or_default().push(self.instances.len());
        }
        self.instances.push(instance);
    }

    /// A type that EC2 does not describe is taken to have disks: when in doubt, the machine is not stopped.
    async fn look_up_instance_stores(&mut self, client: &Client) -> Result<(), CallError> {
        let names: Vec<&String> = self.types.keys().collect();
        let mut without_disks = BTreeSet::new();
        for some in names.chunks(VALUES_A_FILTER) {
            let mut pages = client
                .describe_instance_types()
                .filters(filter("instance-type", some.iter().copied()))
                .max_results(TYPES_A_PAGE)
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| CallError::new("DescribeInstanceTypes", error))?;
                let described = page.instance_types.unwrap_or_default().into_iter();
                without_disks.extend(
                    described
                        .filter(|described| described.instance_storage_supported == Some(false))
                        .filter_map(|described| Some(described.instance_type?.as_str().to_owned())),
                );
            }
        }
        for (name, places) in &self.types {
            for &place in places {
                self.instances[place].facts.instance_store_data = !without_disks.contains(name);
            }
        }
        Ok(())
    }
}

fn reduce(described: &types::Instance, region: &Region, settings: &Settings) -> Option<Instance> {
    let id = InstanceId::try_from(described.instance_id()?).ok()?;
    let mut name = None;
    let mut tag = None;
    let mut facts = Facts {
        operator_managed: described.operator().and_then(types::OperatorResponse::managed).unwrap_or(false),
        instance_store_root: described.root_device_type() == Some(&types::DeviceType::InstanceStore),
        unstoppable_lifecycle: described.instance_lifecycle().is_some_and(|l| *l != InstanceLifecycleType::Spot),
        ..Facts::default()
    };
    for (key, value) in described.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default()))) {
        if key == &*settings.tag_key {
            tag = Some(Tag::parse(value));
        }
        if key == "Name" {
            name = Some(value.into());
        }
        facts.auto_scaling |= key == instance::AUTO_SCALING_TAG;
        facts.service_tag |= instance::is_service_tag(key);
    }
    let state = match described.state().and_then(types::InstanceState::name) {
        Some(InstanceStateName::Pending) => State::Pending,
        Some(InstanceStateName::Running) => State::Running,
        Some(InstanceStateName::Stopping) => State::Stopping,
        Some(InstanceStateName::Stopped) => State::Stopped,
        Some(InstanceStateName::ShuttingDown) => State::ShuttingDown,
        Some(InstanceStateName::Terminated) => State::Terminated,
        _ => State::Unknown,
    };
    Some(Instance {
        id,
        region: region.clone(),
        name,
        state,
        tag,
        started_at: described.launch_time().and_then(|time| Timestamp::new(time.secs(), 0).ok()),
        stopped_by_hand_at: instance::stopped_by_hand_at(
            described.state_transition_reason(),
            described.state_reason().and_then(types::StateReason::code),
        ),
        facts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pattern_characters_are_escaped() {
        for (text, expected) in [
            ("Stopinator", "Stopinator"),
            ("acme:stop-hours", "acme:stop-hours"),
            ("a*b?c\\d", "a\\*b\\?c\\\\d"),
            ("*", "\\*"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
