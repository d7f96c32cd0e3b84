//! Each file under `events/` is a trigger that the handler follows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::ec2::Machine;
use crate::support::{fleet, id};

/// The file, then what becomes of a running and of a stopped instance.
const EVENTS: [(&str, &str, &str); 8] = [
    ("scheduled-rule.json", "stopped", "stopped"),
    ("scheduled-scheduler.json", "stopped", "stopped"),
    ("command-stop.json", "stopped", "stopped"),
    ("command-start.json", "running", "running"),
    ("command-schedule.json", "running", "stopped"),
    ("command-dry-run.json", "running", "stopped"),
    ("command-narrowed.json", "running", "stopped"),
    ("command-notice.json", "running", "stopped"),
];

#[test]
fn each_does_what_it_says() {
    for (file, running, stopped) in EVENTS {
        let trigger = fs::read_to_string(folder().join(file)).expect(file);
        let named = Machine::running("i-0a1b2c3d4e5f60718").due();
        let story = fleet([Machine::running(id(1)).due(), Machine::stopped(id(2)).due(), named])
            .with("STOPINATOR_MAX_EVENT_AGE_MINUTES", "0")
            .with("STOPINATOR_EVENTS", "true")
            .on(&trigger);
        assert!(story.answer.is_ok(), "{file}: {:?}", story.answer);
        assert_eq!((story.state(&id(1)), story.state(&id(2))), (running, stopped), "{file}");
        if file == "command-narrowed.json" {
            assert_eq!(story.named(), ["i-0a1b2c3d4e5f60718"]);
            assert_eq!(story.said("i-0123abcd"), ("keep".into(), "gone".into()));
        }
        if file == "command-dry-run.json" {
            assert_eq!(story.response()["time"], "2026-11-20T09:00:00Z");
        }
    }
}

#[test]
fn none_is_forgotten() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(files, EVENTS.map(|(file, ..)| file.to_owned()).into());
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}
