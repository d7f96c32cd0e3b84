//! The name of a time zone to the zone, and to the zone that was probably meant.

use jiff::tz::{TimeZone, db};

use crate::meant::nearest;

/// A name that is no zone's, or one that is refused because people read it in two ways.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Nobody knows what was meant.
    #[error("a zone is `UTC` or an IANA name such as `Asia/Seoul`")]
    Unknown,
    /// The zone that was probably meant.
    #[error("a zone is `UTC` or an IANA name such as `Asia/Seoul`; did you mean `{0}`?")]
    Meant(Box<str>),
    /// An offset, such as `UTC+9`, or `Etc/GMT+9`, which is nine hours *behind* Greenwich.
    #[error(
        "an offset tells nothing of clock changes, and that in `Etc/GMT+9` is the reverse of what it seems; name a place, \
         such as `Asia/Seoul`"
    )]
    Offset,
}

/// The zone of a name: `UTC` or `Area/City`, in any case, from the database that is compiled in.
///
/// # Errors
///
/// Names that do not exist, abbreviations, which stand for several zones or for half a year, and offsets.
pub fn zone(name: &str) -> Result<TimeZone, ZoneError> {
    if name.eq_ignore_ascii_case("UTC") {
        return Ok(TimeZone::UTC);
    }
    let area = name.split_once('/').map(|(area, _)| area);
    area.filter(|area| !area.eq_ignore_ascii_case("Etc")).and_then(|_| TimeZone::get(name).ok()).ok_or_else(|| {
        match meant(name) {
            Some(zone) => ZoneError::Meant(zone),
            None if is_offset(name) => ZoneError::Offset,
            None => ZoneError::Unknown,
        }
    })
}

/// What people write for the zone where most who write it live.
const ABBREVIATIONS: [(&str, &str); 36] = [
    ("AEST", "Australia/Sydney"),
    ("AEDT", "Australia/Sydney"),
    ("AKST", "America/Anchorage"),
    ("AWST", "Australia/Perth"),
    ("BRT", "America/Sao_Paulo"),
    ("BST", "Europe/London"),
    ("CDT", "America/Chicago"),
    ("CEST", "Europe/Berlin"),
    ("CET", "Europe/Berlin"),
    ("CST", "America/Chicago"),
    ("CST6CDT", "America/Chicago"),
    ("CT", "America/Chicago"),
    ("EDT", "America/New_York"),
    ("EET", "Europe/Athens"),
    ("EST", "America/New_York"),
    ("EST5EDT", "America/New_York"),
    ("ET", "America/New_York"),
    ("Etc/UTC", "UTC"),
    ("GMT", "UTC"),
    ("HKT", "Asia/Hong_Kong"),
    ("HST", "Pacific/Honolulu"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("KST", "Asia/Seoul"),
    ("MSK", "Europe/Moscow"),
    ("MST", "America/Denver"),
    ("MST7MDT", "America/Denver"),
    ("MT", "America/Denver"),
    ("NZST", "Pacific/Auckland"),
    ("PDT", "America/Los_Angeles"),
    ("PST", "America/Los_Angeles"),
    ("PST8PDT", "America/Los_Angeles"),
    ("PT", "America/Los_Angeles"),
    ("SGT", "Asia/Singapore"),
    ("WET", "Europe/Lisbon"),
    ("Z", "UTC"),
];

/// Places of AWS regions, and great cities, whose zone bears another name. By their likeness to names that there are,
/// some would be taken for places in other countries.
const PLACES: [(&str, &str); 44] = [
    ("Africa/Cairo", "Alexandria"),
    ("Africa/Casablanca", "Rabat"),
    ("Africa/Johannesburg", "Cape Town, Pretoria, Durban"),
    ("Africa/Lagos", "Abuja"),
    ("America/Bogota", "Medellin"),
    (
        "America/Chicago",
        "Dallas, Houston, Austin, San Antonio, Minneapolis, New Orleans, Nashville, Memphis, Saint Louis",
    ),
    ("America/Denver", "Salt Lake City, Albuquerque, Cheyenne"),
    ("America/Edmonton", "Calgary"),
    ("America/Guayaquil", "Quito"),
    (
        "America/Los_Angeles",
        "Oregon, California, Northern California, San Francisco, San Jose, San Diego, Seattle, Portland, Las Vegas, Sacramento, Palo Alto, Silicon Valley",
    ),
    ("America/Mexico_City", "Queretaro, Guadalajara"),
    (
        "America/New_York",
        "Virginia, Northern Virginia, Ohio, Washington, Washington DC, Boston, Miami, Atlanta, Philadelphia, Columbus, Pittsburgh, Baltimore, Charlotte, Orlando, Cleveland",
    ),
    ("America/Sao_Paulo", "Rio de Janeiro, Rio, Brasilia, Belo Horizonte"),
    ("America/Toronto", "Ottawa, Quebec"),
    ("Asia/Dubai", "Abu Dhabi, United Arab Emirates"),
    ("Asia/Ho_Chi_Minh", "Hanoi, Da Nang"),
    ("Asia/Jakarta", "Bandung, Surabaya"),
    ("Asia/Jerusalem", "Haifa"),
    ("Asia/Karachi", "Islamabad, Lahore"),
    (
        "Asia/Kolkata",
        "Mumbai, Bombay, Delhi, New Delhi, Bangalore, Bengaluru, Chennai, Hyderabad, Pune, Ahmedabad, Gurgaon, Noida",
    ),
    ("Asia/Riyadh", "Jeddah, Mecca"),
    ("Asia/Seoul", "Busan, Incheon, Daejeon, Daegu"),
    ("Asia/Shanghai", "Beijing, Peking, Shenzhen, Guangzhou, Ningxia, Hangzhou, Chengdu, Nanjing, Tianjin"),
    ("Asia/Singapore", "Singapore City"),
    ("Asia/Taipei", "Kaohsiung"),
    ("Asia/Tokyo", "Osaka, Nagoya, Yokohama, Kyoto, Fukuoka, Sapporo"),
    ("Australia/Brisbane", "Gold Coast"),
    ("Australia/Sydney", "Newcastle"),
    ("Europe/Amsterdam", "Rotterdam, The Hague, Eindhoven, Utrecht"),
    (
        "Europe/Berlin",
        "Frankfurt, Kiel, Munich, Muenchen, Hamburg, Cologne, Koeln, Stuttgart, Dusseldorf, Duesseldorf, Leipzig, Nuremberg, Brandenburg",
    ),
    ("Europe/Brussels", "Antwerp"),
    ("Europe/Dublin", "Cork"),
    ("Europe/Istanbul", "Ankara, Izmir"),
    ("Europe/Kyiv", "Lviv, Odessa"),
    ("Europe/London", "Edinburgh, Manchester, Birmingham, Cardiff, Glasgow, Liverpool"),
    ("Europe/Madrid", "Barcelona, Zaragoza, Spain, Valencia, Seville"),
    ("Europe/Moscow", "Saint Petersburg, St Petersburg"),
    ("Europe/Paris", "Lyon, Marseille, Toulouse, Nice"),
    ("Europe/Prague", "Brno"),
    ("Europe/Rome", "Milan, Milano, Turin, Naples, Florence"),
    ("Europe/Stockholm", "Gothenburg, Malmo"),
    ("Europe/Warsaw", "Krakow, Lublin, Gdansk, Wroclaw"),
    ("Europe/Zurich", "Geneva, Basel, Bern"),
    ("Pacific/Auckland", "Wellington, Christchurch"),
];

/// The zone of a place that gives no zone its name.
fn zone_of_place(name: &str) -> Option<&'static str> {
    let plain = |c: char| if matches!(c, '_' | '-') { ' ' } else { c.to_ascii_lowercase() };
    let city: String = city(name).chars().map(plain).collect();
    let is_it = |place: &str| place.eq_ignore_ascii_case(&city);
    PLACES.iter().find(|(_, places)| places.split(", ").any(is_it)).map(|(zone, _)| *zone)
}

/// How many edits may lie between a name and the one that was probably meant: in a short one, many are another place.
fn edits(city: &str) -> usize {
    match city.len() {
        0..4 => 0,
        4..7 => 1,
        _ => 2,
    }
}

/// A zone of this abbreviation, of this city, the only one whose name goes on after it (people write
/// `America/New York`), or one whose name is hardly another.
fn meant(name: &str) -> Option<Box<str>> {
    if let Some((_, zone)) = ABBREVIATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Some((*zone).into());
    }
    let is_a_place = |known: &String| known.contains('/') && !known.starts_with("Etc/");
    let places: Vec<String> = db().available().map(|known| known.to_string()).filter(is_a_place).collect();
    let goes_on = |known: &&String| {
        name.contains('/') && known.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
    };
    if let Some(zone) = zone_of_place(name) {
        // In another part of the world it is another place of that name.
        let area = |name: &str| name.split_once('/').map(|(area, _)| area.to_ascii_lowercase());
        return (area(name).is_none() || area(name) == area(zone)).then(|| zone.into());
    }
    let of_this_city = places.iter().find(|known| city(known).eq_ignore_ascii_case(city(name)));
    let mut going_on = places.iter().filter(goes_on);
    let only = going_on.next().filter(|_| going_on.next().is_none());
    of_this_city
        .or(only)
        .map(String::as_str)
        .or_else(|| {
            let near = nearest(name, places.iter().map(String::as_str), 2)?;
            let same = city(near).eq_ignore_ascii_case(city(name));
            (same || nearest(city(name), [city(near)], edits(city(name))).is_some()).then_some(near)
        })
        .map(Into::into)
}

fn city(zone: &str) -> &str {
    zone.rsplit('/').next().unwrap_or(zone)
}

/// `UTC+9`, `+09:00`, `Etc/GMT-5` and the like.
fn is_offset(name: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    name.rsplit_once(['+', '-']).is_some_and(|(word, hours)| !word.contains(digit) && hours.starts_with(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, canonical) in [
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("Asia/Seoul", "Asia/Seoul"),
            ("asia/SEOUL", "Asia/Seoul"),
            ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
            ("America/Port-au-Prince", "America/Port-au-Prince"),
        ] {
            assert_eq!(zone(name).unwrap().iana_name(), Some(canonical), "{name}");
        }
    }

    #[test]
    fn what_was_probably_meant() {
        for (name, meant) in [
            ("EST", Some("America/New_York")),
            ("kst", Some("Asia/Seoul")),
            ("Z", Some("UTC")),
            ("etc/utc", Some("UTC")),
            ("Seoul", Some("Asia/Seoul")),
            ("Europe/Seoul", Some("Asia/Seoul")),
            ("Asia/Soul", Some("Asia/Seoul")),
            ("Asai/Seol", Some("Asia/Seoul")),
            ("Asai/Sol", None),
            ("Europ/Berln", Some("Europe/Berlin")),
            ("America/New", Some("America/New_York")),
            ("america/los", Some("America/Los_Angeles")),
            ("Europe/Ber", Some("Europe/Berlin")),
            ("America", None),
            ("Arctic", None),
            ("America/St", None),
            ("America/Porto", None),
            ("WET", Some("Europe/Lisbon")),
            ("Asia/", None),
            ("/", None),
            ("Mars/Olympus_Mons", None),
            ("", None),
        ] {
            let expected = meant.map_or(ZoneError::Unknown, |meant| ZoneError::Meant(meant.into()));
            assert_eq!(zone(name), Err(expected), "{name}");
        }
        let long = "a/".repeat(100_000);
        assert_eq!(zone(&long), Err(ZoneError::Unknown));
        for offset in ["Etc/GMT+9", "Etc/GMT-12", "UTC+9", "GMT-5", "+09:00", "-5"] {
            assert_eq!(zone(offset), Err(ZoneError::Offset), "{offset}");
        }
    }

    #[test]
    fn a_place_in_another_part_of_the_world_is_another_place() {
        for name in ["America/Manchester", "Europe/Delhi", "Africa/Frankfurt"] {
            assert_eq!(zone(name), Err(ZoneError::Unknown), "{name}");
        }
    }

    /// With an area or without, and in each way to write a blank: its own zone, and no other country's.
    #[test]
    fn places_that_give_no_zone_its_name() {
        let cities: Vec<String> = db().available().map(|known| city(known.as_str()).to_ascii_lowercase()).collect();
        for (expected, places) in PLACES {
            assert_eq!(zone(expected).unwrap().iana_name(), Some(expected), "it exists");
            for place in places.split(", ") {
                let written = place.replace(' ', "_");
                assert!(!cities.contains(&written.to_ascii_lowercase()), "{place} is a zone's own name");
                let area = expected.split('/').next().unwrap();
                for name in [written.clone(), format!("{area}/{written}"), place.replace(' ', "-").to_uppercase()] {
                    assert_eq!(zone(&name), Err(ZoneError::Meant(expected.into())), "{name}");
                }
            }
        }
    }

    #[test]
    fn few_edits_are_allowed_in_a_short_name() {
        for (name, meant) in [
            ("Asia/Mumbay", None),
            ("Asia/Delho", None),
            ("Asia/Dahki", None),
            ("Asia/Daka", Some("Asia/Dhaka")),
            ("Asia/Tokio", Some("Asia/Tokyo")),
            ("Asia/Singapoor", Some("Asia/Singapore")),
            ("Europe/Rme", None),
            ("Europe/Romee", Some("Europe/Rome")),
            ("Europ/Rome", Some("Europe/Rome")),
        ] {
            let expected = meant.map_or(ZoneError::Unknown, |meant| ZoneError::Meant(meant.into()));
            assert_eq!(zone(name), Err(expected), "{name}");
        }
    }

    #[test]
    fn the_error_tells_what_to_write() {
        assert_eq!(
            zone("EST").unwrap_err().to_string(),
            "a zone is `UTC` or an IANA name such as `Asia/Seoul`; did you mean `America/New_York`?"
        );
        assert_eq!(zone("Mars/Base").unwrap_err().to_string(), "a zone is `UTC` or an IANA name such as `Asia/Seoul`");
    }
}
