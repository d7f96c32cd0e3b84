//! The function's response: the report as JSON, within Lambda's limit.

use std::io;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::rows::{Counts, Report, Row, Unobserved};
use crate::action::{Outcome, RequestedAction};
use crate::place::{AccountId, Region};
use crate::reason::Reason;
use crate::resource::{Kind, ResourceId};

/// The most bytes of JSON that a response may have. Lambda takes 6 MB.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const RESPONSE_LIMIT_BYTES: usize = 6_000_000;

/// Of how many accounts and places that are out of reach the response tells; it has the number of all, and the log each.
const MOST_UNREACHABLE: usize = 1000;

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
    /// How far it reached, where it looks after other accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<Accounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<Vec<Unobserved>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Vec<Row>>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Accounts {
    looked_at: usize,
    unreachable: usize,
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
        let accounts =
            report.reach.map(|reach| Accounts { looked_at: reach.looked_at, unreachable: report.unreachable.len() });
        let Report { action, time, dry_run, instances, unreachable, counts_alone, .. } = report;
        let first = |mut unreachable: Vec<Unobserved>| {
            unreachable.truncate(MOST_UNREACHABLE);
            unreachable
        };
        let unreachable = accounts.map(|_| first(unreachable)).filter(|_| !counts_alone);
        let instances = Some(instances).filter(|_| !counts_alone);
        let mut response = Self { action, time, dry_run, counts, left_out: None, accounts, unreachable, instances };
        if json_len(&response) > limit {
            response.shorten(limit);
        }
        response
    }

    fn shorten(&mut self, limit: usize) {
        let rows = self.instances.replace(Vec::new()).unwrap_or_default();
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
        let (mut left_out, mut fitting) = (LeftOut::default(), Vec::new());
        for (row, shown) in rows.into_iter().zip(shown) {
            match (shown, row.planned()) {
                (true, _) => fitting.push(row),
                (false, None) => left_out.kept += 1,
                (false, Some(_)) => left_out.planned += 1,
            }
        }
        (self.left_out, self.instances) = (Some(left_out), Some(fitting));
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
            account: Option<AccountId>,
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
            account: self.entry.account(),
            region: self.entry.region(),
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
    use crate::reach::Reach;
    use crate::testing::{account, one_of_each, region};

    #[test]
    fn the_response_as_outsiders_read_it() {
        let response = Response::new(one_of_each(), RESPONSE_LIMIT_BYTES);
        insta::assert_snapshot!(serde_json::to_string_pretty(&response).unwrap());
    }

    #[test]
    fn the_response_of_a_hub_as_outsiders_read_it() {
        let mut report = one_of_each();
        let place = &mut report.instances[1].entry.place;
        *place = place.as_ref().map(|place| place.of(account(1)));
        report.instances.truncate(2);
        report.reach = Some(Reach { looked_at: 2, is_lost: false });
        let unobserved = |number, at: Option<&str>, call, why: &str| Unobserved {
            account: Some(account(number)),
            region: at.map(region),
            call,
            why: why.into(),
            is_remembered: false,
        };
        report.unreachable = vec![
            unobserved(2, None, "AssumeRole", "AccessDenied: no"),
            unobserved(3, Some("eu-west-1"), "DescribeInstances", "AuthFailure: no"),
        ];
        let sums = Response::new(Report { counts_alone: true, ..report.clone() }, RESPONSE_LIMIT_BYTES);
        insta::assert_snapshot!(serde_json::to_string_pretty(&Response::new(report, RESPONSE_LIMIT_BYTES)).unwrap());
        let sums = serde_json::to_value(&sums).unwrap();
        assert_eq!(sums["accounts"], serde_json::json!({ "looked_at": 2, "unreachable": 2 }));
        assert_eq!(sums["counts"]["found"], 2);
        assert!(sums.get("instances").is_none() && sums.get("unreachable").is_none(), "{sums}");
    }

    #[test]
    fn a_long_response_leaves_out_the_kept_first_and_says_so() {
        let whole = json_len(&Response::new(one_of_each(), usize::MAX));
        assert!(whole < 1_200, "{whole}");
        for limit in (300..=whole).rev() {
            let response = Response::new(one_of_each(), limit);
            assert!(json_len(&response) <= limit, "{limit}");
            assert_eq!(response.counts, one_of_each().counts(), "the sums are those of the whole report");
            let rows = response.instances.as_deref().unwrap();
            let Some(left_out) = response.left_out else {
                assert_eq!((limit, rows.len()), (whole, 7));
                continue;
            };
            assert_eq!(rows.len() + left_out.kept + left_out.planned, 7, "{limit}");
            assert!(left_out.kept == 2 || left_out.planned == 0, "{limit}: {left_out:?}");
            let shown: Vec<_> = rows.iter().filter_map(|row| row.outcome).collect();
            assert!(left_out.planned < 5 || shown.is_empty());
            assert!(shown.is_empty() || shown.contains(&Outcome::Failed), "{limit}: what failed goes last");
        }
    }
}
