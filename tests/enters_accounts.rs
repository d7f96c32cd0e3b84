//! One hub looks after many accounts: it enters each by a role, and one that it may not enter costs only itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::ec2::{Machine, Whims};
use crate::support::organizations::{self, Member};
use crate::support::rds::Database;
use crate::support::sts::{self, HUB, StsCall};
use crate::support::{RULE_FIRED, Scenario, Story, fleet, id};

const A: &str = "111111111111";
const B: &str = "222222222222";
const C: &str = "333333333333";
const D: &str = "444444444444";
const STOP: &str = r#"{"action": "stop"}"#;
/// A session of a dry run may do these and nothing else.
const LOOKS: [&str; 5] = [
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "rds:DescribeDBClusters",
    "rds:DescribeDBInstances",
    "rds:DescribeEvents",
];

/// Running, and due, in this account.
fn due_in(account: &'static str, n: usize) -> Machine {
    Machine { account, ..Machine::running(id(n)).due() }
}

/// The first instance is the hub's, the second and the third are those of two spokes.
fn hub_and_two() -> Scenario {
    fleet([due_in("key", 1), due_in(A, 2), due_in(B, 3)]).with_accounts(&format!("{A},{B}"))
}

/// Four spokes, with an instance each.
fn four() -> Scenario {
    let machines = [A, B, C, D].into_iter().enumerate().map(|(n, account)| due_in(account, n));
    fleet(machines).with_accounts(&[A, B, C, D].join(","))
}

/// The calls that ask STS for a session.
fn asked(story: &Story) -> Vec<&StsCall> {
    story.sts_calls.iter().filter(|call| call.action == "AssumeRole").collect()
}

/// Whose keys signed the calls to EC2.
fn signed_by(story: &Story) -> BTreeSet<&str> {
    story.calls.iter().map(|call| call.account.as_str()).collect()
}

fn why(story: &Story) -> &str {
    story.response()["unreachable"][0]["why"].as_str().expect("a text")
}

#[test]
fn each_account_is_acted_on_with_its_own_keys() {
    let scenario = hub_and_two();
    let story = scenario.on(RULE_FIRED);
    let owners: BTreeMap<Vec<String>, &str> =
        story.calls_of("StopInstances").into_iter().map(|call| (call.ids(), call.account.as_str())).collect();
    let expected = [(vec![id(1)], "key"), (vec![id(2)], A), (vec![id(3)], B)];
    assert_eq!(owners, expected.into_iter().collect());
    for (n, account) in [(1, HUB), (2, A), (3, B)] {
        assert_eq!(story.said(&id(n)), ("stop".into(), "confirmed".into()));
        assert_eq!(story.row(&id(n))["account"], account);
        assert_eq!(story.state(&id(n)), "stopped");
    }
    assert_eq!(story.accounts(), (3, 0));
    assert_eq!(story.response()["counts"]["confirmed"], 3);
    assert!(story.calls.iter().all(|call| !call.only_looks), "this was no dry run");
    assert!(story.organizations_calls.is_empty(), "only ids were given");
}

#[test]
fn an_account_is_entered_once_an_hour() {
    let scenario = hub_and_two();
    assert_eq!(scenario.on(STOP).asked_to_enter(), [A, B]);
    let warm = scenario.after(Duration::from_mins(5)).on(STOP);
    assert!(warm.sts_calls.is_empty(), "{:?}", warm.sts_calls);
    assert_eq!(warm.said(&id(2)), ("keep".into(), "already-stopped".into()));
    assert!(scenario.after(Duration::from_mins(40)).on(STOP).sts_calls.is_empty());
    let later = scenario.after(Duration::from_mins(16)).on(STOP);
    assert_eq!(later.asked_to_enter(), [A, B], "a session lasts an hour, and none ends in the middle of a run");
    assert_eq!(later.sts_calls.len(), 2, "who it is, a process asks once");
    assert_eq!(scenario.cold().on(STOP).sts_calls.len(), 3);
    assert_eq!(scenario.sts.assumed().len(), 6);
}

#[test]
fn no_session_ends_in_the_middle_of_a_run() {
    // Of an hour there are less than fifteen minutes left, and so long a run may take.
    let scenario = hub_and_two().within(Duration::from_mins(15));
    scenario.on(STOP);
    assert!(scenario.after(Duration::from_mins(40)).on(STOP).asked_to_enter().is_empty());
    assert_eq!(scenario.after(Duration::from_mins(6)).on(STOP).asked_to_enter(), [A, B]);
}

#[test]
fn sessions_are_asked_for_where_the_hub_is_and_bear_its_name() {
    let story = hub_and_two()
        .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1,us-east-1")
        .with("AWS_LAMBDA_FUNCTION_NAME", "evening")
        .on(STOP);
    assert_eq!(asked(&story).len(), 2, "an account is entered once, however many regions it has");
    assert!(story.sts_calls.iter().all(|call| call.region == "ap-northeast-2" && call.taken));
    for call in asked(&story) {
        let arn = format!("arn:aws:iam::{}:role/StopinatorSpoke", call.account.as_deref().expect("an account"));
        assert_eq!(call.parameter("RoleArn"), Some(arn.as_str()));
        assert_eq!(call.parameter("RoleSessionName"), Some("evening"));
        assert_eq!(call.parameter("DurationSeconds"), Some("3600"));
        assert_eq!((call.parameter("ExternalId"), call.parameter("Policy")), (None, None));
    }
    let looked_in: BTreeSet<(&str, &str)> =
        story.calls_of("DescribeInstances").iter().map(|call| (&*call.account, &*call.region)).collect();
    assert_eq!(looked_in.len(), 9);
    let story = hub_and_two().with("AWS_LAMBDA_FUNCTION_NAME", &"f".repeat(70)).on(STOP);
    assert_eq!(asked(&story)[0].parameter("RoleSessionName"), Some("f".repeat(64).as_str()));
}

#[test]
fn a_role_may_have_a_path_and_want_an_external_id() {
    for role in ["team/StopinatorSpoke", "/team/StopinatorSpoke"] {
        let scenario = hub_and_two().with("STOPINATOR_SPOKE_ROLE", role).with("STOPINATOR_EXTERNAL_ID", "hub:7/b");
        scenario.sts.set_role("/team/StopinatorSpoke");
        scenario.sts.set_external_id("hub:7/b");
        let story = scenario.on(STOP);
        assert_eq!(story.accounts(), (3, 0), "{role}");
        assert_eq!(asked(&story)[0].parameter("ExternalId"), Some("hub:7/b"));
        scenario.sts.set_external_id("another");
        assert_eq!(scenario.cold().on(STOP).error().0, "unfinished", "no spoke lets it in");
    }
}

#[test]
fn a_denied_account_costs_only_itself_and_is_asked_again_after_a_while() {
    let scenario = hub_and_two();
    scenario.sts.deny(B);
    let story = scenario.on(STOP);
    assert_eq!((story.state(&id(1)), story.state(&id(2)), story.state(&id(3))), ("stopped", "stopped", "running"));
    assert_eq!(story.accounts(), (2, 1));
    assert_eq!(story.unreachable(), [[B, "", "AssumeRole"]]);
    assert!(why(&story).starts_with("AccessDenied: User: arn:aws:sts::999999999999:assumed-role/hub/f"));
    assert!(story.response()["unreachable"][0].get("region").is_none(), "it is about the account");
    assert_eq!(story.asked_to_enter(), [A, B], "another try would not help");
    assert!(!signed_by(&story).contains(B));

    let soon = scenario.after(Duration::from_mins(5)).on(STOP);
    assert!(soon.sts_calls.is_empty(), "nobody is asked again so soon");
    assert_eq!(soon.response()["unreachable"], story.response()["unreachable"], "and it is told all the same");
    assert_eq!(scenario.after(Duration::from_mins(11)).on(STOP).asked_to_enter(), [B]);
    scenario.sts.allow(B);
    let healed = scenario.after(Duration::from_mins(16)).on(STOP);
    assert_eq!(healed.accounts(), (3, 0));
    assert_eq!(healed.said(&id(3)), ("stop".into(), "confirmed".into()));
}

#[test]
fn an_account_without_the_role_or_without_sts_is_unreachable_too() {
    let scenario = hub_and_two();
    scenario.sts.know(&[A]);
    assert_eq!(scenario.on(STOP).unreachable(), [[B, "", "AssumeRole"]]);
    let scenario = hub_and_two();
    scenario.sts.set_whims(sts::Whims { region_disabled: vec![B], ..sts::Whims::default() });
    let story = scenario.on(STOP);
    assert_eq!(story.unreachable(), [[B, "", "AssumeRole"]]);
    assert!(why(&story).starts_with("RegionDisabledException: "), "{}", why(&story));
    assert_eq!(story.state(&id(2)), "stopped");
}

#[test]
fn a_dry_run_could_not_change_anything() {
    let scenario = hub_and_two();
    let dry = scenario.on(r#"{"action": "stop", "dry_run": true}"#);
    assert_eq!(dry.response()["counts"]["planned"], 3);
    assert!(dry.touched_nothing());
    assert!(dry.calls.iter().all(|call| call.only_looks || call.account == "key"), "the hub has its own role");
    assert_eq!(asked(&dry).len(), 2);
    assert!(asked(&dry).iter().all(|call| call.policy_actions() == LOOKS));
    // What a dry run was given is no use for a run that acts.
    let story = scenario.on(STOP);
    assert_eq!(story.asked_to_enter(), [A, B]);
    assert!(asked(&story).iter().all(|call| call.parameter("Policy").is_none()));
    assert_eq!(story.response()["counts"]["confirmed"], 3);
    assert!(scenario.on(r#"{"action": "stop", "dry_run": true}"#).sts_calls.is_empty(), "both are kept");
    let by_setting = hub_and_two().with("STOPINATOR_DRY_RUN", "true").on(RULE_FIRED);
    assert!(asked(&by_setting).iter().all(|call| call.policy_actions() == LOOKS));
    assert!(by_setting.touched_nothing());
}

/// Two in a unit, one of them below it; one in another; and those that are none of its.
fn organization() -> Vec<Member> {
    let unit = "r-abcd/ou-abcd-11111111/";
    vec![
        Member::active(A, unit),
        Member::active(B, "r-abcd/ou-abcd-11111111/ou-abcd-22222222/"),
        Member::active(C, "r-abcd/ou-abcd-33333333/"),
        // As an older answer has it.
        Member { state: None, ..Member::active(D, unit) },
        Member::active("555555555555", unit).in_state("SUSPENDED"),
        Member::active("555555555556", unit).in_state("PENDING_CLOSURE"),
        Member::active("555555555557", unit).in_state("SOMETHING_NEW"),
        Member { paths: None, ..Member::active("555555555558", unit) },
        // Its name only begins like the unit's.
        Member::active("666666666666", "r-abcd/ou-abcd-1111111111/"),
        Member::active(HUB, unit),
    ]
}

#[test]
fn a_unit_means_its_active_accounts_and_those_below() {
    for (list, expected) in [
        ("ou-abcd-11111111", vec![A, B, D]),
        ("ou-abcd-22222222", vec![B]),
        ("r-abcd", vec![A, B, C, D, "666666666666"]),
        ("ou-abcd-22222222, 333333333333", vec![B, C]),
        ("ou-abcd-11111111,111111111111", vec![A, B, D]),
    ] {
        for empty_pages in [false, true] {
            let scenario = fleet([]).with_accounts(list).where_the_organization_has(organization());
            scenario.organizations.set_whims(organizations::Whims { empty_pages, ..Default::default() });
            let story = scenario.on(STOP);
            assert_eq!(story.asked_to_enter(), expected, "{list}");
            let is_well = |call: &organizations::OrganizationsCall| {
                call.taken && call.region == "us-east-1" && call.action == "ListAccounts"
            };
            assert!(story.organizations_calls.iter().all(is_well), "{:?}", story.organizations_calls);
        }
    }
}

#[test]
fn the_list_is_walked_to_its_end() {
    let accounts: Vec<String> = (0..45).map(|n| format!("{:012}", 100_000_000_000_u64 + n)).collect();
    for (empty_pages, calls) in [(false, 3), (true, 6)] {
        let members = accounts.iter().map(|id| Member::active(id, "r-abcd/ou-abcd-11111111/"));
        let scenario = fleet([]).with_accounts("ou-abcd-11111111").where_the_organization_has(members);
        scenario.organizations.set_whims(organizations::Whims { empty_pages, ..Default::default() });
        let story = scenario.on(STOP);
        assert_eq!(story.asked_to_enter(), accounts);
        assert_eq!(story.organizations_calls.len(), calls);
        let with_token = story.organizations_calls.iter().filter(|call| call.parameters.get("NextToken").is_some());
        assert_eq!(with_token.count(), calls - 1);
    }
}

#[test]
fn the_list_is_kept_for_a_quarter_of_an_hour() {
    let place = "r-abcd/ou-abcd-11111111/";
    let scenario = fleet([due_in(A, 1), due_in(B, 2)])
        .with_accounts("ou-abcd-11111111")
        .where_the_organization_has([Member::active(A, place)]);
    assert_eq!(scenario.on(STOP).organizations_calls.len(), 1);
    scenario.organizations.set_members([A, B].map(|id| Member::active(id, place)));
    let soon = scenario.after(Duration::from_mins(13)).on(STOP);
    assert!(soon.organizations_calls.is_empty());
    assert_eq!(soon.state(&id(2)), "running");
    let later = scenario.after(Duration::from_mins(3)).on(STOP);
    assert_eq!((later.organizations_calls.len(), later.state(&id(2))), (1, "stopped"));
    assert_eq!(later.organizations_calls[0].at, later.began, "before anything else");
    assert_eq!(scenario.cold().on(STOP).organizations_calls.len(), 1);
}

#[test]
fn without_a_list_nothing_is_touched_and_with_an_old_one_all_is() {
    let place = "r-abcd/ou-abcd-11111111/";
    for (code, text) in [
        ("AccessDeniedException", "You don't have permissions to access this resource."),
        (
            "TooManyRequestsException",
            "AWS Organizations can't complete your request because another one is in progress",
        ),
        ("AWSOrganizationsNotInUseException", "Your account is not a member of an organization."),
        ("ServiceException", "AWS Organizations can't complete your request because of an internal service error"),
    ] {
        let scenario = || {
            fleet([due_in("key", 1), due_in(A, 2)])
                .with_accounts("ou-abcd-11111111")
                .where_the_organization_has([Member::active(A, place)])
        };
        let first = scenario();
        first.organizations.refuse(usize::MAX, code, text);
        let story = first.on(STOP);
        let (error, message) = story.error();
        assert_eq!(error, "unfinished");
        assert!(message.contains("ListAccounts") && message.contains(code), "{message}");
        assert!(story.touched_nothing() && story.asked_to_enter().is_empty());
        assert_eq!((story.state(&id(1)), story.state(&id(2))), ("running", "running"));
        first.organizations.refuse(0, "", "");
        assert_eq!(first.on(STOP).accounts(), (2, 0), "the next try may have it");

        let later = scenario();
        assert_eq!(later.on(STOP).accounts(), (2, 0));
        later.organizations.refuse(usize::MAX, code, text);
        let story = later.after(Duration::from_mins(16)).on(STOP);
        assert!(story.organizations_calls.iter().any(|call| !call.taken));
        assert_eq!(story.accounts(), (2, 0), "the last list is better than none");
    }
    let scenario = fleet([due_in(A, 1)]).with_accounts("r-abcd").where_the_organization_has(organization());
    scenario.organizations.set_whims(organizations::Whims { repeats_its_token: true, ..Default::default() });
    let story = scenario.on(STOP);
    assert_eq!((story.error().0, story.touched_nothing()), ("unfinished", true), "a walk in a circle is no list");
    scenario.organizations.set_whims(organizations::Whims { silent: true, ..Default::default() });
    let story = scenario.on(STOP);
    assert_eq!((story.error().0, story.touched_nothing()), ("unfinished", true), "nor is one that never comes");
    assert!(story.took < Duration::from_mins(5));
}

#[test]
fn a_list_that_is_refused_once_is_asked_for_again() {
    let scenario = fleet([due_in(A, 1)]).with_accounts("r-abcd").where_the_organization_has(organization());
    scenario.organizations.refuse(2, "TooManyRequestsException", "Rate exceeded");
    assert_eq!(scenario.on(STOP).state(&id(1)), "stopped");
}

#[test]
fn who_is_excluded_is_excluded_whoever_names_it() {
    let excluding = |list: &str| {
        fleet([due_in("key", 1), due_in(A, 2), due_in(B, 3)])
            .with_accounts(&format!("{A},ou-abcd-11111111"))
            .with("STOPINATOR_EXCLUDE_ACCOUNTS", list)
            .where_the_organization_has([A, B].map(|id| Member::active(id, "r-abcd/ou-abcd-11111111/")))
    };
    let story = excluding(B).on(STOP);
    assert_eq!((story.asked_to_enter(), story.state(&id(3))), (vec![A], "running"));
    assert_eq!(story.accounts(), (2, 0), "it is not missed");
    let story = excluding(&format!("{A}, {HUB}")).on(STOP);
    assert_eq!((story.asked_to_enter(), signed_by(&story)), (vec![B], BTreeSet::from([B])));
    assert_eq!((story.state(&id(1)), story.state(&id(2)), story.state(&id(3))), ("running", "running", "stopped"));
    let story = excluding(B).on(&format!(r#"{{"action": "stop", "accounts": ["{A}", "{B}"]}}"#));
    assert_eq!((story.asked_to_enter(), story.state(&id(3))), (vec![A], "running"));
    assert!(why(&story).contains("not among the accounts of this deployment"), "{}", why(&story));

    // One that excludes others, and names none, is its own.
    let story = fleet([due_in("key", 1)]).with("STOPINATOR_EXCLUDE_ACCOUNTS", B).on(STOP);
    assert_eq!((story.accounts(), story.state(&id(1))), ((1, 0), "stopped"));
}

#[test]
fn the_hub_needs_no_role_to_itself() {
    let story = fleet([due_in("key", 1), due_in(A, 2)]).with_accounts(&format!("{A},{HUB}")).on(STOP);
    assert_eq!((story.asked_to_enter(), story.accounts()), (vec![A], (2, 0)));
    assert_eq!(story.response()["counts"]["confirmed"], 2, "and is looked at once");
}

#[test]
fn a_command_narrows_by_account_and_never_widens() {
    let scenario = hub_and_two();
    let story = scenario.on(&format!(r#"{{"action": "stop", "accounts": ["{A}"]}}"#));
    assert_eq!((story.asked_to_enter(), signed_by(&story)), (vec![A], BTreeSet::from([A])));
    assert_eq!((story.state(&id(1)), story.state(&id(2)), story.state(&id(3))), ("running", "stopped", "running"));
    assert_eq!(story.accounts(), (1, 0));
    let story = scenario.on(&format!(r#"{{"action": "stop", "accounts": ["{B}", "{D}"]}}"#));
    assert_eq!((story.asked_to_enter(), story.state(&id(3))), (vec![B], "stopped"));
    assert_eq!(story.unreachable()[0][0], D);
    assert!(why(&story).contains("not among the accounts of this deployment"), "{}", why(&story));
    let story = scenario.on(&format!(r#"{{"action": "stop", "accounts": ["{HUB}"]}}"#));
    assert_eq!((story.state(&id(1)), story.asked_to_enter().len()), ("stopped", 0));
}

#[test]
fn commands_that_no_account_understands_are_refused() {
    for (trigger, part) in [
        (r#"{"action": "stop", "accounts": []}"#, "`accounts`"),
        (r#"{"action": "stop", "accounts": ["1"]}"#, "`accounts[0]`"),
        (r#"{"action": "stop", "accounts": ["ou-abcd-11111111"]}"#, "`accounts[0]`"),
        (r#"{"action": "stop", "accounts": "111111111111"}"#, "`accounts`"),
        (r#"{"action": "stop", "report": "all"}"#, "`report`"),
        (r#"{"action": "stop", "targets": 5}"#, "targets"),
        (r#"{"action": "accounts", "targets": 0}"#, "`targets`"),
        (r#"{"action": "accounts", "targets": 10001}"#, "`targets`"),
        (r#"{"action": "accounts", "dry_run": true}"#, "dry_run"),
        (r#"{"action": "accounts", "accounts": ["111111111111"]}"#, "accounts"),
    ] {
        let story = hub_and_two().on(trigger);
        let (code, message) = story.error();
        assert_eq!(code, "bad-trigger", "{trigger}");
        assert!(message.contains(part), "{trigger} gave: {message}");
        assert!(story.calls.is_empty() && story.sts_calls.is_empty(), "{trigger}");
    }
    for trigger in [r#"{"action": "stop", "accounts": ["111111111111"]}"#, r#"{"action": "accounts"}"#] {
        let story = fleet([due_in("key", 1)]).on(trigger);
        let (code, message) = story.error();
        assert_eq!(code, "bad-trigger", "{trigger}");
        assert!(message.contains("STOPINATOR_ACCOUNTS"), "{trigger} gave: {message}");
        assert!(story.calls.is_empty() && story.sts_calls.is_empty(), "{trigger}");
    }
}

#[test]
fn where_no_spoke_lets_it_in_the_hub_is_broken() {
    let scenario = hub_and_two();
    scenario.sts.know(&[]);
    let story = scenario.on(STOP);
    let (code, message) = story.error();
    assert_eq!(code, "unfinished");
    assert!(message.contains("AssumeRole: AccessDenied"), "{message}");
    assert_eq!((story.state(&id(2)), story.state(&id(3))), ("running", "running"));
}

#[test]
fn where_most_that_let_it_in_before_do_not_any_more_it_is_broken_as_well() {
    let later = |denied: &[&str]| {
        let scenario = four();
        assert_eq!(scenario.on(STOP).accounts(), (5, 0));
        for account in denied {
            scenario.sts.deny(account);
        }
        scenario.after(Duration::from_mins(61)).on(STOP)
    };
    assert_eq!(later(&[A, B]).accounts(), (3, 2), "half of them is not most");
    assert_eq!(later(&[A, B, C]).error().0, "unfinished");
    // A process that knows of no better time finds it normal.
    let scenario = four();
    for account in [A, B, C] {
        scenario.sts.deny(account);
    }
    assert_eq!(scenario.on(STOP).accounts(), (2, 3));
}

#[test]
fn one_account_with_too_many_actions_costs_only_itself() {
    let machines = || [due_in("key", 0), due_in(A, 1), due_in(A, 2), due_in(A, 3), due_in(B, 4), due_in(B, 5)];
    let scenario = |most: &str, most_of_one: &str| {
        fleet(machines())
            .with_accounts(&format!("{A},{B}"))
            .with("STOPINATOR_MAX_ACTIONS", most)
            .with("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", most_of_one)
    };
    let stopped = |story: &Story| -> Vec<usize> { (0..6).filter(|n| story.state(&id(*n)) == "stopped").collect() };
    for most in ["200", "3"] {
        let story = scenario(most, "2").on(STOP);
        let (code, message) = story.error();
        assert_eq!(code, "too-many");
        assert!(message.contains(A) && message.contains("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT"), "{message}");
        assert!(message.contains("3 not attempted"), "{message}");
        // Those three of the sum are the others': what is held back does not count.
        assert_eq!(stopped(&story), [0, 4, 5]);
        assert!(!story.calls_of("StopInstances").iter().any(|call| call.account == A));
    }
    let story = scenario("2", "2").on(STOP);
    assert_eq!((story.error().0, story.touched_nothing()), ("too-many", true), "the sum holds for all");
    let story = scenario("200", "3").on(STOP);
    assert_eq!((story.answer.is_ok(), stopped(&story).len()), (true, 6));
    let story = scenario("0", "0").on(STOP);
    assert_eq!((story.answer.is_ok(), stopped(&story).len()), (true, 6));
    let dry = scenario("200", "2").on(r#"{"action": "stop", "dry_run": true}"#);
    assert_eq!(dry.response()["counts"]["planned"], 6, "a dry run shows the plan all the same");
    // Where there is the hub alone there is one limit.
    let alone = fleet((0..60).map(|n| due_in("key", n))).with("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", "2").on(STOP);
    assert_eq!(alone.response()["counts"]["confirmed"], 60);
}

#[test]
fn a_region_that_an_account_does_not_have_is_unreachable() {
    for (code, text) in [
        ("AuthFailure", "AWS was not able to validate the provided access credentials"),
        ("OptInRequired", "You are not subscribed to this service"),
        ("UnauthorizedOperation", "You are not authorized, with an explicit deny in a service control policy"),
    ] {
        let scenario = fleet([due_in(A, 1), due_in(A, 2).in_region("eu-west-1"), due_in(B, 3).in_region("eu-west-1")])
            .with_accounts(&format!("{A},{B}"))
            .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1");
        scenario.ec2.refuse_in(A, "eu-west-1", "DescribeInstances", code, text);
        let story = scenario.on(STOP);
        assert_eq!(story.unreachable(), [[A, "eu-west-1", "DescribeInstances"]]);
        assert_eq!(why(&story), format!("{code}: {text}"));
        assert_eq!((story.state(&id(1)), story.state(&id(2)), story.state(&id(3))), ("stopped", "running", "stopped"));
        assert_eq!(story.accounts().1, 1);

        let asks =
            |story: &Story| story.calls.iter().filter(|call| call.account == A && call.region == "eu-west-1").count();
        assert_eq!(asks(&story), 1, "another try would not help");
        let soon = scenario.after(Duration::from_mins(5)).on(STOP);
        assert_eq!((asks(&soon), soon.unreachable().len()), (0, 1));
        let later = scenario.after(Duration::from_mins(11)).on(STOP);
        assert_eq!((asks(&later), later.unreachable().len()), (1, 1));
    }
}

#[test]
fn what_another_try_may_mend_is_unfinished() {
    let two = |whims: Whims| hub_and_two().where_ec2_has(whims);
    let throttled = two(Whims { throttled_account: Some(A), ..Whims::default() });
    let silent = two(Whims { silent_account: Some(A), ..Whims::default() });
    let silent_sts = hub_and_two();
    silent_sts.sts.set_whims(sts::Whims { silent: vec![A], ..sts::Whims::default() });
    for (scenario, call) in
        [(throttled, "DescribeInstances"), (silent, "DescribeInstances"), (silent_sts, "AssumeRole")]
    {
        let story = scenario.on(STOP);
        let (code, message) = story.error();
        assert_eq!(code, "unfinished");
        assert!(message.contains(A) && message.contains(call), "{message}");
        assert_eq!((story.state(&id(1)), story.state(&id(2)), story.state(&id(3))), ("stopped", "running", "stopped"));
        assert!(story.took < Duration::from_mins(5));
    }
}

#[test]
fn sts_is_asked_again_where_that_may_help() {
    for whims in
        [sts::Whims { throttled: 2, ..sts::Whims::default() }, sts::Whims { unavailable: 2, ..sts::Whims::default() }]
    {
        let scenario = hub_and_two();
        scenario.sts.set_whims(whims);
        assert_eq!(scenario.on(STOP).accounts(), (3, 0));
    }
    // Who does not know which account it is touches nothing.
    for whims in [
        sts::Whims { throttled: usize::MAX, ..sts::Whims::default() },
        sts::Whims { unavailable: usize::MAX, ..sts::Whims::default() },
        sts::Whims { region: "eu-west-1", ..sts::Whims::default() },
    ] {
        let scenario = hub_and_two();
        scenario.sts.set_whims(whims);
        let story = scenario.on(STOP);
        let (code, message) = story.error();
        assert_eq!(code, "unfinished");
        assert!(message.contains("GetCallerIdentity"), "{message}");
        assert!(story.touched_nothing() && story.took < Duration::from_mins(5));
    }
}

#[test]
fn a_deployment_without_accounts_is_as_it_was() {
    let machines = || [due_in("key", 1), Machine::running(id(2)).tagged("Stopinator", "no")];
    for trigger in [RULE_FIRED, STOP, r#"{"action": "stop", "dry_run": true}"#, r#"{"action": "schedule"}"#] {
        let story = fleet(machines()).with_accounts("").on(trigger);
        assert!(story.sts_calls.is_empty() && story.organizations_calls.is_empty(), "{trigger}");
        let text = story.response().to_string();
        assert!(!text.contains("account") && !text.contains("unreachable"), "{text}");
        assert_eq!(*story.response(), *fleet(machines()).on(trigger).response());
    }
}

#[test]
fn rows_are_in_order_by_account_region_and_id() {
    let machines = [(B, 1_usize), (A, 2), ("key", 3), (A, 4), (B, 5), ("key", 6), (A, 7), (A, 8)];
    let machines = machines.map(|(account, n)| {
        due_in(account, n).in_region(if n.is_multiple_of(2) { "ap-northeast-2" } else { "ap-northeast-1" })
    });
    let story = fleet(machines)
        .with_accounts(&format!("{B},{A}"))
        .with("STOPINATOR_REGIONS", "ap-northeast-2,ap-northeast-1")
        .on(STOP);
    let rows = story.response()["instances"].as_array().expect("a list");
    let place = |row: &Value| ["account", "region", "id"].map(|field| row[field].as_str().expect("a text").to_owned());
    let places: Vec<[String; 3]> = rows.iter().map(place).collect();
    assert_eq!(places.len(), 8);
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_hundred_sessions_a_second_at_most() {
    let accounts: Vec<String> = (0..500).map(|n| format!("{:012}", 100_000_000_000_u64 + n)).collect();
    let scenario = fleet([due_in("key", 1)]).with_accounts(&accounts.join(","));
    let story = scenario.on(STOP);
    assert_eq!(story.asked_to_enter(), accounts, "each once");
    let at: Vec<Duration> = asked(&story).iter().map(|call| call.at).collect();
    assert!(at.windows(101).all(|calls| calls[100].saturating_sub(calls[0]) >= Duration::from_millis(999)), "{at:?}");
    let took = at[499].saturating_sub(at[0]);
    assert!(took <= Duration::from_secs(7), "and not much less: {took:?}");
    assert_eq!(story.accounts(), (501, 0));
    assert!(scenario.on(STOP).sts_calls.is_empty());
}

#[test]
fn the_accounts_are_told_in_chunks() {
    let e = "555555555555";
    let scenario = fleet([due_in("key", 1), due_in(A, 2)])
        .with_accounts(&[e, D, C, B, A].join(","))
        .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1");
    for (targets, expected) in [
        (r#", "targets": 4"#, json!([[A, B], [C, D], [e, HUB]])),
        (r#", "targets": 5"#, json!([[A, B], [C, D], [e, HUB]])),
        (r#", "targets": 9"#, json!([[A, B, C], [D, e, HUB]])),
        (r#", "targets": 1"#, json!([[A], [B], [C], [D], [e], [HUB]])),
        ("", json!([[A, B, C, D, e, HUB]])),
    ] {
        let story = scenario.on(&format!(r#"{{"action": "accounts"{targets}}}"#));
        assert_eq!(*story.response(), json!({ "chunks": expected }));
        assert!(story.calls.is_empty() && story.asked_to_enter().is_empty(), "nothing is looked at");
    }
    let units = fleet([])
        .with_accounts("ou-abcd-11111111")
        .with("STOPINATOR_EXCLUDE_ACCOUNTS", HUB)
        .where_the_organization_has(organization());
    assert_eq!(*units.on(r#"{"action": "accounts"}"#).response(), json!({"chunks": [[A, B, D]]}));
    units.organizations.refuse(usize::MAX, "AccessDeniedException", "no");
    assert_eq!(units.cold().on(r#"{"action": "accounts"}"#).error().0, "unfinished");
}

#[test]
fn a_report_may_be_of_counts_alone() {
    let scenario = hub_and_two();
    scenario.sts.deny(B);
    let story = scenario.on(r#"{"action": "stop", "report": "counts"}"#);
    let response = story.response();
    assert!(response.get("instances").is_none() && response.get("unreachable").is_none(), "{response}");
    assert_eq!((&response["counts"]["confirmed"], story.accounts()), (&json!(2), (2, 1)));
    assert_eq!((&response["action"], &response["dry_run"]), (&json!("stop"), &json!(false)));
}

#[test]
fn an_id_that_nobody_found_is_gone_only_where_all_were_asked() {
    let command = format!(r#"{{"action": "stop", "instance_ids": ["{}", "{}"]}}"#, id(2), id(9));
    let story = hub_and_two().on(&command);
    assert_eq!(story.said(&id(2)), ("stop".into(), "confirmed".into()));
    assert_eq!(story.said(&id(9)), ("keep".into(), "gone".into()));
    assert!(story.row(&id(9)).get("account").is_none(), "nobody knows whose it was");
    let scenario = hub_and_two();
    scenario.sts.deny(B);
    let story = scenario.on(&command);
    assert_eq!(story.said(&id(2)), ("stop".into(), "confirmed".into()));
    assert_eq!(story.said(&id(9)), ("keep".into(), "not-found-where-looked".into()));
}

#[test]
fn databases_of_other_accounts_keep_hours_too() {
    let database = |account, id: &str| Database { account, ..Database::available(id).due() };
    let story = fleet([due_in(A, 1)])
        .and_databases([database("key", "db:hubs"), database(A, "db:orders"), database(B, "cluster:users")])
        .with_accounts(&format!("{A},{B}"))
        .on(RULE_FIRED);
    assert_eq!(
        story.stopped_or_started(),
        ["StopDBCluster cluster:users", "StopDBInstance db:hubs", "StopDBInstance db:orders"]
    );
    for call in story.rds_calls.iter().filter(|call| call.changes_something()) {
        assert!(call.taken && !call.only_looks, "{call:?}");
    }
    assert_eq!((&story.row("db:orders")["account"], &story.row("db:hubs")["account"]), (&json!(A), &json!(HUB)));
    assert_eq!(story.state(&id(1)), "stopped");
}

#[test]
fn buckets_are_each_accounts_own() {
    // A thousand stops empty a bucket, and the next have to wait; those of another account do not.
    let many = (0..1_500).map(|n| due_in(A, n));
    let story = fleet(many.chain([due_in(B, 2_000), due_in("key", 2_001)]))
        .with_accounts(&format!("{A},{B}"))
        .with("STOPINATOR_MAX_ACTIONS", "0")
        .with("STOPINATOR_MAX_ACTIONS_PER_ACCOUNT", "0")
        .on(STOP);
    assert_eq!(story.response()["counts"]["confirmed"], 1_502);
    let stops = story.calls_of("StopInstances");
    assert!(stops.iter().all(|call| call.taken), "nobody was throttled");
    let mut others = stops.iter().filter(|call| call.account != A);
    assert!(others.all(|call| call.at.saturating_sub(story.began) < Duration::from_secs(5)));
}

#[test]
fn one_sick_account_changes_nothing_for_the_others() {
    let accounts: Vec<String> = (0..40).map(|n| format!("{:012}", 100_000_000_000_u64 + n)).collect();
    let list = format!("{},{A},{B},{C}", accounts.join(","));
    let scenario = || fleet([due_in("key", 1), due_in(A, 2), due_in(B, 3), due_in(C, 4)]).with_accounts(&list);
    let well = scenario().on(STOP);
    let sick = scenario();
    sick.sts.deny(&accounts[7]);
    let sick = sick.where_ec2_has(Whims {
        silent_account: Some("100000000008"),
        throttled_account: Some("100000000009"),
        ..Whims::default()
    });
    let story = sick.on(STOP);
    assert_eq!(story.error().0, "unfinished");
    let are_sick: BTreeSet<&str> = accounts[7..10].iter().map(String::as_str).collect();
    let calls = |story: &Story| -> BTreeMap<String, Vec<String>> {
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for call in story.calls.iter().filter(|call| !are_sick.contains(&*call.account)) {
            // How often it is looked at hangs on when.
            if call.changes_something() || call.parameters.contains_key("MaxResults") {
                calls.entry(call.account.clone()).or_default().push(format!("{} {:?}", call.action, call.ids()));
            }
        }
        calls
    };
    assert_eq!(calls(&story), calls(&well));
    assert_eq!(story.states, well.states);
    assert!(story.took <= well.took + Duration::from_secs(30), "{:?}, and {:?} without", story.took, well.took);
}

/// So many spokes, each with a running instance in this region.
fn crowd(count: usize, region: &'static str) -> (Vec<String>, Scenario) {
    let accounts: Vec<String> = (1..=count).map(|number| format!("{number:012}")).collect();
    let machines = accounts.iter().enumerate().map(|(number, account)| {
        let account: &'static str = account.clone().leak();
        due_in(account, number).in_region(region)
    });
    let scenario = fleet(machines)
        .with_accounts(&accounts.join(","))
        .with("STOPINATOR_MAX_ACTIONS", "0")
        .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1");
    (accounts, scenario)
}

#[test]
fn sixty_four_calls_are_under_way_and_no_more() {
    let (accounts, scenario) = crowd(150, "eu-west-1");
    let scenario = scenario.at_a_distance_of(Duration::from_millis(150));
    let story = scenario.on(STOP);
    assert_eq!((story.accounts(), scenario.traffic().most), ((151, 0), 64));
    let stops = story.calls_of("StopInstances");
    assert_eq!(stops.len(), accounts.len());
    let took = stops.iter().map(|call| call.at).max().unwrap().saturating_sub(stops[0].at);
    assert!(took < Duration::from_secs(1), "150 side by side: {took:?}");
    let warm = scenario.on(r#"{"action": "schedule"}"#);
    assert_eq!(warm.calls.len(), 2 * (accounts.len() + 1));
    assert!(warm.took < Duration::from_secs(2), "302 looks, 64 at a time: {:?}", warm.took);
}

#[test]
fn a_region_that_is_silent_everywhere_takes_nobody_elses_time() {
    let (accounts, scenario) = crowd(200, "ap-northeast-2");
    let scenario = scenario.where_ec2_has(Whims { silent: Some("eu-west-1"), ..Whims::default() });
    let story = scenario.on(STOP);
    let (code, message) = story.error();
    assert_eq!(code, "unfinished");
    assert!(message.contains("eu-west-1 could not be observed: DescribeInstances: "), "{message}");
    assert!(message.contains("; and 181 more"), "{message}");
    assert_eq!(story.states.values().filter(|state| **state == "stopped").count(), accounts.len());
    let asked = story.calls.iter().filter(|call| call.region == "eu-west-1").count();
    assert!(asked == 0 && story.took < Duration::from_secs(100), "{:?}", story.took);
}

#[test]
fn a_throttled_crowd_takes_nobody_elses_tries() {
    let (accounts, scenario) = crowd(120, "ap-northeast-2");
    let (last, others) = accounts.split_last().unwrap();
    for other in others {
        scenario.ec2.refuse_in(
            other,
            "eu-west-1",
            "DescribeInstances",
            "RequestLimitExceeded",
            "Request limit exceeded.",
        );
    }
    let _ = scenario.on(STOP);
    scenario.ec2.throttle_once(last, "eu-west-1");
    let story = scenario.on(STOP);
    assert!(!story.error().1.contains(last), "{}", story.error().1);
    let of_last = story.calls.iter().filter(|call| call.account == *last && call.region == "eu-west-1");
    assert_eq!(of_last.map(|call| call.taken).collect::<Vec<_>>(), [false, true], "it is tried again");
}

#[test]
fn a_hub_that_was_shut_out_asks_again_at_once() {
    let scenario = hub_and_two();
    for account in [A, B] {
        scenario.sts.deny(account);
    }
    assert_eq!(scenario.on(STOP).error().0, "unfinished");
    for account in [A, B] {
        scenario.sts.allow(account);
    }
    let again = scenario.after(Duration::from_mins(1)).on(STOP);
    assert_eq!((again.accounts(), again.state(&id(2))), ((3, 0), "stopped"), "Lambda's own try finds the way");
}

#[test]
fn a_role_that_was_made_anew_gets_a_new_session() {
    let scenario = hub_and_two();
    assert_eq!(scenario.on(STOP).accounts(), (3, 0));
    scenario.ec2.refuse_in(A, "ap-northeast-2", "DescribeInstances", "AuthFailure", "not able to validate");
    assert_eq!(scenario.after(Duration::from_mins(1)).on(STOP).unreachable().len(), 1);
    scenario.ec2.relent();
    let later = scenario.after(Duration::from_mins(16)).on(STOP);
    assert_eq!((later.asked_to_enter(), later.accounts()), (vec![A], (3, 0)));
}

#[test]
fn units_that_hold_nobody_are_no_peace() {
    let scenario = fleet([due_in("key", 1)])
        .with_accounts("ou-abcd-00000000")
        .where_the_organization_has([Member::active(A, "r-abcd/ou-abcd-11111111/")]);
    let story = scenario.on(STOP);
    let (code, message) = story.error();
    assert_eq!((code, story.touched_nothing()), ("unfinished", true));
    assert!(message.contains("no active account is under the units"), "{message}");
}

#[test]
fn a_list_that_does_not_come_in_time_is_that_of_before() {
    let scenario = fleet([due_in(A, 1)])
        .with_accounts("r-abcd")
        .where_the_organization_has([Member::active(A, "r-abcd/")])
        .within(Duration::from_mins(1));
    assert_eq!(scenario.on(STOP).accounts(), (2, 0));
    scenario.organizations.set_whims(organizations::Whims { silent: true, ..Default::default() });
    let story = scenario.after(Duration::from_mins(16)).on(STOP);
    assert_eq!(story.accounts(), (2, 0));
    let soon = scenario.after(Duration::from_mins(1)).on(STOP);
    assert!(soon.organizations_calls.is_empty(), "and for a while nobody asks again");
}

#[test]
fn databases_are_named_with_their_accounts() {
    let database = |account| Database { account, ..Database::available("db:orders").due() };
    let scenario = fleet([]).and_databases([database(A)]).with_accounts(&format!("{A},{B}"));
    let (code, message) = {
        let story = scenario.on(r#"{"action": "stop", "databases": ["db:orders"]}"#);
        let (code, message) = story.error();
        (code.to_owned(), message.to_owned())
    };
    assert_eq!(code, "bad-trigger");
    assert!(message.contains("names are not unique over accounts"), "{message}");
    let named = format!(r#"{{"action": "stop", "databases": ["db:orders"], "accounts": ["{A}"]}}"#);
    assert_eq!(scenario.on(&named).stopped_or_started(), ["StopDBInstance db:orders"]);
}

#[test]
fn it_is_not_always_the_same_that_come_last() {
    let scenario = four();
    let order = || -> Vec<String> {
        let story = scenario.on(r#"{"action": "stop", "dry_run": true}"#);
        story.calls.iter().map(|call| call.account.clone()).collect()
    };
    let orders: BTreeSet<Vec<String>> = (0..6).map(|_| order()).collect();
    assert!(orders.len() > 1, "{orders:?}");
}
