//! `stopinator check`: what a tag's value means, or where it is wrong. Asks nobody.

use std::fmt::Write as _;
use std::io::BufRead;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use stopinator::schedule::{Edge, Hold, ParseError, Schedule, Tag};
use stopinator::week::{Stretch, hours};
use stopinator::zone;

use crate::args::{Check, Format};
use crate::failure::{Exit, Failure};
use crate::screen::{BOLD, HINT, START, STOP, Screen, WRONG, json_text, styled};
use crate::when::{self, name_of, on_clocks, rough};

/// A value, as it was read.
enum Meaning {
    Tag(Tag),
    Hold(Hold),
    Wrong(ParseError),
}

struct Checker {
    is_hold: bool,
    zone: TimeZone,
    at: Timestamp,
    edges: usize,
    screen: Screen,
}

pub(crate) fn check(check: &Check, now: Timestamp, screen: Screen) -> Result<Exit, Failure> {
    let zone = zone::zone(&check.zone).map_err(|error| Failure::usage(format!("--zone: `{}`: {error}", check.zone)))?;
    let at = match &check.at {
        None => now,
        Some(text) => {
            let named =
                when::read(text, now, &TimeZone::system()).map_err(|error| Failure::usage(format!("--at: {error}")))?;
            if let Some(remark) = named.remark {
                screen.tell(&remark);
            }
            named.at
        }
    };
    let checker = Checker { is_hold: check.hold, zone, at, edges: check.edges, screen };
    let from_input = check.values.iter().any(|value| value == "-");
    if from_input && check.values.len() > 1 {
        return Err(Failure::usage(
            "`-` stands alone: values come from standard input or from the command line".to_owned(),
        ));
    }
    let values = if from_input { lines()? } else { check.values.clone() };
    let meanings: Vec<Meaning> = values.iter().map(|value| checker.read(value)).collect();
    let wrong = meanings.iter().filter(|meaning| matches!(meaning, Meaning::Wrong(_))).count();
    let both = values.iter().zip(&meanings);
    let mut out = String::new();
    match check.format {
        Format::Json => out = checker.json(both)?,
        Format::Github => {
            for (line, (value, meaning)) in (1..).zip(both) {
                if let Meaning::Wrong(error) = meaning {
                    out.push_str(&checker.annotation(line, value, error));
                }
            }
        }
        Format::Text if from_input => {
            for (line, (value, meaning)) in (1..).zip(both) {
                if let Meaning::Wrong(error) = meaning {
                    let place = format!("<stdin>:{line}:{}: ", column(value, error));
                    out.push_str(&checker.wrong(&place, value, error));
                }
            }
            let values = if values.len() == 1 { "value" } else { "values" };
            let _ = writeln!(out, "{} {values}, {wrong} wrong", meanings.len());
        }
        Format::Text => {
            for (place, (value, meaning)) in both.enumerate() {
                if place > 0 {
                    out.push('\n');
                }
                out.push_str(&match meaning {
                    Meaning::Wrong(error) => checker.wrong("", value, error),
                    meaning => checker.meaning(meaning),
                });
            }
        }
    }
    if check.format == Format::Text {
        screen.print(&out);
    } else {
        screen.write(&out);
    }
    Ok(if wrong > 0 { Exit::Wrong } else { Exit::Done })
}

fn lines() -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::usage(format!("standard input: {error}")))?;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        lines.push(String::from_utf8_lossy(line).into_owned());
    }
    Ok(lines)
}

/// The column of what is wrong, in characters from 1.
fn column(value: &str, error: &ParseError) -> usize {
    value[..error.at().start].chars().count() + 1
}

impl Checker {
    fn read(&self, value: &str) -> Meaning {
        if self.is_hold {
            Hold::parse(value).map_or_else(Meaning::Wrong, Meaning::Hold)
        } else {
            match Tag::parse(value) {
                Tag::Invalid(error) => Meaning::Wrong(error),
                tag => Meaning::Tag(tag),
            }
        }
    }

    fn mended(&self, value: &str) -> Option<String> {
        if self.is_hold { Hold::mended(value) } else { Tag::mended(value) }
    }

    /// The error, the value with a caret under what is wrong, and what to write instead.
    fn wrong(&self, place: &str, value: &str, error: &ParseError) -> String {
        let text = |text: &str| self.screen.text(text);
        let mended = self.mended(value);
        let mut out =
            format!("{place}{} `{}`: {}", styled(WRONG, "error:"), text(error.piece()), text(error.expected()));
        if let (None, Some(meant)) = (&mended, error.meant()) {
            let _ = write!(out, "; did you mean `{meant}`?");
        }
        out = self.screen.wrap(&out, 2);
        let (before, piece) = (text(&value[..error.at().start]), text(&value[error.at()]));
        let carets = "^".repeat(unicode_width::UnicodeWidthStr::width(&*piece).max(1));
        let blanks = unicode_width::UnicodeWidthStr::width(&*before);
        let fits = self.screen.width.is_none_or(|width| blanks + carets.len() + 2 <= width);
        if fits && !value.is_empty() {
            let _ = write!(out, "\n  {}\n  {:blanks$}{}", text(value), "", styled(WRONG, &carets));
        }
        if let Some(mended) = mended {
            let _ = write!(out, "\n  {} {}", styled(HINT, "try:"), text(&mended));
        }
        out.push('\n');
        out
    }

    fn meaning(&self, meaning: &Meaning) -> String {
        let mut out = match meaning {
            Meaning::Tag(tag) => tag.in_words(&self.zone),
            Meaning::Hold(hold) => hold.in_words(&self.zone),
            Meaning::Wrong(error) => error.to_string(),
        };
        out = styled(BOLD, &self.screen.wrap(&out, 0));
        out.push('\n');
        match meaning {
            Meaning::Tag(Tag::Schedule(schedule)) => {
                let _ = writeln!(out, "  {}\n", self.screen.wrap(&schedule.to_string(), 2));
                self.edges(schedule, &mut out);
                if let Some((on, week)) = usual(schedule) {
                    out.push('\n');
                    let percent = 100 - (on.as_mins() * 100 + week.as_mins() / 2) / week.as_mins();
                    let _ = writeln!(
                        out,
                        "  {} of {} hours a week on: {percent}% less than always on",
                        in_hours(on),
                        week.as_hours()
                    );
                }
            }
            Meaning::Hold(hold) => {
                let _ = writeln!(out, "  {hold}\n");
                let end = hold.end(&self.zone);
                let over = end <= self.at;
                let _ = writeln!(
                    out,
                    "  {}  {}  {}{}",
                    if over { "over since" } else { "ends" },
                    end,
                    if over { "" } else { "in " },
                    rough(end.duration_since(self.at))
                );
            }
            _ => {}
        }
        out
    }

    fn edges(&self, schedule: &Schedule, out: &mut String) {
        let zone = schedule.zone(&self.zone);
        let mut offset = zone.to_offset(self.at);
        let edges: Vec<Edge> = schedule.edges_after(&self.zone, self.at).take(self.edges).collect();
        if edges.is_empty() && self.edges > 0 {
            out.push_str("  nothing turns on or off from here on\n");
        }
        for edge in &edges {
            let local = on_clocks(edge.at, zone);
            let universal = on_clocks(edge.at, &TimeZone::UTC);
            let form = if local.date() == universal.date() { "    %H:%MZ" } else { "%a %H:%MZ" };
            let universal = if offset.is_zero() && local.offset().is_zero() {
                String::new()
            } else {
                universal.strftime(form).to_string()
            };
            let change = if local.offset() == offset {
                String::new()
            } else {
                let way = if local.offset() > offset { "forward" } else { "back" };
                format!("  clocks {way} to UTC{}", hours_of(local.offset()))
            };
            offset = local.offset();
            let turn = if edge.on { styled(START, "on ") } else { styled(STOP, "off") };
            let away = format!("in {}", rough(edge.at.duration_since(self.at)));
            let line =
                format!("  {turn}  {}  {universal:<10}  {away:<10}{change}", local.strftime("%a %Y-%m-%d %H:%M"));
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }

    /// A workflow command of GitHub Actions.
    ///
    /// Source: <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>
    fn annotation(&self, line: usize, value: &str, error: &ParseError) -> String {
        let escaped = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let mended = self.mended(value).map_or(String::new(), |mended| format!("; try: {mended}"));
        let column = column(value, error);
        let end = column + value[error.at()].chars().count();
        format!(
            "::error line={line},col={column},endColumn={end},title=Stopinator::{}\n",
            escaped(&self.screen.text(&format!("{value}: {error}{mended}")))
        )
    }

    fn json<'a>(&self, both: impl Iterator<Item = (&'a String, &'a Meaning)>) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Document<'a> {
            version: u8,
            values: Vec<Said<'a>>,
        }
        #[derive(Serialize)]
        struct Said<'a> {
            value: &'a str,
            kind: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            words: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            canonical: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            zone: Option<&'a str>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            edges: Vec<EdgeSaid>,
            #[serde(skip_serializing_if = "Option::is_none")]
            hours_a_week: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            until: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<Wrong<'a>>,
        }
        #[derive(Serialize)]
        struct EdgeSaid {
            at: Timestamp,
            turn: &'static str,
            local: String,
        }
        #[derive(Serialize)]
        struct Wrong<'a> {
            piece: &'a str,
            column: usize,
            expected: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            meant: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none", rename = "try")]
            mended: Option<String>,
        }
        let values = both.map(|(value, meaning)| {
            let mut said = Said {
                value,
                kind: "plain",
                words: None,
                canonical: None,
                zone: None,
                edges: Vec::new(),
                hours_a_week: None,
                until: None,
                error: None,
            };
            match meaning {
                Meaning::Wrong(error) => {
                    said.kind = "invalid";
                    let (piece, expected, meant) = (error.piece(), error.expected(), error.meant());
                    let (column, mended) = (column(value, error), self.mended(value));
                    said.error = Some(Wrong { piece, column, expected, meant, mended });
                    return said;
                }
                Meaning::Hold(hold) => {
                    said.kind = "hold";
                    said.words = Some(hold.in_words(&self.zone));
                    said.canonical = Some(hold.to_string());
                    said.until = Some(hold.end(&self.zone));
                }
                Meaning::Tag(tag) => {
                    said.words = Some(tag.in_words(&self.zone));
                    match tag {
                        Tag::OptedOut => said.kind = "opted-out",
                        Tag::Schedule(schedule) => {
                            let zone = schedule.zone(&self.zone);
                            said.kind = "schedule";
                            said.canonical = Some(schedule.to_string());
                            said.zone = Some(name_of(zone));
                            said.hours_a_week = usual(schedule).map(|(on, _)| on.as_secs_f64() / 3600.0);
                            let turn = |edge: Edge| EdgeSaid {
                                at: edge.at,
                                turn: if edge.on { "on" } else { "off" },
                                local: on_clocks(edge.at, zone).to_string(),
                            };
                            said.edges = schedule.edges_after(&self.zone, self.at).take(self.edges).map(turn).collect();
                        }
                        Tag::Plain | Tag::Invalid(_) => {}
                    }
                }
            }
            said
        });
        let document = Document { version: 1, values: values.collect() };
        json_text(&document)
    }
}

/// How long a schedule is on in a week like any other, and how long that is; none where it does not tell its hours.
fn usual(schedule: &Schedule) -> Option<(SignedDuration, SignedDuration)> {
    // A Monday; any would do.
    let monday = Timestamp::from_second(1_704_067_200).ok()?;
    let week = SignedDuration::from_hours(7 * 24);
    let while_ = Stretch { from: monday, to: monday.checked_add(week).ok()? };
    let usual = schedule.usual();
    schedule.tells_hours().then(|| (hours(&usual, &TimeZone::UTC, None, monday, while_).on_time(), week))
}

/// Hours, with a decimal where there are minutes.
fn in_hours(time: SignedDuration) -> String {
    let hours = time.as_secs_f64() / 3600.0;
    if time.as_mins() % 60 == 0 { format!("{hours:.0}") } else { format!("{hours:.1}") }
}

/// `+2`, `+5:30` or `-3`.
fn hours_of(offset: jiff::tz::Offset) -> String {
    let minutes = offset.seconds() / 60;
    let (hours, rest) = (minutes / 60, (minutes % 60).abs());
    if rest == 0 { format!("{hours:+}") } else { format!("{hours:+}:{rest:02}") }
}
