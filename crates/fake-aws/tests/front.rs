//! The front with moto behind it, driven by boto3: what passes, what is
//! recorded, and what each fault does.

mod support;

use serde_json::json;
use support::{boto3, output};
use trunkline_fake_aws::faults::{Effect, Fault};
use trunkline_fake_aws::testing::TestAws;

#[tokio::test]
async fn calls_pass_and_are_recorded() {
    let aws = TestAws::shared().await;
    let before = aws.record().last().map_or(0, |call| call.n);
    let seen = boto3(
        aws,
        r#"
ec2 = client("ec2")
tags = [{"ResourceType": "vpc", "Tags": [{"Key": "trunkline:address", "Value": "net/vpc/recorded"}]}]
vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
direct = client("ec2", moto).describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"]
ec2.delete_vpc(VpcId=vpc)
missing = code(ec2.delete_vpc, VpcId=vpc)
sts = client("sts")
arn = sts.get_caller_identity()["Arn"]
import urllib.request
url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
presigned = f"<Arn>{arn}</Arn>" in urllib.request.urlopen(url).read().decode()
print(json.dumps({"vpc": vpc, "direct": direct, "missing": missing, "arn": arn, "presigned": presigned}))
"#,
    )
    .await;
    assert_eq!(seen["direct"], "10.77.0.0/16");
    assert_eq!(seen["missing"], "InvalidVpcID.NotFound");
    assert_eq!(seen["arn"], "arn:aws:iam::111122223333:user/trunkline-test");
    assert_eq!(seen["presigned"], true);
    let key = aws.credentials().0;
    let calls = aws.record().into_iter().filter(|call| {
        call.n > before
            && call
                .resource
                .as_deref()
                .is_none_or(|it| it == "net/vpc/recorded")
            && call.access_key.as_ref() == Some(&key)
            && matches!(
                call.action.as_str(),
                "CreateVpc" | "DeleteVpc" | "GetCallerIdentity"
            )
    });
    let calls: Vec<_> = calls
        .map(|call| {
            assert!(call.request_id.is_some() && call.region == aws.region());
            (
                call.name(),
                call.mutating,
                call.status,
                call.error_code,
                call.resource,
            )
        })
        .collect();
    let vpc = Some("net/vpc/recorded".to_owned());
    let missing = Some("InvalidVpcID.NotFound".to_owned());
    assert_eq!(
        calls,
        [
            ("ec2:CreateVpc".into(), true, 200, None, vpc.clone()),
            ("ec2:DeleteVpc".into(), true, 200, None, vpc.clone()),
            ("ec2:DeleteVpc".into(), true, 400, missing, vpc),
            ("sts:GetCallerIdentity".into(), false, 200, None, None),
            ("sts:GetCallerIdentity".into(), false, 200, None, None),
        ]
    );
}

#[tokio::test]
async fn s3_bodies_pass_byte_for_byte() {
    let aws = TestAws::shared().await;
    let seen = boto3(
        aws,
        r#"
import hashlib
s3 = client("s3")
s3.create_bucket(Bucket="passes", CreateBucketConfiguration={"LocationConstraint": "eu-central-1",
    "Tags": [{"Key": "trunkline:address", "Value": "storage/bucket/passes"}]})
body = bytes(range(256)) * 4096 * 4
s3.put_object(Bucket="passes", Key="a b/ü.bin", Body=body, ChecksumAlgorithm="CRC32")
back = s3.get_object(Bucket="passes", Key="a b/ü.bin")["Body"].read()
head = s3.head_object(Bucket="passes", Key="a b/ü.bin")["ContentLength"]
first = code(s3.put_object, Bucket="passes", Key="lease", Body=b"1", IfNoneMatch="*")
second = code(s3.put_object, Bucket="passes", Key="lease", Body=b"2", IfNoneMatch="*")
missing = code(s3.get_object, Bucket="passes", Key="nothing")
listed = [it["Key"] for it in s3.list_objects_v2(Bucket="passes")["Contents"]]
print(json.dumps([back == body, head, first, second, missing, listed]))
"#,
    )
    .await;
    let megabytes = 256 * 4096 * 4;
    assert_eq!(
        seen,
        json!([
            true,
            megabytes,
            null,
            "PreconditionFailed",
            "NoSuchKey",
            ["a b/ü.bin", "lease"]
        ])
    );
    let calls = aws.record();
    let of = |action: &str| {
        calls.iter().rfind(|call| {
            call.action == action && call.ids.iter().any(|id| id.starts_with("passes"))
        })
    };
    let put = of("PutObject").unwrap();
    assert_eq!(
        (put.status, put.error_code.as_deref()),
        (412, Some("PreconditionFailed"))
    );
    assert_eq!(put.resource.as_deref(), Some("passes/lease"));
    let made = of("CreateBucket").unwrap();
    assert_eq!(
        (made.mutating, made.resource.as_deref()),
        (true, Some("storage/bucket/passes"))
    );
    assert!(of("ListObjectsV2").is_some_and(|call| !call.mutating));
}

#[tokio::test]
async fn a_dropped_answer_leaves_the_work_done() {
    let aws = TestAws::start().await;
    aws.fault(json!({"service": "ec2", "action": "CreateVpc", "do": {"type": "drop_answer"}}));
    let seen = boto3(
        &aws,
        r#"
ec2 = client("ec2")
try:
    ec2.create_vpc(CidrBlock="10.78.0.0/16")
    error = None
except Exception as caught:
    error = type(caught).__name__
filters = [{"Name": "cidr", "Values": ["10.78.0.0/16"]}]
print(json.dumps([error, len(ec2.describe_vpcs(Filters=filters)["Vpcs"])]))
"#,
    )
    .await;
    assert_eq!(seen, json!(["ConnectionClosedError", 1]));
    let call = aws
        .record()
        .into_iter()
        .find(|call| call.action == "CreateVpc")
        .unwrap();
    assert_eq!(
        (call.status, call.fault.as_deref()),
        (200, Some("drop_answer"))
    );
}

#[tokio::test]
async fn the_caller_is_killed_after_the_work() {
    let aws = TestAws::start().await;
    aws.fault(json!({
        "service": "ec2", "action": "CreateVpc", "nth": 2, "do": {"type": "kill_caller"}
    }));
    let ended = output(
        &aws,
        r#"
ec2 = client("ec2")
print(os.getpid(), flush=True)
for n in range(3):
    ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")
"#,
    )
    .await;
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(ended.status.signal(), Some(9));
    let pid = String::from_utf8_lossy(&ended.stdout).trim().parse().ok();
    let calls: Vec<_> = aws
        .record()
        .into_iter()
        .map(|call| (call.action, call.pid))
        .collect();
    assert_eq!(
        calls,
        [
            ("CreateVpc".to_owned(), None),
            ("CreateVpc".to_owned(), pid)
        ]
    );
}

#[tokio::test]
async fn failing_and_throttling_leave_the_work_undone() {
    let aws = TestAws::start().await;
    aws.fault(json!({
        "service": "ec2", "action": "CreateVpc",
        "do": {"type": "fail", "status": 403, "code": "UnauthorizedOperation", "message": "no"}
    }));
    for service in ["ec2", "iam", "s3", "eks", "sts"] {
        aws.front().faults().add(Fault {
            service: service.into(),
            action: "*".into(),
            mutating: false,
            app: None,
            about: None,
            nth: if service == "ec2" { 2 } else { 1 },
            times: 1,
            effect: Effect::Throttle,
        });
    }
    let seen = boto3(
        &aws,
        r#"
ec2 = client("ec2")
create = lambda: code(ec2.create_vpc, CidrBlock="10.79.0.0/16")
codes = [create(), create(), code(client("iam").list_roles), code(client("s3").list_buckets),
         code(client("eks").list_clusters), code(client("sts").get_caller_identity)]
found = client("ec2", moto).describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.79.0.0/16"]}])
print(json.dumps([codes, len(found["Vpcs"])]))
"#,
    )
    .await;
    let codes = json!([
        "UnauthorizedOperation",
        "RequestLimitExceeded",
        "Throttling",
        "SlowDown",
        "ThrottlingException",
        "Throttling"
    ]);
    assert_eq!(seen, json!([codes, 0]));
}

#[tokio::test]
async fn the_control_api_sets_and_shows() {
    let aws = TestAws::shared().await;
    let url = |path: &str| format!("{}/_trunkline/{path}", aws.endpoint());
    let before = aws.record().last().map_or(0, |call| call.n);
    let script = format!(
        r#"
import urllib.request
def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method)) as answer:
            text = answer.read()
            return [answer.status, json.loads(text) if text else None]
    except urllib.error.HTTPError as error:
        return [error.code, None]
fault = {{"service": "kms", "action": "CreateKey", "do": {{"type": "latency", "ms": 80}}}}
results = [
    call("PUT", "{faults}", [fault]), call("GET", "{faults}")[1], call("DELETE", "{faults}"),
    call("GET", "{faults}")[1], call("PUT", "{faults}", {{"not": "a list"}})[0],
    call("GET", "{settings}")[1], call("GET", "{health}")[1]["account"], call("GET", "{nowhere}")[0],
]
client("iam").get_user()
results.append([it["action"] for it in call("GET", "{record}?since={before}")[1] if it["action"] == "GetUser"])
print(json.dumps(results))
"#,
        faults = url("faults"),
        settings = url("settings"),
        health = url("health"),
        nowhere = url("nowhere"),
        record = url("record"),
    );
    let seen = boto3(aws, &script).await;
    let fault = json!({
        "service": "kms", "action": "CreateKey", "mutating": false, "nth": 1, "times": 1,
        "do": {"type": "latency", "ms": 80}
    });
    let settings = json!({"latency_ms": 0, "visibility_ms": 0, "pace": "instant"});
    assert_eq!(
        seen,
        json!([
            [204, null],
            [fault],
            [204, null],
            [],
            400,
            settings,
            "111122223333",
            404,
            ["GetUser"]
        ])
    );
}
