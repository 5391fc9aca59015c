//! boto3 as the client that shares no code with ours.

use std::process::{Command, Output, Stdio};

use trunkline_fake_aws::testing::TestAws;

/// What every script begins with: `client(service)` with one attempt per call
/// and `code(call)`, the error code a call ends with (or None).
const PRELUDE: &str = r#"
import boto3, json, os, sys
from botocore.config import Config
from botocore.exceptions import ClientError
config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
def client(service, endpoint=None):
    return boto3.client(service, endpoint_url=endpoint, config=config)
def code(call, /, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
moto = os.environ["MOTO"]
"#;

/// A Python child with boto3 pointed at the front.
pub(crate) fn python(aws: &TestAws, script: &str) -> Command {
    let (key, secret) = aws.credentials();
    let mut command = Command::new(aws.python());
    command
        .args(["-c", &format!("{PRELUDE}\n{script}")])
        .env_clear()
        .env("AWS_ENDPOINT_URL", aws.endpoint())
        .env("MOTO", aws.moto())
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_DEFAULT_REGION", aws.region())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

/// Runs a script to its end; what it prints as its last line is JSON.
pub(crate) async fn boto3(aws: &TestAws, script: &str) -> serde_json::Value {
    let output = output(aws, script).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "the script failed:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last = text.lines().last().unwrap_or("null");
    serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// Runs a script to its end, however it ends.
pub(crate) async fn output(aws: &TestAws, script: &str) -> Output {
    let mut command = python(aws, script);
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("the task ends").expect("Python starts")
}
