//! Tells the event bus: ten events a call, not for long, and beside the gate, at which a large run may wait. What cannot be told never fails a run.

use std::cell::Cell;
use std::time::Duration;

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use futures_util::stream::{self, StreamExt};

use super::call::{CALLS_AT_ONCE, CallError};
use super::clients::Clients;
use crate::report::events::{Event, SOURCE};

/// Events a call: the most that EventBridge takes.
///
/// Source: <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
const EVENTS_A_CALL: usize = 10;
/// Bytes a call. EventBridge takes 256 KB, names and ARNs counted.
const BYTES_A_CALL: usize = 200_000;

/// Events that were not sent, or of which nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// How many.
    pub events: usize,
    /// Why not the first of them.
    pub why: Box<str>,
}

/// The longest that telling may take; a run tells twice, what is ahead and what was done.
pub const TO_TELL: Duration = Duration::from_secs(1);

/// Puts events on the default bus of the function's own account and region, within `time`; what is left untold.
pub async fn tell(clients: &Clients, events: &[Event], time: Duration) -> Option<Untold> {
    let bus = clients.bus().filter(|_| !events.is_empty())?;
    let clock = clients.clock(time);
    let told = Cell::new(0);
    let why = Cell::new(None);
    let calls = stream::iter(calls(events)).for_each_concurrent(CALLS_AT_ONCE, async |some| {
        let sent = bus.put_events().set_entries(Some(some.iter().map(entry).collect())).send().await;
        match sent.map_err(|error| CallError::new("PutEvents", error)) {
            Ok(answer) => {
                let mut refused = answer.entries().iter().filter(|entry| entry.error_code().is_some());
                let failed = answer.failed_entry_count().unsigned_abs() as usize;
                told.set(told.get() + some.len().saturating_sub(failed));
                if let Some(entry) = refused.next() {
                    let (code, text) = (entry.error_code().unwrap_or_default(), entry.error_message());
                    why.set(Some(format!("PutEvents: {code}: {}", text.unwrap_or_default())));
                }
            }
            Err(error) => why.set(Some(error.to_string())),
        }
    });
    let in_time = clock.before_deadline(calls).await.is_some();
    let untold = events.len() - told.get();
    let why =
        why.take().unwrap_or_else(|| if in_time { "PutEvents" } else { "PutEvents: no answer in time" }.to_owned());
    (untold > 0).then(|| Untold { events: untold, why: why.into() })
}

/// What goes into one call, as many as fit.
fn calls(events: &[Event]) -> Vec<&[Event]> {
    let (mut calls, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (place, event) in events.iter().enumerate() {
        if place - begin == EVENTS_A_CALL || (place > begin && bytes + event.detail.len() > BYTES_A_CALL) {
            calls.push(&events[begin..place]);
            (begin, bytes) = (place, 0);
        }
        bytes += event.detail.len();
    }
    if begin < events.len() {
        calls.push(&events[begin..]);
    }
    calls
}

fn entry(event: &Event) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .source(SOURCE)
        .detail_type(event.detail_type)
        .set_resources(Some(event.resources.clone()))
        .detail(&event.detail)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_ten_events_and_no_more_than_it_can() {
        let event = |bytes: usize| Event { detail_type: "t", resources: Vec::new(), detail: "x".repeat(bytes) };
        let sizes = |events: &[Event]| calls(events).into_iter().map(<[Event]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![event(500); 25]), [10, 10, 5]);
        assert_eq!(sizes(&vec![event(60_000); 7]), [3, 3, 1]);
        assert_eq!(sizes(&[event(300_000), event(1)]), [1, 1], "too large is for the bus to refuse");
    }
}
