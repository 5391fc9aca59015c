# Everything that is in EC2, past Trunkline's own code: by boto3, as JSON.
# What EC2 still shows of things that are gone (deleted NAT gateways and
# endpoints, terminated instances) is left out.
import json
import sys

import boto3

ec2 = boto3.client(
    "ec2",
    endpoint_url=sys.argv[1],
    region_name="eu-central-1",
    aws_access_key_id="looking",
    aws_secret_access_key="looking",
)


def there(things):
    return [t for t in things if t.get("State") not in ("deleted", "Deleted")]


def instances():
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":
                yield instance


vpcs = ec2.describe_vpcs()["Vpcs"]
for vpc in vpcs:
    for name in ("enableDnsSupport", "enableDnsHostnames"):
        answer = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=name)
        vpc[name] = answer[name[0].upper() + name[1:]]["Value"]

json.dump(
    {
        "vpcs": vpcs,
        "subnets": ec2.describe_subnets()["Subnets"],
        "internet_gateways": ec2.describe_internet_gateways()["InternetGateways"],
        "addresses": ec2.describe_addresses()["Addresses"],
        "nat_gateways": there(ec2.describe_nat_gateways()["NatGateways"]),
        "route_tables": ec2.describe_route_tables()["RouteTables"],
        "endpoints": there(ec2.describe_vpc_endpoints()["VpcEndpoints"]),
        "security_groups": ec2.describe_security_groups()["SecurityGroups"],
        "rules": ec2.describe_security_group_rules()["SecurityGroupRules"],
        "volumes": ec2.describe_volumes()["Volumes"],
        "interfaces": ec2.describe_network_interfaces()["NetworkInterfaces"],
        "instances": list(instances()),
    },
    sys.stdout,
    default=str,
    sort_keys=True,
)
