//! What woke the function, a scheduled event or a command, to a [`Request`].

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use jiff::{SignedDuration, Timestamp};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::action::RequestedAction;
use crate::place::{AccountId, Region};
use crate::quote;
use crate::request::Request;
use crate::resource::{DatabaseId, InstanceId, ResourceId};
use crate::settings::Settings;

/// How far a trigger's time may lie in the future: room for clocks that differ.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// How many targets, accounts times regions, a chunk has unless the trigger says so.
const TARGETS_A_CHUNK: NonZeroUsize = NonZeroUsize::new(2500).expect("it is not zero");
/// The most targets that one invocation should carry.
const MOST_TARGETS: usize = 10_000;

/// A trigger that is not followed. Nothing has been touched.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// Neither a scheduled event nor a command.
    #[error("a trigger is a JSON object: a scheduled event, or a command such as {{\"action\":\"stop\"}}")]
    NotAnObject,
    /// A field that is not as it should be, or no JSON.
    #[error("{}{}", at(path), quote::sentence(&error.to_string()))]
    Field {
        /// Where in the JSON; empty for the whole.
        path: String,
        /// What is wrong with it.
        #[source]
        error: serde_json::Error,
    },
    /// An event of another kind.
    #[error(
        "`detail-type`: `{}` is not `Scheduled Event`; to act on other events, send a command from the rule's input \
         transformer",
        quote::word(.0)
    )]
    NotScheduled(String),
    /// An event of another service.
    #[error("`source`: `{}` is neither `aws.events` nor `aws.scheduler`", quote::word(.0))]
    OtherSource(String),
    /// A list that narrows to nothing.
    #[error("`{0}`: the list is empty; leave the field out to mean all")]
    EmptyList(&'static str),
    /// Databases, in a deployment that looks after none.
    #[error("`databases`: this deployment looks after instances only; STOPINATOR_SERVICES=ec2,rds adds databases")]
    NoDatabases,
    /// Ticks that lie too near or too far.
    #[error("`tick_minutes`: {0} is out of range; give 1 to 60, on `schedule` alone")]
    Tick(u32),
    /// A notice of what is not a dry run of the stop rule.
    #[error("`notice`: a notice is for `stop` with `dry_run`, and for events, which STOPINATOR_EVENTS=true asks for")]
    Notice,
    /// Accounts, in a deployment that looks after its own alone.
    #[error("`{0}`: this deployment looks after its own account only; STOPINATOR_ACCOUNTS adds others")]
    NoAccounts(&'static str),
    /// Databases in any account: a name may stand for one in each.
    #[error("`databases`: names are not unique over accounts; give `accounts` as well")]
    NoAccount,
    /// A chunk that holds nothing, or too much.
    #[error("`targets`: {0} is out of range; give 1 to {MOST_TARGETS}")]
    Targets(u64),
    /// A region that the deployment does not have.
    #[error("`regions`: `{}` is not among this deployment's regions, {deployed:?}", quote::word(region.as_str()))]
    OtherRegion {
        /// What was asked for.
        region: Region,
        /// What there is.
        deployed: Vec<Region>,
    },
    /// Too old, or from the future.
    #[error("{0}, and nothing was done")]
    Stale(Stale),
}

/// A time that lies too far from the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`time` is {time}, {}{} minutes {} the present {now}; at most {} minutes are accepted",
    if self.minutes() == self.limit.as_mins() { "more than " } else { "" },
    self.minutes(),
    if time < now { "before" } else { "after" },
    limit.as_mins()
)]
pub struct Stale {
    /// The trigger's time.
    pub time: Timestamp,
    /// The handler's clock.
    pub now: Timestamp,
    /// The most that is accepted in this direction.
    pub limit: SignedDuration,
}

impl Stale {
    /// How far it is, in whole minutes.
    fn minutes(&self) -> i64 {
        self.now.duration_since(self.time).abs().as_mins()
    }
}

fn at(path: &str) -> String {
    if path == "." || path.is_empty() { String::new() } else { format!("`{}`: ", quote::word(path)) }
}

/// The fields that tell an event from a command.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "detail-type")]
    detail_type: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
}

/// The fields of a scheduled event that matter here; EventBridge sends more and may add others.
///
/// Source: <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-run-lambda-schedule.html>
#[derive(Deserialize)]
struct ScheduledEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    source: String,
    time: Time,
}

/// A time as RFC 3339 has it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Time(Timestamp);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |_| format!("`{}` is not a time; one is written `2026-11-20T09:00:00Z`", quote::word(&text));
        text.parse().map(Self).map_err(wrong)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    action: RequestedAction,
    #[serde(default, deserialize_with = "given")]
    time: Option<Time>,
    #[serde(default, deserialize_with = "given")]
    dry_run: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    instance_ids: Option<Vec<InstanceId>>,
    #[serde(default, deserialize_with = "given")]
    databases: Option<Vec<DatabaseId>>,
    #[serde(default, deserialize_with = "given")]
    regions: Option<Vec<Region>>,
    #[serde(default, deserialize_with = "given")]
    accounts: Option<Vec<AccountId>>,
    #[serde(default, deserialize_with = "given")]
    tick_minutes: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    notice: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    report: Option<Told>,
}

/// What the answer is to have.
#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Told {
    /// All that fits.
    Full,
    /// Sums alone.
    Counts,
}

/// A question for the list of accounts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chunks {
    #[serde(rename = "action")]
    _action: IgnoredAny,
    #[serde(default, deserialize_with = "given")]
    targets: Option<u64>,
}

/// An optional field is there or not; `null` is neither, and could widen what a command meant to narrow.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a trigger as JSON, at the instant `now`.
///
/// # Errors
///
/// [`TriggerError`] names the field that is wrong, or says by how much the trigger is too old.
pub fn parse(json: &str, settings: &Settings, now: Timestamp) -> Result<Request, TriggerError> {
    if !json.trim_start().starts_with('{') {
        return Err(TriggerError::NotAnObject);
    }
    let kind: Kind = read(json)?;
    let command = if kind.detail_type.is_some() || kind.source.is_some() {
        read::<ScheduledEvent>(json)?.into_command(settings)?
    } else {
        read::<Command>(json)?
    };
    command.into_request(settings, now)
}

/// Whether a trigger asks for the list of accounts, in chunks, and nothing else: how many targets a chunk may have. Any
/// other trigger is for [`parse`].
///
/// # Errors
///
/// [`TriggerError`] where it asks for that, and cannot be followed.
pub fn chunks(json: &str, settings: &Settings) -> Result<Option<NonZeroUsize>, TriggerError> {
    #[derive(Deserialize)]
    struct Action {
        action: String,
    }
    let is_object = json.trim_start().starts_with('{');
    if !is_object || !serde_json::from_str::<Action>(json).is_ok_and(|trigger| trigger.action == "accounts") {
        return Ok(None);
    }
    let Chunks { targets, .. } = read(json)?;
    if settings.accounts.is_none() {
        return Err(TriggerError::NoAccounts("action"));
    }
    let Some(targets) = targets else { return Ok(Some(TARGETS_A_CHUNK)) };
    let fits = usize::try_from(targets).ok().filter(|targets| *targets <= MOST_TARGETS).and_then(NonZeroUsize::new);
    fits.map(Some).ok_or(TriggerError::Targets(targets))
}

impl ScheduledEvent {
    fn into_command(self, settings: &Settings) -> Result<Command, TriggerError> {
        if self.detail_type != "Scheduled Event" {
            return Err(TriggerError::NotScheduled(self.detail_type));
        }
        if !matches!(self.source.as_str(), "aws.events" | "aws.scheduler") {
            return Err(TriggerError::OtherSource(self.source));
        }
        Ok(Command {
            action: settings.action,
            time: Some(self.time),
            dry_run: None,
            instance_ids: None,
            databases: None,
            regions: None,
            accounts: None,
            tick_minutes: None,
            notice: None,
            report: None,
        })
    }
}

impl Command {
    fn into_request(self, settings: &Settings, now: Timestamp) -> Result<Request, TriggerError> {
        if settings.accounts.is_some() && self.databases.is_some() && self.accounts.is_none() {
            return Err(TriggerError::NoAccount);
        }
        let is_tick = self.action == RequestedAction::Schedule;
        if let Some(minutes) = self.tick_minutes.filter(|minutes| !is_tick || !(1..=60).contains(minutes)) {
            return Err(TriggerError::Tick(minutes));
        }
        let notice = self.notice == Some(true);
        if notice && (self.action != RequestedAction::Stop || self.dry_run != Some(true) || !settings.events) {
            return Err(TriggerError::Notice);
        }
        let looks_ahead = self.dry_run == Some(true);
        let (time, instant) = match self.time {
            Some(Time(time)) if looks_ahead && !notice => (time, time),
            Some(Time(time)) => (check_age(time, settings.max_event_age, now)?, now),
            None => (now, now),
        };
        Ok(Request {
            action: self.action,
            time,
            instant: whole_seconds(instant),
            dry_run: settings.dry_run || looks_ahead,
            only: only(self.instance_ids, self.databases, settings)?,
            regions: match self.regions {
                Some(regions) => narrow(not_empty("regions", regions)?, &settings.regions)?,
                None => settings.regions.clone(),
            },
            accounts: match self.accounts {
                Some(_) if settings.accounts.is_none() => return Err(TriggerError::NoAccounts("accounts")),
                // Which there are, the organization may have to tell; what is none of them is told then.
                accounts => accounts.map(|accounts| not_empty("accounts", accounts)).transpose()?,
            },
            tick: self.tick_minutes.map(|minutes| SignedDuration::from_mins(minutes.into())),
            notice,
            counts_alone: self.report == Some(Told::Counts),
        })
    }
}

/// The instances and databases that are named, where any are.
fn only(
    instances: Option<Vec<InstanceId>>,
    databases: Option<Vec<DatabaseId>>,
    settings: &Settings,
) -> Result<Option<BTreeSet<ResourceId>>, TriggerError> {
    if databases.is_some() && !settings.databases {
        return Err(TriggerError::NoDatabases);
    }
    if instances.is_none() && databases.is_none() {
        return Ok(None);
    }
    let instances = instances.map(|ids| not_empty("instance_ids", ids)).transpose()?;
    let databases = databases.map(|ids| not_empty("databases", ids)).transpose()?;
    let instances = instances.into_iter().flatten().map(ResourceId::from);
    Ok(Some(instances.chain(databases.into_iter().flatten().map(ResourceId::from)).collect()))
}

/// With no limit on the age, which is for trials with sample events, now stands for the time.
fn check_age(time: Timestamp, max_age: Option<SignedDuration>, now: Timestamp) -> Result<Timestamp, TriggerError> {
    let Some(max_age) = max_age else { return Ok(now) };
    let age = now.duration_since(time);
    let limit = if age > max_age {
        max_age
    } else if age < -MAX_AHEAD {
        MAX_AHEAD
    } else {
        return Ok(time);
    };
    Err(TriggerError::Stale(Stale { time, now, limit }))
}

fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

fn not_empty<T: Ord>(field: &'static str, list: Vec<T>) -> Result<BTreeSet<T>, TriggerError> {
    if list.is_empty() { Err(TriggerError::EmptyList(field)) } else { Ok(list.into_iter().collect()) }
}

fn narrow(asked: BTreeSet<Region>, deployed: &[Region]) -> Result<Vec<Region>, TriggerError> {
    match asked.iter().find(|region| !deployed.contains(region)) {
        Some(region) => Err(TriggerError::OtherRegion { region: region.clone(), deployed: deployed.to_vec() }),
        None => Ok(asked.into_iter().collect()),
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, TriggerError> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        TriggerError::Field { path, error: error.into_inner() }
    })?;
    deserializer.end().map_err(|error| TriggerError::Field { path: String::new(), error })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const NOW: &str = "2026-11-21T09:00:00.25Z";

    fn settings() -> Settings {
        Settings::from_environment([("STOPINATOR_REGIONS".to_owned(), "eu-west-1,us-east-1".to_owned())]).unwrap()
    }

    fn parse_with(settings: &Settings, json: &str) -> Result<Request, String> {
        super::parse(json, settings, NOW.parse().unwrap()).map_err(|error| error.to_string())
    }

    fn parse(json: &str) -> Result<Request, String> {
        parse_with(&settings(), json)
    }

    fn event(time: &str) -> String {
        format!(r#"{{"detail-type": "Scheduled Event", "source": "aws.events", "time": "{time}", "detail": {{}}}}"#)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_scheduled_event_means_the_deployments_action_everywhere() {
        let expected = Request {
            action: RequestedAction::Stop,
            time: at("2026-11-21T08:59:00Z"),
            instant: at("2026-11-21T09:00:00Z"),
            dry_run: false,
            only: None,
            regions: settings().regions,
            accounts: None,
            tick: None,
            notice: false,
            counts_alone: false,
        };
        assert_eq!(parse(&event("2026-11-21T08:59:00Z")).unwrap(), expected);
        let from_scheduler = r#"{"version": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler",
            "time": "2026-11-21T08:59:00Z", "detail": "{}", "added-some-day": 1}"#;
        assert_eq!(parse(from_scheduler).unwrap(), expected);

        let start = Settings { action: RequestedAction::Start, dry_run: true, ..settings() };
        let request = parse_with(&start, &event("2026-11-21T08:59:00Z")).unwrap();
        assert_eq!((request.action, request.dry_run), (RequestedAction::Start, true));
    }

    #[test]
    fn a_command_narrows() {
        let json = r#"{"action": "start", "time": "2026-11-21T17:58:00+09:00", "regions": ["us-east-1", "us-east-1"],
            "instance_ids": ["i-0123abcd", "i-0123456789abcdef0", "i-0123abcd"]}"#;
        let request = parse(json).unwrap();
        assert_eq!(request.action, RequestedAction::Start);
        assert_eq!(request.time, at("2026-11-21T08:58:00Z"));
        let ids: Vec<String> = request.only.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["i-0123456789abcdef0", "i-0123abcd"]);
        assert_eq!(format!("{:?}", request.regions), "[us-east-1]");
    }

    #[test]
    fn a_tick_says_how_far_ticks_lie_apart_and_a_dry_run_may_be_a_notice() {
        let told = Settings { events: true, ..settings() };
        let request = parse_with(&told, r#"{"action": "schedule", "tick_minutes": 5}"#).unwrap();
        assert_eq!((request.tick, request.notice), (Some(SignedDuration::from_mins(5)), false));
        let notice = r#"{"action": "stop", "dry_run": true, "notice": true}"#;
        assert!(parse_with(&told, notice).unwrap().notice);
        for (settings, json, field) in [
            (&told, r#"{"action": "schedule", "tick_minutes": 0}"#, "`tick_minutes`: 0 is out of range"),
            (&told, r#"{"action": "schedule", "tick_minutes": 61}"#, "`tick_minutes`: 61 is out of range"),
            (&told, r#"{"action": "stop", "tick_minutes": 5}"#, "`tick_minutes`: 5 is out of range"),
            (&told, r#"{"action": "stop", "notice": true}"#, "`notice`: "),
            (&told, r#"{"action": "start", "dry_run": true, "notice": true}"#, "`notice`: "),
            (&settings(), notice, "`notice`: "),
        ] {
            let error = parse_with(settings, json).unwrap_err();
            assert!(error.starts_with(field), "{error}");
        }
    }

    fn hub() -> Settings {
        let variables = [("AWS_REGION", "eu-west-1"), ("STOPINATOR_ACCOUNTS", "000000000001,r-ab12")];
        Settings::from_environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap()
    }

    #[test]
    fn a_command_narrows_to_accounts_where_there_are_others() {
        let json = r#"{"action": "stop", "accounts": ["000000000002", "000000000001"], "report": "counts"}"#;
        let request = parse_with(&hub(), json).unwrap();
        assert_eq!(request.accounts, Some(BTreeSet::from([1, 2].map(testing::account))));
        assert!(request.counts_alone);
        assert!(!parse_with(&hub(), r#"{"action": "stop", "report": "full"}"#).unwrap().counts_alone);
        for (settings, json, field) in [
            (settings(), json, "`accounts`: this deployment looks after its own account only"),
            (hub(), r#"{"action": "stop", "accounts": []}"#, "`accounts`: the list is empty"),
            (hub(), r#"{"action": "stop", "accounts": null}"#, "`accounts`: "),
            (hub(), r#"{"action": "stop", "accounts": ["prod"]}"#, "`accounts[0]`: `prod` is not an account"),
            (hub(), r#"{"action": "stop", "report": "none"}"#, "`report`: unknown variant `none`"),
        ] {
            let error = parse_with(&settings, json).unwrap_err();
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn a_question_for_the_accounts_is_no_request() {
        let ask = |json: &str| chunks(json, &hub()).map_err(|error| error.to_string());
        assert_eq!(ask(r#"{"action": "accounts"}"#).unwrap().unwrap().get(), 2500);
        assert_eq!(ask(r#"{"action": "accounts", "targets": 4}"#).unwrap().unwrap().get(), 4);
        for other in [r#"{"action": "stop"}"#, r#"{"action": 1}"#, r#"["accounts"]"#, "{}", &event(NOW)] {
            assert_eq!(ask(other).unwrap(), None, "{other}");
        }
        for (json, error) in [
            (r#"{"action": "accounts", "targets": 0}"#, "`targets`: 0 is out of range"),
            (r#"{"action": "accounts", "targets": 10001}"#, "`targets`: 10001 is out of range"),
            (r#"{"action": "accounts", "targets": -1}"#, "`targets`: "),
            (r#"{"action": "accounts", "targets": null}"#, "`targets`: "),
            (r#"{"action": "accounts", "dry_run": true}"#, "`dry_run`: unknown field `dry_run`"),
        ] {
            let told = ask(json).unwrap_err();
            assert!(told.starts_with(error) || told.contains("unknown field"), "{told}");
        }
        let error = chunks(r#"{"action": "accounts"}"#, &settings()).unwrap_err().to_string();
        assert!(error.starts_with("`action`: this deployment looks after its own account only"), "{error}");
    }

    #[test]
    fn without_a_time_now_stands() {
        let request = parse(r#"{"action": "stop"}"#).unwrap();
        assert_eq!((request.time, request.instant), (at(NOW), at("2026-11-21T09:00:00Z")));
    }

    #[test]
    fn a_command_can_ask_for_a_dry_run_and_never_take_it_away() {
        let dry = Settings { dry_run: true, ..settings() };
        for (settings, json, expected) in [
            (&settings(), r#"{"action": "stop"}"#, false),
            (&settings(), r#"{"action": "stop", "dry_run": true}"#, true),
            (&settings(), r#"{"action": "stop", "dry_run": false}"#, false),
            (&dry, r#"{"action": "stop", "dry_run": false}"#, true),
            (&dry, r#"{"action": "stop"}"#, true),
        ] {
            assert_eq!(parse_with(settings, json).unwrap().dry_run, expected, "{json}");
        }
    }

    #[test]
    fn bad_triggers_name_the_field() {
        let long_list = format!(r#"{{"action": "stop", "instance_ids": ["i-0123abcd", "{}"]}}"#, "i".repeat(500));
        for (json, field) in [
            ("{}", "missing field `action`"),
            (r#"{"action": "halt"}"#, "`action`: unknown variant `halt`"),
            (r#"{"action": "Schedule"}"#, "`action`: unknown variant `Schedule`"),
            (r#"{"action": "STOP"}"#, "`action`: unknown variant `STOP`"),
            (r#"{"action": null}"#, "`action`: "),
            (r#"{"action": "stop", "force": true}"#, "unknown field `force`"),
            (r#"{"action": "stop", "action": "start"}"#, "duplicate field `action`"),
            (r#"{"action": "stop", "dry_run": "yes"}"#, "`dry_run`: "),
            (r#"{"action": "stop", "dry_run": null}"#, "`dry_run`: "),
            (r#"{"action": "stop", "time": "yesterday"}"#, "`time`: "),
            (r#"{"action": "stop", "time": "2026-11-21T09:00:00"}"#, "`time`: "),
            (r#"{"action": "stop", "time": 1795251600}"#, "`time`: "),
            (r#"{"action": "stop", "instance_ids": []}"#, "`instance_ids`: the list is empty"),
            (r#"{"action": "stop", "instance_ids": null}"#, "`instance_ids`: "),
            (r#"{"action": "stop", "instance_ids": "i-0123abcd"}"#, "`instance_ids`: "),
            (r#"{"action": "stop", "instance_ids": ["i-0123abcd", "web"]}"#, "`instance_ids[1]`: `web` is not"),
            (&long_list, "`instance_ids[1]`: "),
            (r#"{"action": "stop", "regions": []}"#, "`regions`: the list is empty"),
            (r#"{"action": "stop", "regions": ["Seoul"]}"#, "`regions[0]`: `Seoul` is not a region"),
            (r#"{"action": "stop", "regions": ["us-east-1", "us-west-2"]}"#, "`regions`: `us-west-2` is not among"),
            (r#"{"detail-type": "Scheduled Event"}"#, "missing field `source`"),
            (r#"{"source": "aws.events"}"#, "missing field `detail-type`"),
            (r#"{"detail-type": "Scheduled Event", "source": "aws.events"}"#, "missing field `time`"),
            (
                r#"{"detail-type": "Scheduled Event", "source": "my.app", "time": "2026-11-21T09:00:00Z"}"#,
                "`source`: `my.app`",
            ),
            (
                r#"{"detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "time": "2026-11-21T09:00:00Z"}"#,
                "`detail-type`: ",
            ),
            (r#"{"detail-type": "Scheduled Event", "source": "aws.events", "time": "soon"}"#, "`time`: "),
            ("[]", "a trigger is a JSON object"),
            ("null", "a trigger is a JSON object"),
            (r#""stop""#, "a trigger is a JSON object"),
            (r#"[{"action": "stop"}]"#, "a trigger is a JSON object"),
            (r#"{"action": "stop"} {"action": "start"}"#, "trailing characters"),
            (r#"{"action": "stop""#, "EOF"),
        ] {
            let error = parse(json).expect_err(json);
            assert!(error.starts_with("") && error.contains(field), "{json} gave: {error}");
        }
    }

    #[test]
    fn age() {
        for (time, accepted) in [
            ("2026-11-21T08:00:00.25Z", true),
            ("2026-11-21T08:00:00.249Z", false),
            ("2026-11-21T09:05:00.25Z", true),
            ("2026-11-21T09:05:00.251Z", false),
            ("1970-01-01T00:00:00Z", false),
            ("9999-12-30T00:00:00Z", false),
        ] {
            let command = format!(r#"{{"action": "stop", "time": "{time}"}}"#);
            for trigger in [event(time), command] {
                let result = parse(&trigger);
                assert_eq!(result.is_ok(), accepted, "{trigger}");
                if let Err(error) = result {
                    assert!(error.starts_with("`time` is ") && error.contains(time), "{error}");
                    assert!(!error.contains(", 60 minutes") && !error.contains(", 5 minutes"), "{error}");
                }
            }
        }
    }

    /// A megabyte in any place: the message is short, and names the field.
    #[test]
    fn what_is_long_is_cut_in_the_error() {
        let long = "x".repeat(1_000_000);
        for (json, names) in [
            (format!(r#"{{"action": "{long}"}}"#), "action"),
            (format!(r#"{{"action": "stop", "{long}": 1}}"#), "unknown field `xxx"),
            (format!(r#"{{"action": "stop", "time": "{long}"}}"#), "time"),
            (format!(r#"{{"action": "stop", "dry_run": "{long}"}}"#), "dry_run"),
            (format!(r#"{{"action": "stop", "instance_ids": ["{long}"]}}"#), "instance_ids[0]"),
            (format!(r#"{{"action": "stop", "regions": ["{long}"]}}"#), "regions[0]"),
            (format!(r#"{{"action": "stop", "regions": ["ab-{long}-1"]}}"#), "regions"),
            (format!(r#"{{"detail-type": "{long}", "source": "aws.events", "time": "{NOW}"}}"#), "detail-type"),
            (format!(r#"{{"detail-type": "Scheduled Event", "source": "{long}", "time": "{NOW}"}}"#), "source"),
            (format!(r#"{{"detail-type": "Scheduled Event", "source": "aws.events", "time": "{long}"}}"#), "time"),
            (format!(r#"{{"action": "stop"}}{long}"#), "trailing"),
            (format!("[{long}"), "a trigger is a JSON object"),
        ] {
            let error = parse(&json).unwrap_err();
            assert!(error.len() < 1_000 && error.contains(names), "{names}: {} bytes: {error:.200}", error.len());
        }
    }

    #[test]
    fn any_age_takes_now_for_the_time() {
        let any = Settings { max_event_age: None, ..settings() };
        let request = parse_with(&any, &event("2020-01-01T00:00:00Z")).unwrap();
        assert_eq!((request.time, request.instant), (at(NOW), at("2026-11-21T09:00:00Z")));
    }

    #[test]
    fn a_commands_own_dry_run_looks_at_any_time() {
        let future = at("2027-03-28T02:30:00Z");
        let json = format!(r#"{{"action": "stop", "dry_run": true, "time": "{future}"}}"#);
        for settings in [settings(), Settings { max_event_age: None, ..settings() }] {
            let request = parse_with(&settings, &json).unwrap();
            assert_eq!((request.time, request.instant, request.dry_run), (future, future, true));
        }
        let by_setting = Settings { dry_run: true, ..settings() };
        let live = format!(r#"{{"action": "stop", "time": "{future}"}}"#);
        assert!(parse_with(&by_setting, &live).unwrap_err().starts_with("`time` is "));
    }

    #[test]
    fn the_docs_tell_each_message() {
        testing::hold_rows("messages.md", "| trigger | message |\n|---|---|\n", |row| {
            let trigger = testing::first_cell(row);
            format!("| `{trigger}` | {} |", parse(trigger).unwrap_err())
        });
    }
}
