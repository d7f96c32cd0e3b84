//! Tells what a tick decides about a database: JSON lines in, one word a line out, which is `stop`, `start` or the
//! reason why it is kept. `tests/database_test.py` holds the answers against a calculation of its own.
//!
//! A line is [`Case`]: the instant, the deployment's zone, what RDS tells of the database, its two tags, and what RDS's
//! log says, each event with the database that it is about.
//!
//! ```sh
//! printf '%s\n' '{"now": "2026-11-19T18:05:00Z", "zone": "UTC", "kind": "db", "status": "available",
//!     "engine": "postgres", "engine_mode": "", "multi_az": false, "member_of": null, "replicates": false,
//!     "created": "2025-03-01T12:00:00Z", "restart_time": null, "tag": "weekdays 08:00-18:00", "hold": null,
//!     "events": [["db:orders", "2026-11-19T08:05:00Z", "DB instance started"]]}' | tr -d '\n' |
//!     cargo run --quiet --no-default-features --example databases
//! ```
#![expect(clippy::print_stdout, reason = "a program for a terminal or a pipe")]

use std::error::Error;
use std::io::stdin;

use jiff::Timestamp;
use serde::Deserialize;
use stopinator::plan::{Decision, Looked, depends_on_history, plan};
use stopinator::rds::facts::{Told, is_unhealthy, state};
use stopinator::rds::history::History;
use stopinator::resource::{DatabaseId, Kind, LastStart, LastStop, Launch, RDS_KEEPS_STOPPED, Resource, State};
use stopinator::settings::Settings;
use stopinator::trigger;

/// The database that all is about.
const NAME: &str = "orders";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    now: Timestamp,
    zone: String,
    kind: String,
    status: String,
    engine: String,
    engine_mode: String,
    multi_az: bool,
    member_of: Option<String>,
    replicates: bool,
    created: Option<Timestamp>,
    restart_time: Option<Timestamp>,
    tag: String,
    hold: Option<String>,
    events: Vec<(String, Timestamp, String)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    for line in stdin().lines() {
        println!("{}", decided(&serde_json::from_str(&line?)?)?);
    }
    Ok(())
}

fn decided(case: &Case) -> Result<&'static str, Box<dyn Error>> {
    let variables =
        [("AWS_REGION", "eu-west-1"), ("STOPINATOR_SERVICES", "ec2,rds"), ("STOPINATOR_TIME_ZONE", &case.zone)];
    let settings = Settings::from_environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())))?;
    let request = trigger::parse(r#"{"action": "schedule"}"#, &settings, case.now)?;
    let mut database = reduce(case, &settings)?;
    if depends_on_history(&settings, &request, &database) {
        history(case)?.tell(&mut database, request.instant);
    }
    match plan(&settings, &request, [database], Looked::EVERYWHERE).entries.as_slice() {
        [entry] => Ok(match &entry.decision {
            Decision::Act(action) => action.as_str(),
            Decision::Keep(why) => why.reason().as_str(),
        }),
        entries => Err(format!("one database, and {} decisions", entries.len()).into()),
    }
}

fn history(case: &Case) -> Result<History, Box<dyn Error>> {
    let mut history = History::default();
    for (source, at, message) in &case.events {
        history.add(DatabaseId::try_from(source.clone())?, whole_seconds(*at)?, message);
    }
    Ok(history)
}

/// As `aws::rds` does with what the SDK gives.
fn reduce(case: &Case, settings: &Settings) -> Result<Resource, Box<dyn Error>> {
    let kind = match &*case.kind {
        "db" => Kind::Db,
        "cluster" => Kind::Cluster,
        other => return Err(format!("`{other}` is neither `db` nor `cluster`").into()),
    };
    let told = Told {
        kind,
        status: &case.status,
        engine: &case.engine,
        engine_mode: &case.engine_mode,
        multi_az: case.multi_az,
        member_of: case.member_of.as_deref(),
        replicates: case.replicates,
    };
    let state = state(told.status);
    let says_all = matches!(state, State::Running | State::Stopped);
    let restarts = case.restart_time.filter(|_| state == State::Stopped).map(whole_seconds).transpose()?;
    let stopped = restarts.and_then(|restarts| restarts.checked_sub(RDS_KEEPS_STOPPED).ok());
    let mut database = Resource {
        name: Some(NAME.into()),
        id: DatabaseId::new(kind, NAME)?.into(),
        place: settings.regions[0].clone().into(),
        state,
        status: (!says_all && !is_unhealthy(told.status)).then(|| told.status.into()),
        tag: Some(case.tag.as_str().into()),
        hold: case.hold.as_deref().map(Into::into),
        owner: None,
        launch: Launch { started_at: case.created.map(whole_seconds).transpose()?, ..Launch::default() },
        last_start: LastStart::NotTold,
        last_stop: stopped.map_or(LastStop::Unknown, |stopped| LastStop::BySomebody(Some(stopped))),
        forbids: None,
    };
    for why in told.forbids() {
        database.forbid(why);
    }
    Ok(database)
}

fn whole_seconds(at: Timestamp) -> Result<Timestamp, jiff::Error> {
    Timestamp::new(at.as_second(), 0)
}
