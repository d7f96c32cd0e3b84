//! RDS's log of events to who started and stopped a database last.
//!
//! The log reaches back 14 days, bears no ids, and is written on a best effort: events come late, twice, in any order,
//! or not at all. So the whole of it is read, and where it contradicts what RDS shows, that is told.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html>,
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/working-with-events.html>

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::resource::{DatabaseId, LastStart, LastStop, RDS_KEEPS_STOPPED, RDS_REMEMBERS, Resource, State};

/// By so much AWS's own start may come later than seven days after the stop.
const AWS_STARTS_WITHIN: SignedDuration = SignedDuration::from_hours(4);

/// What an event tells. Of several at one instant, the order is this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Stopped,
    /// AWS starts it, since it was stopped for as long as RDS lets it be.
    StartedByAws,
    Started,
}

/// The starts and stops of some databases.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In order, each once, however often it was told.
    turns: BTreeMap<DatabaseId, BTreeSet<(Timestamp, Turn)>>,
}

impl History {
    /// Takes an event, as RDS tells it; one that tells of no start and no stop is nothing.
    pub fn add(&mut self, database: DatabaseId, at: Timestamp, message: &str) {
        if let Some(turn) = turn(message) {
            self.turns.entry(database).or_default().insert((at, turn));
        }
    }

    /// Notes on a database what the log says of it, up to `now`. Its creation, as Describe tells it, is a start like any
    /// other, as far back as the log reaches.
    pub fn tell(&self, database: &mut Resource, now: Timestamp) {
        let mut turns = database.id.database().and_then(|id| self.turns.get(id)).cloned().unwrap_or_default();
        // What is older is of another that had its name.
        if let Some(created) = database.launch.started_at {
            turns.retain(|(at, _)| *at >= created);
        }
        let remembered = |at: &Timestamp| now.duration_since(*at) <= RDS_REMEMBERS;
        turns.extend(database.launch.started_at.filter(remembered).map(|created| (created, Turn::Started)));
        let turns = &turns;
        let latest = |wanted: Turn| turns.iter().rev().find(|(_, turn)| *turn == wanted).map(|(at, _)| *at);
        let (started, stopped) = (latest(Turn::Started), latest(Turn::Stopped));
        if database.last_stop == LastStop::Unknown {
            database.last_stop = LastStop::BySomebody(stopped);
        }
        database.launch.started_at = started;
        database.last_start = match (latest(Turn::StartedByAws), started, stopped) {
            (None, None, None) => LastStart::LongAgo,
            // AWS's message comes before the start that it tells of, and after the stop that came to an end by it.
            (Some(by_aws), started, stopped) if Some(by_aws) >= stopped && is_aws_own(turns, by_aws, started) => {
                LastStart::ByAws
            }
            (_, Some(started), stopped) if stopped.is_none_or(|stopped| stopped <= started) => {
                let before = turns.range(..(started, Turn::Stopped)).rev().find(|(_, turn)| *turn == Turn::Stopped);
                let lasted = before.map(|(stopped, _)| started.duration_since(*stopped) - RDS_KEEPS_STOPPED);
                // The message may be lost; but nobody waits for just seven days.
                let by_itself = lasted.is_some_and(|late| late >= SignedDuration::ZERO && late <= AWS_STARTS_WITHIN);
                if by_itself { LastStart::ByAws } else { LastStart::BySomebody }
            }
            // One that is on its way contradicts nothing.
            _ if database.state != State::Running => LastStart::BySomebody,
            _ => {
                // Of that start, nothing is known.
                database.launch.started_at = None;
                LastStart::Unclear
            }
        };
    }
}

/// Whether the latest start is the one that AWS's message tells of: it is yet to come, or the first after it.
fn is_aws_own(turns: &BTreeSet<(Timestamp, Turn)>, by_aws: Timestamp, started: Option<Timestamp>) -> bool {
    let first = turns.range((by_aws, Turn::Started)..).find(|(_, turn)| *turn == Turn::Started).map(|(at, _)| *at);
    first.is_none() || first == started
}

/// What a message tells. Whole messages count, without their full stop: `restarted` ends in `started`.
fn turn(message: &str) -> Option<Turn> {
    let message = message.trim().trim_end_matches('.').to_ascii_lowercase();
    if message.contains("exceeding the maximum allowed time being stopped") {
        return Some(Turn::StartedByAws);
    }
    let what = message.strip_prefix("db ").unwrap_or(&message);
    let what = what.strip_prefix("instance ").or_else(|| what.strip_prefix("cluster "))?;
    match what.strip_prefix("has been ").unwrap_or(what) {
        "started" => Some(Turn::Started),
        "stopped" => Some(Turn::Stopped),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resource::{Launch, ResourceId};
    use crate::testing::{at, instance, resource_id};

    const NOW: &str = "2026-11-21T09:00:00Z";
    const STARTED: &str = "DB instance started";
    const STOPPED: &str = "DB instance stopped";
    const BY_AWS: &str = "DB instance is being started due to it exceeding the maximum allowed time being stopped.";

    fn database(state: State) -> Resource {
        Resource {
            id: resource_id("db:orders"),
            state,
            last_start: LastStart::NotTold,
            launch: Launch::default(),
            ..instance()
        }
    }

    fn history(events: &[(&str, &str)]) -> History {
        let mut history = History::default();
        for (time, message) in events {
            let ResourceId::Database(id) = resource_id("db:orders") else { panic!() };
            history.add(id, at(&format!("2026-11-{time}:00Z")), message);
        }
        history
    }

    fn told(state: State, events: &[(&str, &str)]) -> (LastStart, Option<Timestamp>, LastStop) {
        let mut database = database(state);
        history(events).tell(&mut database, at(NOW));
        (database.last_start, database.launch.started_at, database.last_stop)
    }

    #[test]
    fn messages() {
        for (message, expected) in [
            ("DB instance started", Some(Turn::Started)),
            ("DB cluster started.", Some(Turn::Started)),
            ("Instance stopped", Some(Turn::Stopped)),
            ("Cluster started", Some(Turn::Started)),
            ("db instance has been stopped", Some(Turn::Stopped)),
            (BY_AWS, Some(Turn::StartedByAws)),
            (
                "DB cluster is being started due to it exceeding the maximum allowed time being stopped",
                Some(Turn::StartedByAws),
            ),
            ("DB instance restarted", None),
            ("DB instance shutdown", None),
            ("DB cluster stop failed", None),
            ("Replication has stopped.", None),
            ("The parameter max_connections was set; DB instance started", None),
            ("", None),
        ] {
            assert_eq!(turn(message), expected, "{message}");
        }
    }

    #[test]
    fn who_started_it() {
        use LastStart::{ByAws, BySomebody, LongAgo, Unclear};
        for (events, expected, started) in [
            (&[][..], LongAgo, None),
            (&[("20T08:00", STARTED)], BySomebody, Some("2026-11-20T08:00:00Z")),
            (&[("19T18:00", STOPPED), ("20T08:00", STARTED)], BySomebody, Some("2026-11-20T08:00:00Z")),
            (&[("20T08:00", STARTED), ("20T18:00", STOPPED)], Unclear, None),
            (
                &[("12T18:00", STOPPED), ("19T18:01", BY_AWS), ("19T18:20", STARTED)],
                ByAws,
                Some("2026-11-19T18:20:00Z"),
            ),
            // The start is yet to be told.
            (&[("12T18:00", STOPPED), ("19T18:01", BY_AWS)], ByAws, None),
            (&[("19T18:01", BY_AWS)], ByAws, None),
            // AWS's message is lost, but seven days tell the same.
            (&[("12T18:00", STOPPED), ("19T18:20", STARTED)], ByAws, Some("2026-11-19T18:20:00Z")),
            (&[("12T18:00", STOPPED), ("19T23:00", STARTED)], BySomebody, Some("2026-11-19T23:00:00Z")),
            (&[("12T18:00", STOPPED), ("19T17:00", STARTED)], BySomebody, Some("2026-11-19T17:00:00Z")),
            // After AWS's start somebody stopped it, and started it again.
            (
                &[
                    ("12T18:00", STOPPED),
                    ("19T18:01", BY_AWS),
                    ("19T18:20", STARTED),
                    ("19T19:00", STOPPED),
                    ("20T08:00", STARTED),
                ],
                BySomebody,
                Some("2026-11-20T08:00:00Z"),
            ),
            // The same, and the stop between is lost.
            (
                &[("19T18:01", BY_AWS), ("19T18:20", STARTED), ("20T08:00", STARTED)],
                BySomebody,
                Some("2026-11-20T08:00:00Z"),
            ),
        ] {
            let (start, at_, _) = told(State::Running, events);
            assert_eq!((start, at_), (expected, started.map(at)), "{events:?}");
        }
    }

    #[test]
    fn creation_is_a_start_as_far_as_the_log_reaches() {
        let created = |when: &str, events: &[(&str, &str)]| {
            let launch = Launch { started_at: Some(at(when)), ..Launch::default() };
            let mut database = Resource { launch, ..database(State::Running) };
            history(events).tell(&mut database, at(NOW));
            (database.last_start, database.launch.started_at)
        };
        let lately = "2026-11-20T20:00:00Z";
        assert_eq!(created(lately, &[]), (LastStart::BySomebody, Some(at(lately))));
        assert_eq!(created("2026-11-01T20:00:00Z", &[]), (LastStart::LongAgo, None));
        // One that has the name of another, which was stopped and deleted.
        assert_eq!(created(lately, &[("19T18:00", STOPPED)]), (LastStart::BySomebody, Some(at(lately))));
        assert_eq!(created(lately, &[("20T21:00", STOPPED)]), (LastStart::Unclear, None));
        // Nor does AWS's own start of the other count, or the week since its stop.
        let other = [("13T18:00", STOPPED), ("20T18:01", BY_AWS)];
        assert_eq!(created(lately, &other), (LastStart::BySomebody, Some(at(lately))));
        assert_eq!(created(lately, &other[..1]), (LastStart::BySomebody, Some(at(lately))));
    }

    #[test]
    fn one_on_its_way_contradicts_nothing() {
        let events = [("20T08:00", STARTED), ("20T18:00", STOPPED)];
        for state in [State::Pending, State::Stopping, State::Busy] {
            let (start, started, stop) = told(state, &events);
            assert_eq!((start, started), (LastStart::BySomebody, Some(at("2026-11-20T08:00:00Z"))));
            assert_eq!(stop, LastStop::BySomebody(Some(at("2026-11-20T18:00:00Z"))));
        }
    }

    #[test]
    fn when_it_was_stopped() {
        let events = [("19T18:00", STOPPED), ("20T08:00", STARTED), ("20T18:00", STOPPED)];
        assert_eq!(told(State::Stopped, &events).2, LastStop::BySomebody(Some(at("2026-11-20T18:00:00Z"))));
        assert_eq!(told(State::Stopped, &[]).2, LastStop::BySomebody(None));
        // What RDS shows comes before what it remembers.
        let shown = LastStop::BySomebody(Some(at("2026-11-20T18:03:00Z")));
        let mut database = Resource { last_stop: shown.clone(), ..database(State::Stopped) };
        history(&events).tell(&mut database, at(NOW));
        assert_eq!(database.last_stop, shown);
    }

    #[test]
    fn a_cluster_of_the_same_name_is_another() {
        let mut cluster = Resource { id: resource_id("cluster:orders"), ..database(State::Running) };
        history(&[("20T08:00", STARTED)]).tell(&mut cluster, at(NOW));
        assert_eq!(cluster.last_start, LastStart::LongAgo);
    }

    proptest! {
        /// Shuffled, doubled, in other letters, with other ends: the same is told.
        #[test]
        fn the_order_and_the_letters_do_not_matter(
            events in prop::collection::vec((0_i64..20_000, 0_usize..3), 0..12).prop_shuffle(),
            upper in prop::bool::ANY,
        ) {
            let message = |turn: usize| [STARTED, STOPPED, BY_AWS][turn];
            let read = |events: &[(i64, usize)], upper: bool| {
                let mut history = History::default();
                for (minute, turn) in events {
                    let ResourceId::Database(id) = resource_id("db:orders") else { panic!() };
                    let message = if upper { format!("{}.", message(*turn).to_uppercase()) } else { message(*turn).to_owned() };
                    history.add(id, at("2026-11-01T00:00:00Z") + SignedDuration::from_mins(*minute), &message);
                }
                let mut database = database(State::Running);
                history.tell(&mut database, at(NOW));
                database
            };
            let mut sorted = events.clone();
            sorted.sort_unstable();
            let doubled: Vec<_> = events.iter().chain(&events).copied().collect();
            prop_assert_eq!(read(&sorted, false), read(&events, upper));
            prop_assert_eq!(read(&sorted, false), read(&doubled, upper));
        }
    }
}
