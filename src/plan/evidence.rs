//! What a decision rests on, for people who ask why.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::resource::Resource;
use crate::schedule::{Edge, Hold, Schedule, Tag};

/// What the tags of one instance say at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Its schedule, where its tag has one.
    pub schedule: Option<Schedule>,
    /// Its hold, where its tag has one that parses, and when that ends.
    pub hold: Option<(Hold, Timestamp)>,
    /// The zone of its schedule, or else the deployment's.
    pub zone: TimeZone,
    /// The latest edge that counts; that of a schedule that has been so for ever lies at [`Timestamp::MIN`].
    pub latest: Option<Edge>,
}

impl Evidence {
    /// Reads the tags of an instance as the plan for `instant` does, in the zone `default` where they name none.
    #[must_use]
    pub fn of(instance: &Resource, default: &TimeZone, instant: Timestamp) -> Self {
        let schedule = match instance.tag.as_deref().map(Tag::parse) {
            Some(Tag::Schedule(schedule)) => Some(schedule),
            _ => None,
        };
        let zone = schedule.as_ref().map_or(default, |schedule| schedule.zone(default)).clone();
        let hold = instance.hold.as_deref().and_then(|value| Hold::parse(value).ok());
        let hold = hold.map(|hold| (hold.clone(), hold.end(&zone)));
        let ended = hold.as_ref().map(|(_, end)| *end).filter(|end| *end <= instant);
        let latest = schedule.as_ref().and_then(|schedule| schedule.latest_edge(default, instant, ended));
        Self { schedule, hold, zone, latest }
    }

    /// The edges of the schedule after an instant.
    pub fn edges_after(&self, instant: Timestamp) -> impl Iterator<Item = Edge> + use<'_> {
        self.schedule.iter().flat_map(move |schedule| schedule.edges_after(&self.zone, instant))
    }

    /// Whether the schedule says on when a hold ends.
    #[must_use]
    pub fn is_on_after_hold(&self, end: Timestamp) -> bool {
        let edge = self.schedule.as_ref().and_then(|schedule| schedule.latest_edge(&self.zone, end, Some(end)));
        edge.is_some_and(|edge| edge.on)
    }

    /// The hold, where it is in force at an instant, and when it ends.
    #[must_use]
    pub fn held_at(&self, instant: Timestamp) -> Option<(&Hold, Timestamp)> {
        self.hold.as_ref().filter(|(_, end)| instant < *end).map(|(hold, end)| (hold, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, instance};

    fn evidence(tag: &str, hold: Option<&str>, instant: &str) -> Evidence {
        let instance = Resource { tag: Some(tag.into()), hold: hold.map(Into::into), ..instance() };
        Evidence::of(&instance, &TimeZone::UTC, at(instant))
    }

    #[test]
    fn what_the_tags_say_at_an_instant() {
        let hours = "weekdays 08:00-18:00";
        let told = evidence(hours, None, "2026-11-23T17:00:00Z");
        assert_eq!(told.latest.map(|edge| (edge.at, edge.on)), Some((at("2026-11-23T08:00:00Z"), true)));
        let next: Vec<Timestamp> = told.edges_after(at("2026-11-23T17:00:00Z")).take(2).map(|edge| edge.at).collect();
        assert_eq!(next, [at("2026-11-23T18:00:00Z"), at("2026-11-24T08:00:00Z")]);
        for (tag, zone) in [("true", "UTC"), ("weekday 08:00", "UTC"), ("08:00-18:00 Asia/Seoul", "Asia/Seoul")] {
            let told = evidence(tag, None, "2026-11-23T17:00:00Z");
            assert_eq!(told.zone.iana_name(), Some(zone), "{tag}");
            assert_eq!(told.schedule.is_some(), zone != "UTC", "{tag}");
        }
    }

    #[test]
    fn a_hold_is_in_force_up_to_its_end() {
        let hold = Some("until 2026-11-23 17:00");
        for (instant, is_in_force) in
            [("2026-11-23T16:59:59Z", true), ("2026-11-23T17:00:00Z", false), ("2026-11-23T17:00:01Z", false)]
        {
            let told = evidence("weekdays 08:00-18:00", hold, instant);
            assert_eq!(told.held_at(at(instant)).is_some(), is_in_force, "{instant}");
            // Once it is over, its end is an edge.
            let latest = if is_in_force { "2026-11-23T08:00:00Z" } else { "2026-11-23T17:00:00Z" };
            assert_eq!(told.latest.map(|edge| edge.at), Some(at(latest)), "{instant}");
        }
        // In the zone of the schedule, where it names none.
        let seoul = evidence("08:00-18:00 Asia/Seoul", hold, "2026-11-23T00:00:00Z");
        assert_eq!(seoul.hold.map(|(_, end)| end), Some(at("2026-11-23T08:00:00Z")));
        assert_eq!(evidence("true", Some("until then"), "2026-11-23T00:00:00Z").hold, None);
    }
}
