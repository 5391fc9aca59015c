//! The pipeline as a library: the example of a layer of one's own, deployed
//! with the sandbox's layers in one graph and destroyed in the right order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::{path::Path, process::Command};

use serde_json::json;
use support::{Ended, Stack};

const BUCKET: &str = "trunkline-sandbox-111122223333-eu-central-1-artifacts";

fn example(stack: &Stack, command: &str) -> Ended {
    let programs = Path::new(env!("CARGO_BIN_EXE_trunkline")).parent().unwrap();
    let args = ["environments/sandbox.toml", command];
    let program = programs.join("examples/extra_layer");
    // `cargo test` builds examples, unless it was told which tests to build.
    let build = "cargo build -p trunkline-cli --example extra_layer";
    assert!(program.exists(), "the example is not built: {build}");
    let mut program = Command::new(program);
    program
        .args(args)
        .current_dir(stack.folder())
        .envs(stack.variables());
    Ended::new(&args, program.output().unwrap())
}

fn place(ended: &Ended, line: &str) -> usize {
    let found = ended.stdout.lines().position(|said| said == line);
    found.unwrap_or_else(|| panic!("`{line}` is not in\n{ended}"))
}

#[test]
fn a_layer_of_ones_own_is_deployed_with_the_others_and_goes_before_them() {
    let Some(stack) = Stack::up("embedding") else {
        return;
    };
    let deployed = example(&stack, "deploy").exits(0);
    assert!(
        place(&deployed, "create net/vpc/main") < place(&deployed, "create artifacts/bucket/main")
    );
    let tags = stack.python(
        "s3 = client('s3')\n\
         tags = s3.get_bucket_tagging(Bucket=sys.argv[1])['TagSet']\n\
         vpcs = client('ec2').describe_vpcs(Filters=[{'Name': 'tag:trunkline:environment', 'Values': ['sandbox']}])['Vpcs']\n\
         give([{t['Key']: t['Value'] for t in tags}, [v['VpcId'] for v in vpcs]])",
        &[BUCKET],
    );
    assert_eq!(tags[0]["trunkline:address"], json!("artifacts/bucket/main"));
    assert_eq!(tags[0]["vpc"], tags[1][0], "the reference was resolved");

    let again = example(&stack, "plan").exits(0);
    assert_eq!(again.stdout, "", "nothing is to be done: {again}");

    let destroyed = example(&stack, "destroy").exits(0);
    assert!(
        place(&destroyed, "delete artifacts/bucket/main")
            < place(&destroyed, "delete net/vpc/main")
    );
    let left = stack.python(
        "give([b['Name'] for b in client('s3').list_buckets()['Buckets']])",
        &[],
    );
    assert!(!left.as_array().unwrap().contains(&json!(BUCKET)), "{left}");
}
