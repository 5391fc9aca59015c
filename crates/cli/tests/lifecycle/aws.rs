//! What a deployment of the sandbox leaves in AWS, field by field, as boto3
//! reads it straight from moto (from the emulator for EKS).

use serde_json::{Value, json};

use crate::support::{ACCOUNT, Stack, holds};

const EKS: &str = "
eks = front('eks')
name = sys.argv[1]
def entry(principal):
    of = dict(clusterName=name, principalArn=principal)
    found = eks.describe_access_entry(**of)['accessEntry']
    policies = eks.list_associated_access_policies(**of)['associatedAccessPolicies']
    found['policies'] = [(p['policyArn'], p['accessScope']['type']) for p in policies]
    return found
entries = eks.list_access_entries(clusterName=name)['accessEntries']
dns = {}
for vpc in client('ec2').describe_vpcs()['Vpcs']:
    for what in ('enableDnsSupport', 'enableDnsHostnames'):
        answer = client('ec2').describe_vpc_attribute(VpcId=vpc['VpcId'], Attribute=what)
        dns.setdefault(vpc['VpcId'], {})[what] = answer[what[0].upper() + what[1:]]['Value']
give({
    'cluster': eks.describe_cluster(name=name)['cluster'],
    'entries': [entry(principal) for principal in sorted(entries)],
    'dns': dns,
})
";

/// Demands all of it; the id of the volume of Redis.
pub(crate) fn is_as_wished(stack: &Stack, data: &Value) -> String {
    let more = stack.python(EKS, &["trunkline-sandbox"]);
    let look = Look { data };
    network(&look, &more["dns"]);
    routes(&look);
    security(&look);
    bucket(&data["buckets"][bucket_name("egress")]);
    roles(&look);
    cluster(&look, &more);
    volume(data)
}

/// The name of a bucket of the sandbox.
pub(crate) fn bucket_name(name: &str) -> String {
    format!("trunkline-sandbox-{ACCOUNT}-eu-central-1-{name}")
}

/// Finds things by their marks.
struct Look<'a> {
    data: &'a Value,
}

impl<'a> Look<'a> {
    /// The one thing of a list that is marked for an address of the sandbox.
    #[track_caller]
    fn one(&self, list: &str, address: &str) -> &'a Value {
        let all = self.data[list].as_array().unwrap();
        let ours = |thing: &&Value| {
            tag(thing, "trunkline:address") == address
                && tag(thing, "trunkline:environment") == "sandbox"
        };
        let found: Vec<_> = all.iter().filter(ours).collect();
        assert_eq!(found.len(), 1, "{address} in {list}: {found:#?}");
        found[0]
    }

    #[track_caller]
    fn id(&self, list: &str, address: &str, field: &str) -> &'a str {
        self.one(list, address)[field].as_str().unwrap()
    }

    fn subnet(&self, name: &str) -> &'a str {
        self.id("ec2:Subnets", &format!("net/subnet/{name}"), "SubnetId")
    }
}

fn tag<'a>(thing: &'a Value, key: &str) -> &'a str {
    let tags = thing["Tags"].as_array().into_iter().flatten();
    let mut values = tags.filter(|tag| tag["Key"] == key);
    values
        .next()
        .map_or("", |tag| tag["Value"].as_str().unwrap())
}

fn network(look: &Look<'_>, dns: &Value) {
    let vpc = look.one("ec2:Vpcs", "net/vpc/main");
    holds(
        vpc,
        &json!({"CidrBlock": "10.20.0.0/16", "IsDefault": false}),
    );
    assert_eq!(tag(vpc, "Name"), "sandbox-vpc-main");
    let vpc = vpc["VpcId"].as_str().unwrap();
    let both = json!({"enableDnsSupport": true, "enableDnsHostnames": true});
    assert_eq!(dns[vpc], both);
    for (name, zone, range) in [
        ("private-euc1-az1", "euc1-az1", "10.20.0.0/19"),
        ("private-euc1-az2", "euc1-az2", "10.20.32.0/19"),
        ("public-euc1-az1", "euc1-az1", "10.20.192.0/22"),
        ("public-euc1-az2", "euc1-az2", "10.20.196.0/22"),
    ] {
        let subnet = look.one("ec2:Subnets", &format!("net/subnet/{name}"));
        holds(
            subnet,
            &json!({
                "AvailabilityZoneId": zone, "CidrBlock": range, "VpcId": vpc,
                "MapPublicIpOnLaunch": false,
            }),
        );
        // Auto Mode's load balancers and our node class choose by these.
        let (internal, public, nodes) = match name.starts_with("private") {
            true => ("1", "", "nodes"),
            false => ("", "1", ""),
        };
        assert_eq!(tag(subnet, "kubernetes.io/role/internal-elb"), internal);
        assert_eq!(tag(subnet, "kubernetes.io/role/elb"), public);
        assert_eq!(tag(subnet, "trunkline:role"), nodes);
    }
    let gateway = look.one("ec2:InternetGateways", "net/internet-gateway/main");
    assert_eq!(gateway["Attachments"][0]["VpcId"], vpc);
    let nat = look.one("ec2:NatGateways", "net/nat-gateway/euc1-az1");
    holds(
        nat,
        &json!({"State": "available", "SubnetId": look.subnet("public-euc1-az1")}),
    );
    let address = look.id("ec2:Addresses", "net/elastic-ip/euc1-az1", "AllocationId");
    assert_eq!(nat["NatGatewayAddresses"][0]["AllocationId"], address);
}

fn routes(look: &Look<'_>) {
    let gateway = look.id(
        "ec2:InternetGateways",
        "net/internet-gateway/main",
        "InternetGatewayId",
    );
    let nat = look.id(
        "ec2:NatGateways",
        "net/nat-gateway/euc1-az1",
        "NatGatewayId",
    );
    let mut tables = Vec::new();
    for (name, by, to, subnets) in [
        (
            "public",
            "GatewayId",
            gateway,
            vec!["public-euc1-az1", "public-euc1-az2"],
        ),
        (
            "private-euc1-az1",
            "NatGatewayId",
            nat,
            vec!["private-euc1-az1"],
        ),
        (
            "private-euc1-az2",
            "NatGatewayId",
            nat,
            vec!["private-euc1-az2"],
        ),
    ] {
        let table = look.one("ec2:RouteTables", &format!("net/route-table/{name}"));
        let routes = table["Routes"].as_array().unwrap();
        let default = routes
            .iter()
            .find(|route| route["DestinationCidrBlock"] == "0.0.0.0/0");
        holds(default.unwrap(), &json!({by: to, "State": "active"}));
        assert_eq!(routes.len(), 3, "default, local, S3: {routes:#?}");
        let associations = table["Associations"].as_array().unwrap().iter();
        let mut found: Vec<_> = associations
            .map(|one| one["SubnetId"].as_str().unwrap())
            .collect();
        let mut wanted: Vec<_> = subnets.into_iter().map(|name| look.subnet(name)).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{name}");
        tables.push(table["RouteTableId"].as_str().unwrap());
    }
    let endpoint = look.one("ec2:VpcEndpoints", "net/endpoint/s3");
    let s3 = json!({"ServiceName": "com.amazonaws.eu-central-1.s3", "VpcEndpointType": "Gateway"});
    holds(endpoint, &s3);
    tables.sort();
    assert_eq!(endpoint["RouteTableIds"], json!(tables));
}

fn security(look: &Look<'_>) {
    let group = look.one("ec2:SecurityGroups", "net/security-group/nodes");
    assert_eq!(tag(group, "trunkline:role"), "nodes");
    let [ingress] = &group["IpPermissions"].as_array().unwrap()[..] else {
        panic!("one rule: {group:#}");
    };
    let among = json!({"IpProtocol": "-1", "IpRanges": [], "Ipv6Ranges": []});
    holds(ingress, &among);
    assert_eq!(ingress["UserIdGroupPairs"][0]["GroupId"], group["GroupId"]);
    let egress = &group["IpPermissionsEgress"];
    assert_eq!(egress.as_array().unwrap().len(), 1);
    holds(
        &egress[0],
        &json!({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}),
    );
}

fn bucket(bucket: &Value) {
    let is = &bucket["settings"];
    assert_eq!(bucket["objects"], json!({}));
    let rule = &is["encryption"]["ServerSideEncryptionConfiguration"]["Rules"][0];
    let algorithm = &rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"];
    assert_eq!(algorithm, "AES256");
    assert_eq!(is["versioning"], json!({"Status": "Enabled"}));
    let block = json!({"PublicAccessBlockConfiguration": {
        "BlockPublicAcls": true, "BlockPublicPolicy": true,
        "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
    }});
    assert_eq!(is["public_access_block"], block);
    let policy: Value = serde_json::from_str(is["policy"]["Policy"].as_str().unwrap()).unwrap();
    let arn = format!("arn:aws:s3:::{}", bucket_name("egress"));
    holds(
        &policy["Statement"][0],
        &json!({
            "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [arn, format!("{arn}/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }),
    );
    let lifecycle = json!({
        "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
    });
    holds(&is["lifecycle_configuration"]["Rules"][0], &lifecycle);
    let owner = &is["ownership_controls"]["OwnershipControls"]["Rules"][0]["ObjectOwnership"];
    assert_eq!(owner, "BucketOwnerEnforced");
}

fn roles(look: &Look<'_>) {
    let managed = |names: &[&str]| {
        let one = |name: &&str| json!({"PolicyName": name, "PolicyArn": format!("arn:aws:iam::aws:policy/{name}")});
        names.iter().map(one).collect::<Vec<_>>()
    };
    let cluster = [
        "AmazonEKSBlockStoragePolicy",
        "AmazonEKSClusterPolicy",
        "AmazonEKSComputePolicy",
        "AmazonEKSLoadBalancingPolicy",
        "AmazonEKSNetworkingPolicy",
    ];
    let node = [
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEKSWorkerNodeMinimalPolicy",
    ];
    for (name, service, actions, policies) in [
        (
            "cluster",
            "eks",
            json!(["sts:AssumeRole", "sts:TagSession"]),
            &cluster[..],
        ),
        ("node", "ec2", json!("sts:AssumeRole"), &node[..]),
    ] {
        let role = look.one("iam:RoleDetailList", &format!("access/role/{name}"));
        holds(
            role,
            &json!({
                "RoleName": format!("trunkline-sandbox-{name}"), "Path": "/trunkline/sandbox/",
                "AttachedManagedPolicies": managed(policies),
                "AssumeRolePolicyDocument": {"Statement": [{
                    "Effect": "Allow", "Action": actions,
                    "Principal": {"Service": format!("{service}.amazonaws.com")},
                }]},
            }),
        );
    }
}

fn cluster(look: &Look<'_>, eks: &Value) {
    let role = |name: &str| {
        format!("arn:aws:iam::{ACCOUNT}:role/trunkline/sandbox/trunkline-sandbox-{name}")
    };
    let subnets = ["private-euc1-az1", "private-euc1-az2"].map(|name| look.subnet(name));
    holds(
        &eks["cluster"],
        &json!({
            "status": "ACTIVE", "version": "1.35", "roleArn": role("cluster"),
            // The three switches of Auto Mode; the node pools are our own.
            "computeConfig": {"enabled": true, "nodePools": []},
            "storageConfig": {"blockStorage": {"enabled": true}},
            "kubernetesNetworkConfig": {"elasticLoadBalancing": {"enabled": true}},
            "accessConfig": {
                "authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": false,
            },
            "resourcesVpcConfig": {
                "subnetIds": subnets, "endpointPrivateAccess": true, "endpointPublicAccess": true,
                "publicAccessCidrs": ["0.0.0.0/0"],
            },
            "deletionProtection": false,
            "tags": {
                "trunkline:environment": "sandbox", "trunkline:address": "cluster/cluster/main",
            },
        }),
    );
    let policy = |name: &str| {
        json!([[
            format!("arn:aws:eks::aws:cluster-access-policy/{name}"),
            "cluster"
        ]])
    };
    let [node, deployer] = &eks["entries"].as_array().unwrap()[..] else {
        panic!("two entries: {eks:#}");
    };
    let nodes = policy("AmazonEKSAutoNodePolicy");
    holds(
        node,
        &json!({"principalArn": role("node"), "type": "EC2", "policies": nodes}),
    );
    let user = format!("arn:aws:iam::{ACCOUNT}:user/trunkline-local");
    let admin = policy("AmazonEKSClusterAdminPolicy");
    holds(
        deployer,
        &json!({"principalArn": user, "type": "STANDARD", "policies": admin}),
    );
}

fn volume(data: &Value) -> String {
    let [volume] = &data["ec2:Volumes"].as_array().unwrap()[..] else {
        panic!("one volume: {:#}", data["ec2:Volumes"]);
    };
    holds(
        volume,
        &json!({"VolumeType": "gp3", "Encrypted": true, "Size": 8}),
    );
    assert_eq!(tag(volume, "trunkline:environment"), "sandbox");
    assert_eq!(tag(volume, "eks:eks-cluster-name"), "trunkline-sandbox");
    volume["VolumeId"].as_str().unwrap().to_owned()
}
