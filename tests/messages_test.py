"""Messages to people: what the events are, and what the template's own rules make of them on the way to chat and mail.

Events are put as the function puts them, and come out of queues behind the topics: event, pattern, transformer, SNS. The
function itself has no part in it, so it is a stand-in here.
"""

import copy
import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, Queue

import pytest
from jsonschema import Draft202012Validator  # which sam brings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from expand import expand, load, resolve  # noqa: E402
from local_aws import LocalAws, poll  # noqa: E402

SCHEMA = json.loads((ROOT / "docs" / "events.schema.json").read_text())
SAMPLES = {path.stem: json.loads(path.read_text()) for path in (ROOT / "tests" / "events-samples").glob("*.json")}
WITH_MESSAGE = sorted(name for name, event in SAMPLES.items() if "message" in event["detail"])
SILENT = sorted(SAMPLES.keys() - set(WITH_MESSAGE))
TYPES = {said["title"]: name for name, said in SCHEMA["$defs"].items() if "title" in said}
PARAMETERS = load()["Parameters"]
WEBHOOK = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123"

# What Amazon Q Developer in chat applications takes; it drops anything else.
# https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
TEXT = {"type": "string", "minLength": 1}
NOTIFICATION = {
    "type": "object",
    "properties": {
        "version": {"const": "1.0"},
        "source": {"const": "custom"},
        "id": TEXT,
        "content": {
            "type": "object",
            "properties": {
                "textType": {"const": "client-markdown"}, "title": TEXT, "description": TEXT,
                "nextSteps": {"type": "array", "items": TEXT}, "keywords": {"type": "array", "items": TEXT},
            },
            "required": ["description"],
            "additionalProperties": False,
        },
        "metadata": {
            "type": "object",
            "properties": {
                "threadId": TEXT, "summary": TEXT, "eventType": TEXT,
                "relatedResources": {"type": "array", "items": TEXT},
                "additionalContext": {"type": "object", "additionalProperties": TEXT},
            },
            "additionalProperties": False,
        },
    },
    "required": ["version", "source", "content"],
    "additionalProperties": False,
}


# -- the schema --


def complaints(event):
    """What the schema has against the detail of an event, by its type."""
    of_type = {**SCHEMA, "$ref": f"#/$defs/{TYPES[event['detail-type']]}"}
    del of_type["oneOf"]
    return [error.message for error in Draft202012Validator(of_type).iter_errors(event["detail"])]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert set(TYPES) == {"Stopinator Instance", "Stopinator Run", "Stopinator Notice"}
    # Nothing that is not written down may be there.
    for name, said in SCHEMA["$defs"].items():
        if said.get("type") == "object":
            assert said["additionalProperties"] is False and said["properties"], name


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_samples_are_as_the_schema_says(name):
    event = SAMPLES[name]
    assert set(event) == {"source", "detail-type", "resources", "detail"} and event["source"] == "stopinator"
    assert complaints(event) == []
    # And of one type alone.
    assert Draft202012Validator(SCHEMA).is_valid(event["detail"])
    assert len(json.dumps(event["detail"], ensure_ascii=False).encode()) < 64_000
    [arn] = event["resources"] if event["detail-type"] == "Stopinator Instance" else [None]
    if arn:
        detail = event["detail"]
        what = detail["id"] if ":" in detail["id"] else f"instance/{detail['id']}"
        service = "rds" if ":" in detail["id"] else "ec2"
        assert re.fullmatch(rf"arn:aws[a-z-]*:{service}:{detail['region']}:{detail['account']}:{re.escape(what)}", arn)


@pytest.mark.parametrize("name", WITH_MESSAGE)
def test_the_page_shows_what_is_said(name):
    message = SAMPLES[name]["detail"]["message"]
    assert f"\n{message['title']}\n{message['text']}\n" in (ROOT / "docs" / "people.md").read_text()


def test_a_run_also_tells_of_what_was_not_attempted():
    row = {**SAMPLES["run"]["detail"]["instances"][0], "outcome": "not-attempted", "reason": "no-time-left"}
    assert complaints(changed("run", instances=[row])) == []


def test_there_is_a_sample_of_everything():
    assert {event["detail-type"] for event in SAMPLES.values()} == set(TYPES)
    for title, name in TYPES.items():
        there = {key for event in SAMPLES.values() if event["detail-type"] == title for key in event["detail"]}
        # `error` is of a run that ends in one, `kind` stands in the lists.
        assert SCHEMA["$defs"][name]["properties"].keys() - there <= {"error", "kind"}, title


def changed(name, **changes):
    """A sample with other members in its detail; None takes one away."""
    event = copy.deepcopy(SAMPLES[name])
    for key, value in changes.items():
        event["detail"].pop(key, None)
        if value is not None:
            event["detail"][key] = value
    return event


@pytest.mark.parametrize(("name", "changes", "said"), [
    ("instance-confirmed", {"colour": "red"}, "colour"),
    ("instance-confirmed", {"account": None}, "account"),
    ("instance-confirmed", {"outcome": "not-attempted"}, "not-attempted"),
    ("instance-confirmed", {"id": "orders"}, "orders"),
    ("instance-confirmed", {"action": "schedule"}, "schedule"),
    ("instance-confirmed", {"edge": "2026-11-23 09:00"}, "2026"),
    ("instance-confirmed", {"owner": "x" * 257}, "too long"),
    ("instance-confirmed", {"function": None}, "function"),
    ("instance-confirmed", {"function": "arn:aws:lambda:ap-northeast-2:111122223333:function:stopinator"}, "not match"),
    ("run-without-message", {"function": None}, "function"),
    ("notice-many", {"function": None}, "function"),
    ("run", {"counts": {"found": 1}}, "kept"),
    ("run", {"instances": [{**SAMPLES["run"]["detail"]["instances"][0], "outcome": "done"}]}, "done"),
    ("run", {"instances": [SAMPLES["instance-confirmed"]["detail"]]}, "request_id"),
    ("run", {"instances": SAMPLES["run"]["detail"]["instances"] * 7}, "too long"),
    ("run", {"message": {"title": "a", "text": "b"}}, "thread"),
    ("run", {"message": {"title": "a", "text": "", "thread": "stopinator-2026-11-23"}}, "non-empty"),
    ("run-without-message", {"digest": True}, "message"),
    ("run-with-digest", {"digest": False}, "True was expected"),
    ("notice-one", {"hold": None}, "hold"),
    ("notice-one", {"id": None}, "id"),
    ("notice-one", {"group": None}, "group"),
    ("notice-one", {"hold": "2026-11-23 20:00"}, "does not match"),
    ("notice-many", {"count": 0}, "minimum"),
    ("notice-many", {"at": None}, "at"),
    ("notice-rule", {"minutes": 15}, "at"),
    ("notice-many", {"message": None}, "message"),
])
def test_the_schema_refuses_what_is_not_so(name, changes, said):
    found = complaints(changed(name, **changes))
    assert found and any(said in complaint for complaint in found), found


# -- the way of a message --


@pytest.fixture(scope="module")
def aws():
    with LocalAws() as local_aws:
        yield local_aws


class Slack(http.server.BaseHTTPRequestHandler):
    """As much of it as a webhook is."""

    received = Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.put((self.path, dict(self.headers), body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def slack():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slack)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/services/T/B/X"
    server.shutdown()


@pytest.fixture(scope="module")
def people(aws, slack, tmp_path_factory):
    """Two topics and the queues behind them, and a stack that tells both, and Slack; and its function's name."""
    queues, topics = {}, {}
    for name in ("chat", "alarms"):
        topics[name] = aws.client("sns").create_topic(Name=name)["TopicArn"]
        queues[name] = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        arn = aws.client("sqs").get_queue_attributes(QueueUrl=queues[name], AttributeNames=["QueueArn"])
        aws.client("sns").subscribe(TopicArn=topics[name], Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    program = tmp_path_factory.mktemp("program") / "bootstrap"
    program.write_text("#!/bin/sh\n")  # it is never run
    off = {name: "DISABLED" for name in PARAMETERS if name.endswith("RuleState")}
    aws.deploy(
        program, stack="people", **off, Events="ENABLED", NoticeMinutes="15", ChatTopicArn=topics["chat"],
        NotificationTopicArn=topics["alarms"], MessagesByMail="true", SlackWebhookUrl=WEBHOOK,
    )
    [destination] = aws.client("events").list_api_destinations()["ApiDestinations"]
    assert (destination["InvocationEndpoint"], destination["HttpMethod"]) == (WEBHOOK, "POST")
    aws.client("events").update_api_destination(Name=destination["Name"], InvocationEndpoint=slack)
    [stack] = aws.client("cloudformation").describe_stacks(StackName="people")["Stacks"]
    [name] = [output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "FunctionName"]
    return {**queues, "function": name}


def tell(aws, function, *events):
    """As the function of this name does, at most ten in a call; without one, as none does."""
    details = [{**event["detail"], "function": function} for event in events]
    if function is None:
        details = [{key: value for key, value in detail.items() if key != "function"} for detail in details]
    entries = [
        {
            "Source": event["source"], "DetailType": event["detail-type"], "Resources": event["resources"],
            "Detail": json.dumps(detail, ensure_ascii=False),
        }
        for event, detail in zip(events, details, strict=True)
    ]
    assert aws.client("events").put_events(Entries=entries)["FailedEntryCount"] == 0


def heard(aws, queue, number):
    """So many messages that came, as SNS sends them; and that no more came."""
    sqs, messages = aws.client("sqs"), []
    for _ in poll(seconds=20, every=0.1):
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        messages += [json.loads(message["Body"])["Message"] for message in got]
        for message in got:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        if len(messages) >= number and not got:
            break
    assert len(messages) == number
    return messages


def posted(number):
    """So many messages that Slack was sent, of each its path, headers and body."""
    messages = [Slack.received.get(timeout=20) for _ in range(number)]
    with pytest.raises(Empty):
        Slack.received.get(timeout=0.3)
    return messages


def in_chat(event):
    """An event as the channel is to get it."""
    detail = event["detail"]
    message = detail["message"]
    button = {"ActionGroup": "stopinator-notice", **{key: detail[key] for key in ("region", "id", "hold")}} if (
        "group" in detail
    ) else None
    return {
        "version": "1.0", "source": "custom",
        "content": {"textType": "client-markdown", "title": message["title"], "description": message["text"]},
        "metadata": {
            "threadId": message["thread"], "eventType": "Stopinator",
            **({"additionalContext": button} if button else {}),
        },
    }


def by_text(value):
    return json.dumps(value, sort_keys=True)


def all_arrive(aws, people, events):
    """That each of them comes once, and as it was, wherever people hear of it."""
    tell(aws, people["function"], *events)
    chat = [json.loads(message) for message in heard(aws, people["chat"], len(events))]
    for message in chat:
        Draft202012Validator(NOTIFICATION).validate(message)
    assert sorted(chat, key=by_text) == sorted(map(in_chat, events), key=by_text)
    messages = [event["detail"]["message"] for event in events]
    mail = [f'"{message["title"]}"\n"{message["text"]}"' for message in messages]
    assert sorted(heard(aws, people["alarms"], len(events))) == sorted(mail)
    sent = [json.loads(body) for _, _, body in posted(len(events))]
    assert sorted(sent, key=by_text) == sorted((
        {"text": message["title"], "attachments": [{"text": message["text"], "mrkdwn_in": ["text"]}]}
        for message in messages
    ), key=by_text)


def test_every_message_arrives_as_it_was(aws, people):
    assert {"run", "run-with-digest", "notice-one", "notice-many"} <= set(WITH_MESSAGE)
    all_arrive(aws, people, [SAMPLES[name] for name in WITH_MESSAGE])


def test_a_notice_of_one_instance_has_what_a_button_needs(aws, people):
    tell(aws, people["function"], SAMPLES["notice-one"], SAMPLES["notice-many"])
    found = [json.loads(message)["metadata"] for message in heard(aws, people["chat"], 2)]
    assert [metadata["additionalContext"] for metadata in found if "additionalContext" in metadata] == [{
        "ActionGroup": "stopinator-notice",
        **{key: SAMPLES["notice-one"]["detail"][key] for key in ("region", "id", "hold")},
    }]
    heard(aws, people["alarms"], 2), posted(2)


ODD = [
    'quotes "double", \'single\', ""empty"" and an open one "',
    "back\\slashes \\\\ and \\n that is no line break, \\u0041 that is no letter, one at the end \\",
    "lines\nbroken\r\nin two ways\n\nand a\ttab",
    "서울-데모 büro 東京 🚦 \u2028 \x7f",
    '<title> <text> <aws.events.event.json> $.detail {"a": [1]} ${Minutes} {{x}}',
    "<https://example.com/?a=1&b=2|a link> *bold* `code` &lt; </b>",
    "a long one " + "0123456789" * 4_000,
]


def test_odd_texts_arrive_as_they_were(aws, people):
    """JSON stays JSON, and nothing in a text is taken for something to be put in."""
    messages = [{"title": text[:200], "text": text, "thread": "stopinator-2026-11-23"} for text in ODD]
    button = {"title": ODD[0], "text": "\n".join(ODD[:6]), "thread": "stopinator-1"}
    all_arrive(aws, people, [
        *[changed("run", message=message) for message in messages], changed("notice-one", message=button),
    ])


def test_what_has_no_message_is_not_heard_of(aws, people):
    others = [{**SAMPLES["run"], "source": "somebody"}, {**SAMPLES["run"], "detail-type": "Stopinator Instance"}]
    assert {"run-without-message", "instance-confirmed", "instance-refused"} <= set(SILENT)
    tell(aws, people["function"], *[SAMPLES[name] for name in SILENT], *others, SAMPLES["run-with-digest"])
    [message] = heard(aws, people["chat"], 1)
    assert json.loads(message) == in_chat(SAMPLES["run-with-digest"])
    heard(aws, people["alarms"], 1), posted(1)


def test_another_function_is_not_heard(aws, people):
    """A second stack of the same account tells the same bus. Names alike at their beginning are others, too."""
    ours = people["function"]
    for another in ("another-StopinatorFunction-Q3vJx0aB7cDe", f"{ours}2", ours[:-1], ours.swapcase(), None):
        tell(aws, another, *[SAMPLES[name] for name in WITH_MESSAGE])
    tell(aws, ours, SAMPLES["run-with-digest"])
    [message] = heard(aws, people["chat"], 1)
    assert json.loads(message) == in_chat(SAMPLES["run-with-digest"])
    heard(aws, people["alarms"], 1), posted(1)


def test_a_trial_by_hand_is_heard(aws, people):
    """The commands of docs/people.md: a message, the function's name, and nothing else."""
    page = (ROOT / "docs" / "people.md").read_text()
    [commands] = re.findall(r"^(message=.*?)\n```$", page, re.MULTILINE | re.DOTALL)
    program = 'function=$1\naws() { printf %s "$4"; }\n' + commands
    [entry] = json.loads(subprocess.check_output(["bash", "-euc", program, "bash", people["function"]]))
    assert json.loads(entry["Detail"]).keys() == {"function", "message"}
    assert aws.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    [message] = heard(aws, people["chat"], 1)
    assert json.loads(message)["content"] == {
        "textType": "client-markdown", "title": "Hello", "description": "A *trial*",
    }
    heard(aws, people["alarms"], 1), posted(1)


def test_slack_is_told_in_json_and_of_no_secret(aws, people):
    tell(aws, people["function"], SAMPLES["notice-one"])
    [(path, headers, _)] = posted(1)
    assert path == "/services/T/B/X" and headers["Content-Type"].startswith("application/json")
    assert headers["X-Stopinator"] == "none"
    heard(aws, people["chat"], 1), heard(aws, people["alarms"], 1)


# -- the template --

RULES = {"ChatRule", "ChatNoticeRule", "MailRule", "SlackRule"}
TOPIC = "arn:aws:sns:ap-northeast-2:111122223333:people"
OF_SLACK = {"SlackRule", "SlackConnection", "SlackDestination", "SlackRole"}


def made(**parameters):
    return resolve(expand(), parameters)["Resources"]


@pytest.mark.parametrize(("parameters", "names"), [
    ({"Events": "ENABLED"}, set()),
    ({"Events": "ENABLED", "NoticeMinutes": "15"}, set()),
    ({"Events": "ENABLED", "NoticeRuleState": "ENABLED"}, {"NoticeRule", "NoticeRulePermission"}),
    ({"Events": "ENABLED", "ChatTopicArn": TOPIC}, {"ChatRule", "ChatNoticeRule"}),
    ({"Events": "ENABLED", "SlackWebhookUrl": WEBHOOK}, OF_SLACK),
])
@pytest.mark.parametrize("trigger", ["rule", "scheduler"])
def test_what_nobody_asked_for_is_not_there(parameters, names, trigger):
    without = made(TriggerType=trigger)
    if trigger == "scheduler":
        names = {"NoticeSchedule"} if "NoticeRule" in names else names
        # The queue needs a policy as soon as there are rules.
        names = names | {"FailedEventsPolicy"} if names & RULES else names
    assert made(TriggerType=trigger, **parameters).keys() - without.keys() == names


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_hears_its_own_function(name):
    assert load()["Resources"][name]["Properties"]["EventPattern"]["detail"]["function"] == [
        {"Ref": "StopinatorFunction"}
    ]


def test_mail_goes_to_the_topic_of_the_alarms():
    by_topic = {"Events": "ENABLED", "MessagesByMail": "true", "NotificationTopicArn": TOPIC}
    by_address = {**by_topic, "NotificationTopicArn": "", "NotificationEmail": "a@example.com"}
    for parameters, topic, policy in (by_topic, TOPIC, set()), (by_address, None, {"NotificationTopicPolicy"}):
        resources, without = made(**parameters), made(**{**parameters, "MessagesByMail": "false"})
        assert resources.keys() - without.keys() == {"MailRule"} | policy
        [target] = resources["MailRule"]["Properties"]["Targets"]
        assert target["Arn"] == (topic or "arn:aws:sns:ap-northeast-2:111122223333:stopinator-NotificationTopic")


def test_the_function_is_told_only_what_is_asked_for():
    def told(**parameters):
        variables = made(**parameters)["StopinatorFunction"]["Properties"]["Environment"]["Variables"]
        return {name: value for name, value in variables.items() if re.search("EVENTS|NOTICE", name)}

    assert told() == {}
    assert told(Events="ENABLED") == {"STOPINATOR_EVENTS": "true"}
    assert told(Events="ENABLED", NoticeMinutes="120") == {
        "STOPINATOR_EVENTS": "true", "STOPINATOR_NOTICE_MINUTES": "120",
    }


@pytest.mark.parametrize(("expression", "minutes"), [
    ("rate(1 minute)", 1), ("rate(5 minutes)", 5), ("rate(59 minutes)", 59),
])
def test_a_tick_says_how_far_ticks_lie_apart(expression, minutes):
    now = "2026-11-20T08:45:00Z"
    command = {"action": "schedule", "time": now, "tick_minutes": minutes}
    [target] = made(TickScheduleExpression=expression)["TickRule"]["Properties"]["Targets"]
    assert json.loads(target["InputTransformer"]["InputTemplate"].replace("<time>", f'"{now}"')) == command
    target = made(TickScheduleExpression=expression, TriggerType="scheduler")["TickSchedule"]["Properties"]["Target"]
    assert json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", now)) == command


def test_a_tick_says_so_once_it_is_deployed(aws, people):
    stack = aws.client("cloudformation").describe_stacks(StackName="people")["Stacks"][0]
    [rule] = [output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "TickRuleName"]
    [target] = aws.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    assert target["InputTransformer"]["InputTemplate"] == '{"action": "schedule", "time": <time>, "tick_minutes": 5}'


def test_the_notice_of_the_stop_rule_is_the_command_of_the_examples():
    command = json.loads((ROOT / "events" / "command-notice.json").read_text())
    given = {"Events": "ENABLED", "NoticeRuleState": "ENABLED"}
    [target] = made(**given)["NoticeRule"]["Properties"]["Targets"]
    assert json.loads(target["InputTransformer"]["InputTemplate"].replace("<time>", f'"{command["time"]}"')) == command
    target = made(**given, TriggerType="scheduler")["NoticeSchedule"]["Properties"]["Target"]
    assert json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", command["time"])) == command


def test_the_notice_comes_before_the_stop_rule():
    def minutes(name):
        minute, hour = re.fullmatch(r"cron\((\d+) (\d+) \* \* \? \*\)", PARAMETERS[name]["Default"]).groups()
        return int(hour) * 60 + int(minute)

    assert minutes("StopScheduleExpression") - minutes("NoticeScheduleExpression") == 15


@pytest.mark.parametrize("trigger", ["rule", "scheduler"])
def test_what_a_rule_cannot_deliver_is_in_the_queue_within_the_hour(trigger):
    resources = made(
        TriggerType=trigger, Events="ENABLED", NoticeRuleState="ENABLED", ChatTopicArn=TOPIC, MessagesByMail="true",
        NotificationTopicArn=TOPIC, SlackWebhookUrl=WEBHOOK,
    )
    rules = {name for name, said in resources.items() if said["Type"] == "AWS::Events::Rule"}
    assert RULES <= rules
    queue = "arn:aws:sqs:ap-northeast-2:111122223333:stopinator-FailedEvents"
    for name in RULES:
        [target] = resources[name]["Properties"]["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": queue}
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600}
    [statement] = resources["FailedEventsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    arns = {f"arn:aws:events:ap-northeast-2:111122223333:rule/stopinator-{name}" for name in rules}
    assert set(statement["Condition"]["ArnEquals"]["aws:SourceArn"]) == arns


@pytest.mark.parametrize(("parameters", "sentence"), [
    ({"NoticeMinutes": "15"}, "NoticeMinutes needs Events=ENABLED"),
    ({"NoticeRuleState": "ENABLED"}, "NoticeRuleState=ENABLED needs Events=ENABLED"),
    ({"ChatTopicArn": TOPIC}, "ChatTopicArn needs Events=ENABLED"),
    ({"MessagesByMail": "true", "NotificationEmail": "a@example.com"}, "MessagesByMail needs Events=ENABLED"),
    ({"SlackWebhookUrl": WEBHOOK}, "SlackWebhookUrl needs Events=ENABLED"),
    ({"Events": "ENABLED", "MessagesByMail": "true"}, "MessagesByMail needs NotificationTopicArn or NotificationEmail"),
])
def test_what_does_not_go_together_is_refused(aws, parameters, sentence):
    assert sentence in aws.objection(**parameters)


@pytest.mark.parametrize("minutes", ["0", "5", "9", "10", "99", "100", "119", "120"])
def test_minutes_of_a_notice_are_taken(aws, minutes):
    assert aws.objection(Events="ENABLED", NoticeMinutes=minutes) == ""
