//! One decision for every instance found. Pure: no clock, no I/O, no AWS types.

use std::collections::BTreeSet;

use crate::instance::{Action, Instance, InstanceId, Launch, Reason, Region, State, stopped_by_somebody};
use crate::schedule::Tag;
use crate::settings::{Scope, Settings};
use crate::trigger::Request;

/// What is to be done, and why the rest is left alone: one entry for every instance found, by region and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of region, then id; instances whose region nobody knows come first.
    pub entries: Vec<Entry>,
}

/// The decision about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: InstanceId,
    /// The value of its `Name` tag.
    pub name: Option<Box<str>>,
    /// Where it is; unknown for an id that EC2 does not know in any of several regions.
    pub region: Option<Region>,
    /// How it was launched.
    pub launch: Launch,
    /// What to do.
    pub decision: Decision,
    /// More about the reason, where there is more to say.
    pub detail: Option<Box<str>>,
}

/// What to do with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Act on it.
    Act(Action),
    /// Leave it alone.
    Keep(Reason),
}

impl Plan {
    /// How many instances are to be acted on.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.decision, Decision::Act(_))).count()
    }
}

/// Decides about every instance, and about every id that the request names.
///
/// `instances` are those found in `looked_in`, in any order; one that EC2 listed twice is taken once. Explicit ids
/// narrow and never widen. An id that was not found is `gone` only where all the regions of the request were looked
/// in: it may live in one that could not be observed, and of that nothing is said.
#[must_use]
pub fn plan(
    settings: &Settings,
    request: &Request,
    instances: impl IntoIterator<Item = Instance>,
    looked_in: &[Region],
) -> Plan {
    let asked_for = |id: &InstanceId| request.instance_ids.as_ref().is_none_or(|ids| ids.contains(id));
    let mut entries: Vec<Entry> = instances
        .into_iter()
        .filter(|instance| asked_for(&instance.id))
        .map(|instance| {
            let (decision, detail) = decide(settings, request, &instance);
            let (id, name, region) = (instance.id, instance.name, Some(instance.region));
            Entry { id, name, region, launch: instance.launch, decision, detail }
        })
        .collect();
    if looked_in.len() == request.regions.len() {
        entries.extend(not_found(request, &entries));
    }
    entries.sort_unstable_by(|a, b| (&a.region, &a.id).cmp(&(&b.region, &b.id)));
    entries.dedup_by(|a, b| (&a.region, &a.id) == (&b.region, &b.id));
    Plan { entries }
}

fn not_found(request: &Request, entries: &[Entry]) -> Vec<Entry> {
    let found: BTreeSet<&InstanceId> = entries.iter().map(|entry| &entry.id).collect();
    let region = match request.regions.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let missing = request.instance_ids.iter().flatten().filter(|id| !found.contains(id));
    missing
        .map(|id| Entry {
            id: *id,
            name: None,
            region: region.cloned(),
            launch: Launch::default(),
            decision: Decision::Keep(Reason::Gone),
            detail: Some("EC2 does not know this id here".into()),
        })
        .collect()
}

/// The first reason that holds wins; the order is part of the contract.
fn decide(settings: &Settings, request: &Request, instance: &Instance) -> (Decision, Option<Box<str>>) {
    let keep = |reason| (Decision::Keep(reason), None);
    let keep_because = |reason, detail: String| (Decision::Keep(reason), Some(detail.into_boxed_str()));
    let tag = instance.tag.as_deref().map(Tag::parse);
    let untagged = tag.is_none();
    let facts = instance.facts;

    if untagged && !(settings.scope == Scope::All && request.action == Action::Stop) {
        return keep(Reason::NotSelected);
    }
    if tag == Some(Tag::OptedOut) {
        return keep(Reason::OptedOut);
    }
    if matches!(instance.state, State::ShuttingDown | State::Terminated) {
        return keep(Reason::Gone);
    }
    if facts.operator_managed || (untagged && facts.service_tag) {
        return keep(Reason::ServiceManaged);
    }
    if facts.auto_scaling {
        return keep(Reason::AsgMember);
    }
    if facts.instance_store_root {
        return keep(Reason::InstanceStoreRoot);
    }
    if untagged && facts.instance_store_data {
        return keep(Reason::InstanceStoreData);
    }
    if facts.unstoppable_lifecycle {
        return keep(Reason::CannotStop);
    }
    if tag == Some(Tag::Invalid) {
        let value = instance.tag.as_deref().unwrap_or_default().trim();
        return keep_because(
            Reason::InvalidSchedule,
            format!("`{value}` is not a value that this version knows: `true` follows the rule, `false` opts out"),
        );
    }
    match (request.action, instance.state) {
        (Action::Stop, State::Stopped) => keep(Reason::AlreadyStopped),
        (Action::Start, State::Running) => keep(Reason::AlreadyRunning),
        (Action::Stop, State::Running) => match instance.launch.started_at {
            Some(started) if started >= request.time => keep_because(
                Reason::StartedByHand,
                format!("started at {started}, not before the trigger's time {}", request.time),
            ),
            _ => (Decision::Act(Action::Stop), None),
        },
        (Action::Start, State::Stopped) => {
            let Launch { started_at, stop_code, .. } = &instance.launch;
            let by_somebody = stop_code.as_deref().is_some_and(stopped_by_somebody);
            match (instance.stopped_by_hand_at, started_at) {
                (Some(stopped), _) if stopped >= request.time => keep_because(
                    Reason::StoppedByHand,
                    format!("stopped at {stopped}, not before the trigger's time {}", request.time),
                ),
                // Not every stop by hand bears a date, but one that follows a later start came later still.
                (_, Some(started)) if by_somebody && *started >= request.time => keep_because(
                    Reason::StoppedByHand,
                    format!("started at {started}, not before the trigger's time {}, and stopped since", request.time),
                ),
                _ => (Decision::Act(Action::Start), None),
            }
        }
        _ => keep(Reason::InTransition),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::instance::Facts;

    fn settings(scope: &str) -> Settings {
        Settings::from_environment(
            [("STOPINATOR_SCOPE", scope), ("STOPINATOR_REGIONS", "eu-west-1,us-east-1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
        .unwrap()
    }

    fn request(json: &str) -> Request {
        Request::parse(json, &settings("tagged"), at("2026-11-21T09:00:00Z")).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn id(text: &str) -> InstanceId {
        InstanceId::try_from(text).unwrap()
    }

    fn region(name: &str) -> Region {
        Region::try_from(name.to_owned()).unwrap()
    }

    fn started(started_at: Option<Timestamp>) -> Launch {
        Launch { started_at, ..Launch::default() }
    }

    /// Running since yesterday, tagged `true`, nothing in the way.
    fn plain() -> Instance {
        Instance {
            id: id("i-0123abcd"),
            region: region("us-east-1"),
            name: None,
            state: State::Running,
            tag: Some("true".into()),
            launch: started(Some(at("2026-11-20T09:00:00Z"))),
            stopped_by_hand_at: None,
            facts: Facts::default(),
        }
    }

    fn untagged() -> Instance {
        Instance { tag: None, ..plain() }
    }

    fn decided(scope: &str, json: &str, instance: Instance) -> Decision {
        let request = request(json);
        let plan = plan(&settings(scope), &request, vec![instance], &request.regions);
        assert_eq!(plan.entries.len(), 1);
        plan.entries[0].decision
    }

    const STOP: &str = r#"{"action": "stop", "time": "2026-11-21T08:59:00Z"}"#;
    const START: &str = r#"{"action": "start", "time": "2026-11-21T08:59:00Z"}"#;
    const ON_TIME: &str = "2026-11-21T08:59:00Z";
    const BEFORE: &str = "2026-11-21T08:58:59Z";

    #[test]
    fn a_due_instance_is_stopped_or_started() {
        assert_eq!(decided("tagged", STOP, plain()), Decision::Act(Action::Stop));
        let stopped = Instance { state: State::Stopped, ..plain() };
        assert_eq!(decided("tagged", START, stopped), Decision::Act(Action::Start));
        assert_eq!(decided("all", STOP, untagged()), Decision::Act(Action::Stop));
    }

    /// Each step of the ladder of reasons, with every later reason present as well: the first one wins.
    #[test]
    fn the_first_reason_wins() {
        let mut instance = Instance {
            tag: Some("false".into()),
            state: State::Terminated,
            facts: Facts {
                operator_managed: true,
                service_tag: true,
                auto_scaling: true,
                instance_store_root: true,
                instance_store_data: true,
                unstoppable_lifecycle: true,
            },
            ..plain()
        };
        let expect = |instance: &Instance, reason| {
            for (scope, action) in [("tagged", STOP), ("tagged", START), ("all", STOP), ("all", START)] {
                assert_eq!(decided(scope, action, instance.clone()), Decision::Keep(reason), "{scope} {action}");
            }
        };
        expect(&instance, Reason::OptedOut);
        instance.tag = Some("on".into());
        expect(&instance, Reason::Gone);
        instance.state = State::Pending;
        expect(&instance, Reason::ServiceManaged);
        instance.facts.operator_managed = false;
        expect(&instance, Reason::AsgMember);
        instance.facts.auto_scaling = false;
        expect(&instance, Reason::InstanceStoreRoot);
        instance.facts.instance_store_root = false;
        expect(&instance, Reason::CannotStop);
        instance.facts.unstoppable_lifecycle = false;
        expect(&instance, Reason::InvalidSchedule);
        instance.tag = Some("true".into());
        expect(&instance, Reason::InTransition);
        instance.state = State::Stopped;
        assert_eq!(decided("tagged", STOP, instance.clone()), Decision::Keep(Reason::AlreadyStopped));
        instance.state = State::Running;
        assert_eq!(decided("tagged", START, instance), Decision::Keep(Reason::AlreadyRunning));
    }

    #[test]
    fn what_only_protects_the_untagged() {
        for facts in
            [Facts { service_tag: true, ..Facts::default() }, Facts { instance_store_data: true, ..Facts::default() }]
        {
            let reason = if facts.service_tag { Reason::ServiceManaged } else { Reason::InstanceStoreData };
            assert_eq!(decided("all", STOP, Instance { facts, ..untagged() }), Decision::Keep(reason));
            assert_eq!(decided("all", STOP, Instance { facts, ..plain() }), Decision::Act(Action::Stop));
        }
    }

    #[test]
    fn the_untagged_are_not_selected_but_by_stop_in_scope_all() {
        for (scope, action) in [("tagged", STOP), ("tagged", START), ("all", START)] {
            for state in [State::Running, State::Stopped, State::Terminated] {
                let instance = Instance { state, ..untagged() };
                assert_eq!(decided(scope, action, instance), Decision::Keep(Reason::NotSelected), "{scope} {action}");
            }
        }
    }

    #[test]
    fn every_state_that_is_neither_running_nor_stopped_is_left_alone() {
        for (state, reason) in [
            (State::Pending, Reason::InTransition),
            (State::Stopping, Reason::InTransition),
            (State::Unknown, Reason::InTransition),
            (State::ShuttingDown, Reason::Gone),
            (State::Terminated, Reason::Gone),
        ] {
            for action in [STOP, START] {
                assert_eq!(decided("tagged", action, Instance { state, ..plain() }), Decision::Keep(reason));
            }
        }
    }

    #[test]
    fn a_start_by_hand_survives_a_repeated_stop_event() {
        for (started, decision) in [
            (Some(BEFORE), Decision::Act(Action::Stop)),
            (Some(ON_TIME), Decision::Keep(Reason::StartedByHand)),
            (Some("2026-11-21T08:59:30Z"), Decision::Keep(Reason::StartedByHand)),
            (None, Decision::Act(Action::Stop)),
        ] {
            let instance = Instance { launch: super::tests::started(started.map(at)), ..plain() };
            assert_eq!(decided("tagged", STOP, instance), decision, "{started:?}");
        }
    }

    #[test]
    fn a_stop_by_hand_survives_a_repeated_start_event() {
        for (stopped, decision) in [
            (Some(BEFORE), Decision::Act(Action::Start)),
            (Some(ON_TIME), Decision::Keep(Reason::StoppedByHand)),
            (None, Decision::Act(Action::Start)),
        ] {
            let instance = Instance { state: State::Stopped, stopped_by_hand_at: stopped.map(at), ..plain() };
            assert_eq!(decided("tagged", START, instance), decision, "{stopped:?}");
        }
    }

    #[test]
    fn a_stop_by_hand_without_a_date_is_known_by_the_start_before_it() {
        for (started_at, code, decision) in [
            (ON_TIME, "Client.InstanceInitiatedShutdown", Decision::Keep(Reason::StoppedByHand)),
            (BEFORE, "Client.InstanceInitiatedShutdown", Decision::Act(Action::Start)),
            (ON_TIME, "Client.InternalError", Decision::Act(Action::Start)),
            (ON_TIME, "Server.InternalError", Decision::Act(Action::Start)),
        ] {
            let launch = Launch { started_at: Some(at(started_at)), stop_code: Some(code.into()), ..Launch::default() };
            let instance = Instance { state: State::Stopped, launch, ..plain() };
            assert_eq!(decided("tagged", START, instance), decision, "{started_at} {code}");
        }
    }

    #[test]
    fn ids_narrow_and_never_widen() {
        let json = r#"{"action": "stop", "instance_ids": ["i-0000000a", "i-0000000b", "i-0000000c"]}"#;
        let request = request(json);
        let found = ["i-0000000a", "i-0000000b", "i-0000000d"].map(|text| Instance {
            id: id(text),
            tag: (text != "i-0000000b").then(|| "true".into()),
            ..plain()
        });
        let decisions = |looked_in: &[Region]| -> Vec<(String, Decision)> {
            let plan = plan(&settings("tagged"), &request, found.to_vec(), looked_in);
            plan.entries.into_iter().map(|entry| (entry.id.to_string(), entry.decision)).collect()
        };
        let a = ("i-0000000a".to_owned(), Decision::Act(Action::Stop));
        let b = ("i-0000000b".to_owned(), Decision::Keep(Reason::NotSelected));
        let c = ("i-0000000c".to_owned(), Decision::Keep(Reason::Gone));
        assert_eq!(decisions(&request.regions), [c, a.clone(), b.clone()]);
        assert_eq!(decisions(&request.regions[..1]), [a, b], "it may live where nobody could look");
    }

    fn any_instance() -> impl Strategy<Value = Instance> {
        let states = [
            State::Pending,
            State::Running,
            State::Stopping,
            State::Stopped,
            State::ShuttingDown,
            State::Terminated,
            State::Unknown,
        ];
        let tags = [None, Some("true".into()), Some("false".into()), Some("on".into())];
        let rare = || prop::bool::weighted(0.1);
        (
            (0_u32..40, prop::bool::ANY),
            prop::sample::select(states.to_vec()),
            prop::sample::select(tags.to_vec()),
            (rare(), rare(), rare(), rare(), rare(), rare()),
            prop::option::of(-100i64..100),
        )
            .prop_map(|((number, west), state, tag, facts, offset)| {
                let when = offset.map(|seconds| at(ON_TIME) + jiff::SignedDuration::from_secs(seconds));
                Instance {
                    id: id(&format!("i-{number:08x}")),
                    region: region(if west { "eu-west-1" } else { "us-east-1" }),
                    name: None,
                    state,
                    tag,
                    launch: started(when),
                    stopped_by_hand_at: when,
                    facts: Facts {
                        operator_managed: facts.0,
                        service_tag: facts.1,
                        auto_scaling: facts.2,
                        instance_store_root: facts.3,
                        instance_store_data: facts.4,
                        unstoppable_lifecycle: facts.5,
                    },
                }
            })
    }

    proptest! {
        /// Every instance once, in order, whatever the order they came in; the same plan each time.
        #[test]
        fn total_ordered_and_deterministic(
            mut fleet in prop::collection::vec(any_instance(), 0..60),
            all in prop::bool::ANY,
            stop in prop::bool::ANY,
        ) {
            fleet.sort_by(|a, b| (&a.region, &a.id).cmp(&(&b.region, &b.id)));
            fleet.dedup_by(|a, b| (&a.region, &a.id) == (&b.region, &b.id));
            let settings = settings(if all { "all" } else { "tagged" });
            let request = request(if stop { STOP } else { START });
            let forward = plan(&settings, &request, fleet.clone(), &request.regions);
            let mut reversed = fleet.clone();
            reversed.reverse();
            reversed.extend(fleet.clone());
            prop_assert_eq!(&forward, &plan(&settings, &request, reversed, &request.regions));
            let planned: Vec<_> = forward.entries.iter().map(|e| (e.region.clone().unwrap(), e.id)).collect();
            let found: Vec<_> = fleet.iter().map(|i| (i.region.clone(), i.id)).collect();
            prop_assert_eq!(planned, found);
            let acted_on = forward.entries.iter().filter(|e| e.decision == Decision::Act(request.action)).count();
            prop_assert_eq!(forward.actions(), acted_on);
        }
    }
}
