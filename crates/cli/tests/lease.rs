//! One run at a time, and one that is stopped: the second is told who is at
//! it, Ctrl-C says how to go on, and the next run goes on from there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use support::{Ended, Stack, alone, kill, wait_for};

#[test]
fn a_second_run_is_refused_and_a_stopped_one_goes_on() {
    let _alone = alone();
    let Some(stack) = Stack::up("lease") else {
        return;
    };
    stack.run(&["bootstrap", "sandbox"]).exits(0);
    let first = deploy_held_in_the_middle(&stack);
    others_are_told_who_is_at_it(&stack, first.id());

    // Ctrl-C reaches it when it goes on.
    kill("-INT", first.id());
    kill("-CONT", first.id());
    let ended = Ended::new(&["deploy"], first.wait_with_output().unwrap());
    let ended = ended.exits(130).says("stopping: nothing new starts");
    ended
        .says("stopped: ")
        .says("go on:  trunkline deploy sandbox");

    let status = stack.run(&["status", "sandbox", "--json"]).exits(0).json();
    assert_eq!(status["holding"], Value::Null);
    assert_eq!(status["last_run"]["outcome"], "stopped");
    let vpc = marked(&stack)["net/vpc/main"].clone();
    stack
        .run(&["deploy", "sandbox"])
        .exits(0)
        .says("sandbox is up");
    stack
        .run(&["plan", "sandbox", "--detailed-exitcode"])
        .exits(0);
    let marked = marked(&stack);
    assert_eq!(
        marked["net/vpc/main"], vpc,
        "it has gone on with what was there"
    );
    for (address, ids) in marked {
        assert_eq!(ids.len(), 1, "{address}: {ids:?}");
    }
}

/// A deploy that has made the VPC and stands still. SIGSTOP holds it as long as
/// this needs, whatever the machine's speed; its lease lives for a minute.
fn deploy_held_in_the_middle(stack: &Stack) -> Child {
    let mut command = stack.command(&["deploy", "sandbox"]);
    command.env("USER", "first");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_for("the VPC is made", || {
        let record = stack.record();
        record
            .iter()
            .any(|call| call["action"] == "CreateVpc")
            .then_some(())
    });
    kill("-STOP", child.id());
    child
}

fn others_are_told_who_is_at_it(stack: &Stack, first: u32) {
    let status = stack.run(&["status", "sandbox", "--json"]).exits(0).json();
    let holder = status["holding"]["holder"].as_str().unwrap();
    assert!(holder.starts_with("first@"), "{holder}");
    let run = status["holding"]["run"].as_str().unwrap();
    stack.clear_record();
    for args in [&["deploy", "sandbox"][..], &["destroy", "sandbox", "--yes"]] {
        let refused = stack.run(args).exits(4);
        let refused = refused.says(&format!("sandbox is being deployed by {holder}"));
        refused.says(run).says("wait: --wait");
    }
    // What the first had asked before it stood still may be answered by now.
    let record = stack.record();
    let others = record.iter().filter(|call| call["pid"] != first);
    let changes: Vec<_> = others
        .filter(|call| call["mutating"] == true && call["status"].as_u64() < Some(400))
        .collect();
    assert!(changes.is_empty(), "{changes:#?}");
}

/// The ids that EC2 has marked, by address.
fn marked(stack: &Stack) -> BTreeMap<String, Vec<String>> {
    let tags = "give(client('ec2').describe_tags(
        Filters=[{'Name': 'key', 'Values': ['trunkline:address']}])['Tags'])";
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for tag in stack.python(tags, &[]).as_array().unwrap() {
        let [address, id] = ["Value", "ResourceId"].map(|key| tag[key].as_str().unwrap());
        found
            .entry(address.to_owned())
            .or_default()
            .push(id.to_owned());
    }
    assert_ne!(json!(found), json!({}));
    found
}
