# Everything that is in moto, past Trunkline's own code: by boto3 straight at
# moto, as JSON. Not what we think could be there, but every list that moto can
# give: all describe_* and list_* of EC2 and IAM that need no argument, every
# bucket with its settings and objects. Other services keep nothing of ours:
# the test looks in the front's record that none was called.
#
# Left out: catalogues that never change, and what EC2 still shows of things
# that are gone.
import json
import sys

import boto3
import botocore
from moto.ec2.responses import EC2Response
from moto.iam.responses import IamResponse

CATALOGUES = {
    "describe_account_attributes",
    "describe_images",
    "describe_instance_type_offerings",
    "describe_instance_types",
    "describe_prefix_lists",
    "describe_regions",
    "describe_reserved_instances_offerings",
    "describe_snapshot_tier_status",
    "describe_spot_price_history",
    "describe_vpc_endpoint_services",
}
GONE = {"deleted", "terminated"}


def client(service):
    return boto3.client(
        service,
        endpoint_url=sys.argv[1],
        region_name="eu-central-1",
        aws_access_key_id="looking",
        aws_secret_access_key="looking",
    )


def called(function, **arguments):
    answer = function(**arguments)
    answer.pop("ResponseMetadata")
    return answer


def is_there(thing):
    state = thing.get("State") if isinstance(thing, dict) else None
    state = state.get("Name") if isinstance(state, dict) else state
    return not isinstance(state, str) or state.lower() not in GONE


def ordered(value):
    """Without what is gone, and lists in one order: AWS promises none."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        there = [ordered(item) for item in value if is_there(item)]
        return sorted(there, key=lambda item: json.dumps(item, default=str))
    return value


def lists(service, responses, arguments):
    """Every list of a service that needs no argument."""
    api, found = client(service), {}
    model = api.meta.service_model
    for operation in model.operation_names:
        name = botocore.xform_name(operation)
        shape = model.operation_model(operation).input_shape
        wanted = name.startswith(("describe_", "list_")) and hasattr(responses, name)
        if not wanted or name in CATALOGUES or (shape and shape.required_members):
            continue
        try:
            answer = called(getattr(api, name), **arguments.get(name, {}))
        except (botocore.exceptions.ClientError, botocore.parsers.ResponseParserError):
            continue  # moto has the name alone, or wants an argument after all
        for key, items in answer.items():
            if isinstance(items, list):
                # Two operations may call their lists the same.
                is_own = name.endswith(f"_{botocore.xform_name(key)}")
                found[f"{service}:{key if is_own else name}"] = items
    return found


def iam_details():
    """Policies, trust and attachments come only by this."""
    api = client("iam")
    kinds = ["User", "Role", "Group", "LocalManagedPolicy"]
    details = called(api.get_account_authorization_details, Filter=kinds)
    return {f"iam:{key}": value for key, value in details.items() if isinstance(value, list)}


def buckets():
    api, found = client("s3"), {}
    settings = [
        "acl", "cors", "encryption", "lifecycle_configuration", "logging",
        "notification_configuration", "ownership_controls", "policy", "replication",
        "tagging", "versioning", "website",
    ]  # fmt: skip
    settings = {name: getattr(api, f"get_bucket_{name}") for name in settings}
    settings["public_access_block"] = api.get_public_access_block
    settings["object_lock"] = api.get_object_lock_configuration
    for bucket in api.list_buckets()["Buckets"]:
        name = bucket["Name"]
        about = {"created": bucket["CreationDate"], "settings": {}, "objects": {}}
        for setting, get in settings.items():
            try:
                about["settings"][setting] = called(get, Bucket=name)
            except botocore.exceptions.ClientError as error:
                about["settings"][setting] = error.response["Error"]["Code"]
        pages = api.get_paginator("list_object_versions").paginate(Bucket=name)
        for page in pages:
            for version in page.get("Versions", []):
                version = {key: version[key] for key in ("Key", "VersionId", "ETag")}
                about["objects"].setdefault(version["Key"], []).append(version)
        found[name] = about
    return found


data = {
    **lists("ec2", EC2Response, {}),
    # Those of AWS are a catalogue.
    **lists("iam", IamResponse, {"list_policies": {"Scope": "Local"}}),
    **iam_details(),
}
snapshots = data.pop("ec2:Snapshots", [])
# moto has those of AWS's own images from the start.
data["ec2:Snapshots"] = [s for s in snapshots if s.get("Tags")]
data["buckets"] = buckets()
data = ordered(data)
# moto keeps the ACL that came with a VPC, and the tags of whatever is gone.
vpcs = {vpc["VpcId"] for vpc in data["ec2:Vpcs"]}
data["ec2:NetworkAcls"] = [acl for acl in data["ec2:NetworkAcls"] if acl["VpcId"] in vpcs]
tags = data.pop("ec2:Tags")
there = json.dumps(data, default=str)
data["ec2:Tags"] = [tag for tag in tags if f'"{tag["ResourceId"]}"' in there]
json.dump(data, sys.stdout, default=str, sort_keys=True)
