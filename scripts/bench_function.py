"""Stopinator's rival in bench.py: the same job in Python, as tutorials teach it."""

import boto3

TAG_KEY = "Stopinator"

# Outside the handler, so that it is made once, while the function starts.
ec2 = boto3.client("ec2")


def handler(event, context):
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag-key", "Values": [TAG_KEY]}],
        PaginationConfig={"PageSize": 1000},
    )
    due = []
    for page in pages:
        for reservation in page["Reservations"]:
            for instance in reservation["Instances"]:
                tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
                opted_out = tags[TAG_KEY].strip().lower() in ("false", "no", "never", "ignore")
                if instance["State"]["Name"] == "running" and not opted_out:
                    due.append(instance["InstanceId"])
    if due:
        ec2.stop_instances(InstanceIds=due)
    return {"stopped": due}
