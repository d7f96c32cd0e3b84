//! What the terminal gets: widths, wrapping, colours, and the texts of others made harmless.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstream::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
#[cfg(feature = "cli")]
use unicode_width::UnicodeWidthChar;
use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const STOP: Style = AnsiColor::Yellow.on_default();
pub(crate) const START: Style = AnsiColor::Green.on_default();
pub(crate) const WRONG: Style = AnsiColor::Red.on_default();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();

/// Where it is shown. Colours are written in any case, and taken out on the way where nobody wants them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Columns; none where it is no terminal, so that what is searched for is not cut.
    pub(crate) width: Option<usize>,
    pub(crate) ascii: bool,
}

impl Screen {
    pub(crate) fn new(ascii: bool, color: clap::ColorChoice) -> Self {
        match color {
            clap::ColorChoice::Auto => ColorChoice::Auto,
            clap::ColorChoice::Always => ColorChoice::Always,
            clap::ColorChoice::Never => ColorChoice::Never,
        }
        .write_global();
        let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok());
        let terminal = || io::stdout().is_terminal().then(|| terminal_size::terminal_size().map(|(width, _)| width.0));
        let width = columns.or_else(|| terminal().map(|width| width.unwrap_or(80).into()));
        Self { width: width.map(|width| width.clamp(40, 1000)), ascii: ascii || locale_is_ascii() }
    }

    /// Lines of our own with texts of others in them, such as what went wrong.
    pub(crate) fn lines(self, text: &str) -> String {
        text.split('\n').map(|line| self.text(line)).collect::<Vec<_>>().join("\n")
    }

    /// A text of others, so that it can neither steer the terminal nor break a line or the order of its letters.
    pub(crate) fn text(self, foreign: &str) -> String {
        let mut harmless = String::with_capacity(foreign.len());
        for c in foreign.chars() {
            // Writing to a String cannot fail.
            let _ = match c {
                '\n' => write!(harmless, "\\n"),
                '\r' => write!(harmless, "\\r"),
                '\t' => write!(harmless, "\\t"),
                c if c.is_control() && c.is_ascii() => write!(harmless, "\\x{:02x}", u32::from(c)),
                c if c.is_control() || turns_text(c) => write!(harmless, "\\u{{{:x}}}", u32::from(c)),
                c if self.ascii && !c.is_ascii() => match plain(c) {
                    "" => write!(harmless, "?"),
                    plain => write!(harmless, "{plain}"),
                },
                c => write!(harmless, "{c}"),
            };
        }
        harmless
    }

    /// The name of a row's instance, or a dash.
    #[cfg(feature = "cli")]
    pub(crate) fn name(self, row: &stopinator::report::Row) -> String {
        row.entry.name.as_deref().filter(|name| !name.is_empty()).map_or_else(|| "-".to_owned(), |name| self.text(name))
    }

    /// What fits into so many columns, with a sign where more follows.
    #[cfg(feature = "cli")]
    pub(crate) fn cut(self, text: &str, width: usize) -> String {
        if text.width() <= width {
            return text.to_owned();
        }
        let sign = if self.ascii { "~" } else { "…" };
        let mut room = width.saturating_sub(1);
        let fits = |c: &char| {
            let needs = c.width().unwrap_or(0);
            let fits = needs <= room;
            room = room.saturating_sub(if fits { needs } else { room });
            fits
        };
        text.chars().take_while(fits).chain(sign.chars()).collect()
    }

    /// Lines of at most the screen's width, each but the first after so many blanks. Words are not broken.
    pub(crate) fn wrap(self, text: &str, indent: usize) -> String {
        let Some(width) = self.width else { return text.to_owned() };
        let words = text.trim_start_matches(' ');
        let mut wrapped = " ".repeat(text.len() - words.len());
        let mut at = wrapped.len();
        let mut line_is_new = true;
        for word in words.split(' ') {
            let needs = anstream::adapter::strip_str(word).to_string().width();
            if !line_is_new && at + 1 + needs > width {
                let _ = write!(wrapped, "\n{:indent$}", "");
                at = indent;
            } else if !line_is_new {
                wrapped.push(' ');
                at += 1;
            }
            wrapped.push_str(word);
            at += needs;
            line_is_new = false;
        }
        wrapped
    }

    /// Writes what machines read to standard output, letter by letter. Whoever closes it early has seen enough; anything
    /// else that is in the way ends the program, before more is done than anybody can see.
    pub(crate) fn write(self, text: &str) {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.check(written);
    }

    fn check(self, written: io::Result<()>) {
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.tell(&format!("error: standard output: {error}"));
                std::process::exit(1);
            }
            _ => {}
        }
    }

    /// Writes to standard output, as [`Self::write`] does, in what the screen can show.
    pub(crate) fn print(self, text: &str) {
        let mut out = anstream::stdout();
        let written =
            if self.ascii { out.write_all(Self::in_ascii(text).as_bytes()) } else { out.write_all(text.as_bytes()) };
        let written = written.and_then(|()| out.flush());
        self.check(written);
    }

    /// Writes a line to standard error.
    pub(crate) fn tell(self, text: &str) {
        let text = if self.ascii { Self::in_ascii(text) } else { text.to_owned() };
        // Where it is gone there is nobody left to tell.
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    fn in_ascii(text: &str) -> String {
        text.chars().map(|c| if c.is_ascii() { c.to_string() } else { plain(c).to_owned() }).collect()
    }
}

/// A document as text, in which nothing can steer a terminal.
pub(crate) fn json_text(document: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(document).map_err(|error| Failure::wrong(error.to_string()))?;
    // Such characters stand in strings only, and JSON has a way to say them. All of them are below U+10000.
    let harmless = |c: char| {
        let is_one = (c.is_control() && !c.is_ascii()) || c == '\u{7f}' || turns_text(c);
        if is_one { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    Ok(text.chars().map(harmless).collect::<String>() + "\n")
}

/// Our own signs, and what stands for them in ASCII.
fn plain(c: char) -> &'static str {
    match c {
        '…' => "~",
        '█' => "#",
        '▌' | '▐' => "+",
        '·' => ".",
        '▒' => "=",
        '–' => "-",
        _ => "",
    }
}

/// Whether a character changes the order of what follows, or hides in it.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A locale that somebody has set and that is not UTF-8. Where none is set, most terminals today show everything.
fn locale_is_ascii() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| env::var(name).ok());
    set.into_iter().find(|value| !value.is_empty()).is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        !value.contains("utf-8") && !value.contains("utf8")
    })
}

/// A word of a shell.
#[cfg(feature = "cli")]
pub(crate) fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Screen = Screen { width: Some(20), ascii: false };
    const ASCII: Screen = Screen { width: Some(20), ascii: true };

    #[test]
    fn texts_of_others_are_harmless() {
        for (text, harmless) in [
            ("web-1", "web-1"),
            ("서울-데모", "서울-데모"),
            ("\u{1b}[2J\u{7}", "\\x1b[2J\\x07"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("שלום", "שלום"),
            ("👩\u{200d}💻", "👩\u{200d}💻"),
        ] {
            assert_eq!(WIDE.text(text), harmless);
        }
        assert_eq!(ASCII.text("서울-1"), "??-1");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn long_texts_are_cut_by_columns() {
        for (text, width, cut) in [
            ("web-1", 5, "web-1"),
            ("web-12", 5, "web-…"),
            ("서울-데모", 9, "서울-데모"),
            ("서울-데모", 8, "서울-데…"),
            ("서울-데모", 7, "서울-…"),
        ] {
            assert_eq!(WIDE.cut(text, width), cut, "{text} {width}");
        }
        assert_eq!(ASCII.cut("web-12", 5), "web-~");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(WIDE.wrap("one two three four five six", 2), "one two three four\n  five six");
        let long = "a-word-longer-than-the-line";
        assert_eq!(WIDE.wrap(&format!("x {long} y"), 2), format!("x\n  {long}\n  y"));
        assert_eq!(
            Screen { width: None, ascii: false }.wrap("one two three four five six", 2),
            "one two three four five six"
        );
    }
}
