//! The lines of a week: seven days, the hours of each instance in them, and their sums.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use stopinator::place::Region;
use stopinator::plan::Decision;
use stopinator::reason::Reason;
use stopinator::resource::{ResourceId, State};
use stopinator::week::{Hours, InForce, Stretch, hours};
use stopinator::zone;

use crate::args::{By, Week};
use crate::failure::Failure;
use crate::look::Looked;
use crate::prices::Prices;
use crate::rows::instance_type;
use crate::when::{name_of, on_clocks};

/// Seven days, by the clocks of a zone.
#[derive(Debug)]
pub(crate) struct Days {
    pub(crate) first: Date,
    pub(crate) zone: TimeZone,
    pub(crate) now: Timestamp,
}

/// One instance's week.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) account: String,
    pub(crate) account_id: String,
    pub(crate) region: Option<Region>,
    pub(crate) id: ResourceId,
    pub(crate) name: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) state: Option<State>,
    pub(crate) tag: Option<String>,
    pub(crate) hold: Option<String>,
    pub(crate) canonical: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) hours: Option<Hours>,
    /// Why it has no hours, or what else its decision says.
    pub(crate) reason: Option<Reason>,
    pub(crate) detail: Option<String>,
    pub(crate) price: Option<f64>,
}

impl Days {
    pub(crate) fn read(week: &Week, now: Timestamp) -> Result<Self, Failure> {
        let zone = match &week.zone_in {
            None => TimeZone::system(),
            Some(name) => zone::zone(name).map_err(|error| Failure::usage(format!("--in: `{name}`: {error}")))?,
        };
        let today = zone.to_datetime(now).date();
        let first = match &week.from {
            None => today - i64::from(today.weekday().to_monday_zero_offset()).days(),
            Some(text) => Date::strptime("%Y-%m-%d", text)
                .map_err(|_| Failure::usage(format!("--from: `{text}` is no date: write 2026-11-23")))?,
        };
        Ok(Self { first, zone, now })
    }

    /// The instant of an hour of a day, by the clocks; of one that does not exist the first after the gap.
    pub(crate) fn instant(&self, day: usize, hour: usize) -> Timestamp {
        let date = self.first.saturating_add(i64::try_from(day + hour / 24).unwrap_or(0).days());
        let time = Time::new(i8::try_from(hour % 24).unwrap_or(0), 0, 0, 0).unwrap_or(Time::midnight());
        self.zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn whole(&self) -> Stretch {
        Stretch { from: self.instant(0, 0), to: self.instant(7, 0) }
    }

    pub(crate) fn length(&self) -> SignedDuration {
        let Stretch { from, to } = self.whole();
        to.duration_since(from)
    }

    /// `Mon 23`, of each day.
    pub(crate) fn titles(&self) -> impl Iterator<Item = String> {
        (0..7).map(|day: i64| self.first.saturating_add(day.days()).strftime("%a %d").to_string())
    }
}

impl Line {
    pub(crate) fn off_time(&self, days: &Days) -> Option<SignedDuration> {
        Some(days.length() - self.hours.as_ref()?.on_time())
    }

    /// US dollars that the hours off cost at most.
    pub(crate) fn saved(&self, days: &Days) -> Option<f64> {
        Some(self.off_time(days)?.as_secs_f64() / 3600.0 * self.price?)
    }

    /// Its name, or its id where it has none.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id.as_str())
    }

    pub(crate) fn is_to_mend(&self) -> bool {
        matches!(self.reason, Some(Reason::InvalidSchedule | Reason::InvalidHold))
    }
}

/// The lines of an account, by name; what is terminated has no week.
pub(crate) fn lines(looked: &Looked<'_>, days: &Days, prices: &Prices) -> Vec<Line> {
    let rows = looked.rows().filter(|(row, _)| row.reason() != Some(Reason::Gone)).map(|(row, found)| {
        // Reasons up to these say that no schedule is followed at all.
        let aside = row.reason().filter(|reason| *reason <= Reason::InvalidHold);
        let default = &looked.account.settings.time_zone;
        let hours_of = || {
            let (instance, evidence) = found?;
            let schedule = evidence.schedule.as_ref().filter(|schedule| aside.is_none() && schedule.tells_hours())?;
            let runs = matches!(instance.state, State::Pending | State::Running);
            let hold = evidence.held_at(days.now).map(|(hold, until)| InForce { mode: hold.mode(), until, runs });
            Some(hours(schedule, default, hold, days.now, days.whole()))
        };
        let why = match &row.entry.decision {
            Decision::Keep(why) => why.detail(),
            Decision::Act(_) => None,
        };
        let schedule = found.and_then(|(_, evidence)| evidence.schedule.as_ref());
        let kind = found.and_then(|(instance, _)| instance_type(instance));
        let platform = found.and_then(|(instance, _)| instance.launch.pool.as_ref()).map_or("", |pool| &pool.platform);
        let region = row.entry.region().map_or("", |region| region.as_str());
        Line {
            account: looked.account.name.clone(),
            account_id: looked.account.id.clone(),
            region: row.entry.region().cloned(),
            id: row.entry.id.clone(),
            name: row.entry.name.as_deref().filter(|name| !name.is_empty()).map(str::to_owned),
            kind: kind.map(str::to_owned),
            state: found.map(|(instance, _)| instance.state),
            tag: found.and_then(|(instance, _)| instance.tag.as_deref().map(str::to_owned)),
            hold: found.and_then(|(instance, _)| instance.hold.as_deref().map(str::to_owned)),
            canonical: schedule.map(ToString::to_string),
            zone: found.filter(|_| schedule.is_some()).map(|(_, evidence)| name_of(&evidence.zone).to_owned()),
            hours: hours_of(),
            reason: aside,
            detail: aside.and(why),
            price: kind.and_then(|kind| prices.of(region, kind, platform)),
        }
    });
    let mut lines: Vec<Line> = rows.collect();
    lines.sort_by(|a, b| (a.label(), &a.id).cmp(&(b.label(), &b.id)));
    lines
}

/// Sums over lines with hours.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) count: usize,
    pub(crate) on: SignedDuration,
    pub(crate) all: SignedDuration,
    pub(crate) saved: f64,
    pub(crate) priced: usize,
}

impl Sums {
    pub(crate) fn of<'a>(lines: impl IntoIterator<Item = &'a Line>, days: &Days) -> Self {
        let mut sums = Self::default();
        for (line, hours) in lines.into_iter().filter_map(|line| Some((line, line.hours.as_ref()?))) {
            sums.count += 1;
            sums.on += hours.on_time();
            sums.all += days.length();
            sums.saved += line.saved(days).unwrap_or(0.0);
            sums.priced += usize::from(line.price.is_some());
        }
        sums
    }

    /// How much less than always on, in percent.
    pub(crate) fn percent(self) -> i128 {
        let all = self.all.as_secs().max(1);
        i128::from(100 - (self.on.as_secs() * 100 + all / 2) / all)
    }
}

/// Hours, with a decimal where there are minutes.
pub(crate) fn in_hours(time: SignedDuration) -> String {
    let hours = time.as_secs_f64() / 3600.0;
    if time.as_secs() % 3600 == 0 { format!("{hours:.0}") } else { format!("{hours:.1}") }
}

/// The lines by what they are grouped by; each group with its title.
pub(crate) fn groups(lines: &[Line], by: By) -> BTreeMap<String, Vec<&Line>> {
    let mut groups: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.hours.is_some()) {
        let title = match by {
            By::Account => line.account.clone(),
            _ => line.canonical.clone().unwrap_or_default(),
        };
        groups.entry(title).or_default().push(line);
    }
    groups
}

/// `Mon 18:00`, on the clocks of the columns.
pub(crate) fn clock(at: Timestamp, days: &Days) -> String {
    on_clocks(at, &days.zone).strftime("%a %H:%M").to_string()
}
