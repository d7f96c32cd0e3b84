//! What a decision rests on, for people who ask why.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::resource::Instance;
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
    pub fn of(instance: &Instance, default: &TimeZone, instant: Timestamp) -> Self {
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

    /// The hold, where it is in force at an instant, and when it ends.
    #[must_use]
    pub fn held_at(&self, instant: Timestamp) -> Option<(&Hold, Timestamp)> {
        self.hold.as_ref().filter(|(_, end)| instant < *end).map(|(hold, end)| (hold, *end))
    }
}
