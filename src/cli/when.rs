//! Times, as people write and read them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// An instant that somebody named, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) at: Timestamp,
    /// That it does not exist, and what was taken instead.
    pub(crate) remark: Option<String>,
}

/// The time, or that which a test or a picture wants it to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch(pub(crate) Option<Timestamp>);

impl Watch {
    pub(crate) fn now(self) -> Timestamp {
        self.0.unwrap_or_else(Timestamp::now)
    }
}

/// Reads `18:05` (the next), `2026-11-23 18:05`, `2026-11-23`, RFC 3339 or `+2h30m`; local times are those of `zone`.
pub(crate) fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Named, String> {
    let wrong = || format!("`{text}` is no time: write 18:05, 2026-11-23 18:05, 2026-11-23T18:05:00Z or +2h30m");
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Named { at, remark: None });
    }
    if let Some(later) = text.strip_prefix('+') {
        let at = now.checked_add(duration(later)?).map_err(|_| wrong())?;
        return Ok(Named { at, remark: None });
    }
    let local = if let Ok(time) = Time::strptime("%H:%M", text) {
        let today = zone.to_datetime(now).date();
        let named = local_time(today.to_datetime(time), zone)?;
        if named.at > now {
            return Ok(named);
        }
        today.tomorrow().map_err(|_| wrong())?.to_datetime(time)
    } else if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        date.to_datetime(Time::midnight())
    } else {
        let with_blank = text.replacen(['T', 't'], " ", 1);
        let forms = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"];
        forms.iter().find_map(|form| DateTime::strptime(form, &with_blank).ok()).ok_or_else(wrong)?
    };
    local_time(local, zone)
}

/// A length of time, such as `3h` or `2h30m`; more than none.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let read = text.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
    read.ok_or_else(|| format!("`{text}` is no length of time: write 3h, 90m or 2h30m"))
}

/// Of a local time that does not exist the first one after the gap, of one that exists twice the first.
fn local_time(local: DateTime, zone: &TimeZone) -> Result<Named, String> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let gone = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    let out_of_range = |_| format!("{local} is out of range");
    if !gone {
        return Ok(Named { at: ambiguous.earlier().map_err(out_of_range)?, remark: None });
    }
    let before = ambiguous.earlier().map_err(out_of_range)?;
    let at = zone.following(before).next().map_or(before, |change| change.timestamp());
    let name = name_of(zone);
    let remark = format!(
        "{} does not exist on {} in {name}; {} is taken",
        local.strftime("%H:%M"),
        local.date(),
        zone.to_datetime(at).strftime("%H:%M")
    );
    Ok(Named { at, remark: Some(remark) })
}

/// The zone's name, or what it is called here.
pub(crate) fn name_of(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("local time")
}

/// An instant on the clocks of a zone.
pub(crate) fn on_clocks(at: Timestamp, zone: &TimeZone) -> ZonedDateTime {
    at.to_zoned_datetime(zone.clone())
}

/// `Tue 08:00` within the next days, else with the date.
#[cfg(feature = "cli")]
pub(crate) fn short(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let near = SignedDuration::from_hours(6 * 24);
    let form = if at.duration_since(now).abs() <= near { "%a %H:%M" } else { "%a %Y-%m-%d %H:%M" };
    on_clocks(at, zone).strftime(form).to_string()
}

/// `2h 40min`, the two greatest units.
pub(crate) fn rough(length: SignedDuration) -> String {
    let minutes = length.abs().as_mins();
    let (days, hours, minutes) = (minutes / (24 * 60), minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}min"),
        (0, hours) => format!("{hours}h {minutes}min"),
        (days, hours) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let now: Timestamp = "2026-11-23T16:02:00Z".parse().unwrap();
        for (text, expected) in [
            ("18:05", "2026-11-23T17:05:00Z"),
            ("17:02", "2026-11-24T16:02:00Z"),
            ("2026-11-23 18:05", "2026-11-23T17:05:00Z"),
            ("2026-11-23T18:05", "2026-11-23T17:05:00Z"),
            ("2026-11-23", "2026-11-22T23:00:00Z"),
            ("2026-11-23T18:05:00Z", "2026-11-23T18:05:00Z"),
            ("2026-11-23T18:05:00+09:00", "2026-11-23T09:05:00Z"),
            ("+2h30m", "2026-11-23T18:32:00Z"),
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
        ] {
            let named = read(text, now, &berlin).unwrap();
            assert_eq!((named.at.to_string().as_str(), named.remark), (expected, None), "{text}");
        }
        let named = read("2027-03-28 02:30", now, &berlin).unwrap();
        assert_eq!(named.at.to_string(), "2027-03-28T01:00:00Z");
        assert_eq!(named.remark.unwrap(), "02:30 does not exist on 2027-03-28 in Europe/Berlin; 03:00 is taken");
        for text in ["", "noon", "25:00", "2026-02-30", "+", "+-2h", "+3", "18", "2026-11-23 18"] {
            assert!(read(text, now, &berlin).is_err(), "{text}");
        }
    }
}
