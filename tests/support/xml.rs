//! What the answers are written with.

use std::fmt::{self, Write};

pub fn put(xml: &mut String, text: fmt::Arguments) {
    xml.write_fmt(text).expect("a String takes all");
}

pub fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // XML has no other way to say them.
    let character = |c: char| if c.is_control() { format!("&#{};", u32::from(c)) } else { c.to_string() };
    escaped.chars().map(character).collect()
}
