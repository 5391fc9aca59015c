# Looks at moto's own data and spoils it, past Trunkline's code: by boto3
# straight at moto. One request a line, one answer a line, so that Python and
# boto3 start once for all cases.
import json
import os
import sys

import boto3

MARKS = ["trunkline:environment", "trunkline:address"]
KINDS = [
    ("describe_vpcs", "Vpcs", "VpcId"),
    ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("describe_subnets", "Subnets", "SubnetId"),
    ("describe_addresses", "Addresses", "AllocationId"),
    ("describe_nat_gateways", "NatGateways", "NatGatewayId"),
    ("describe_route_tables", "RouteTables", "RouteTableId"),
    ("describe_security_groups", "SecurityGroups", "GroupId"),
    ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("describe_volumes", "Volumes", "VolumeId"),
    ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
]


def client(service, url):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="looking",
        aws_secret_access_key="looking",
    )


ec2, s3, iam = (client(service, os.environ["MOTO"]) for service in ("ec2", "s3", "iam"))
# EKS is not moto's: the emulator alone knows its clusters.
eks = client("eks", os.environ["AWS_ENDPOINT_URL"])


def things(environment):
    """Everything in EC2 that carries the environment's marks, or did until
    `unmark` renamed them: [address, id, state]."""
    found = []
    for describe, key, name in KINDS:
        for thing in getattr(ec2, describe)()[key]:
            tags = {tag["Key"]: tag["Value"] for tag in thing.get("Tags", thing.get("TagSet", []))}
            marks = [[tags.get(prefix + mark) for mark in MARKS] for prefix in ("", "was:")]
            for owner, address in marks:
                if owner == environment:
                    found.append([address or describe, thing[name], thing.get("State")])
    return found


def unmark(environment, address):
    """Takes the marks off what has this address."""
    ids = [id for its, id, _ in things(environment) if its == address]
    assert ids, f"nothing is marked as {address}"
    was = zip(MARKS, [environment, address])
    ec2.create_tags(Resources=ids, Tags=[{"Key": "was:" + key, "Value": value} for key, value in was])
    ec2.delete_tags(Resources=ids, Tags=[{"Key": key} for key in MARKS])
    return ids


def ledger_of(environment):
    return next(b for b in buckets(environment) if b.endswith("-ledger"))


def forget(environment, prefix):
    """Deletes the ledger's objects that begin so, all versions."""
    bucket = ledger_of(environment)
    listed = s3.list_object_versions(Bucket=bucket, Prefix=prefix)
    keys = sorted({version["Key"] for version in listed.get("Versions", [])})
    for version in listed.get("Versions", []) + listed.get("DeleteMarkers", []):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    return keys


def kept(environment, prefix):
    """The ledger's objects that begin so."""
    listed = s3.list_objects_v2(Bucket=ledger_of(environment), Prefix=prefix)
    return [thing["Key"] for thing in listed.get("Contents", [])]


def buckets(environment):
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    return [name for name in names if name.startswith(f"trunkline-{environment}-")]


def roles(environment):
    found = iam.list_roles(PathPrefix=f"/trunkline/{environment}/")["Roles"]
    return [role["RoleName"] for role in found]


def clusters(environment):
    return [name for name in eks.list_clusters()["clusters"] if name == f"trunkline-{environment}"]


def entries(environment):
    found = eks.list_access_entries(clusterName=f"trunkline-{environment}")
    return found["accessEntries"]


def of_cluster(environment):
    """What EKS and Auto Mode made for the cluster."""
    name = f"trunkline-{environment}"
    keys = {"aws:eks:cluster-name": name, "eks:eks-cluster-name": name}
    listed = [thing for describe, key, _ in KINDS for thing in getattr(ec2, describe)()[key]]
    tags = [{tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])} for thing in listed]
    return [its for its in tags if any(its.get(key) == value for key, value in keys.items())]


for line in sys.stdin:
    request = json.loads(line)
    answer = globals()[request["do"]](*request["with"])
    print(json.dumps(answer, default=str), flush=True)
