//! A whole stack as a person starts and stops it: what is printed, what runs,
//! what is left.

use std::net::TcpListener;

use crate::support::{Stack, kill, moto_that, script, text, tools_are_here, wait_until};

#[test]
fn a_stack_is_started_once_pointed_at_and_stopped() {
    if !tools_are_here("a_stack_is_started_once_pointed_at_and_stopped") {
        return;
    }
    let stack = Stack::new("life");
    stack.done(&["up", "--account", "222233334444"]);
    let status = stack.status();
    assert_eq!(status["standing"], "up");
    assert_eq!(status["account"], "222233334444");
    assert!(
        status["endpoint"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );

    let again = stack.run(&["up"]);
    assert!(again.status.success() && text(&again).contains("is up already"));
    let other = stack.run(&["up", "--account", "999999999999", "--pace", "60"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other).contains("its account is 222233334444 and its pace is instant"));
    assert_eq!(
        stack.daemon(),
        status["daemon"]["pid"].as_u64().unwrap() as u32
    );

    let environment = stack.environment();
    assert_eq!(
        environment["AWS_ENDPOINT_URL"],
        status["endpoint"].as_str().unwrap()
    );
    assert_eq!(environment["AWS_EC2_METADATA_DISABLED"], "true");
    assert!(environment.contains_key("TRUNKLINE_CHARTS"));
    let identity = stack.aws(&["identity"]);
    assert_eq!(
        identity["arn"],
        "arn:aws:iam::222233334444:user/trunkline-local"
    );

    stack.done(&["reset"]);
    assert_ne!(
        stack.environment()["AWS_ACCESS_KEY_ID"],
        environment["AWS_ACCESS_KEY_ID"]
    );
    assert_eq!(stack.status()["account"], "222233334444");

    assert!(!stack.processes().is_empty());
    assert!(stack.done(&["down"]).contains("is down"));
    assert_eq!(stack.processes(), [].into());
    assert_eq!(stack.status()["standing"], "down");
    assert!(stack.done(&["down"]).contains("is not up"));
    assert!(text(&stack.run(&["env"])).contains("trunkline-local up"));
}

#[test]
fn two_stacks_do_not_disturb_each_other() {
    if !tools_are_here("two_stacks_do_not_disturb_each_other") {
        return;
    }
    let (one, two) = (Stack::new("one"), Stack::new("two"));
    let mut started = one.spawn(&["up", "--account", "111111111111"]);
    two.done(&["up", "--account", "222222222222"]);
    assert!(started.wait().unwrap().success());
    assert_ne!(
        one.environment()["AWS_ENDPOINT_URL"],
        two.environment()["AWS_ENDPOINT_URL"]
    );

    let (made, other) = std::thread::scope(|scope| {
        let made = scope.spawn(|| one.aws(&["create", "same", "1.35"]));
        let other = two.aws(&["create", "same", "1.35"]);
        (made.join().unwrap(), other)
    });
    assert_eq!(
        [&made["status"], &other["status"]],
        ["ACTIVE", "ACTIVE"],
        "{made} {other}"
    );
    assert_ne!(made["endpoint"], other["endpoint"]);
    assert_ne!(made["ca"], other["ca"]);

    // Killed, so that nothing of its own can clear up.
    kill("-9", one.daemon());
    one.wait_for_no_process();
    assert_eq!(one.status()["standing"], "died");
    assert_eq!(two.status()["standing"], "up");
    let parts = two.status()["parts"].as_object().unwrap().len();
    assert_eq!(parts, 6, "moto and five of the cluster: {}", two.status());
    assert_eq!(
        two.aws(&["identity"])["arn"],
        "arn:aws:iam::222222222222:user/trunkline-local"
    );

    let again = one.run(&["up", "--account", "111111111111"]);
    assert!(again.status.success(), "{}", text(&again));
    assert!(text(&again).contains("cleared away what a killed daemon had left"));
    assert_eq!(one.status()["clusters"], serde_json::json!({}));
    assert!(!one.folder().join("clusters/same").exists());
}

#[test]
fn a_moto_that_ends_is_named_with_its_last_lines() {
    let test = "a_moto_that_ends_is_named_with_its_last_lines";
    if !tools_are_here(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let moto = moto_that(folder.path(), "echo 'ImportError: no flask' >&2\nexit 3");
    let stack = Stack::new("moto-ends");
    let output = stack.run(&["up", "--tool", &moto]);
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output);
    assert!(text.contains("error: moto did not start"), "{text}");
    assert!(
        text.contains("moto.log:\n    ImportError: no flask"),
        "{text}"
    );
    assert_eq!(stack.processes(), [].into());
    assert_eq!(stack.status()["standing"], "down");
}

#[test]
fn a_port_in_use_is_named_and_the_rest_is_stopped() {
    if !tools_are_here("a_port_in_use_is_named_and_the_rest_is_stopped") {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let stack = Stack::new("port");
    let output = stack.run(&["up", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output);
    assert!(text.contains("the AWS front did not start"), "{text}");
    assert!(
        text.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{text}"
    );
    assert_eq!(stack.processes(), [].into());
}

#[test]
fn ctrl_c_while_it_starts_stops_what_was_started() {
    if !tools_are_here("ctrl_c_while_it_starts_stops_what_was_started") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let moto = moto_that(folder.path(), "exec sleep 600");
    let stack = Stack::new("ctrl-c");
    let mut up = stack.spawn(&["up", "--tool", &moto]);
    let starting = || {
        stack
            .processes()
            .values()
            .any(|command| command.starts_with("sleep"))
    };
    wait_until("moto is being started", starting);
    kill("-INT", up.id());
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert_eq!(stack.processes(), [].into());
    assert_eq!(stack.status()["standing"], "down");
}

#[test]
fn a_killed_up_leaves_no_half_a_stack() {
    if !tools_are_here("a_killed_up_leaves_no_half_a_stack") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // It dies with the daemon, as the real one asks the kernel for.
    let moto = moto_that(folder.path(), "exec setpriv --pdeathsig KILL sleep 600");
    let stack = Stack::new("up-killed");
    let mut up = stack.spawn(&["up", "--tool", &moto]);
    let starting = || {
        stack
            .processes()
            .values()
            .any(|command| command.starts_with("sleep"))
    };
    wait_until("moto is being started", starting);
    kill("-9", up.id());
    up.wait().unwrap();
    stack.wait_for_no_process();
}

#[test]
fn wrong_usage_is_refused_before_anything_is_started() {
    let stack = Stack::new("usage");
    for (args, says) in [
        (vec!["up", "--account", "12"], "12 digits"),
        (vec!["up", "--pace", "fast"], "instant"),
        (vec!["up", "--charts", "/no/such/folder"], "no such folder"),
        (
            vec!["up", "--tool", "etdc=/bin/sh"],
            "no tool is called `etdc`",
        ),
    ] {
        let output = stack.run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output).contains(says), "{args:?}: {}", text(&output));
    }
    assert!(!stack.folder().exists());
}

#[test]
fn a_cluster_whose_program_fails_is_failed_with_its_last_lines() {
    let test = "a_cluster_whose_program_fails_is_failed_with_its_last_lines";
    if !tools_are_here(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let broken = script(
        folder.path(),
        "broken",
        "echo 'unknown flag: --frobnicate' >&2\nexit 1",
    );
    let tool = format!("kube-scheduler={broken}");
    let stack = Stack::new("scheduler-ends");
    stack.done(&["up", "--tool", &tool]);
    let made = stack.aws(&["create", "demo", "1.35"]);
    assert_eq!(made["status"], "FAILED");
    let why = made["issues"][0].as_str().unwrap();
    assert!(
        why.starts_with("demo/kube-scheduler did not start: it ended"),
        "{why}"
    );
    assert!(why.ends_with("unknown flag: --frobnicate"), "{why}");
    // What had been started for it went with it: moto and the daemon remain.
    assert_eq!(stack.processes().len(), 2, "{:?}", stack.processes());
}

#[test]
fn ports_that_others_take_are_a_clear_error() {
    if !tools_are_here("ports_that_others_take_are_a_clear_error") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let body = "echo x >> \"$0.starts\"\necho 'listen tcp: bind: address already in use'\nexit 1";
    let broken = script(folder.path(), "etcd", body);
    let stack = Stack::new("ports");
    stack.done(&["up", "--tool", &format!("etcd={broken}")]);
    let made = stack.aws(&["create", "demo", "1.35"]);
    assert_eq!(made["status"], "FAILED");
    let why = made["issues"][0].as_str().unwrap();
    assert!(why.contains("found its ports taken 3 times"), "{why}");
    let starts = std::fs::read_to_string(folder.path().join("etcd.starts")).unwrap();
    assert_eq!(starts.lines().count(), 3);
}

#[test]
fn two_who_start_the_same_stack_get_one() {
    if !tools_are_here("two_who_start_the_same_stack_get_one") {
        return;
    }
    let stack = Stack::new("race");
    let outputs = std::thread::scope(|scope| {
        let starts = [(); 3].map(|()| scope.spawn(|| stack.run(&["up"])));
        starts.map(|start| start.join().unwrap())
    });
    assert!(outputs.iter().all(|output| output.status.success()));
    let already = outputs
        .iter()
        .filter(|output| text(output).contains("is up already"));
    assert_eq!(already.count(), 2);
    assert_eq!(stack.processes().len(), 2, "{:?}", stack.processes());
}
