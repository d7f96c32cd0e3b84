//! RDS: its databases to [`Resource`], their history, and the calls that stop and start them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_rds::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::{DbCluster, DbInstance, Filter, SourceType};
use jiff::Timestamp;

use super::call::{CallError, chain};
use super::clients::Rds;
use super::tags::{Tags, Tokens, tags};
use crate::action::{Action, Outcome};
use crate::place::Place;
use crate::rds::arrival::{judge, judge_in_doubt};
use crate::rds::executor::{Done, Executor, Step, Target};
use crate::rds::facts::{Told, is_unhealthy, state};
use crate::rds::history::History;
use crate::rds::refusal::Refusal;
use crate::request::Request;
use crate::resource::{
    DatabaseId, Kind, LastStart, LastStop, Launch, RDS_KEEPS_STOPPED, RDS_REMEMBERS, Resource, State,
};
use crate::settings::Settings;
use crate::settled::Settled;

/// Databases, or events, a page: the most that RDS gives.
const A_PAGE: i32 = 100;
/// Values of one filter.
const VALUES_A_FILTER: usize = 50;
/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(20);
/// When what was taken is looked at again. It takes minutes at the least to arrive, so two looks tell what they can.
const LOOKS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(6)];

/// Walks through the pages of a call, each with a token of the bucket. Not by the SDK's paginator, to which nothing can
/// be overridden.
macro_rules! pages {
    ($rds:expr, $call:literal, $request:expr, $page:ident => $see:expr) => {{
        let request = $request.max_records(A_PAGE);
        let mut tokens = Tokens::of($call);
        loop {
            let call = request.clone().set_marker(tokens.next()).customize().config_override($rds.config());
            let permit = $rds.to_call().await;
            let $page = call.send().await.map_err(|error| CallError::new($call, error))?;
            $see;
            drop(permit);
            if !tokens.take($page.marker())? {
                break;
            }
        }
    }};
}

/// Finds the databases of one region that the request may be about: those that carry the tag, and those that it names.
/// RDS knows no filter by tags, so all are listed. `tell` hears after each page how many there are so far.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
pub async fn observe(
    rds: &Rds,
    place: &Place,
    settings: &Settings,
    request: &Request,
    tell: &impl Fn(usize),
) -> Result<Vec<Resource>, CallError> {
    let mut found = Vec::new();
    let is_wanted = |database: &Resource| match &request.only {
        Some(only) => only.contains(&database.id),
        None => database.tag.is_some(),
    };
    pages!(rds, "DescribeDBInstances", rds.client.describe_db_instances(), page => {
        let databases = page.db_instances().iter().filter_map(|told| instance(told, place, settings));
        found.extend(databases.filter(is_wanted));
        tell(found.len());
    });
    pages!(rds, "DescribeDBClusters", rds.client.describe_db_clusters(), page => {
        let databases = page.db_clusters().iter().filter_map(|told| cluster(told, place, settings));
        found.extend(databases.filter(is_wanted));
        tell(found.len());
    });
    Ok(found)
}

/// All databases of one region, each with its name, which is that of its `Name` tag where it has one.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
#[cfg(feature = "cli")]
pub async fn names(rds: &Rds, settings: &Settings) -> Result<Vec<(DatabaseId, String)>, CallError> {
    let mut found = Vec::new();
    let mut add = |resource: Option<Resource>| {
        let named = resource.and_then(|one| Some((one.id.database()?.clone(), one.name.unwrap_or_default().into())));
        found.extend(named);
    };
    let Some(place) = settings.regions.first().cloned().map(Place::from) else { return Ok(Vec::new()) };
    pages!(rds, "DescribeDBInstances", rds.client.describe_db_instances(), page => {
        page.db_instances().iter().for_each(|told| add(instance(told, &place, settings)));
    });
    pages!(rds, "DescribeDBClusters", rds.client.describe_db_clusters(), page => {
        page.db_clusters().iter().for_each(|told| add(cluster(told, &place, settings)));
    });
    Ok(found)
}

/// What RDS's log says of the databases of these kinds in one region.
///
/// # Errors
///
/// The first call that fails after the SDK's own retries.
pub async fn history(rds: &Rds, kinds: BTreeSet<Kind>) -> Result<History, CallError> {
    let mut history = History::default();
    for kind in kinds {
        let source = if kind == Kind::Cluster { SourceType::DbCluster } else { SourceType::DbInstance };
        let minutes = i32::try_from(RDS_REMEMBERS.as_mins()).unwrap_or(i32::MAX);
        let request =
            rds.client.describe_events().source_type(source).event_categories("notification").duration(minutes);
        pages!(rds, "DescribeEvents", request, page => {
            for event in page.events() {
                let id = event.source_identifier().and_then(|name| DatabaseId::new(kind, name).ok());
                if let (Some(id), Some(at)) = (id, event.date().and_then(timestamp)) {
                    history.add(id, at, event.message().unwrap_or_default());
                }
            }
        });
    }
    Ok(history)
}

/// Drives an executor to its end, and looks at what became of what RDS took, for at most `budget`.
pub async fn act(rds: &Rds, budget: Duration, mut executor: Executor) -> (Vec<Target>, Vec<Settled>) {
    let clock = &rds.clock;
    loop {
        // First the way, then the question: what was due may no longer be once there is a way.
        let way = rds.through_gate().await;
        match executor.next(clock.now(), rds.token_at()) {
            Step::Send(place) => {
                let answer = send(rds, executor.target(place)).await;
                executor.answered(clock.now(), answer);
            }
            Step::WaitUntil(then) => {
                drop(way);
                clock.wait_until(then).await;
            }
            Step::Done => break,
        }
    }
    let Done { targets, settled, in_doubt } = executor.into_done();
    let seen = look_again(rds, budget, &targets, &settled, in_doubt).await;
    (targets, settled.into_iter().chain(seen).collect())
}

/// Stops or starts one database.
///
/// The SDK's retries are off: whether to try again is the executor's to say.
async fn send(rds: &Rds, target: &Target) -> Result<(), Refusal> {
    let client = &rds.client;
    rds.take_token();
    let longest = CALL.min(rds.clock.deadline().saturating_sub(rds.clock.now()));
    let once = rds
        .config()
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(longest).operation_attempt_timeout(longest).build());
    let (name, action) = (target.id.name(), target.action);
    match (target.id.kind(), action) {
        (Kind::Cluster, Action::Stop) => {
            let call = client.stop_db_cluster().db_cluster_identifier(name).customize();
            call.config_override(once).send().await.map(drop).map_err(|error| refusal(action, &error))
        }
        (Kind::Cluster, Action::Start) => {
            let call = client.start_db_cluster().db_cluster_identifier(name).customize();
            call.config_override(once).send().await.map(drop).map_err(|error| refusal(action, &error))
        }
        (_, Action::Stop) => {
            let call = client.stop_db_instance().db_instance_identifier(name).customize();
            call.config_override(once).send().await.map(drop).map_err(|error| refusal(action, &error))
        }
        (_, Action::Start) => {
            let call = client.start_db_instance().db_instance_identifier(name).customize();
            call.config_override(once).send().await.map(drop).map_err(|error| refusal(action, &error))
        }
    }
}

fn refusal<E>(action: Action, error: &SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let server_side = error.raw_response().is_some_and(|response| response.status().is_server_error());
    match error.code() {
        Some(code) => Refusal::new(action, Some(code), error.message().unwrap_or_default(), server_side),
        None => Refusal::new(action, None, &chain(error), server_side),
    }
}

/// What looks say of the targets that RDS took, and of those that are in doubt.
async fn look_again(
    rds: &Rds,
    budget: Duration,
    targets: &[Target],
    settled: &[Settled],
    in_doubt: Vec<usize>,
) -> Vec<Settled> {
    let clock = &rds.clock;
    let began = clock.now();
    let taken = settled.iter().filter(|settled| settled.outcome == Outcome::Accepted);
    let mut open: Vec<usize> = taken.map(|settled| settled.target).chain(in_doubt.iter().copied()).collect();
    let mut told = BTreeMap::new();
    for pause in LOOKS.into_iter().filter(|pause| *pause <= budget) {
        if open.is_empty() || began + pause >= clock.deadline() {
            break;
        }
        clock.wait_until(began + pause).await;
        let ids: Vec<&DatabaseId> = open.iter().map(|target| &targets[*target].id).collect();
        // A look that fails proves nothing; the next one may.
        let Some(Ok(seen)) = clock.before_deadline(look(rds, &ids)).await else { continue };
        for &target in &open {
            let Target { id, action, .. } = &targets[target];
            let seen = seen.get(id).map(|(state, status)| (*state, status.as_str()));
            let verdict =
                if in_doubt.contains(&target) { judge_in_doubt(*action, seen) } else { Some(judge(*action, seen)) };
            // One in doubt that is not on its way stays as it was told.
            if let Some((outcome, reason, detail)) = verdict {
                told.insert(target, Settled { target, outcome, reason, detail });
            }
        }
        open.retain(|target| told.get(target).is_some_and(|told| told.outcome == Outcome::Accepted));
    }
    told.into_values().collect()
}

/// What databases show now; those that RDS does not know any more are left out.
async fn look(rds: &Rds, ids: &[&DatabaseId]) -> Result<BTreeMap<DatabaseId, (State, String)>, CallError> {
    let mut seen = BTreeMap::new();
    let of_kind = |kind: Kind| -> Vec<String> {
        ids.iter().filter(|id| id.kind() == kind).map(|id| id.name().to_owned()).collect()
    };
    for names in of_kind(Kind::Db).chunks(VALUES_A_FILTER) {
        let request = rds.client.describe_db_instances().filters(filter("db-instance-id", names));
        pages!(rds, "DescribeDBInstances", request, page => {
            for told in page.db_instances() {
                note(&mut seen, Kind::Db, told.db_instance_identifier(), told.db_instance_status());
            }
        });
    }
    for names in of_kind(Kind::Cluster).chunks(VALUES_A_FILTER) {
        let request = rds.client.describe_db_clusters().filters(filter("db-cluster-id", names));
        pages!(rds, "DescribeDBClusters", request, page => {
            for told in page.db_clusters() {
                note(&mut seen, Kind::Cluster, told.db_cluster_identifier(), told.status());
            }
        });
    }
    Ok(seen)
}

fn note(seen: &mut BTreeMap<DatabaseId, (State, String)>, kind: Kind, name: Option<&str>, status: Option<&str>) {
    if let (Some(Ok(id)), Some(status)) = (name.map(|name| DatabaseId::new(kind, name)), status) {
        seen.insert(id, (state(status), status.to_owned()));
    }
}

fn filter(name: &str, values: &[String]) -> Filter {
    Filter::builder().name(name).set_values(Some(values.to_vec())).build()
}

fn instance(told: &DbInstance, place: &Place, settings: &Settings) -> Option<Resource> {
    let id = DatabaseId::new(Kind::Db, told.db_instance_identifier()?).ok()?;
    let facts = Told {
        kind: Kind::Db,
        status: told.db_instance_status().unwrap_or_default(),
        engine: told.engine().unwrap_or_default(),
        engine_mode: "",
        multi_az: told.multi_az().unwrap_or(false),
        member_of: given(told.db_cluster_identifier()),
        replicates: given(told.read_replica_source_db_instance_identifier()).is_some()
            || given(told.read_replica_source_db_cluster_identifier()).is_some()
            || !told.read_replica_db_instance_identifiers().is_empty()
            || !told.read_replica_db_cluster_identifiers().is_empty(),
    };
    Some(reduce(
        id,
        place,
        facts,
        (told.instance_create_time(), told.automatic_restart_time()),
        tags(told.tag_list().iter().map(|tag| (tag.key(), tag.value())), settings),
    ))
}

fn cluster(told: &DbCluster, place: &Place, settings: &Settings) -> Option<Resource> {
    let id = DatabaseId::new(Kind::Cluster, told.db_cluster_identifier()?).ok()?;
    let facts = Told {
        kind: Kind::Cluster,
        status: told.status().unwrap_or_default(),
        engine: told.engine().unwrap_or_default(),
        engine_mode: told.engine_mode().unwrap_or_default(),
        multi_az: told.multi_az().unwrap_or(false),
        member_of: None,
        replicates: given(told.replication_source_identifier()).is_some()
            || !told.read_replica_identifiers().is_empty(),
    };
    Some(reduce(
        id,
        place,
        facts,
        (told.cluster_create_time(), told.automatic_restart_time()),
        tags(told.tag_list().iter().map(|tag| (tag.key(), tag.value())), settings),
    ))
}

fn reduce(
    id: DatabaseId,
    place: &Place,
    told: Told<'_>,
    (created, restarts): (Option<&DateTime>, Option<&DateTime>),
    tags: Tags,
) -> Resource {
    let state = state(told.status);
    let says_all = matches!(state, State::Running | State::Stopped);
    // RDS tells of a stop only by when it will end.
    let stopped = restarts.filter(|_| state == State::Stopped).and_then(timestamp);
    let stopped = stopped.and_then(|restarts| restarts.checked_sub(RDS_KEEPS_STOPPED).ok());
    let mut resource = Resource {
        name: Some(tags.name.unwrap_or_else(|| id.name().into())),
        id: id.into(),
        place: place.clone(),
        state,
        status: (!says_all && !is_unhealthy(told.status)).then(|| told.status.into()),
        tag: tags.tag,
        hold: tags.hold,
        owner: tags.owner,
        launch: Launch { started_at: created.and_then(timestamp), ..Launch::default() },
        last_start: LastStart::NotTold,
        last_stop: stopped.map_or(LastStop::Unknown, |stopped| LastStop::BySomebody(Some(stopped))),
        forbids: None,
    };
    for why in told.forbids() {
        resource.forbid(why);
    }
    resource
}

/// A name, where there is one.
fn given(name: Option<&str>) -> Option<&str> {
    name.filter(|name| !name.is_empty())
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), 0).ok()
}
