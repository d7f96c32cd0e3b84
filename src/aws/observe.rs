//! `DescribeInstances` to [`Resource`]: pages are reduced and dropped as they come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{self, Filter, InstanceLifecycleType, InstanceStateName};
use jiff::Timestamp;

use super::call::CallError;
use super::clients::Ec2;
use super::tags::{Tags, Tokens, tags};
use crate::action::{Outcome, RequestedAction};
use crate::ec2::arrival::Seen;
use crate::ec2::facts::Told;
use crate::ec2::refusal::{Cause, Refusal};
use crate::place::{AccountId, Place};
use crate::reason::{Reason, Why};
use crate::request::Request;
use crate::resource::{InstanceId, LastStart, Launch, Pool, Resource, ResourceId, State, StateReason};
use crate::settings::{Scope, Settings};

/// Instances a page: the most that EC2 gives.
const INSTANCES_A_PAGE: i32 = 1000;
/// Instance types a page: the most that EC2 gives.
const TYPES_A_PAGE: i32 = 100;
/// The most values that one filter may have.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html>
const VALUES_A_FILTER: usize = 200;

/// Finds the instances of one place that the request may be about.
///
/// Without explicit ids those that carry the tag, or all in scope `all`. With them those instances, tagged or not:
/// why one is left alone is for the plan to say. `tell` hears after each page how many there are so far.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
pub async fn observe(
    ec2: &Ec2,
    place: &Place,
    settings: &Settings,
    request: &Request,
    tell: &impl Fn(usize),
) -> Result<Vec<Resource>, CallError> {
    let mut found = Found::default();
    for filters in selections(settings, request) {
        described(ec2, filters, |page| {
            for instance in page {
                found.add(instance, place, settings);
            }
            tell(found.instances.len());
        })
        .await?;
    }
    if settings.scope == Scope::All && request.action == RequestedAction::Stop {
        found.look_up_instance_stores(ec2).await?;
    }
    Ok(found.instances)
}

/// Looks at up to 1,000 instances by id, in one call; those that EC2 does not know any more are left out, for which
/// it takes another call.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
pub async fn look(ec2: &Ec2, ids: &[InstanceId]) -> Result<BTreeMap<InstanceId, Seen>, CallError> {
    let mut ids = ids.to_vec();
    // An empty list would mean every instance.
    while !ids.is_empty() {
        let named = Some(ids.iter().map(ToString::to_string).collect());
        let _call = ec2.to_describe().await;
        let call = ec2.client.describe_instances().set_instance_ids(named).customize();
        match call.config_override(ec2.config()).send().await {
            Ok(page) => {
                let reservations = page.reservations.unwrap_or_default().into_iter();
                let instances = reservations.flat_map(|reservation| reservation.instances.unwrap_or_default());
                return Ok(instances.filter_map(|described| Some((id(&described)?, seen(&described)))).collect());
            }
            Err(error) => {
                let unknown = Refusal::new(error.code(), error.message().unwrap_or_default(), false);
                let before = ids.len();
                if unknown.cause == Cause::Instance(Outcome::Refused, Reason::Gone) {
                    ids.retain(|id| !unknown.named.contains(id));
                }
                if ids.len() == before {
                    return Err(CallError::new("DescribeInstances", error));
                }
            }
        }
    }
    Ok(BTreeMap::new())
}

/// The instances of one region that bear one of these names, in which `*` and `?` stand for letters, as they do in EC2's
/// filters; each with its name. Those that are terminated are left out.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
#[cfg(feature = "cli")]
pub async fn named(ec2: &Ec2, names: &[String]) -> Result<Vec<(InstanceId, String)>, CallError> {
    let mut found = Vec::new();
    for some in names.chunks(VALUES_A_FILTER) {
        let names = some.iter().map(|name| name.replace('\\', "\\\\"));
        let alive = ["pending", "running", "stopping", "stopped"];
        let filters = vec![filter("tag:Name", names), filter("instance-state-name", alive)];
        described(ec2, filters, |page| {
            found.extend(page.filter_map(|instance| {
                let name = instance.tags().iter().find(|tag| tag.key() == Some("Name")).and_then(types::Tag::value);
                Some((id(instance)?, name.unwrap_or_default().to_owned()))
            }));
        })
        .await?;
    }
    Ok(found)
}

/// How many instances of one region carry one of these tag keys.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
#[cfg(feature = "cli")]
pub async fn count_tagged(ec2: &Ec2, keys: &[String]) -> Result<usize, CallError> {
    let mut count = 0;
    described(ec2, vec![filter("tag-key", keys.iter().map(|key| escaped(key)))], |page| count += page.count()).await?;
    Ok(count)
}

/// Shows `see` each page of the instances that pass the filters.
async fn described(
    ec2: &Ec2,
    filters: Vec<Filter>,
    mut see: impl FnMut(&mut dyn Iterator<Item = &types::Instance>),
) -> Result<(), CallError> {
    let request = ec2.client.describe_instances().set_filters(Some(filters)).max_results(INSTANCES_A_PAGE);
    let mut tokens = Tokens::of("DescribeInstances");
    // Not by the SDK's paginator, to which nothing can be overridden.
    loop {
        let call = request.clone().set_next_token(tokens.next()).customize().config_override(ec2.config());
        let permit = ec2.to_describe().await;
        let page = call.send().await.map_err(|error| CallError::new("DescribeInstances", error))?;
        see(&mut page.reservations().iter().flat_map(types::Reservation::instances));
        drop(permit);
        if !tokens.take(page.next_token())? {
            return Ok(());
        }
    }
}

fn seen(described: &types::Instance) -> Seen {
    Seen {
        state: state(described),
        started_at: started_at(described),
        reason: described.state_reason().map(state_reason).unwrap_or_default(),
    }
}

fn id(described: &types::Instance) -> Option<InstanceId> {
    InstanceId::try_from(described.instance_id()?).ok()
}

/// The filters to ask with, one list for each round of pages.
fn selections(settings: &Settings, request: &Request) -> Vec<Vec<Filter>> {
    match (&request.only, settings.scope) {
        (Some(ids), _) => {
            let ids: Vec<&str> = ids.iter().filter(|id| id.instance().is_some()).map(ResourceId::as_str).collect();
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
    instances: Vec<Resource>,
    /// The types of untagged instances, each with their places in `instances`.
    types: BTreeMap<String, Vec<usize>>,
    pools: BTreeSet<Arc<Pool>>,
    last_pool: Option<Arc<Pool>>,
}

impl Found {
    fn add(&mut self, described: &types::Instance, place: &Place, settings: &Settings) {
        let Some(instance) = reduce(described, place, settings, self.pool(described)) else {
            let id: Option<String> = described.instance_id().map(|id| id.chars().take(40).collect());
            let account = place.account.as_ref().map(AccountId::as_str);
            tracing::warn!(id, account, region = place.region.as_str(), "skipped: not an instance id");
            return;
        };
        if instance.tag.is_none() {
            let instance_type = described.instance_type().map_or("", types::InstanceType::as_str).to_owned();
            self.types.entry(instance_type).or_default().push(self.instances.len());
        }
        self.instances.push(instance);
    }

    /// A fleet has few pools, so each is kept once; and mostly it is that of the instance before.
    fn pool(&mut self, described: &types::Instance) -> Option<Arc<Pool>> {
        let placement = described.placement()?;
        let texts = [
            described.instance_type()?.as_str(),
            placement.availability_zone().unwrap_or_default(),
            placement.tenancy().map_or("", types::Tenancy::as_str),
            placement.host_id().unwrap_or_default(),
            placement.group_name().unwrap_or_default(),
            described.platform().map_or("", types::PlatformValues::as_str),
        ];
        let last = self.last_pool.as_ref().filter(|last| {
            texts == [&*last.instance_type, &last.zone, &last.tenancy, &last.host, &last.group, &last.platform]
        });
        if let Some(last) = last {
            return Some(last.clone());
        }
        let [instance_type, zone, tenancy, host, group, platform] = texts.map(Into::into);
        let pool = Pool { instance_type, zone, tenancy, host, group, platform };
        let pool = self.pools.get(&pool).cloned().unwrap_or_else(|| Arc::new(pool));
        self.pools.insert(pool.clone());
        self.last_pool = Some(pool.clone());
        Some(pool)
    }

    /// A type that EC2 does not describe is taken to have disks: when in doubt, the machine is not stopped.
    async fn look_up_instance_stores(&mut self, ec2: &Ec2) -> Result<(), CallError> {
        let names: Vec<&String> = self.types.keys().collect();
        let mut without_disks = BTreeSet::new();
        for some in names.chunks(VALUES_A_FILTER) {
            let types = filter("instance-type", some.iter().copied());
            let request = ec2.client.describe_instance_types().filters(types).max_results(TYPES_A_PAGE);
            let mut tokens = Tokens::of("DescribeInstanceTypes");
            loop {
                let call = request.clone().set_next_token(tokens.next()).customize().config_override(ec2.config());
                let permit = ec2.through_gate().await;
                let page = call.send().await.map_err(|error| CallError::new("DescribeInstanceTypes", error))?;
                drop(permit);
                let is_last = !tokens.take(page.next_token())?;
                let described = page.instance_types.unwrap_or_default().into_iter();
                without_disks.extend(
                    described
                        .filter(|described| described.instance_storage_supported == Some(false))
                        .filter_map(|described| Some(described.instance_type?.as_str().to_owned())),
                );
                if is_last {
                    break;
                }
            }
        }
        for (_, places) in self.types.iter().filter(|(name, _)| !without_disks.contains(*name)) {
            for &place in places {
                self.instances[place].forbid(Why::InstanceStoreData);
            }
        }
        Ok(())
    }
}

fn reduce(
    described: &types::Instance,
    place: &Place,
    settings: &Settings,
    pool: Option<Arc<Pool>>,
) -> Option<Resource> {
    let id = id(described)?;
    let Tags { name, tag, hold, owner } = tags(described.tags().iter().map(|tag| (tag.key(), tag.value())), settings);
    let state = state(described);
    let reason = described.state_reason().map(state_reason);
    let told = Told {
        is_tagged: tag.is_some(),
        operator_managed: described.operator().and_then(types::OperatorResponse::managed).unwrap_or(false),
        instance_store_root: described.root_device_type() == Some(&types::DeviceType::InstanceStore),
        lifecycle: described.instance_lifecycle().map(InstanceLifecycleType::as_str),
        transition_reason: described.state_transition_reason().unwrap_or_default(),
        reason: reason.as_ref(),
    };
    let last_start = if told.started_by_aws(state) { LastStart::ByAws } else { LastStart::BySomebody };
    let last_stop = told.last_stop();
    let forbids = told.forbids(state, described.tags().iter().filter_map(types::Tag::key));
    let hibernation = described.hibernation_options().and_then(types::HibernationOptions::configured);
    let mut instance = Resource {
        id: id.into(),
        place: place.clone(),
        name,
        state,
        status: None,
        tag,
        hold,
        owner,
        launch: Launch {
            pool,
            hibernation: hibernation.unwrap_or(false),
            started_at: started_at(described),
            stop_code: reason.filter(|_| state == State::Stopped).map(|reason| reason.code),
        },
        last_start,
        last_stop,
        forbids: None,
    };
    for why in forbids {
        instance.forbid(why);
    }
    Some(instance)
}

fn state_reason(told: &types::StateReason) -> StateReason {
    let text = |text: Option<&str>| text.unwrap_or_default().into();
    StateReason { code: text(told.code()), message: text(told.message()) }
}

fn started_at(described: &types::Instance) -> Option<Timestamp> {
    Timestamp::new(described.launch_time()?.secs(), 0).ok()
}

fn state(described: &types::Instance) -> State {
    match described.state().and_then(types::InstanceState::name) {
        Some(InstanceStateName::Pending) => State::Pending,
        Some(InstanceStateName::Running) => State::Running,
        Some(InstanceStateName::Stopping) => State::Stopping,
        Some(InstanceStateName::Stopped) => State::Stopped,
        Some(InstanceStateName::ShuttingDown) => State::ShuttingDown,
        Some(InstanceStateName::Terminated) => State::Terminated,
        _ => State::Unknown,
    }
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
