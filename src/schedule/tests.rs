//! Values and edges, by tables; the tables of `docs/tag.md` are among them.

use proptest::prelude::*;

use super::*;

const PAGE: &str = include_str!("../../docs/tag.md");

/// The rows of the tables in `docs/tag.md` that have these columns.
fn rows_of(header: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let tables = PAGE.split("\n\n").filter(move |block| block.lines().next() == Some(header));
    let cells = |row: &'static str| row.trim_matches('|').split('|').map(str::trim).collect();
    tables.flat_map(move |table| table.lines().skip(2).map(cells))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(value: &str) -> Schedule {
    Schedule::parse(value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[test]
fn plain_values() {
    for plain in ["", " ", "true", "TRUE", " True ", "yes", "Yes"] {
        assert_eq!(Tag::parse(plain), Tag::Plain, "{plain:?}");
    }
    for out in ["false", "False", " FALSE ", "no", "NO", "never", "Ignore"] {
        assert_eq!(Tag::parse(out), Tag::OptedOut, "{out:?}");
    }
    for other in ["on", "off", "0", "1", "y", "n", "truee", "-", "+", "/", "..", ":", "нет", "tr ue", "true true"] {
        assert!(matches!(Tag::parse(other), Tag::Invalid(_)), "{other:?}");
    }
}

#[test]
fn the_pages_values_parse() {
    let mut rows = 0;
    for row in rows_of("| value | means |") {
        let value = row[0].trim_matches('`');
        assert!(!matches!(Tag::parse(value), Tag::Invalid(_)), "{value}: {:?}", Tag::parse(value));
        rows += 1;
    }
    for row in rows_of("| hold | means |") {
        Hold::parse(row[0].trim_matches('`')).unwrap();
        rows += 1;
    }
    assert!(rows > 35, "{rows}");
}

#[test]
fn the_pages_refusals() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for row in rows_of("| value | what it says |") {
        let (value, says) = (row[0].trim_matches('`'), row[1]);
        match Tag::parse(value) {
            Tag::Invalid(error) if error.to_string() == says => rows += 1,
            Tag::Invalid(error) => wrong.push(format!("| `{value}` | {error} |")),
            other => panic!("{value}: {other:?}"),
        }
    }
    assert!(wrong.is_empty(), "docs/tag.md should have\n{}", wrong.join("\n"));
    assert!(rows > 25, "{rows}");
}

#[test]
fn the_pages_values_in_words() {
    let value = |row: Vec<&'static str>| row[0].trim_matches('`');
    let tag = |value| Tag::parse(value).in_words(&TimeZone::UTC);
    let hold = |value| Hold::parse(value).unwrap().in_words(&TimeZone::UTC);
    let tags = rows_of("| value | means |").map(value).map(|value| (value, tag(value)));
    let holds = rows_of("| hold | means |").map(value).map(|value| (value, hold(value)));
    let lines: Vec<String> = tags.chain(holds).map(|(value, words)| format!("{value} -> {words}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn more_values_in_words() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    for (value, words) in [
        ("", "Plain: follows the stop rule and the start rule of the deployment; ticks leave it alone."),
        // A zone is told where there are times.
        ("08:00-18:00", "On from 08:00 to 18:00 every day, in Europe/Berlin."),
        ("00:00-24:00 UTC", "Always on."),
        ("Wed 13:00 - Tue 24:00 + Wed 00:00-13:00", "Always on."),
        ("07:00-19:00 + 19:00-07:00", "Always on."),
        ("00:00-24:00 + stop 23:00", "Always on, and stops at 23:00 every day, in Europe/Berlin."),
        // Days.
        ("Sun Mon 08:00-18:00 UTC", "On from 08:00 to 18:00 on Sunday and Monday, in UTC."),
        ("Wed Sat-Mon 08:00-18:00 UTC", "On from 08:00 to 18:00 on Wednesday, Saturday, Sunday and Monday, in UTC."),
        ("weekdays 20:00-02:00 UTC", "On from 20:00 to 02:00 of the next day from Monday to Friday, in UTC."),
        ("Sun 20:00-02:00 UTC", "On from Sunday 20:00 to Monday 02:00, in UTC."),
        ("Mon 06:00 - Mon 20:00 UTC", "On from 06:00 to 20:00 on Monday, in UTC."),
        ("Mon 00:00 - Mon 24:00 UTC", "On all day on Monday, in UTC."),
        ("Mon 12:00 - Wed 00:00 UTC", "On from Monday 12:00 to Wednesday 00:00, in UTC."),
        // Times of the same days are told together, and each deed once.
        (
            "08:00-09:00 + Mon 06:00 - Tue 20:00 + 10:00-11:00 + 10:00-11:00 + Sat 12:00-13:00 UTC",
            "On from 08:00 to 09:00 and from 10:00 to 11:00 every day, from Monday 06:00 to Tuesday 20:00, and from \
             12:00 to 13:00 on Saturday, in UTC.",
        ),
        (
            "stop 20:00 + start Fri 20:00 + stop 22:00 + Sat 08:00-18:00 + stop Mon 24:00 UTC",
            "On from 08:00 to 18:00 on Saturday, starts at 20:00 on Friday, stops at 20:00 and at 22:00 every day, and \
             at 24:00 on Monday, in UTC.",
        ),
        // What an excepted date takes away.
        ("00:00-24:00 UTC except 12-25", "Always on, in UTC. Off all day on 25 December, every year."),
        (
            "Mon 06:00 - Mon 20:00 UTC except 12-25",
            "On from 06:00 to 20:00 on Monday, in UTC. Not on 25 December, every year.",
        ),
        (
            "07:00-19:00 + 19:00-07:00 UTC except 12-25",
            "On from 07:00 to 19:00 and from 19:00 to 07:00 of the next day every day, in UTC. Nothing begins on \
             25 December, every year.",
        ),
        (
            "Mon 06:00 - Wed 20:00 + Fri 20:00-02:00 UTC except 2026-12-25",
            "On from Monday 06:00 to Wednesday 20:00 and from Friday 20:00 to Saturday 02:00, in UTC. Nothing begins on \
             2026-12-25, and a span is off all day.",
        ),
        (
            "stop 18:00 UTC except 12-25 2026-12-30 02-29 12-31..01-01 2026-12-31 enforced",
            "Stops at 18:00 every day, in UTC. Never starts. Not on 2026-12-30 and 2026-12-31, and not on 25 December, \
             29 February and from 31 December to 1 January, every year. Also against people: what somebody does against \
             it by hand within 60 minutes is undone on the next tick.",
        ),
    ] {
        assert_eq!(Tag::parse(value).in_words(&berlin), words, "{value}");
    }
    let Tag::Invalid(error) = Tag::parse("weekday 08:00-18:00") else { panic!("it does not parse") };
    assert_eq!(Tag::Invalid(error.clone()).in_words(&berlin), error.to_string());
    let hold = Hold::parse("off until 2026-11-22").unwrap();
    assert_eq!(hold.in_words(&berlin), "Kept stopped until the end of Sunday 2026-11-22, in Europe/Berlin.");
}

#[test]
fn one_canonical_form() {
    for (value, canonical) in [
        ("7:00-19:00", "daily 07:00-19:00"),
        (" MONDAY tue  Wednesday\t9:00 - 17:00 ", "Mon-Wed 09:00-17:00"),
        ("Sat Sun 00:00-24:00", "weekends 00:00-24:00"),
        ("18:00-0:00", "daily 18:00-24:00"),
        ("Mon 06:00-Fri 20:00 europe/london", "Mon 06:00 - Fri 20:00 Europe/London"),
        ("Mon 06:00 - Mon 24:00", "Mon 06:00 - Mon 24:00"),
        ("STOP 18:00 utc", "stop daily 18:00 UTC"),
        ("8:00-9:00 except 2026-12-24..2027-01-01", "daily 08:00-09:00 except 2026-12-24..2027-01-01"),
        ("start Mon-Fri 7:00 + stop daily 23:00", "start weekdays 07:00 + stop daily 23:00"),
        (
            "08:00-18:00 EXCEPT 12-24..01-01 05-01..05-01 2026-12-24..2026-12-24 Enforced",
            "daily 08:00-18:00 except 12-24..01-01 05-01 2026-12-24 enforced",
        ),
    ] {
        assert_eq!(schedule(value).to_string(), canonical);
        assert_eq!(schedule(canonical), schedule(value));
    }
    // Longer than a tag may be.
    let windows: Vec<String> = (0..16).map(|hour| format!("{hour}:00-{hour}:30")).collect();
    let Tag::Schedule(many) = Tag::parse(&windows.join(" + ")) else { panic!("it is short enough") };
    assert!(many.to_string().len() > 256);
    assert_eq!(schedule(&many.to_string()), many);
    for (value, canonical) in [
        ("Until 2026-11-22 24:00", "until 2026-11-22"),
        ("ON until 2026-11-22 9:00 asia/seoul", "on until 2026-11-22 09:00 Asia/Seoul"),
        ("off until 2026-11-22 utc", "off until 2026-11-22 UTC"),
    ] {
        let hold = Hold::parse(value).unwrap();
        assert_eq!(hold.to_string(), canonical);
        assert_eq!(Hold::parse(canonical).unwrap(), hold);
    }
}

#[test]
fn more_values_that_do_not_parse() {
    for (value, says) in [
        ("Mon-Fri-Sun 08:00-09:00", "`Mon-Fri-Sun`: days and a time stand here"),
        ("Mon-Mon 08:00-09:00", "`Mon-Mon`: a range ends on another day than it begins"),
        ("Mon- 08:00-09:00", "`08:00-09:00`: a range of days needs its last day, as in Mon-Sun"),
        ("Sat weekdays 08:00-12:00", "`weekdays`: before a time stands one list of days"),
        ("weekdays weekends 08:00-12:00", "`weekends`: before a time stands one list of days"),
        ("2026-12-24 08:00-18:00", "`2026-12-24`: a date stands only after `except`"),
        ("08:00-18:00 except 12-24 5-1", "`5-1`: a date is written 2026-12-24"),
        ("08:00-18:00 except 12-24 .. 12-26", "`..`: a date is written 2026-12-24"),
        ("08:00-18:00 except 2026-12-24 - 2026-12-26", "`-`: a date is written 2026-12-24"),
        ("08:00-18:00 except enforced", "`enforced`: a date is written 2026-12-24"),
        ("08:00-18:00 except 02-30", "`02-30`: there is no such day in any year"),
        ("08:60-18:00", "`08:60-18:00`: a time is written 08:00"),
        ("008:00-18:00", "`008:00-18:00`: a time is written 08:00"),
        ("08:0-18:00", "`08:0-18:00`: a time range is written 08:00-18:00"),
        ("08:00-18:00 except 12-24..soon", "`12-24..soon`: a date is written 2026-12-24"),
        ("08:00-24:01", "`08:00-24:01`: a time is written 08:00"),
        ("8:00-8:00am", "`8:00-8:00am`: a time is written 08:00, and a time range 08:00-18:00"),
        ("stop 01-01", "`01-01`: a date stands only after `except`"),
        ("stop 8am", "`8am`: a time is written 08:00"),
        ("08:00-18:00 UTC+9", "`UTC+9`: an offset tells nothing of clock changes"),
        ("08:00-18:00 +09:00", "`+09:00`: an offset tells nothing of clock changes"),
        ("08:00-18:00 -05:00", "`-05:00`: an offset tells nothing of clock changes"),
        ("08:00-12:00 1pm-5pm", "`1pm-5pm`: `+` joins clauses"),
        ("08:00-18:00 PM", "`PM`: a day has 24 hours here"),
        ("weekdays 24/7", "`24/7`: a time is written 08:00"),
        (
            "everyday 08:00-18:00",
            "`everyday`: days and a time stand here, as in weekdays 08:00-18:00; did you mean `daily`?",
        ),
        ("08:00-18:00 EST5EDT", "`EST5EDT`: a zone is `UTC` or an IANA name"),
        ("08:00-18:00 weekdays", "`weekdays`: days stand before their time, as in weekdays 08:00-18:00"),
        ("08:00-18:00 Fri", "`Fri`: days stand before their time"),
        (
            "Thurs 08:00-18:00",
            "`Thurs`: days and a time stand here, as in weekdays 08:00-18:00; did you mean `Thursday`?",
        ),
        ("until 2026-11-22", "`until`: a hold stands in a tag of its own, whose key ends in -Hold"),
        ("on until 2026-11-22", "`until`: a hold stands in a tag of its own"),
        ("08:00-18:00 until 2026-11-22", "`until`: a hold stands in a tag of its own"),
        ("8.30-17h15", "`8.30-17h15`: a time range is written 08:30-17:15"),
        ("weekdays 12am-12pm", "`12am-12pm`: a time range is written 00:00-12:00"),
        ("weekdays 13pm-14pm", "`13pm-14pm`: a time is written 08:00"),
        ("weekdays 24-7h", "`24-7h`: a time is written 08:00, and a time range 08:00-18:00"),
        ("weekdays 0800-1830", "`0800-1830`: a time range is written 08:00-18:30"),
        ("weekdays 800-1860", "`800-1860`: a time is written 08:00"),
        ("stop 18:00-20:00", "`18:00-20:00`: `stop` and `start` take one time"),
        ("Mon Tue 06:00 - Fri 20:00", "`Fri`: a span begins on one day"),
        ("06:00 - Fri 20:00", "`Fri`: a span begins on one day"),
        ("weekdays 06:00 - Fri 20:00", "`Fri`: a span begins on one day"),
        ("Mon 06:00 - Fri 20:00 - Sat", "`-`: `+` joins clauses"),
        ("00:00-00:00", "`00:00-00:00`: a window's begin and end must differ"),
        (
            "08:00-18:00 Seoul",
            "`Seoul`: a zone is `UTC` or an IANA name such as `Asia/Seoul`; did you mean `Asia/Seoul`?",
        ),
        (
            "08:00-18:00 exept 12-24",
            "`exept`: `+` joins clauses; after them come, in this order, a zone, `except` with dates, and `enforced`; did you mean `except`?",
        ),
        ("08:00-18:00 UTC-5", "`UTC-5`: an offset tells nothing of clock changes"),
        ("ca", "`ca`: `true` follows the rule"),
        ("stpo 18:00", "`stpo`: days and a time stand here, as in weekdays 08:00-18:00; did you mean `stop`?"),
    ] {
        let error = Schedule::parse(value).unwrap_err().to_string();
        assert!(error.starts_with(says), "{value:?} gave: {error}");
    }
}

/// Every value that stands in the tables of refusals, here and in `docs/tag.md`, and what it was meant to be, where
/// that is sure.
const MEANT: [(&str, &[&str]); 32] = [
    ("Sonday 08:00-18:00", &[]),
    ("08:00-18:00 Europe/Kiel", &["08:00-18:00 Europe/Berlin"]),
    ("weekdays 8-18h", &["weekdays 08:00-18:00"]),
    ("weekdays 0800-1830", &["weekdays 08:00-18:30"]),
    ("Mon-Fri 8am-6pm", &["Mon-Fri 08:00-18:00"]),
    ("Mon-Fri 9-5", &["Mon-Fri 09:00-17:00", "Mon-Fri 09:00-05:00"]),
    ("weekdays 9am-5", &["weekdays 09:00-17:00", "weekdays 09:00-05:00"]),
    ("1-5", &["13:00-17:00", "01:00-05:00"]),
    ("1-5pm", &["13:00-17:00", "01:00-17:00"]),
    ("10-2", &["10:00-14:00", "10:00-02:00"]),
    ("9pm-5", &[]),
    ("5-22", &["05:00-22:00"]),
    ("0-6", &["00:00-06:00"]),
    ("22-6h", &["22:00-06:00"]),
    ("8-12", &["08:00-12:00"]),
    ("stop daily 7 PM", &["stop daily 19:00"]),
    ("stop 12 am", &["stop 00:00"]),
    ("stop daily 7pm", &["stop daily 19:00"]),
    ("weekday 08:00-18:00", &["weekdays 08:00-18:00"]),
    ("every 08:00-18:00", &["daily 08:00-18:00"]),
    ("Thurs 08:00-18:00", &["Thursday 08:00-18:00"]),
    ("Mno 08:00-18:00", &["Mon 08:00-18:00"]),
    ("lun 08:00-18:00", &[]),
    ("sam 08:00-18:00", &[]),
    ("jue-sab 08:00-18:00", &[]),
    ("Montag 08:00-18:00", &["Monday 08:00-18:00"]),
    ("stpo 18:00", &["stop 18:00"]),
    ("08:00-18:00 exept 12-24", &["08:00-18:00 except 12-24"]),
    ("08:00-18:00 not 2026-12-25", &["08:00-18:00 except 2026-12-25"]),
    ("08:00-18:00 EST", &["08:00-18:00 America/New_York"]),
    ("08:00-18:00 Asia/Delhi", &["08:00-18:00 Asia/Kolkata"]),
    ("08:00-18:00 Frankfurt", &["08:00-18:00 Europe/Berlin"]),
];

/// The texts that a message gives for a piece: in its place they parse, and mean what was meant.
#[test]
fn what_is_suggested_is_what_was_meant() {
    for (value, meant) in MEANT {
        let error = Schedule::parse(value).unwrap_err();
        let says = error.to_string();
        let (piece, says) = says.split_once("`: ").unwrap();
        let piece = &piece[1..];
        let mut suggested: Vec<String> = Vec::new();
        if let Some(known) = says.split("did you mean `").nth(1) {
            suggested.push(known.split('`').next().unwrap().to_owned());
        }
        if let Some((first, second)) = says.strip_prefix("this is ").and_then(|says| says.split_once(" or ")) {
            suggested.extend([first.to_owned(), second.split(':').take(3).collect::<Vec<_>>().join(":")]);
        }
        for written in ["a time range is written ", "a time is written ", "this is written "] {
            if let Some((_, time)) = says.split_once(written) {
                suggested.extend(time.split(' ').next().map(|time| time.trim_end_matches([',', ';']).to_owned()));
            }
        }
        // What is only an example of the form is no suggestion.
        let suggested: Vec<String> = if says.contains("a time is written 08:00, and") { Vec::new() } else { suggested };
        let word = if value.contains(piece) { piece } else { panic!("{piece} of {value}") };
        let mended: Vec<Schedule> = suggested.iter().map(|text| schedule(&value.replacen(word, text, 1))).collect();
        let meant: Vec<Schedule> = meant.iter().map(|value| schedule(value)).collect();
        assert_eq!(mended, meant, "{value}: {says}");
    }
}

/// Examples of the form, in any message: each parses.
#[test]
fn every_example_parses() {
    let mut seen = 0;
    let pages = rows_of("| value | what it says |").map(|row| row[0].trim_matches('`').to_owned());
    for value in pages.chain(MEANT.map(|(value, _)| value.to_owned())) {
        let says = Tag::parse(&value);
        let Tag::Invalid(error) = says else { panic!("{value}: {says:?}") };
        let says = error.to_string();
        for begin in ["as in ", "such as ", "like ", "moment is written ", "a window is written ", "week is written "] {
            for example in says.split(begin).skip(1) {
                let example = example.split([';', ',', '`']).next().unwrap();
                let example = example.split(" or ").next().unwrap().trim_end_matches(" without them");
                if example.is_empty() || example.starts_with("2026") {
                    continue;
                }
                let example =
                    if example.ends_with("-Sun") { format!("{example} 08:00-18:00") } else { example.to_owned() };
                assert!(!matches!(Tag::parse(&example), Tag::Invalid(_)), "{value}: {example}");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// What is written instead of the whole value, where that is sure.
#[test]
fn whole_values_are_mended() {
    for (value, mended) in [
        // Words and zones.
        ("weekday 08:00-18:00", "weekdays 08:00-18:00"),
        ("Mon-Fridy 08:00-18:00", "Mon-Friday 08:00-18:00"),
        ("every day 08:00-18:00", "daily 08:00-18:00"),
        ("stop every 7pm", "stop daily 19:00"),
        ("flase", "false"),
        ("restart daily 08:00", ""),
        ("08:00-18:00 unenforced", ""),
        ("weekdays 08:00-18:00 not 2026-12-25", "weekdays 08:00-18:00 except 2026-12-25"),
        ("08:00-18:00 EST", "08:00-18:00 America/New_York"),
        ("08:00-18:00 Asia/Soul enforced", "08:00-18:00 Asia/Seoul enforced"),
        ("08:00-18:00 America/New York", "08:00-18:00 America/New_York"),
        ("08:00-18:00 America/Argentina/Buenos Aires", "08:00-18:00 America/Argentina/Buenos_Aires"),
        ("08:00-18:00 America/Los Angeles except 12-25", "08:00-18:00 America/Los_Angeles except 12-25"),
        ("08:00-18:00 America/New Orleans", ""),
        // Times.
        ("weekdays 8-18h", "weekdays 08:00-18:00"),
        ("weekdays 08-18", "weekdays 08:00-18:00"),
        ("weekdays 08-11 pm", ""),
        ("weekdays 8 - 18", "weekdays 08:00-18:00"),
        ("Mon-Fri 8am-6pm", "Mon-Fri 08:00-18:00"),
        ("weekdays 0830-17.15", "weekdays 08:30-17:15"),
        ("8:00 AM - 6:00 PM", "08:00-18:00"),
        ("8:00 AM - 6:00", ""),
        ("Mon 10:00 AM - Fri 8 PM", "Mon 10:00 - Fri 20:00"),
        ("Mon 8:00 AM - Fri 6:00", ""),
        ("stop daily 7pm", "stop daily 19:00"),
        ("stop daily 7 PM", "stop daily 19:00"),
        ("stop daily 0830", "stop daily 08:30"),
        ("stop daily 7", ""),
        ("stop 7pm + start 7:00", ""),
        ("9-5", ""),
        ("9 to 5", ""),
        ("9:00-5", ""),
        ("1-5h", ""),
        ("8-6pm", "08:00-18:00"),
        ("8-11pm", ""),
        ("8-11 pm", ""),
        ("10-2am", ""),
        ("22-6", "22:00-06:00"),
        ("24/7 UTC", "00:00-24:00 UTC"),
        ("weekdays 24/7", ""),
        ("Mon to Fri 08:00 to 18:00", "Mon - Fri 08:00-18:00"),
        ("9:00 to 5:00", ""),
        // What parts days and clauses.
        ("Mon,Wed,Fri 09:00-17:00", "Mon Wed Fri 09:00-17:00"),
        ("Mon-Fri, 08:00-18:00", "Mon-Fri 08:00-18:00"),
        ("Mon-Thu, Sat 08:00-18:00", "Mon-Thu Sat 08:00-18:00"),
        ("Sat & Sun 10:00-16:00", "Sat Sun 10:00-16:00"),
        ("Mon-Fri 08:00-18:00 Tue 20:00-22:00", "Mon-Fri 08:00-18:00 + Tue 20:00-22:00"),
        ("Mon-Fri 8-18h Sat 10-14h", "Mon-Fri 08:00-18:00 + Sat 10:00-14:00"),
        ("weekdays 08:00-18:00, Sat 10:00-14:00", "weekdays 08:00-18:00 + Sat 10:00-14:00"),
        ("weekdays 08:00-18:00; weekend 10:00-14:00", "weekdays 08:00-18:00 + weekends 10:00-14:00"),
        ("08:00-12:00, 13:00-18:00", "08:00-12:00 + 13:00-18:00"),
        ("08:00-18:00+20:00-22:00", "08:00-18:00 + 20:00-22:00"),
        ("08:00-18:00 +Sat 20:00-22:00", "08:00-18:00 + Sat 20:00-22:00"),
        ("weekdays 08:00-18:00, Europe/Berlin", "weekdays 08:00-18:00 Europe/Berlin"),
        ("08:00-18:00 except 12-25, 12-26", "08:00-18:00 except 12-25 12-26"),
        // On these days only, or daily?
        ("weekdays 08:00-12:00, 13:00-18:00", ""),
        ("weekdays 08:00-12:00; 13:00-18:00", ""),
        ("weekdays 08:00-12:00+13:00-18:00", ""),
        ("weekdays 08:00-12:00 13:00-18:00", ""),
        // Odd characters.
        ("08:00\u{2013}18:00", "08:00-18:00"),
        ("Mon~Fri 08\u{ff1a}00~18\u{ff1a}00", "Mon-Fri 08:00-18:00"),
        ("\u{feff}week\u{200b}days 08:00-18:00", "weekdays 08:00-18:00"),
        ("[Mon-Fri] (08:00-18:00)", "Mon-Fri 08:00-18:00"),
        ("\"true\"", "true"),
        ("!weekdays 08:00-18:00", ""),
        ("[]", ""),
        // Several at once, and what only says what a form is.
        ("  Monday to Fri, 8 AM to 6 PM,  EST ", "Monday - Fri 08:00-18:00 America/New_York"),
        (
            "Mon,Tue-Thu,Sat 8\u{2013}18h, Asia/Soul not 2026-12-25",
            "Mon Tue-Thu Sat 08:00-18:00 Asia/Seoul except 2026-12-25",
        ),
        ("cron(0 9 ? * MON-FRI *)", ""),
        ("on", ""),
        ("Monday", ""),
        ("office hours", ""),
        ("weekdays 08:00-18:00", ""),
        ("", ""),
    ] {
        assert_eq!(Tag::mended(value).unwrap_or_default(), mended, "{value}");
    }
    for (value, mended) in [
        ("untill 2026-11-22", "until 2026-11-22"),
        ("on unitl 2026-11-22 9am", "on until 2026-11-22 09:00"),
        ("off until 2026-11-22 9 PM KST", "off until 2026-11-22 21:00 Asia/Seoul"),
        ("until 2026-11-22, 0900 America/New York", "until 2026-11-22 09:00 America/New_York"),
        ("until 2026-11-22T9h", "until 2026-11-22T09:00"),
        ("until 2026-11-22 9", ""),
        ("until tomorrow", ""),
        ("until 2026-11-22", ""),
        ("", ""),
    ] {
        assert_eq!(Hold::mended(value).unwrap_or_default(), mended, "{value}");
    }
}

fn refused(value: &str) -> Option<ParseError> {
    match Tag::parse(value) {
        Tag::Invalid(error) => Some(error),
        _ => None,
    }
}

#[test]
fn an_error_tells_where_it_is() {
    for (value, at, piece, meant) in [
        (" \u{e9}t\u{e9}  weekday 08:00-18:00", 1..6, "\u{e9}t\u{e9}", None),
        ("  weekday 08:00-18:00 ", 2..9, "weekday", Some("weekdays")),
        ("stop daily 7  PM ", 11..16, "7 PM", None),
        ("08:00-18:00 except ", 12..18, "except", None),
        ("08:00-18:00 America/New York", 12..23, "America/New", Some("America/New_York")),
        ("08:00-18:00 + 08:00-18:00 + x", 28..29, "x", None),
    ] {
        let error = refused(value).unwrap();
        assert_eq!((error.at(), error.piece(), error.meant()), (at, piece, meant), "{value}");
        assert!(!error.expected().contains("did you mean"), "{value}");
    }
    assert_eq!(Hold::parse("").unwrap_err().at(), 0..0);
    assert_eq!(Hold::parse("  ").unwrap_err().at(), 2..2);
    for row in rows_of("| value | what it says |") {
        let value = row[0].trim_matches('`');
        let error = refused(value).unwrap();
        assert_eq!(&value[error.at()], error.piece(), "{value}");
        if let Some(mended) = Tag::mended(value) {
            assert_eq!(refused(&mended), None, "{value}: {mended}");
        }
    }
}

#[test]
fn the_midnight_that_ends_a_day() {
    // Friday's midnight is Saturday's first instant; `except` is of the day that ends.
    let (latest, next) = edges("stop weekdays 24:00", "2026-11-28T00:00:00Z");
    assert_eq!(latest.as_deref(), Some("off 2026-11-28T00:00:00Z"));
    assert_eq!(next[0], "off 2026-12-01T00:00:00Z", "Monday's");
    let (latest, next) = edges("stop Fri 24:00 except 2026-11-27", "2026-11-28T00:30:00Z");
    assert_eq!((latest, next[0].as_str()), (None, "off 2026-12-05T00:00:00Z"));
    let (_, next) = edges("stop daily 24:00 Europe/Berlin", "2026-03-28T22:59:59Z");
    assert_eq!(next[..2], ["off 2026-03-28T23:00:00Z", "off 2026-03-29T22:00:00Z"]);
}

#[test]
fn the_last_minute_of_a_day_means_its_end() {
    for (value, canonical) in [
        ("00:00-23:59", "daily 00:00-24:00"),
        ("weekdays 18:00-23:59", "weekdays 18:00-24:00"),
        ("Mon 06:00 - Fri 23:59", "Mon 06:00 - Fri 24:00"),
        ("23:59-06:00", "daily 23:59-06:00"),
        ("stop 23:59", "stop daily 23:59"),
        ("stop 24:00", "stop daily 24:00"),
        ("00:00-23:58", "daily 00:00-23:58"),
    ] {
        assert_eq!(schedule(value).to_string(), canonical);
    }
    assert!(Schedule::parse("23:59-23:59").is_err());
    for (value, canonical) in [
        ("until 2026-11-22T09:00", "until 2026-11-22 09:00"),
        ("2026-11-22T9:00", "until 2026-11-22 09:00"),
        ("2026-11-22 09:00 Asia/Seoul", "until 2026-11-22 09:00 Asia/Seoul"),
        ("2026-11-22", "until 2026-11-22"),
        ("on until 2026-11-22t23:59", "on until 2026-11-22 23:59"),
    ] {
        assert_eq!(Hold::parse(value).unwrap().to_string(), canonical);
    }
}

#[test]
fn characters_that_cannot_be_seen_are_named() {
    for (value, says) in [
        ("\u{feff}weekdays 08:00-18:00", "a byte order mark (U+FEFF)"),
        ("week\u{200b}days 08:00-18:00", "a zero-width blank (U+200B)"),
        ("08:00\u{2014}18:00", "an em dash (U+2014) in it; write `-`"),
        ("08:00\u{2212}18:00", "a minus sign (U+2212) in it; write `-`"),
        ("08:00-18:00; Sat 08:00-12:00", "a semicolon (U+003B) in it; write `+`"),
        ("\u{201c}08:00-18:00\u{201d}", "`\u{201c}` (U+201C) stands for nothing here"),
        ("08:00\u{7}-18:00", "a control character (U+0007)"),
    ] {
        let error = Schedule::parse(value).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(Hold::parse("until 2026\u{2013}11\u{2013}22").unwrap_err().to_string().contains("an en dash (U+2013)"));
}

#[test]
fn a_word_that_is_far_from_all_has_no_suggestion() {
    for (value, says) in [
        ("Sxx 08:00-18:00", "`Sxx`: days and a time stand here, as in weekdays 08:00-18:00"),
        ("office hours", "`office`: days and a time stand here, as in weekdays 08:00-18:00"),
        (
            "weekdys 8:00-9:00",
            "`weekdys`: days and a time stand here, as in weekdays 08:00-18:00; did you mean `weekdays`?",
        ),
    ] {
        assert_eq!(Schedule::parse(value).unwrap_err().to_string(), says);
    }
}

#[test]
fn holds_that_do_not_parse() {
    for (value, says) in [
        ("", "``: something must follow: a hold is written until 2026-11-22 09:00"),
        ("until", "`until`: something must follow: a hold ends on a date, such as 2026-11-22"),
        ("until tomorrow", "`tomorrow`: a hold ends on a date"),
        ("until 11-22", "`11-22`: a hold ends on a date"),
        ("until 2026-02-29", "`2026-02-29`: there is no such date"),
        ("until 2026-11-31 09:00", "`2026-11-31`: there is no such date"),
        ("until 2026-11-31T09:00", "`2026-11-31T09:00`: there is no such date"),
        ("2026-11-31", "`2026-11-31`: there is no such date"),
        ("until 2026-11-22T9", "`2026-11-22T9`: a time is written 09:00"),
        ("on 2026-11-22T09:00", "`2026-11-22T09:00`: a hold is written"),
        ("until 2026-11-22..2026-11-23", "`2026-11-22..2026-11-23`: a hold ends on a date"),
        ("until 2026-11-22 9", "`9`: a time is written 09:00"),
        ("until 2026-11-22 UTC+9", "`UTC+9`: an offset tells nothing of clock changes"),
        ("until 2026-11-22 +09:00", "`+09:00`: an offset tells nothing of clock changes"),
        ("until 2026-11-22 EST5EDT", "`EST5EDT`: a zone is `UTC` or an IANA name such as `Asia/Seoul`; did you mean"),
        ("until 2026-11-22 KST", "`KST`: a zone is `UTC` or an IANA name such as `Asia/Seoul`; did you mean"),
        ("until 2026-11-22 09:00 Asia/Soul", "`Asia/Soul`: a zone is `UTC` or an IANA name"),
        ("until 2026-11-22 09:00 10:00", "`10:00`: a hold is written"),
        ("on 2026-11-22", "`2026-11-22`: a hold is written"),
        ("untill 2026-11-22", "`untill`: a hold is written until 2026-11-22 09:00, with `on` or `off` before it"),
        ("true", "`true`: a hold is written"),
    ] {
        let error = Hold::parse(value).unwrap_err().to_string();
        assert!(error.starts_with(says), "{value:?} gave: {error}");
    }
}

#[test]
fn a_hold_to_the_end_of_time() {
    let hold = Hold::parse("until 9999-12-31").unwrap();
    assert_eq!(hold.end(&TimeZone::UTC), Timestamp::MAX);
}

#[test]
fn a_value_that_is_too_long_is_cut_in_its_error() {
    let long = "é".repeat(257);
    let Tag::Invalid(error) = Tag::parse(&long) else { panic!("it parsed") };
    assert_eq!(error.to_string(), format!("`{}…`: a tag's value has at most 256 characters", "é".repeat(40)));
    assert!(!Tag::parse(&"é".repeat(256)).eq(&Tag::Invalid(error)));
}

/// The latest edge and the next ones, as `on 2026-11-20T08:00:00Z`.
fn edges(value: &str, now: &str) -> (Option<String>, Vec<String>) {
    let schedule = schedule(value);
    let tell = |edge: Edge| format!("{} {}", if edge.on { "on" } else { "off" }, edge.at);
    let next = schedule.edges_after(&TimeZone::UTC, at(now)).take(2).map(tell).collect();
    (schedule.latest_edge(&TimeZone::UTC, at(now), None).map(tell), next)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn edges_around_an_instant() {
    for (value, now, latest, next) in [
        (
            "08:00-18:00",
            "2026-11-20T08:00:00Z",
            "on 2026-11-20T08:00:00Z",
            ["off 2026-11-20T18:00:00Z", "on 2026-11-21T08:00:00Z"],
        ),
        (
            "08:00-18:00",
            "2026-11-20T07:59:59Z",
            "off 2026-11-19T18:00:00Z",
            ["on 2026-11-20T08:00:00Z", "off 2026-11-20T18:00:00Z"],
        ),
        // Overlapping, touching, and over midnight.
        (
            "20:00-24:00 + 00:00-02:00 + 01:00-03:00",
            "2026-11-20T02:30:00Z",
            "on 2026-11-19T20:00:00Z",
            ["off 2026-11-20T03:00:00Z", "on 2026-11-20T20:00:00Z"],
        ),
        (
            "Mon 06:00 - Fri 20:00 except 2026-11-18",
            "2026-11-19T06:00:00Z",
            "on 2026-11-19T00:00:00Z",
            ["off 2026-11-20T20:00:00Z", "on 2026-11-23T06:00:00Z"],
        ),
        (
            "Fri 18:00 - Mon 07:00",
            "2026-11-21T12:00:00Z",
            "on 2026-11-20T18:00:00Z",
            ["off 2026-11-23T07:00:00Z", "on 2026-11-27T18:00:00Z"],
        ),
        // A span of the whole week, but for a minute.
        (
            "Mon 00:01 - Sun 24:00",
            "2026-11-23T00:00:30Z",
            "off 2026-11-23T00:00:00Z",
            ["on 2026-11-23T00:01:00Z", "off 2026-11-30T00:00:00Z"],
        ),
        // Berlin, 29 March 2026: 02:00 is 03:00, at 01:00 UTC.
        (
            "02:10-02:50 Europe/Berlin",
            "2026-03-29T12:00:00Z",
            "off 2026-03-28T01:50:00Z",
            ["on 2026-03-30T00:10:00Z", "off 2026-03-30T00:50:00Z"],
        ),
        (
            "22:00-02:10 + 02:50-05:00 Europe/Berlin",
            "2026-03-29T01:00:00Z",
            "on 2026-03-28T21:00:00Z",
            ["off 2026-03-29T03:00:00Z", "on 2026-03-29T20:00:00Z"],
        ),
        (
            "02:30-06:00 Europe/Berlin",
            "2026-03-29T01:00:00Z",
            "on 2026-03-29T01:00:00Z",
            ["off 2026-03-29T04:00:00Z", "on 2026-03-30T00:30:00Z"],
        ),
        // Berlin, 25 October 2026: 02:30 comes at 00:30 and at 01:30 UTC.
        (
            "20:00-02:30 Europe/Berlin",
            "2026-10-25T01:30:00Z",
            "off 2026-10-25T00:30:00Z",
            ["on 2026-10-25T19:00:00Z", "off 2026-10-26T01:30:00Z"],
        ),
        // Lord Howe puts its clocks on by half an hour.
        (
            "02:15-08:00 Australia/Lord_Howe",
            "2026-10-03T15:30:00Z",
            "on 2026-10-03T15:30:00Z",
            ["off 2026-10-03T21:00:00Z", "on 2026-10-04T15:15:00Z"],
        ),
        // Apia had no 30 December 2011.
        (
            "08:00-18:00 Pacific/Apia",
            "2011-12-30T12:00:00Z",
            "off 2011-12-30T04:00:00Z",
            ["on 2011-12-30T18:00:00Z", "off 2011-12-31T04:00:00Z"],
        ),
        ("00:00-24:00 Pacific/Apia except 2011-12-30", "2011-12-30T12:00:00Z", "on -009999-01-02T01:59:59Z", ["", ""]),
        (
            "stop 18:00 Pacific/Apia",
            "2011-12-30T10:30:00Z",
            "off 2011-12-30T10:00:00Z",
            ["off 2011-12-31T04:00:00Z", "off 2012-01-01T04:00:00Z"],
        ),
        // Of two edges at one instant, on wins.
        (
            "stop 12:00 + start 12:00",
            "2026-11-20T12:00:00Z",
            "on 2026-11-20T12:00:00Z",
            ["on 2026-11-21T12:00:00Z", "on 2026-11-22T12:00:00Z"],
        ),
        (
            "08:00-12:00 + start 12:00",
            "2026-11-20T12:30:00Z",
            "on 2026-11-20T12:00:00Z",
            ["on 2026-11-21T08:00:00Z", "on 2026-11-21T12:00:00Z"],
        ),
        (
            "08:00-12:00 + start 12:00",
            "2026-11-20T13:30:00Z",
            "off 2026-11-20T12:00:00Z",
            ["on 2026-11-21T08:00:00Z", "on 2026-11-21T12:00:00Z"],
        ),
        (
            "08:00-12:00 + stop 12:00",
            "2026-11-20T13:30:00Z",
            "off 2026-11-20T12:00:00Z",
            ["on 2026-11-21T08:00:00Z", "off 2026-11-21T12:00:00Z"],
        ),
        // Long exceptions are leapt over.
        (
            "08:00-18:00 except 2001-01-01..2026-11-19",
            "2026-11-20T07:00:00Z",
            "off 2000-12-31T18:00:00Z",
            ["on 2026-11-20T08:00:00Z", "off 2026-11-20T18:00:00Z"],
        ),
        (
            "Mon 08:00-18:00 except 03-01..02-28",
            "2026-11-20T07:00:00Z",
            "off 2016-02-29T18:00:00Z",
            ["on 2044-02-29T08:00:00Z", "off 2044-02-29T18:00:00Z"],
        ),
        ("00:00-24:00 except 2027-01-01", "2027-01-03T00:00:00Z", "on 2027-01-02T00:00:00Z", ["", ""]),
        // For ever.
        ("00:00-24:00", "2026-11-20T07:00:00Z", "on -009999-01-02T01:59:59Z", ["", ""]),
        ("Mon 00:00 - Sun 24:00", "2026-11-20T07:00:00Z", "on -009999-01-02T01:59:59Z", ["", ""]),
        (
            "08:00-18:00 except 01-01..06-30 07-01..12-31",
            "2026-11-20T12:00:00Z",
            "off -009999-01-02T01:59:59Z",
            ["", ""],
        ),
        (
            "00:00-12:00 + 12:00-24:00 except 2026-11-20..9999-12-31",
            "2026-11-19T12:00:00Z",
            "on -009999-01-02T01:59:59Z",
            ["off 2026-11-20T00:00:00Z", ""],
        ),
        (
            "19:00-07:00 + 07:00-19:00 except 2026-11-20..9999-12-31",
            "2026-11-20T06:00:00Z",
            "on -009999-01-02T01:59:59Z",
            ["off 2026-11-20T07:00:00Z", ""],
        ),
        (
            "08:00-18:00 except 0001-01-01..2026-11-19",
            "2026-11-20T07:00:00Z",
            "off 0000-12-31T18:00:00Z",
            ["on 2026-11-20T08:00:00Z", "off 2026-11-20T18:00:00Z"],
        ),
        // Moments let go.
        (
            "stop daily 18:00",
            "2026-11-20T18:59:59Z",
            "off 2026-11-20T18:00:00Z",
            ["off 2026-11-21T18:00:00Z", "off 2026-11-22T18:00:00Z"],
        ),
        ("stop daily 18:00", "2026-11-20T19:00:00Z", "", ["off 2026-11-21T18:00:00Z", "off 2026-11-22T18:00:00Z"]),
        (
            "stop daily 18:00 except 11-20",
            "2026-11-20T18:05:00Z",
            "",
            ["off 2026-11-21T18:00:00Z", "off 2026-11-22T18:00:00Z"],
        ),
        (
            "08:00-18:00 + stop 23:30",
            "2026-11-21T00:15:00Z",
            "off 2026-11-20T23:30:00Z",
            ["on 2026-11-21T08:00:00Z", "off 2026-11-21T18:00:00Z"],
        ),
        (
            "08:00-18:00 + stop 23:30",
            "2026-11-21T00:30:00Z",
            "off 2026-11-20T18:00:00Z",
            ["on 2026-11-21T08:00:00Z", "off 2026-11-21T18:00:00Z"],
        ),
    ] {
        let (was, comes) = edges(value, now);
        assert_eq!(was.unwrap_or_default(), latest, "{value} at {now}");
        let next: Vec<&str> = next.into_iter().filter(|edge| !edge.is_empty()).collect();
        assert_eq!(comes, next, "{value} after {now}");
    }
}

#[test]
fn the_end_of_a_hold_is_an_edge() {
    for (value, now, held_until, latest) in [
        ("08:00-18:00", "2026-11-20T21:00:00Z", "2026-11-20T21:00:00Z", "off 2026-11-20T21:00:00Z"),
        ("08:00-18:00", "2026-11-21T09:00:00Z", "2026-11-20T21:00:00Z", "on 2026-11-21T08:00:00Z"),
        ("00:00-24:00", "2026-11-21T09:00:00Z", "2026-11-20T21:00:00Z", "on 2026-11-20T21:00:00Z"),
        ("stop 18:00", "2026-11-20T21:59:59Z", "2026-11-20T21:00:00Z", "off 2026-11-20T21:00:00Z"),
        ("stop 18:00", "2026-11-20T22:00:00Z", "2026-11-20T21:00:00Z", ""),
        ("stop 18:00", "2026-11-20T18:30:00Z", "2026-11-20T17:00:00Z", "off 2026-11-20T18:00:00Z"),
        ("start 07:00 + stop 23:00", "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", "on 2026-11-21T12:00:00Z"),
        ("start 07:00 + stop 23:00", "2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z", "off 2026-11-21T00:00:00Z"),
        // A window's edge overtakes a moment before it, and a moment a window's edge.
        ("08:00-18:00 + start 07:00", "2026-11-20T21:00:00Z", "2026-11-20T21:00:00Z", "off 2026-11-20T21:00:00Z"),
        ("08:00-18:00 + start 19:00", "2026-11-20T21:00:00Z", "2026-11-20T21:00:00Z", "on 2026-11-20T21:00:00Z"),
        ("08:00-18:00 + start 18:00", "2026-11-20T21:00:00Z", "2026-11-20T21:00:00Z", "on 2026-11-20T21:00:00Z"),
        // The windows say on, the moment says off.
        ("08:00-20:00 + stop 18:00", "2026-11-20T19:00:00Z", "2026-11-20T19:00:00Z", "on 2026-11-20T19:00:00Z"),
    ] {
        let edge = schedule(value).latest_edge(&TimeZone::UTC, at(now), Some(at(held_until)));
        let told = edge.map(|edge| format!("{} {}", if edge.on { "on" } else { "off" }, edge.at));
        assert_eq!(told.unwrap_or_default(), latest, "{value} at {now}");
    }
}

#[test]
fn the_latest_moment() {
    let moment = |value: &str| {
        let moment = schedule(value).latest_moment(&TimeZone::UTC, at("2026-11-20T12:00:00Z"));
        moment.map(|moment| moment.to_string())
    };
    assert_eq!(moment("08:00-18:00 + stop 12:00").as_deref(), Some("2026-11-20T12:00:00Z"));
    assert_eq!(moment("stop Mon 13:00").as_deref(), Some("2026-11-16T13:00:00Z"));
    assert_eq!(moment("08:00-18:00"), None);
}

#[test]
fn what_covers_the_whole_week() {
    for (value, always) in [
        ("00:00-24:00", true),
        ("Mon 00:00 - Sun 24:00", true),
        ("Wed 13:00 - Tue 24:00 + Wed 00:00-13:00", true),
        ("07:00-19:00 + 19:00-07:00 except 12-25", true),
        ("00:00-23:59", true),
        ("07:00-19:00 + 19:01-07:00 + 08:00-18:00", false),
        ("weekdays 00:00-24:00 + weekdays 00:00-24:00", false),
    ] {
        assert_eq!(schedule(value).timetable(&TimeZone::UTC).is_always_on(), always, "{value}");
    }
}

#[test]
fn what_a_hand_is_held_against() {
    for (value, held_until, from) in [
        ("08:00-18:00 + stop 23:00", None, "2026-11-20T18:00:00Z"),
        ("08:00-18:00 + stop 23:00", Some("2026-11-20T21:00:00Z"), "2026-11-20T21:00:00Z"),
        ("08:00-18:00 + stop 20:00", Some("2026-11-20T21:00:00Z"), "2026-11-20T21:00:00Z"),
        ("stop 20:00", Some("2026-11-20T21:00:00Z"), "2026-11-20T20:00:00Z"),
    ] {
        let edge = schedule(value).latest_edge(&TimeZone::UTC, at("2026-11-20T21:05:00Z"), held_until.map(at));
        assert_eq!(edge.map(|edge| edge.from), Some(at(from)), "{value} {held_until:?}");
    }
}

#[test]
fn no_instant_is_too_far() {
    for value in ["08:00-18:00", "Mon 06:00 - Fri 20:00 Asia/Seoul except 12-24..01-01", "stop 18:00", "00:00-24:00"] {
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let schedule = schedule(value);
            let _ = schedule.latest_edge(&TimeZone::UTC, now, None);
            assert!(schedule.edges_after(&TimeZone::UTC, now).take(10).all(|edge| edge.at > now), "{value}");
        }
    }
}

proptest! {
    #[test]
    fn no_value_is_too_odd(value in "[0-9A-Za-z:+./_ -]{0,60}|\\PC{0,300}") {
        let _ = Tag::parse(&value);
        let _ = Hold::parse(&value);
    }

    /// Pieces that fit often enough to make schedules.
    #[test]
    fn what_parses_prints_what_parses_to_it(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "Mon", "tue-Fri", "weekdays", "7:00", "09:30-18:00", "22:00-02:00", "-", "+", "stop", "start", "24:00",
            "Asia/Seoul", "UTC", "except", "12-24..01-01", "02-29", "2026-12-24", "enforced", "Sun", "0:00-24:00",
        ]), 1..9),
    ) {
        if let Ok(schedule) = Schedule::parse(&pieces.join(" ")) {
            let canonical = schedule.to_string();
            prop_assert_eq!(&Schedule::parse(&canonical).unwrap(), &schedule);
            prop_assert_eq!(Schedule::parse(&canonical).unwrap().to_string(), canonical);
        }
    }

    /// Any text, and good values with a few characters put in or over.
    #[test]
    fn what_is_wrong_stands_in_the_value(
        any in "[0-9A-Za-z:+./_ ,;-]{0,60}|\\PC{0,60}",
        good in prop::sample::select(vec![
            "weekdays 08:00-12:00 + Sat 13:00-18:30 Europe/Berlin", "Mon 06:00 - Fri 20:00 except 12-24..01-01 05-01",
            "stop daily 19:00 America/New_York enforced", "on until 2026-11-22 09:00 Asia/Seoul", "2026-11-22T09:00",
        ]),
        edits in prop::collection::vec((0..60_usize, 0..3_usize, "[ ,;+0-9a-zA-Z/–é\\[-]{0,2}"), 1..4),
    ) {
        let mut edited: Vec<char> = good.chars().collect();
        for (at, removed, text) in edits {
            let at = at.min(edited.len());
            let end = edited.len().min(at + removed);
            edited.splice(at..end, text.chars());
        }
        for value in [any, edited.into_iter().collect()] {
            let hold = Hold::parse(&value).err();
            for error in [refused(&value), hold.clone()].into_iter().flatten() {
                prop_assert!(value.get(error.at()).is_some(), "{error}: {:?}", error.at());
            }
            match (refused(&value), Tag::mended(&value)) {
                (Some(_), Some(mended)) => prop_assert_eq!(refused(&mended), None),
                (_, mended) => prop_assert_eq!(mended, None),
            }
            match (hold, Hold::mended(&value)) {
                (Some(_), Some(mended)) => prop_assert!(Hold::parse(&mended).is_ok(), "{mended}"),
                (_, mended) => prop_assert_eq!(mended, None),
            }
        }
    }
}
