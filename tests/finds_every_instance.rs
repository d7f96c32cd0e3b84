//! Every instance that the request may be about is found, over pages, reservations and regions, and nothing else.

use crate::support::ec2::{Machine, Whims};
use crate::support::{RULE_FIRED, START, fleet, id};

fn found(story: &crate::support::Story) -> u64 {
    story.response()["counts"]["found"].as_u64().expect("a count")
}

#[test]
fn over_pages_empty_pages_and_reservations() {
    let machines = (0..2_345).map(|n| Machine::running(id(n)).due());
    let story =
        fleet(machines).with("STOPINATOR_MAX_ACTIONS", "0").with("STOPINATOR_VERIFY_SECONDS", "0").on(RULE_FIRED);
    assert_eq!(found(&story), 2_345);
    let pages = story.calls_of("DescribeInstances");
    assert_eq!(pages.len(), 5, "three pages, and an empty one after each but the last");
    assert!(pages.iter().all(|page| page.parameters["MaxResults"] == "1000"));
    assert_eq!(story.response()["counts"]["accepted"], 2_345);
}

#[test]
fn by_the_tags_key_and_no_pattern() {
    for (key, lookalike) in
        [("Team*", "Teamwork"), ("a?c", "abc"), ("back\\slash", "backslash"), ("Stopinator", "stopinator")]
    {
        let machines = [Machine::running(id(1)).tagged(key, "true"), Machine::running(id(2)).tagged(lookalike, "true")];
        let story = fleet(machines).with("STOPINATOR_TAG_KEY", key).on(RULE_FIRED);
        assert_eq!(found(&story), 1, "{key}");
        assert_eq!(story.named(), [id(1)], "{key}");
        assert_eq!(story.calls[0].filters()[0].0, "tag-key");
    }
}

#[test]
fn in_every_region_of_the_deployment_or_those_asked_for() {
    let seoul = Machine::running(id(1)).due();
    let dublin = Machine::running(id(2)).due().in_region("eu-west-1");
    let oregon = Machine::running(id(3)).due().in_region("us-west-2");
    let scenario = || {
        fleet([seoul.clone(), dublin.clone(), oregon.clone()])
            .with("STOPINATOR_REGIONS", "eu-west-1,ap-northeast-2,eu-west-1")
    };
    let story = scenario().on(RULE_FIRED);
    assert_eq!((story.state(&id(1)), story.state(&id(2)), story.state(&id(3))), ("stopped", "stopped", "running"));
    let regions: Vec<_> = story.response()["instances"].as_array().unwrap().iter().map(|i| &i["region"]).collect();
    assert_eq!(regions, ["ap-northeast-2", "eu-west-1"], "sorted by region");
    let looks = story.calls.iter().filter(|call| call.parameters.contains_key("MaxResults")).count();
    assert_eq!(looks, 2, "a region given twice is looked at once");

    let story = scenario().on(r#"{"action": "stop", "regions": ["eu-west-1"]}"#);
    assert_eq!((story.state(&id(1)), story.state(&id(2))), ("running", "stopped"));
}

#[test]
fn by_id_when_ids_are_given_and_never_wider() {
    let tagged = Machine::running(id(1)).due();
    let untagged = Machine::running(id(2));
    let other = Machine::running(id(3)).due();
    let command = format!(r#"{{"action": "stop", "instance_ids": ["{}", "{}", "{}"]}}"#, id(1), id(2), id(9));
    let story = fleet([tagged, untagged, other]).on(&command);
    assert_eq!(found(&story), 3);
    assert_eq!(story.said(&id(1)), ("stop".into(), "confirmed".into()));
    assert_eq!(story.said(&id(2)), ("keep".into(), "not-selected".into()));
    assert_eq!(story.said(&id(9)), ("keep".into(), "gone".into()));
    assert_eq!(story.named(), [id(1)]);
}

#[test]
fn by_many_ids_within_the_limits_of_a_filter() {
    let ids: Vec<String> = (0..450).map(id).collect();
    let machines = ids.iter().map(|id| Machine::running(id.as_str()).due());
    let command = format!(r#"{{"action": "stop", "instance_ids": {}}}"#, serde_json::json!(ids));
    let story = fleet(machines).with("STOPINATOR_MAX_ACTIONS", "450").on(&command);
    assert_eq!(story.response()["counts"]["confirmed"], 450);
    let asked: Vec<usize> =
        story.calls_of("DescribeInstances").iter().filter_map(|call| Some(call.filters().first()?.1.len())).collect();
    assert_eq!(asked, [200, 200, 50]);
}

#[test]
fn an_id_in_a_region_that_could_not_be_observed_is_not_called_gone() {
    let command = format!(r#"{{"action": "stop", "instance_ids": ["{}", "{}"], "dry_run": true}}"#, id(1), id(2));
    let story = fleet([Machine::running(id(1)).due(), Machine::running(id(2)).due().in_region("eu-west-1")])
        .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1")
        .where_ec2_refuses("eu-west-1", "DescribeInstances", "UnauthorizedOperation", "You are not authorized")
        .on(&command);
    let (code, message) = story.error();
    assert_eq!(code, "unfinished");
    assert!(message.contains("1 found"), "{message}");
}

#[test]
fn scope_all_finds_the_untagged_and_spares_what_others_own() {
    let machines = || {
        [
            Machine::running(id(1)),
            Machine::running(id(2)).tagged("Stopinator", "never"),
            Machine::running(id(3)).tagged("aws:autoscaling:groupName", "web"),
            Machine::running(id(4)).tagged("kubernetes.io/cluster/blue", "owned"),
            Machine { instance_type: "m5d.large", ..Machine::running(id(5)) },
            Machine { instance_type: "m5d.large", ..Machine::running(id(6)).due() },
            Machine { instance_type: "x9.future", ..Machine::running(id(7)) },
            Machine { operator_managed: true, ..Machine::running(id(8)) },
            Machine::stopped(id(9)),
        ]
    };
    let story = fleet(machines()).with("STOPINATOR_SCOPE", "all").on(RULE_FIRED);
    for (number, decision, reason) in [
        (1, "stop", "confirmed"),
        (2, "keep", "opted-out"),
        (3, "keep", "asg-member"),
        (4, "keep", "service-managed"),
        (5, "keep", "instance-store-data"),
        (6, "stop", "confirmed"),
        (7, "keep", "instance-store-data"),
        (8, "keep", "service-managed"),
        (9, "keep", "already-stopped"),
    ] {
        assert_eq!(story.said(&id(number)), (decision.to_owned(), reason.to_owned()), "instance {number}");
    }
    assert!(story.calls[0].filters().is_empty());
    assert_eq!(story.calls_of("DescribeInstanceTypes").len(), 1);

    let story = fleet(machines()).with("STOPINATOR_SCOPE", "all").on(START);
    assert_eq!(story.said(&id(9)), ("keep".into(), "not-selected".into()), "it never starts an untagged one");
    assert!(story.calls_of("DescribeInstanceTypes").is_empty(), "asked only where the answer decides");
}

#[test]
fn scope_all_stops_nothing_where_instance_types_cannot_be_learned() {
    let story = fleet([Machine::running(id(1))])
        .with("STOPINATOR_SCOPE", "all")
        .where_ec2_refuses("ap-northeast-2", "DescribeInstanceTypes", "UnauthorizedOperation", "You are not authorized")
        .on(RULE_FIRED);
    assert!(story.touched_nothing());
    assert!(story.error().1.contains("ap-northeast-2 could not be observed: DescribeInstanceTypes"));
}

/// Half an answer, or a walk that leads in a circle, is a region of which nothing is known: nothing there is touched.
#[test]
fn half_of_a_fleet_is_no_fleet() {
    let machines = || (0..6).map(|n| Machine::running(id(n)).due());
    for (whims, says) in [
        (Whims { cuts_answers: true, ..Whims::default() }, "the answer ended in the middle"),
        (Whims { repeats_its_token: true, ..Whims::default() }, "the token of a page came again"),
    ] {
        let story = fleet(machines()).where_ec2_has(whims).on(RULE_FIRED);
        let (code, message) = story.error();
        assert_eq!(code, "unfinished");
        assert!(message.contains("ap-northeast-2 could not be observed: DescribeInstances: "), "{message}");
        assert!(message.contains(says) && message.contains("0 found"), "{message}");
        assert!(story.touched_nothing());
    }
}
