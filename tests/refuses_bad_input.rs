//! A trigger that is not understood, or too old, touches nothing and asks EC2 for nothing.

use crate::support::ec2::Machine;
use crate::support::{fleet, id};

#[test]
fn nothing_is_asked_or_touched() {
    for (trigger, code, part) in [
        ("{}", "bad-trigger", "`action`"),
        ("null", "bad-trigger", "JSON object"),
        (r#"{"action": "terminate"}"#, "bad-trigger", "`action`"),
        (r#"{"action": "stop", "instance_ids": []}"#, "bad-trigger", "`instance_ids`"),
        (r#"{"action": "stop", "instance_ids": ["i-1"]}"#, "bad-trigger", "`instance_ids[0]`"),
        (r#"{"action": "stop", "regions": ["us-east-1"]}"#, "bad-trigger", "`regions`"),
        (r#"{"action": "stop", "tag": "x"}"#, "bad-trigger", "`tag`"),
        (r#"{"action": "stop", "time": "noon"}"#, "bad-trigger", "`time`"),
        (r#"{"action": "stop", "time": "2026-11-21T07:59:00Z"}"#, "stale-event", "61 minutes before"),
        (r#"{"action": "stop", "time": "2026-11-21T09:06:00Z"}"#, "stale-event", "5 minutes after"),
    ] {
        let story = fleet([Machine::running(id(1)).due()]).on(trigger);
        let (found, message) = story.error();
        assert_eq!(found, code, "{trigger}");
        assert!(message.contains(part), "{trigger} gave: {message}");
        assert!(story.calls.is_empty(), "{trigger}");
    }
}
