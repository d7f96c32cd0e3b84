//! The function's response: the report as JSON, within Lambda's limit.

use std::io;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::rows::{Counts, Report, Row};
use crate::action::{Outcome, RequestedAction};
use crate::place::Region;
use crate::reason::Reason;
use crate::resource::{Kind, ResourceId};

/// The most bytes of JSON that a response may have. Lambda takes 6 MB.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const RESPONSE_LIMIT_BYTES: usize = 6_000_000;

/// The function's response: the report as JSON, within Lambda's limit.
#[derive(Debug, Serialize)]
pub struct Response {
    action: RequestedAction,
    time: Timestamp,
    dry_run: bool,
    counts: Counts,
    /// Says how many instances had no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<LeftOut>,
    instances: Vec<Row>,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct LeftOut {
    kept: usize,
    planned: usize,
}

impl Response {
    /// The response of at most `limit` bytes: what does not fit is left out, kept instances first, then those where
    /// all went well, and the response says how many. The counts are those of the whole report.
    #[must_use]
    pub fn new(report: Report, limit: usize) -> Self {
        let counts = report.counts();
        let Report { action, time, dry_run, instances, .. } = report;
        let mut response = Self { action, time, dry_run, counts, left_out: None, instances };
        if json_len(&response) > limit {
            response.shorten(limit);
        }
        response
    }

    fn shorten(&mut self, limit: usize) {
        let rows = std::mem::take(&mut self.instances);
        self.left_out = Some(LeftOut { kept: usize::MAX, planned: usize::MAX });
        let mut room = limit.saturating_sub(json_len(self));
        let mut by_urgency: Vec<usize> = (0..rows.len()).collect();
        by_urgency.sort_by_key(|&index| (rows[index].planned().is_none(), rows[index].outcome));
        let mut shown = vec![false; rows.len()];
        for index in by_urgency {
            let needs = json_len(&rows[index]) + ",".len();
            if needs > room {
                break;
            }
            room -= needs;
            shown[index] = true;
        }
        let mut left_out = LeftOut::default();
        for (row, shown) in rows.into_iter().zip(shown) {
            match (shown, row.planned()) {
                (true, _) => self.instances.push(row),
                (false, None) => left_out.kept += 1,
                (false, Some(_)) => left_out.planned += 1,
            }
        }
        self.left_out = Some(left_out);
    }
}

/// What does not apply is left out.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            id: &'a ResourceId,
            #[serde(skip_serializing_if = "Option::is_none")]
            kind: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            region: Option<&'a Region>,
            decision: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            outcome: Option<Outcome>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<Reason>,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<&'a str>,
        }
        let detail = self.detail();
        let fields = Fields {
            id: &self.entry.id,
            kind: self.kind().map(Kind::as_str),
            name: self.entry.name.as_deref(),
            region: self.entry.region.as_ref(),
            decision: self.decision(),
            outcome: self.outcome,
            reason: self.reason(),
            detail: detail.as_deref(),
        };
        fields.serialize(serializer)
    }
}

/// The length of a value as JSON, without keeping the JSON.
fn json_len(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Neither the counter nor these types can fail; were it so, the runtime's own serialization would tell.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::one_of_each;

    #[test]
    fn the_response_as_outsiders_read_it() {
        let response = Response::new(one_of_each(), RESPONSE_LIMIT_BYTES);
        insta::assert_snapshot!(serde_json::to_string_pretty(&response).unwrap());
    }

    #[test]
    fn a_long_response_leaves_out_the_kept_first_and_says_so() {
        let whole = json_len(&Response::new(one_of_each(), usize::MAX));
        assert!(whole < 1_200, "{whole}");
        for limit in (300..=whole).rev() {
            let response = Response::new(one_of_each(), limit);
            assert!(json_len(&response) <= limit, "{limit}");
            assert_eq!(response.counts, one_of_each().counts(), "the sums are those of the whole report");
            let Some(left_out) = response.left_out else {
                assert_eq!((limit, response.instances.len()), (whole, 7));
                continue;
            };
            assert_eq!(response.instances.len() + left_out.kept + left_out.planned, 7, "{limit}");
            assert!(left_out.kept == 2 || left_out.planned == 0, "{limit}: {left_out:?}");
            let shown: Vec<_> = response.instances.iter().filter_map(|row| row.outcome).collect();
            assert!(left_out.planned < 5 || shown.is_empty());
            assert!(shown.is_empty() || shown.contains(&Outcome::Failed), "{limit}: what failed goes last");
        }
    }
}
