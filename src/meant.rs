//! Which word was probably meant by one that is none.

use strsim::osa_distance;

/// The nearest of the known words that so few edits make of a text, without regard to case. None where the text is one
/// of them, or where two are as near.
#[must_use]
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>, edits: usize) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    let form = Form::of(&lower);
    let (mut nearest, mut edits_left) = (None, edits);
    let mut is_tie = false;
    for word in known {
        // Few words are left to compare in full.
        if form.is_within(edits_left, Form::of(word)) {
            match osa_distance(&word.to_ascii_lowercase(), &lower) {
                0 => return None,
                distance if distance <= edits_left => {
                    is_tie = nearest.is_some_and(|known: &str| known != word) && distance == edits_left;
                    (nearest, edits_left) = (Some(word), distance);
                }
                _ => {}
            }
        }
    }
    nearest.filter(|_| !is_tie)
}

/// What can be compared at once: a length in bytes, and the set of ASCII letters, a bit each.
#[derive(Debug, Clone, Copy)]
struct Form {
    len: usize,
    letters: u32,
}

impl Form {
    fn of(text: &str) -> Self {
        let letters = text.bytes().filter(u8::is_ascii_alphabetic);
        let letters = letters.fold(0, |set, letter| set | 1 << (letter.to_ascii_lowercase() - b'a'));
        Self { len: text.len(), letters }
    }

    /// Whether so few edits could turn a text of one form into one of the other. An edit takes one letter and brings
    /// another, at most.
    fn is_within(self, edits: usize, other: Self) -> bool {
        let letters = (self.letters ^ other.letters).count_ones() as usize;
        self.len.abs_diff(other.len) <= edits && letters <= 2 * edits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest() {
        for (text, edits, expected) in [
            ("weekday", 2, Some("weekdays")),
            ("STPO", 1, Some("stop")),
            ("stxx", 2, Some("stop")),
            ("stxx", 1, None),
            ("stop", 2, None),
            ("Start", 2, None),
            ("strt", 2, Some("start")),
            ("", 2, None),
        ] {
            assert_eq!(nearest(text, ["start", "stop", "weekdays"], edits), expected, "{text}");
        }
        assert_eq!(nearest("stxp", ["stop", "step"], 2), None, "two that are as near");
        assert_eq!(nearest("stxp", ["stop", "step", "stxx"], 2), None, "three");
        assert_eq!(nearest("stopp", ["step", "stop"], 2), Some("stop"), "the nearer one, whichever comes first");
        assert_eq!(nearest("stopp", ["stop", "step"], 2), Some("stop"));
    }

    #[test]
    fn how_few_edits_could_do() {
        assert_eq!(Form::of("Abz/a-B").letters, 1 | 2 | 1 << 25);
        for (edits, one, other, expected) in [
            (2, "abcd", "efcd", true),
            (1, "abcd", "efcd", false),
            (1, "abcd", "abce", true),
            (0, "abcd", "abce", false),
            (2, "aaaa", "aa", true),
            (1, "aaaa", "aa", false),
        ] {
            assert_eq!(Form::of(one).is_within(edits, Form::of(other)), expected, "{one} {other} {edits}");
        }
    }
}
